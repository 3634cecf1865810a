package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Serve runs the links of the plugin over one connection until ctx is done or
// the plugin ends or breaks the protocol.
func (m *Member) Serve(ctx context.Context, conn *link.Conn) error {
	m.serving.Store(true)
	m.downSince.Store(0)
	m.Gaps.close()
	defer func() {
		m.serving.Store(false)
		m.downSince.Store(time.Now().UnixNano())
		for _, q := range m.queues {
			q.Rewind()
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	if m.sources != nil {
		g.Go(func() error { return m.serveSource(ctx, conn) })
	}
	for kind, q := range m.queues {
		g.Go(func() error { return m.serveConsumer(ctx, conn, kind, q) })
	}
	err := g.Wait()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// controlBytes is about how much state or how many positions one control frame
// carries.
const controlBytes = 512 << 10

// prepare sends what a link needs before records flow.
func (m *Member) prepare(s *link.Stream, positions []*pb.Position, entries []*pb.StateEntry) error {
	c := &pb.LinkControl{Credits: uint32(m.pipeline.config.Credits)}
	size := 0
	flush := func() error {
		err := s.Send(&pb.Frame{Header: pb.Header{Control: c}})
		c, size = &pb.LinkControl{}, 0
		return err
	}
	for _, p := range positions {
		c.Positions = append(c.Positions, p)
		if size += len(p.Stream) + len(p.Checkpoint) + 24; size > controlBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		c.State = append(c.State, e)
		if size += len(e.Key) + len(e.Value) + 16; size > controlBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	c.Ready = true
	c.Credits = uint32(m.pipeline.config.Credits)
	c.BatchRecords = uint32(m.pipeline.config.BatchRecords)
	c.BatchBytes = uint32(m.pipeline.config.BatchBytes)
	c.FlushIntervalNs = uint64(m.pipeline.config.FlushInterval)
	return flush()
}

// sourcePositions are where the source resumes: what the host has taken over in
// this life, else what the store knows from the last.
func (m *Member) sourcePositions() ([]*pb.Position, error) {
	byName := make(map[string]*pb.Position)
	if m.pipeline.config.Store != nil {
		stored, err := m.pipeline.config.Store.SourcePositions(m.desc.Name)
		if err != nil {
			return nil, err
		}
		for _, p := range stored {
			byName[p.Stream] = p
		}
	}
	for _, c := range m.sources.Resumes() {
		byName[c.Stream] = &pb.Position{Stream: c.Stream, NextSequence: c.Next, Checkpoint: c.Checkpoint}
	}
	out := make([]*pb.Position, 0, len(byName))
	for _, p := range byName {
		out = append(out, p)
	}
	return out, nil
}

// durableInterval is how often a source hears what has become durable, while it
// waits for anything to.
const durableInterval = 100 * time.Millisecond

// serveSource receives the batches of a source.
func (m *Member) serveSource(ctx context.Context, conn *link.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.Open(ctx, "source")
	if err != nil {
		return err
	}
	positions, err := m.sourcePositions()
	if err != nil {
		return err
	}
	if err := m.prepare(stream, positions, nil); err != nil {
		return fmt.Errorf("begin the source link: %w", err)
	}
	r := &sourceLink{member: m, stream: stream, next: make(map[uint64]uint64), owing: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { r.reportDurable(ctx) })
	for {
		f, err := stream.Recv()
		if err != nil {
			return linkEnd("source", err)
		}
		if err := r.receive(f); err != nil {
			return err
		}
	}
}

func linkEnd(kind string, err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("%s link: %w", kind, err)
}

// sourceLink is one connection of a source.
type sourceLink struct {
	member *Member
	stream *link.Stream
	next   map[uint64]uint64 // by stream seen on this link

	mu       sync.Mutex // serialises Send, guards what follows
	received uint64
	durable  uint64
	owing    chan struct{} // holds one token while a batch may not be durable
}

// reportDurable tells the source what became durable until ctx is done. It
// sleeps while everything is.
func (r *sourceLink) reportDurable(ctx context.Context) {
	t := time.NewTimer(durableInterval)
	defer t.Stop()
	for {
		select {
		case <-r.owing:
		case <-ctx.Done():
			return
		}
		t.Reset(durableInterval)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if r.acknowledge(0) != nil {
			return
		}
	}
}

// acknowledge gives back the credit of the batch accepted, unless that is 0,
// and reports what has become durable.
func (r *sourceLink) acknowledge(accepted uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ack := &pb.Ack{}
	if accepted > 0 {
		r.received, ack.Accepted = accepted, accepted
	}
	if d := r.member.sources.Durable(r.received); d > r.durable {
		r.durable, ack.Durable = d, d
	}
	if r.durable < r.received {
		select {
		case r.owing <- struct{}{}:
		default:
		}
	}
	if ack.Accepted == 0 && ack.Durable == 0 {
		return nil
	}
	return r.stream.Send(&pb.Frame{Header: pb.Header{Ack: ack}})
}

// receive takes one batch over, which waits for room in the parser's queue.
func (r *sourceLink) receive(f *pb.Frame) error {
	m := r.member
	p := m.pipeline
	defer f.Free()
	for _, c := range f.Control.GetCounts() {
		m.Dropped.Add(c.Value)
		p.Stats.Drop("source", c.Name, c.Value)
	}
	if f.Number == 0 {
		return nil
	}
	var o pb.Origin
	if err := proto.Unmarshal(f.Origin, &o); err != nil {
		return fmt.Errorf("%w: origin: %w", bus.ErrProtocol, err)
	}
	next := f.FirstSequence + uint64(f.Count)
	switch {
	case f.Kind != pb.Kind_KIND_RAW:
		return fmt.Errorf("%w: a source sends records of kind %v", bus.ErrProtocol, f.Kind)
	case f.Number != r.received+1:
		return fmt.Errorf("%w: batch %d follows batch %d", bus.ErrProtocol, f.Number, r.received)
	case f.Stream != event.StreamID(m.desc.Name, o.Name):
		return fmt.Errorf("%w: stream %016x is not the id of %q", bus.ErrProtocol, f.Stream, o.Name)
	case f.FirstSequence == 0 || next < f.FirstSequence:
		return fmt.Errorf("%w: %d records from sequence %d", bus.ErrProtocol, f.Count, f.FirstSequence)
	case f.Count > maxRecords:
		return fmt.Errorf("%w: %d records in a batch, at most %d are allowed", bus.ErrProtocol, f.Count, maxRecords)
	}
	if taken, _, ok := m.sources.Resume(f.Stream); ok && f.FirstSequence < taken {
		return fmt.Errorf("%w: stream %q goes back to sequence %d from %d", bus.ErrProtocol, o.Name, f.FirstSequence, taken)
	}
	checkpoint := append([]byte(nil), f.Checkpoint...)
	entry := m.sources.Add(f.Stream, o.Name, f.Number, next, checkpoint)
	if f.Count == 0 { // a position alone
		entry.Release()
		return r.acknowledge(f.Number)
	}
	m.Events.Add(uint64(f.Count))
	p.Stats.Received.Add(uint64(f.Count))

	o.Plugin = m.desc.Name
	out := f.With(pb.Header{
		Stream: f.Stream, FirstSequence: f.FirstSequence, Kind: f.Kind, Count: f.Count, Provenance: f.Provenance,
		ObservedTime: f.ObservedTime, Origin: p.origin(f.Stream, f.Origin), Truncated: f.Truncated,
	})
	if err := p.toParser(out, next, entry, m.desc.Name, &o); err != nil {
		return err // the entry stays open: the batch comes again
	}
	entry.Release()
	return r.acknowledge(f.Number)
}

// maxRecords bounds the records of one batch.
const maxRecords = 65536

// toParser queues raw records for their parser, or passes them unparsed when
// there is none to wait for. It fails only when the pipeline is closed.
func (p *Pipeline) toParser(f *pb.Frame, next uint64, e *bus.Entry, plugin string, o *pb.Origin) error {
	parser := p.route(plugin, o)
	for parser != nil && parser.up.Load() {
		p.Stats.stream(f.Stream, o.Name, plugin, parser.desc.Name, 0)
		q := parser.queues["parser"]
		switch err := q.Push(p.ctx, f.With(f.Header), next, e, false); {
		case err == nil:
			p.Stats.stream(f.Stream, o.Name, plugin, parser.desc.Name, uint64(f.Count))
			f.Free()
			return nil
		case errors.Is(err, bus.ErrClosed):
			parser = nil
		case errors.Is(err, bus.ErrFull):
			if err := q.Room(p.ctx, f.Size()); err != nil {
				f.Free()
				return err
			}
		default:
			f.Free()
			return err
		}
	}
	p.Stats.stream(f.Stream, o.Name, plugin, "", uint64(f.Count))
	return p.passUnparsed(f, next, 0, e)
}

// rawKept is how much of an unparsed record is kept.
const rawKept = 4 << 10

// passUnparsed publishes raw records as unparsed log events. It fails only when
// the pipeline is closed.
func (p *Pipeline) passUnparsed(f *pb.Frame, next, skip uint64, e *bus.Entry) error {
	defer f.Free()
	batch := &pb.Batch{}
	offset := uint32(0)
	err := pb.Records(pb.Kind_KIND_RAW, f.Payload(), func(line []byte) bool {
		if f.FirstSequence+uint64(offset) >= skip {
			batch.Logs = append(batch.Logs, &pb.LogEvent{
				Offset: offset, Time: uint64(f.ObservedTime), ObservedTime: uint64(f.ObservedTime),
				Flags: uint32(event.FlagUnparsed | event.FlagUnrouted | event.FlagTimeInferred),
				Raw:   line[:min(len(line), rawKept)], Reason: "no_parser",
			})
		}
		offset++
		return true
	})
	if err != nil {
		p.Stats.Drop("parser", "malformed", uint64(f.Count)-uint64(len(batch.Logs)))
	}
	p.Stats.unparsed("no_parser", uint64(len(batch.Logs)))
	payload, err := proto.Marshal(batch)
	if err != nil || len(payload) == 0 {
		return nil
	}
	h := f.Header
	h.Kind, h.Count, h.Truncated, h.SkipBefore = pb.Kind_KIND_LOG, uint32(len(batch.Logs)), nil, 0
	return p.Logs.Publish(p.ctx, pb.NewFrame(h, &payload, nil), next, e)
}

// serveConsumer runs the link of a parser, detector, enforcer or sink.
func (m *Member) serveConsumer(ctx context.Context, conn *link.Conn, kind string, q *bus.Queue) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.Open(ctx, kind)
	if err != nil {
		return err
	}
	var entries []*pb.StateEntry
	if kind == "detector" && m.pipeline.config.Store != nil {
		if entries, err = m.pipeline.config.Store.PluginState(m.consumer(kind)); err != nil {
			return err
		}
	}
	if err := m.prepare(stream, nil, entries); err != nil {
		return fmt.Errorf("begin the %s link: %w", kind, err)
	}
	q.Rewind()
	l := &consumerLink{member: m, kind: kind, queue: q}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			f, err := q.Next(ctx)
			if err != nil {
				return err
			}
			m.Events.Add(uint64(f.Count))
			err = stream.Send(f)
			f.Free()
			if err != nil {
				return linkEnd(kind, err)
			}
		}
	})
	g.Go(func() error {
		for {
			f, err := stream.Recv()
			if err != nil {
				return linkEnd(kind, err)
			}
			err = l.receive(f)
			f.Free()
			if err != nil {
				return err
			}
		}
	})
	return g.Wait()
}

