package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// serveConsumer runs the link of a parser, detector, enforcer or sink.
func (m *Member) serveConsumer(ctx context.Context, open opener, kind string, q *bus.Queue) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := open(ctx, kind)
	if err != nil {
		return err
	}
	var entries []*pb.StateEntry
	if kind == "detector" && m.pipeline.config.Store != nil {
		if entries, err = m.pipeline.config.Store.PluginState(m.consumer(kind)); err != nil {
			return hostError{err}
		}
	}
	if err := m.prepare(s, nil, entries); err != nil {
		return fmt.Errorf("begin the %s link: %w", kind, err)
	}
	q.Start()
	l := &consumerLink{member: m, kind: kind, queue: q, owed: make(chan owed, maxOwed), owedBytes: semaphore.NewWeighted(maxOwedBytes)}
	g, ctx := errgroup.WithContext(ctx)
	// An error of the host's own ends the stream, which would not end by it.
	defer context.AfterFunc(ctx, cancel)()
	sending, stop := m.sending.begin(ctx)
	defer stop()
	g.Go(func() error {
		for {
			f, err := q.Next(sending)
			if errors.Is(err, bus.ErrPoison) {
				if err := l.quarantine(); err != nil {
					return err
				}
				continue
			}
			if err != nil && sending.Err() != nil && ctx.Err() == nil {
				return nil // held: its answers are still welcome
			}
			if err != nil {
				return err
			}
			m.Events.Add(uint64(f.Count))
			m.Bytes.Add(uint64(f.Size()))
			err = s.Send(f)
			f.Free()
			if errors.Is(err, io.EOF) {
				return nil // the link is at its end: receiving tells the cause
			}
			if err != nil {
				return linkEnd(kind, err)
			}
		}
	})
	g.Go(func() error {
		defer close(l.owed)
		for {
			f, err := s.Recv()
			if err != nil {
				return linkEnd(kind, err)
			}
			m.handling.Add(1)
			err = l.receive(ctx, f)
			m.handling.Add(-1)
			f.Free()
			if err != nil {
				return err
			}
		}
	})
	g.Go(l.settle)
	err = g.Wait()
	for range l.owed { // after an error
		m.handling.Add(-1)
	}
	return err
}

// consumerLink is one connection of a consumer.
type consumerLink struct {
	member *Member
	kind   string
	queue  *bus.Queue
	owed   chan owed
	// owedBytes counts the changes in owed.
	owedBytes *semaphore.Weighted

	// Of the goroutine that receives.
	alert     uint64 // journal index of the last alert
	unflushed int    // bytes of the alerts that nobody waited for

	// Of the goroutine that applies acknowledgements: settle for a detector, or
	// else the one that receives.
	changes []*pb.StateEntry // of saves that were not complete
	size    int
}

// receive handles one answer.
func (l *consumerLink) receive(ctx context.Context, f *pb.Frame) error {
	if f.Answers != 0 {
		if err := l.answer(f); err != nil {
			return err
		}
	}
	switch {
	case f.Ack == nil:
		return nil
	case l.kind == "detector":
		return l.owe(ctx, f.Ack)
	}
	return l.acknowledged(f.Ack)
}

