package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/quarantine"
	"github.com/ironpost/ironpost/host/internal/view"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// openQuarantine opens what holds poison records.
func (d *daemon) openQuarantine() (err error) {
	if d.quarantine, err = quarantine.Open(d.store, quarantine.Limits{}); d.quarantine == nil {
		return err
	}
	if err != nil {
		d.log.Error("a record in quarantine cannot be read", "error", err)
	}
	return nil
}

// keepPoison puts a poison record into quarantine.
func (d *daemon) keepPoison(p pipeline.Poison) error {
	batch, err := pb.Codec{}.Marshal(p.Frame)
	if err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	defer batch.Free()
	_, _, before := d.quarantine.Counts()
	_, err = d.quarantine.Put(quarantine.Record{
		Plugin: p.Plugin, Kind: p.Kind, Stream: p.Stream, StreamID: p.Frame.Stream, Sequence: p.Sequence, Next: p.Next,
		Time: time.Now().UTC(), Reason: p.Died, Batch: batch.Materialize(),
	})
	_, _, after := d.quarantine.Counts()
	d.pipeline.Stats.Drop("quarantine", "oldest_removed", after-before)
	if err != nil {
		// The flow goes on all the same: the record is lost, and counted.
		d.pipeline.Stats.Drop("quarantine", "not_kept", 1)
		d.log.Error("a poison record could not be put into quarantine", "plugin", p.Plugin, "stream", p.Stream, "sequence", p.Sequence, "error", err)
	}
	return nil
}

// wrapQuarantine gives errors the sentinels of the control API.
func wrapQuarantine(err error) error {
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return fmt.Errorf("%w: %w; see: ironpost quarantine list", control.ErrNotFound, err)
	case errors.Is(err, pipeline.ErrNoMember), errors.Is(err, pipeline.ErrNoRoom):
		return fmt.Errorf("%w: %w", control.ErrConflict, err)
	}
	return err
}

func quarantinedRecord(r quarantine.Record) *pb.QuarantinedRecord {
	out := &pb.QuarantinedRecord{
		Id: r.ID, Plugin: r.Plugin, Kind: r.Kind, Stream: r.Stream, Sequence: r.Sequence,
		Time: timestamppb.New(r.Time), Reason: r.Reason, Size: uint32(r.Size),
	}
	if !r.Replayed.IsZero() {
		out.Replayed = timestamppb.New(r.Replayed)
	}
	return out
}

// frameOf decodes the batch of a record.
func frameOf(r quarantine.Record) (*pb.Frame, error) {
	f := new(pb.Frame)
	if err := (pb.Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(r.Batch)}, f); err != nil {
		return nil, fmt.Errorf("read record %s: %w", r.ID, err)
	}
	return f, nil
}

// ListQuarantine lists the records in quarantine.
func (d *daemon) ListQuarantine(context.Context) ([]*pb.QuarantinedRecord, error) {
	var out []*pb.QuarantinedRecord
	for _, r := range d.quarantine.List() {
		out = append(out, quarantinedRecord(r))
	}
	return out, nil
}

// ShowQuarantine shows one record with its bytes.
func (d *daemon) ShowQuarantine(_ context.Context, id string) (*pb.QuarantinedRecord, error) {
	r, err := d.quarantine.Get(id)
	if err != nil {
		return nil, wrapQuarantine(err)
	}
	f, err := frameOf(r)
	if err != nil {
		return nil, err
	}
	defer f.Free()
	out := quarantinedRecord(r)
	out.Record = strings.ToLower(strings.TrimPrefix(f.Kind.String(), "KIND_"))
	err = pb.Records(f.Kind, f.Payload(), func(record []byte) bool {
		out.Bytes = append([]byte(nil), record...)
		return false
	})
	if err != nil { // what cannot be told apart is shown whole
		out.Bytes = append([]byte(nil), f.Payload()...)
	}
	if f.Kind == pb.Kind_KIND_RAW {
		out.Text = view.Printable(string(out.Bytes))
	} else if b, err := f.Batch(); err == nil {
		out.Text = view.Printable(string(view.AppendBatch(nil, d.hostID, b)))
	}
	return out, nil
}

// ReplayQuarantine gives a record to its plugin again.
func (d *daemon) ReplayQuarantine(ctx context.Context, id string) (*pb.QuarantinedRecord, error) {
	r, passed, err := d.quarantine.Replaying(id)
	if err != nil {
		return nil, wrapQuarantine(err)
	}
	f, err := frameOf(r)
	if err != nil {
		return nil, err
	}
	if err := d.pipeline.Replay(ctx, r.Plugin, r.Kind, f, r.Next, passed); err != nil {
		return nil, wrapQuarantine(err)
	}
	return quarantinedRecord(r), nil
}

// DropQuarantine deletes a record.
func (d *daemon) DropQuarantine(_ context.Context, id string) (*pb.QuarantinedRecord, error) {
	r, err := d.quarantine.Drop(id)
	if err != nil {
		return nil, wrapQuarantine(err)
	}
	return quarantinedRecord(r), nil
}