// consumerLink is one connection of a consumer.
type consumerLink struct {
	member  *Member
	kind    string
	queue   *bus.Queue
	changes []*pb.StateEntry // of saves that were not complete
	size    int
}

// receive handles one answer.
func (l *consumerLink) receive(f *pb.Frame) error {
	if f.Answers != 0 {
		if err := l.answer(f); err != nil {
			return err
		}
	}
	if f.Ack != nil {
		return l.acknowledged(f.Ack)
	}
	return nil
}

func (l *consumerLink) answer(f *pb.Frame) error {
	covered := uint64(0)
	if l.kind == "parser" {
		if covered = f.NextSequence; covered == 0 {
			return fmt.Errorf("%w: a parser's answer does not say what it covers", bus.ErrProtocol)
		}
	}
	o, err := l.queue.Answers(f.Answers, covered)
	if err != nil {
		return err
	}
	want := map[string]pb.Kind{"parser": pb.Kind_KIND_LOG, "detector": pb.Kind_KIND_ALERT, "enforcer": pb.Kind_KIND_ACTION}[l.kind]
	if f.Kind != want {
		return fmt.Errorf("%w: a %s answers with records of kind %v", bus.ErrProtocol, l.kind, f.Kind)
	}
	switch l.kind {
	case "parser":
		return l.parsed(f, o)
	case "detector":
		return l.alerts(f, o)
	default:
		return l.actions(f)
	}
}

