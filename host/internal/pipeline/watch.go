package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// serveWatch takes over what a scanner finds by itself. One that does not look by
// itself, or has nothing more to look at, stays up.
func (m *Member) serveWatch(ctx context.Context, open opener) error {
	err := m.watch(ctx, open)
	if status.Code(err) == codes.Unimplemented || errors.Is(err, io.EOF) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return err
}

func (m *Member) watch(ctx context.Context, open opener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := open(ctx, "scanner")
	if err != nil {
		return err
	}
	if err := m.prepare(s, nil, nil); err != nil && !errors.Is(err, io.EOF) { // of which receiving tells the cause
		return fmt.Errorf("begin the scanner link: %w", err)
	}
	c := m.pipeline.config
	l := &watchLink{
		member: m, stream: s, taken: make(chan taken, max(c.Credits, 1)),
		alerts: newProgress(c.Journal), inventory: newProgress(c.Inventory),
	}
	g, ctx := errgroup.WithContext(ctx)
	// An error of the host's own ends the stream, which would not end by it.
	defer context.AfterFunc(ctx, cancel)()
	g.Go(func() error {
		defer close(l.taken)
		for {
			f, err := s.Recv()
			if err != nil {
				return linkEnd("scanner", err)
			}
			err = l.receive(ctx, f)
			f.Free()
			if err != nil {
				return err
			}
		}
	})
	g.Go(func() error { return l.settle(ctx) })
	return g.Wait()
}

// watchLink is one connection of a scanner that looks by itself.
type watchLink struct {
	member *Member
	stream link.Stream
	// taken are the batches that are not on disk yet: one for each credit.
	taken chan taken

	// Of the goroutine that receives.
	received          uint64
	alerts, inventory progress
}

// taken is a batch whose records are in the journals, up to these indices.
type taken struct {
	number            uint64
	alerts, inventory uint64
}

// progress tells new entries of a journal from those that were there already.
type progress struct {
	last uint64
}

func newProgress(j *state.Journal) progress {
	if j == nil {
		return progress{}
	}
	return progress{last: j.Next() - 1}
}

// add notes where a record lies, and reports whether it is new there.
func (p *progress) add(index uint64) bool {
	fresh := index > p.last
	p.last = max(p.last, index)
	return fresh
}

// receive takes one batch over.
func (l *watchLink) receive(ctx context.Context, f *pb.Frame) error {
	if f.Number == 0 {
		return nil
	}
	switch {
	case f.Kind != pb.Kind_KIND_ALERT && f.Kind != pb.Kind_KIND_INVENTORY:
		return fmt.Errorf("%w: a scanner sends records of kind %v", bus.ErrProtocol, f.Kind)
	case f.Number != l.received+1:
		return fmt.Errorf("%w: batch %d follows batch %d", bus.ErrProtocol, f.Number, l.received)
	case f.Count == 0 || f.Count > maxRecords:
		return fmt.Errorf("%w: %d records in a batch, 1 to %d are allowed", bus.ErrProtocol, f.Count, maxRecords)
	}
	l.received = f.Number
	l.member.Events.Add(uint64(f.Count))
	l.member.Bytes.Add(uint64(f.Size()))
	t := taken{number: f.Number}
	n := uint32(0)
	r := pb.NewReader(f.Kind, f.Payload())
	for r.Next() {
		if n++; n > f.Count {
			break
		}
		if err := l.take(f, r.Item, &t); err != nil {
			return err
		}
	}
	switch {
	case r.Err != nil:
		return fmt.Errorf("%w: %w", bus.ErrProtocol, r.Err)
	case n != f.Count:
		return fmt.Errorf("%w: the header counts %d records, and the batch has others", bus.ErrProtocol, f.Count)
	}
	select {
	case l.taken <- t:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take journals one record, unless it is there already.
func (l *watchLink) take(f *pb.Frame, record []byte, t *taken) error {
	m := l.member
	if f.Kind == pb.Kind_KIND_ALERT {
		var a pb.AlertEvent
		if err := proto.Unmarshal(record, &a); err != nil {
			return fmt.Errorf("%w: an alert: %w", bus.ErrProtocol, err)
		}
		index, err := m.raise(&a, f.Provenance)
		if err != nil {
			return err
		}
		if l.alerts.add(index) {
			m.found.Add(1)
		}
		t.alerts = max(t.alerts, index)
		return nil
	}
	var e pb.InventoryEvent
	if err := proto.Unmarshal(record, &e); err != nil {
		return fmt.Errorf("%w: inventory: %w", bus.ErrProtocol, err)
	}
	e.Offset = 0
	if e.Time == 0 {
		e.Time = uint64(time.Now().UnixNano())
	}
	if reason := unfitInventory(&e); reason != "" {
		m.pipeline.Stats.Drop("inventory", reason, 1)
		return nil
	}
	index, err := m.pipeline.config.Record(&e)
	if err != nil {
		return hostError{fmt.Errorf("keep inventory: %w", err)}
	}
	if l.inventory.add(index) {
		m.found.Add(1)
	}
	t.inventory = max(t.inventory, index)
	return nil
}

// unfitInventory says why a record cannot be passed on, "" when it can.
func unfitInventory(e *pb.InventoryEvent) string {
	switch {
	case e.Id == "":
		return "no_id"
	case len(e.Id) > maxID:
		return "id_too_long"
	case e.Target == "" && !e.Removed:
		return "no_target"
	case proto.Size(e) > event.MaxRecord:
		return "too_large"
	}
	return ""
}

// settle acknowledges what was taken over when it is on disk; what waits shares a
// flush. Only then has the scanner its credit back, so that it never is further ahead
// of the disk than its credits let it.
func (l *watchLink) settle(ctx context.Context) error {
	c := l.member.pipeline.config
	for t := range l.taken {
		if t.alerts > 0 && c.Journal != nil {
			if err := c.Journal.Wait(ctx, t.alerts); err != nil {
				return keepError(err)
			}
		}
		if t.inventory > 0 && c.Inventory != nil {
			if err := c.Inventory.Wait(ctx, t.inventory); err != nil {
				return hostError{fmt.Errorf("keep inventory: %w", err)}
			}
		}
		err := l.stream.Send(&pb.Frame{Header: pb.Header{Ack: &pb.Ack{Accepted: t.number, Durable: t.number}}})
		if err != nil && !errors.Is(err, io.EOF) { // of which receiving tells the cause
			return linkEnd("scanner", err)
		}
	}
	return nil
}
