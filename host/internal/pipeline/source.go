package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

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
func (m *Member) serveSource(ctx context.Context, open opener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := open(ctx, "source")
	if err != nil {
		return err
	}
	positions, err := m.sourcePositions()
	if err != nil {
		return err
	}
	if err := m.prepare(s, positions, nil); err != nil {
		return fmt.Errorf("begin the source link: %w", err)
	}
	r := &sourceLink{member: m, stream: s, base: m.batches, owing: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { r.reportDurable(ctx) })
	for {
		f, err := s.Recv()
		if err != nil {
			return linkEnd("source", err)
		}
		if err := r.receive(f); err != nil {
			return err
		}
	}
}

// sourceLink is one connection of a source.
type sourceLink struct {
	member *Member
	stream link.Stream
	// base is the number of the last batch of the links before: numbers begin
	// anew with each, and what is still owed must keep its place.
	base uint64

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
	if d := r.member.sources.Durable(r.base + r.received); d > r.base+r.durable {
		r.durable = d - r.base
		ack.Durable = r.durable
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
		if c.Value > maxLost {
			return fmt.Errorf("%w: it reports %d records lost at once", bus.ErrProtocol, c.Value)
		}
		m.Dropped.Add(c.Value)
		p.Stats.Drop("source", c.Name, c.Value)
	}
	if f.Number == 0 {
		return nil
	}
	if len(f.Origin) > maxOrigin {
		return fmt.Errorf("%w: origin of %d bytes, at most %d are allowed", bus.ErrProtocol, len(f.Origin), maxOrigin)
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
	entry := m.sources.Add(f.Stream, o.Name, r.base+f.Number, next, checkpoint)
	m.batches = r.base + f.Number
	if f.Count == 0 { // a position alone
		entry.Release()
		return r.acknowledge(f.Number)
	}
	m.Events.Add(uint64(f.Count))
	m.Bytes.Add(uint64(f.Size()))
	p.Stats.Received.Add(uint64(f.Count))

	encoded := f.Origin
	if p.detect(f.Stream, m.desc.Name, &o, f.Payload) {
		var err error
		if encoded, err = proto.Marshal(&o); err != nil {
			return fmt.Errorf("encode the origin of %s: %w", o.Name, err)
		}
	}
	o.Plugin = m.desc.Name
	out := f.With(pb.Header{
		Stream: f.Stream, FirstSequence: f.FirstSequence, Kind: f.Kind, Count: f.Count, Provenance: f.Provenance,
		ObservedTime: f.ObservedTime, Origin: p.origin(f.Stream, encoded), Truncated: f.Truncated,
	})
	if err := p.toParser(out, next, entry, m.desc.Name, &o); err != nil {
		return err // the entry stays open: the batch comes again
	}
	entry.Release()
	return r.acknowledge(f.Number)
}

// Bounds of one batch of a source.
const (
	maxRecords = 65536
	maxOrigin  = 16 << 10 // bytes; a path has at most 4 KiB
	maxLost    = 1 << 40  // records reported as lost
)

// toParser queues raw records for their parser, or passes them unparsed when
// there is none to wait for. It fails only when the pipeline is closed.
func (p *Pipeline) toParser(f *pb.Frame, next uint64, e *bus.Entry, plugin string, o *pb.Origin) error {
	parser := p.route(plugin, o)
	if err := p.hand(f.Stream, parser); err != nil {
		f.Free()
		return err
	}
	if parser == nil {
		p.goneParser(plugin, o).add(reasonUnparsed, uint64(f.Count))
	}
	for parser != nil {
		if !parser.up.Load() {
			parser.evict() // what came before goes first
			parser.Gaps.add(reasonUnparsed, uint64(f.Count))
			break
		}
		p.Stats.stream(f.Stream, o.Name, plugin, parser.desc.Name, 0)
		q := parser.queues["parser"]
		if e.Resumable() {
			if err := q.Ahead(p.ctx, parser.serving.Load); err != nil {
				f.Free()
				return err
			}
		}
		switch err := q.Push(p.ctx, f.With(f.Header), next, e, false); {
		case err == nil:
			p.Stats.stream(f.Stream, o.Name, plugin, parser.desc.Name, uint64(f.Count))
			f.Free()
			if !parser.up.Load() {
				parser.evict() // it went down in between, and nobody will come for this
			}
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
	return p.passUnparsed(f, next, 0, e, unrouted)
}

// rawKept is how much of an unparsed record is kept.
const rawKept = 4 << 10

// reasonUnparsed is the reason of a gap in which records passed unparsed because
// their parser was given up or taken away.
const reasonUnparsed = "passed_unparsed"

// unparsed says why events are unparsed, by code and flags.
type unparsed struct {
	reason string
	flags  event.Flags
}

// unrouted is why there is nobody to parse a record.
var unrouted = unparsed{"no_parser", event.FlagUnparsed | event.FlagUnrouted | event.FlagTimeInferred}

// passUnparsed publishes raw records as unparsed log events. It fails only when
// the pipeline is closed.
func (p *Pipeline) passUnparsed(f *pb.Frame, next, skip uint64, e *bus.Entry, why unparsed) error {
	defer f.Free()
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	batch := &pb.Batch{}
	offset := uint32(0)
	var size int
	var publishErr error
	publish := func(before uint64) {
		payload, err := proto.Marshal(batch)
		if err != nil || len(payload) == 0 {
			return
		}
		p.Stats.unparsed(why.reason, uint64(len(batch.Logs)))
		h := f.Header
		h.Kind, h.Count, h.Truncated, h.SkipBefore = pb.Kind_KIND_LOG, uint32(len(batch.Logs)), nil, 0
		publishErr = p.Logs.Publish(p.ctx, pb.NewFrame(h, &payload, nil), before, e)
		batch.Logs, size = batch.Logs[:0], 0
	}
	err := pb.Records(pb.Kind_KIND_RAW, f.Payload(), func(line []byte) bool {
		if offset == f.Count { // what is beyond the count has no sequence
			return false
		}
		if at := f.FirstSequence + uint64(offset); at >= skip {
			kept := line[:min(len(line), rawKept)]
			if size += len(kept) + unparsedBytes; size > pb.MaxBatchBytes && len(batch.Logs) > 0 {
				publish(at)
				size = len(kept) + unparsedBytes
			}
			batch.Logs = append(batch.Logs, &pb.LogEvent{
				Offset: offset, Time: uint64(f.ObservedTime), ObservedTime: uint64(f.ObservedTime),
				Flags: uint32(why.flags), Raw: kept, Reason: why.reason,
			})
		}
		offset++
		return publishErr == nil
	})
	if err != nil || offset < f.Count && publishErr == nil {
		p.Stats.Drop("parser", "malformed", uint64(f.Count-offset))
	}
	if publishErr == nil {
		publish(next)
	}
	return publishErr
}

// unparsedBytes is at least what an unparsed event takes beside its raw record.
const unparsedBytes = 64