// parsed publishes the log events of a parser's answer.
func (l *consumerLink) parsed(f *pb.Frame, o bus.Origin) error {
	p := l.member.pipeline
	unparsed := uint64(0)
	for _, c := range f.Control.GetCounts() {
		p.Stats.unparsed(c.Name, c.Value)
		unparsed += c.Value
	}
	if f.Count == 0 {
		return nil
	}
	p.Stats.Parsed.Add(uint64(f.Count) - min(unparsed, uint64(f.Count)))
	return p.Logs.Publish(p.ctx, f.With(pb.Header{
		Stream: o.Header.Stream, FirstSequence: o.Header.FirstSequence, Kind: pb.Kind_KIND_LOG, Count: f.Count,
		Provenance: o.Header.Provenance, ObservedTime: o.Header.ObservedTime, Origin: o.Header.Origin,
	}), f.NextSequence, o.Entry)
}

// alerts hands a detector's alerts on, one by one, and returns when all are
// safe.
func (l *consumerLink) alerts(f *pb.Frame, o bus.Origin) error {
	var batch pb.Batch
	if err := proto.Unmarshal(f.Payload(), &batch); err != nil {
		return fmt.Errorf("%w: alerts: %w", bus.ErrProtocol, err)
	}
	now := uint64(time.Now().UnixNano())
	for _, a := range batch.Alerts {
		a.Offset = 0
		a.Detector = l.member.desc.Name
		a.Provenance = max(a.Provenance, o.Header.Provenance)
		a.ObservedTime = now
		if a.Hops > event.MaxHops {
			l.member.pipeline.Stats.Drop("alert", "too_many_hops", 1)
			continue
		}
		if err := l.member.pipeline.config.Alert(l.member.pipeline.ctx, a); err != nil {
			return fmt.Errorf("keep an alert: %w", err)
		}
	}
	return nil
}

