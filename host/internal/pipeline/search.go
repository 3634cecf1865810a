package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Poison is a record that a plugin dies of.
type Poison struct {
	Plugin string
	Kind   string // of the plugin: parser, detector, enforcer, sink
	Stream string
	// Frame holds that record alone. It is the pipeline's, and valid until the
	// call returns.
	Frame    *pb.Frame
	Sequence uint64
	Next     uint64 // sequence behind it
	Died     string // how the plugin did
}

// QuarantineFunc keeps a poison record, and returns when it is safe.
type QuarantineFunc func(Poison) error

// reasonQuarantined is the reason of what a plugin missed, and of the unparsed
// event that takes the place of a record which no parser can parse.
const reasonQuarantined = "quarantined"

// hostError is an error that ends a link and is no fault of the plugin.
type hostError struct{ error }

func (e hostError) Unwrap() error { return e.error }

// consuming are the kinds whose queues can hold poison, in the order of the flow.
var consuming = []string{"parser", "detector", "enforcer", "sink"}

// searching coordinates the queues of one plugin. While one of them looks for
// poison, nothing is sent from the others: the plugin is one process, and a
// record has to be alone in it.
type searching struct {
	mu   sync.Mutex
	kind string // whose queue searches, "" for none
	last string // whose queue was suspected last
	died string // how the plugin did

	held atomic.Bool // kind is not "", and there are other queues
}

// Ended is told why a process ended that was served, unless the host ended it.
// It is called after Serve has returned, and before the next.
func (m *Member) Ended(cause error) {
	if host := (hostError{}); errors.As(cause, &host) || m.pipeline.ctx.Err() != nil {
		return
	}
	s := &m.search
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost []string
	for _, kind := range consuming {
		if q := m.queues[kind]; q != nil && q.Lost() {
			lost = append(lost, kind)
		}
	}
	if len(lost) == 0 {
		return
	}
	if s.died = "it ended by itself"; cause != nil {
		s.died = cause.Error()
	}
	kind := lost[0]
	if slices.Contains(lost, s.kind) {
		kind = s.kind
	} else if i := slices.IndexFunc(lost, func(k string) bool {
		return slices.Index(consuming, k) > slices.Index(consuming, s.last)
	}); i >= 0 {
		kind = lost[i] // each in turn
	}
	s.last = kind
	m.queues[kind].Suspect()
	m.hold()
}

// hold lets the queues send that may; s.mu is held.
func (m *Member) hold() {
	s := &m.search
	s.kind = ""
	for kind, q := range m.queues {
		if q.Searching() {
			s.kind = kind
		}
	}
	for kind, q := range m.queues {
		if len(m.queues) > 1 {
			q.Hold(s.kind != "" && s.kind != kind)
		}
	}
	s.held.Store(s.kind != "" && len(m.queues) > 1)
}

// release lets all queues send again when none searches any more.
func (m *Member) release() {
	if !m.search.held.Load() {
		return
	}
	m.search.mu.Lock()
	defer m.search.mu.Unlock()
	m.hold()
}

// quarantine takes the poison record out of the queue.
func (l *consumerLink) quarantine() error {
	m := l.member
	p := m.pipeline
	m.search.mu.Lock()
	died := m.search.died
	m.search.mu.Unlock()
	m.passing.Lock() // nothing of a stream may overtake it
	defer m.passing.Unlock()
	var sequence uint64
	replayed := false
	done, err := l.queue.Poison(func(f *pb.Frame, next uint64, e *bus.Entry) error {
		sequence, replayed = firstOf(f), e.Replayed()
		var o pb.Origin
		_ = proto.Unmarshal(f.Origin, &o) // it is for people alone
		if p.config.Quarantine != nil {
			poison := Poison{Plugin: m.desc.Name, Kind: l.kind, Stream: o.Name, Frame: f, Sequence: sequence, Next: next, Died: died}
			if err := p.config.Quarantine(poison); err != nil {
				return err
			}
		}
		if l.kind != "parser" || replayed {
			return nil
		}
		return p.passUnparsed(f.With(f.Header), next, f.SkipBefore, e, unparsed{reasonQuarantined, event.FlagUnparsed | event.FlagTimeInferred})
	}, func(reached []bus.Position) { l.keep(reached, nil) })
	if err != nil {
		return hostError{fmt.Errorf("quarantine a record: %w", err)}
	}
	if done {
		if l.kind != "parser" && !replayed { // it was counted the first time
			m.Dropped.Add(1)
			p.Stats.Drop(l.kind, reasonQuarantined, 1)
		}
		m.log.Error("a record ends the plugin each time and is in quarantine; see: ironpost quarantine list",
			"kind", l.kind, "sequence", sequence, "ended", died)
	}
	m.release()
	return nil
}

// firstOf returns the sequence of the first record of a frame that is not to be
// skipped.
func firstOf(f *pb.Frame) uint64 {
	first := max(f.FirstSequence, f.SkipBefore)
	if f.Kind == pb.Kind_KIND_RAW {
		return first
	}
	found := first
	_ = pb.Records(f.Kind, f.Payload(), func(record []byte) bool { // malformed ones count from the batch's own
		found = f.FirstSequence + uint64(bus.Offset(record))
		return found < first
	})
	return max(found, first)
}

// Errors of Replay.
var (
	// ErrNoMember: the plugin has no place in the flow.
	ErrNoMember = errors.New("the plugin does not run")
	// ErrNoRoom: its queue is full.
	ErrNoRoom = errors.New("the plugin's queue is full")
)

// Replay gives a plugin a frame again, of which it takes ownership, in whichever
// order that comes to what it has now. next is the sequence behind its record.
// passed is called when it is durable everywhere.
func (p *Pipeline) Replay(ctx context.Context, plugin, kind string, f *pb.Frame, next uint64, passed func()) error {
	p.mu.RLock()
	m := p.members[plugin]
	p.mu.RUnlock()
	if m == nil || m.queues[kind] == nil || !m.up.Load() {
		f.Free()
		return fmt.Errorf("%w: %s", ErrNoMember, plugin)
	}
	e := bus.Again(passed)
	err := m.queues[kind].Push(ctx, f, next, e, false)
	if errors.Is(err, bus.ErrFull) {
		err = fmt.Errorf("%w: %s", ErrNoRoom, plugin)
	}
	if err == nil {
		e.Release()
	}
	return err
}