func (l *consumerLink) answer(f *pb.Frame) error {
	covered := uint64(0)
	if l.kind == "parser" {
		if covered = f.NextSequence; covered == 0 {
			return fmt.Errorf("%w: a parser's answer does not say what it covers", bus.ErrProtocol)
		}
	}
	// Everything is checked before the answer counts: what it covers is not
	// sent again.
	want, ok := map[string]pb.Kind{"parser": pb.Kind_KIND_LOG, "detector": pb.Kind_KIND_ALERT, "enforcer": pb.Kind_KIND_ACTION}[l.kind]
	if !ok || f.Kind != want {
		return fmt.Errorf("%w: a %s answers with records of kind %v", bus.ErrProtocol, l.kind, f.Kind)
	}
	if from, ok := l.queue.Unanswered(f.Answers); ok && covered > from && uint64(f.Count) > covered-from {
		return fmt.Errorf("%w: %d events for %d records", bus.ErrProtocol, f.Count, covered-from)
	}
	o, err := l.queue.Answers(f.Answers, covered)
	if err != nil {
		return err
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
		n := min(c.Value, uint64(f.Count)-unparsed) // it may claim anything
		p.Stats.unparsed(c.Name, n)
		unparsed += n
	}
	if name := p.formats.answered(o.Header.Stream, uint64(f.Count), unparsed); name != "" {
		l.member.log.Info("half of a stream could not be parsed; its records are looked at anew", "stream", fmt.Sprintf("%016x", o.Header.Stream), "format", name)
	}
	if f.Count == 0 {
		return nil
	}
	p.Stats.Parsed.Add(uint64(f.Count) - unparsed)
	return p.Logs.Publish(p.ctx, f.With(pb.Header{
		Stream: o.Header.Stream, FirstSequence: o.Header.FirstSequence, Kind: pb.Kind_KIND_LOG, Count: f.Count,
		Provenance: o.Header.Provenance, ObservedTime: o.Header.ObservedTime, Origin: o.Header.Origin,
	}), f.NextSequence, o.Entry)
}

// alerts hands a detector's alerts on. They are safe when settle says so.
func (l *consumerLink) alerts(f *pb.Frame, o bus.Origin) error {
	var batch pb.Batch
	if err := proto.Unmarshal(f.Payload(), &batch); err != nil {
		return fmt.Errorf("%w: alerts: %w", bus.ErrProtocol, err)
	}
	for _, a := range batch.Alerts {
		index, err := l.member.raise(a, o.Header.Provenance)
		if err != nil {
			return err
		}
		l.alert = max(l.alert, index)
	}
	if l.unflushed += f.Size(); l.unflushed < maxUnflushed {
		return nil
	}
	l.unflushed = 0
	return l.safe(l.alert)
}

// raise takes an alert of the plugin's over, and returns its index in the journal; 0
// for one that is left out. It can be trusted no further than provenance.
func (m *Member) raise(a *pb.AlertEvent, provenance pb.Provenance) (index uint64, err error) {
	a.Offset = 0
	a.Detector = m.desc.Name
	a.Provenance = max(a.Provenance, provenance)
	a.ObservedTime = uint64(time.Now().UnixNano())
	if reason := unfitAlert(a); reason != "" {
		m.pipeline.Stats.Drop("alert", reason, 1)
		return 0, nil
	}
	if index, err = m.pipeline.config.Alert(a); err != nil {
		return 0, keepError(err)
	}
	m.Alerts.Add(1)
	return index, nil
}

// maxEvent bounds an event that is journaled, in bytes: it has to fit into a
// batch, whose limit is less what surrounds the event there.
const maxEvent = pb.MaxBatchBytes - 64

// maxID bounds the id of an alert, which is kept in memory.
const maxID = 256

// unfitAlert says why an alert cannot be passed on, "" when it can. One that a
// plugin makes again and again must not end its link each time.
func unfitAlert(a *pb.AlertEvent) string {
	switch {
	case a.Hops > event.MaxHops:
		return "too_many_hops"
	case len(a.Id) > maxID:
		return "id_too_long"
	case proto.Size(a) > maxEvent:
		return "too_large"
	}
	return ""
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
		if proto.Size(a) > maxEvent/2 { // the host adds what it decides
			l.member.pipeline.Stats.Drop("action", "too_large", 1)
			continue
		}
		if err := l.member.pipeline.config.Decide(l.member.pipeline.ctx, l.member.desc.Name, a); err != nil {
			return hostError{fmt.Errorf("keep an action: %w", err)}
		}
	}
	return nil
}

// changeBytes is what a change takes beside its key and value.
const changeBytes = 64

func changeSize(c *pb.StateEntry) int { return len(c.Key) + len(c.Value) + changeBytes }

// acknowledged applies an acknowledgement.
func (l *consumerLink) acknowledged(ack *pb.Ack) error {
	for _, c := range ack.Changes {
		if l.size += changeSize(c); l.size > pb.MaxStateBytes {
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
	if err := l.queue.Durable(ack.Durable, func(reached []bus.Position) { l.keep(reached, changes) }); err != nil {
		return err
	}
	l.member.Gaps.close() // it follows again
	l.member.release()
	return nil
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