// actions hands an enforcer's proposals on.
func (l *consumerLink) actions(f *pb.Frame) error {
	var batch pb.Batch
	if err := proto.Unmarshal(f.Payload(), &batch); err != nil {
		return fmt.Errorf("%w: actions: %w", bus.ErrProtocol, err)
	}
	for _, a := range batch.Actions {
		a.Offset = 0
		a.Enforcer = l.member.desc.Name
		if err := l.member.pipeline.config.Decide(l.member.pipeline.ctx, l.member.desc.Name, a); err != nil {
			return fmt.Errorf("keep an action: %w", err)
		}
	}
	return nil
}

// acknowledged applies an acknowledgement.
func (l *consumerLink) acknowledged(ack *pb.Ack) error {
	for _, c := range ack.Changes {
		if l.size += len(c.Key) + len(c.Value); l.size > pb.MaxStateBytes {
			return fmt.Errorf("%w: more than %d bytes of state changes without a durable batch", bus.ErrProtocol, pb.MaxStateBytes)
		}
		l.changes = append(l.changes, c)
	}
	if ack.Accepted > 0 {
		if err := l.queue.Accepted(ack.Accepted); err != nil {
			return err
		}
	}
	if ack.Durable == 0 {
		return nil
	}
	changes := l.changes
	l.changes, l.size = nil, 0
	return l.queue.Durable(ack.Durable, func(reached []bus.Position) { l.keep(reached, changes) })
}

// keep hands positions and state to the store.
func (l *consumerLink) keep(reached []bus.Position, changes []*pb.StateEntry) {
	store := l.member.pipeline.config.Store
	if store == nil || l.kind == "parser" || len(reached) == 0 && len(changes) == 0 {
		return
	}
	positions := make([]state.Position, len(reached))
	for i, p := range reached {
		positions[i] = state.Position(p)
	}
	store.Durable(l.member.consumer(l.kind), positions, changes)
}
