package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Injection describes a stream that the host itself reads.
type Injection struct {
	Name, Format, TimeZone string
	// Observed stands for the time at which the records were read.
	Observed time.Time
}

// Bounds of injected batches.
const (
	injectRecords = 1024
	injectBytes   = 128 << 10
)

// Inject reads records and sends them to their parser, as a source would, until
// the end of r. Records are lines, but for Windows events, which are JSON documents.
// It returns when everything has been handed over; Idle tells
// when it has been worked on.
func (p *Pipeline) Inject(ctx context.Context, c Injection, r io.Reader) error {
	in := injector{pipeline: p, config: c, id: event.StreamID(HostPlugin, c.Name), next: 1}
	in.sources = bus.NewSources(func(bus.Checkpoint) {})
	records, next := bufio.NewReaderSize(r, event.MaxRecord+2), readLine
	if c.Format == documentFormat {
		next = readDocument
	}
	for {
		line, cut, err := next(records)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", c.Name, err)
		}
		if err == nil || len(line) > 0 {
			if sendErr := in.line(ctx, line, cut); sendErr != nil {
				return sendErr
			}
		}
		if err != nil {
			if err := in.release(ctx); err != nil {
				return err
			}
			return in.flush(ctx)
		}
	}
}

// readLine returns the next line without its ending, cut at MaxRecord; the rest
// of a longer one is passed over.
func readLine(r *bufio.Reader) (line []byte, cut bool, err error) {
	line, err = r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) { // it is valid until the next call
		line = slices.Clone(line)
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = r.ReadSlice('\n')
		// Two bytes more than a record may have: its ending does not count.
		line = append(line, more[:min(len(more), max(event.MaxRecord+2-len(line), 0))]...)
		cut = cut || len(line) == event.MaxRecord+2 && line[len(line)-1] != '\n'
	}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			line = line[:n-2]
		}
	}
	if len(line) > event.MaxRecord {
		line, cut = line[:event.MaxRecord], true
	}
	return line, cut, err
}

// injector collects the lines of one stream into batches.
type injector struct {
	pipeline  *Pipeline
	config    Injection
	sources   *bus.Sources
	id        uint64
	number    uint64
	next      uint64
	payload   []byte
	count     uint32
	truncated []uint32
	// audit is the event of audit whose records are being joined in held.
	audit, held []byte
}

// line takes the next line. Those of one event of audit become one record, as a
// source joins them.
func (in *injector) line(ctx context.Context, line []byte, cut bool) error {
	var id []byte
	if !cut && (in.config.Format == "" || in.config.Format == "auditd") {
		id = auditEvent(line)
	}
	if id != nil && bytes.Equal(id, in.audit) && len(in.held)+1+len(line) <= event.MaxRecord {
		in.held = append(append(in.held, '\n'), line...)
		return nil
	}
	if err := in.release(ctx); err != nil {
		return err
	}
	if id == nil {
		return in.add(ctx, line, cut)
	}
	in.audit, in.held = append(in.audit[:0], id...), append(in.held[:0], line...)
	return nil
}

// release sends what is held back.
func (in *injector) release(ctx context.Context) error {
	if len(in.held) == 0 {
		return nil
	}
	held := in.held
	in.audit, in.held = in.audit[:0], in.held[:0]
	return in.add(ctx, held, false)
}

func (in *injector) add(ctx context.Context, line []byte, cut bool) error {
	if cut {
		in.truncated = append(in.truncated, in.count)
	}
	in.payload = protowire.AppendTag(in.payload, pb.PayloadTag(pb.Kind_KIND_RAW), protowire.BytesType)
	in.payload = protowire.AppendBytes(in.payload, line)
	if in.count++; in.count >= injectRecords || len(in.payload) >= injectBytes {
		return in.flush(ctx)
	}
	return nil
}

func (in *injector) flush(ctx context.Context) error {
	if in.count == 0 {
		return nil
	}
	p := in.pipeline
	o := &pb.Origin{Name: in.config.Name, Plugin: HostPlugin, Format: in.config.Format, TimeZone: in.config.TimeZone}
	p.detect(in.id, HostPlugin, o, func() []byte { return in.payload })
	encoded, err := proto.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode the origin of %s: %w", in.config.Name, err)
	}
	payload := in.payload
	f := pb.NewFrame(pb.Header{
		Stream: in.id, FirstSequence: in.next, Kind: pb.Kind_KIND_RAW, Count: in.count,
		Provenance: pb.Provenance_PROVENANCE_HOST, ObservedTime: in.config.Observed.UnixNano(),
		Origin: p.origin(in.id, encoded), Truncated: in.truncated,
	}, &payload, nil)
	in.number++
	next := in.next + uint64(in.count)
	entry := in.sources.Add(in.id, in.config.Name, in.number, next, nil)
	p.Stats.Received.Add(uint64(in.count))
	in.payload, in.count, in.truncated, in.next = nil, 0, nil, next
	if err := p.toParser(f, next, entry, HostPlugin, o); err != nil {
		return err
	}
	entry.Release()
	return ctx.Err()
}

// Collect calls visit with every batch of log events, in order, holding the
// flow up while it works. done returns visit's error after what was published
// before has been visited.
func (p *Pipeline) Collect(ctx context.Context, visit func(*pb.Frame) error) (done func(context.Context) error, err error) {
	q := bus.NewQueue(p.queueConfig("collector", nil))
	p.Logs.Subscribe(q, func() bool { return true }, func(uint64) {})
	ended := make(chan error, 1)
	go func() {
		defer q.Close()
		for {
			f, err := q.Next(ctx)
			if errors.Is(err, bus.ErrClosed) {
				ended <- nil
				return
			}
			if err == nil {
				err = visit(f)
				n := f.Number
				f.Free()
				if err == nil {
					err = q.Durable(n, func([]bus.Position) {})
				}
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	return func(ctx context.Context) error {
		err := q.Idle(ctx)
		p.Logs.Unsubscribe(q)
		q.Close()
		return errors.Join(err, <-ended)
	}, nil
}
