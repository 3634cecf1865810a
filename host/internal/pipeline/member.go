package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/bus"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Member is the place of one plugin in the flow. Its methods are safe for
// concurrent use, except that Serve runs once at a time.
type Member struct {
	pipeline *Pipeline
	desc     *pb.Description
	log      hclog.Logger

	consumes   atomic.Pointer[[]pb.Kind]
	configured chan struct{} // closed when consumes is what the configuration wants
	once       sync.Once
	sources    *bus.Sources          // of a source
	batches    uint64                // taken from a source over all of its links
	watches    bool                  // it is a scanner, which may look by itself
	found      atomic.Uint64         // alerts and inventory of a scanner that were new
	queues     map[string]*bus.Queue // by kind, of the consuming kinds
	cancel     context.CancelFunc    // ends what follows the journal
	feeders    sync.WaitGroup

	// up is false while the plugin's absence should hold nobody up: it is
	// disabled, or its circuit is open.
	up      atomic.Bool
	serving atomic.Bool
	// passing is held while a parser's backlog passes unparsed, so that nothing
	// of a stream overtakes it, and while up changes.
	passing sync.Mutex
	// downSince is when it stopped serving, in nanoseconds since 1970; 0 while
	// it serves or has never served.
	downSince atomic.Int64

	// handling counts the answers of the plugin that the host is busy with.
	handling atomic.Int32
	sending  hold
	search   searching

	Events  atomic.Uint64 // records sent to it, or received from a source or a scanner
	Bytes   atomic.Uint64 // of their payload
	Alerts  atomic.Uint64 // alerts that it raised
	Dropped atomic.Uint64 // records it missed
	Gaps    *Gaps
}

// consumerQueue makes the queue of a kind whose positions are kept.
func (m *Member) consumerQueue(kind string) (*bus.Queue, error) {
	p := m.pipeline
	var positions map[uint64]uint64
	if p.config.Store != nil {
		var err error
		if positions, err = p.config.Store.Positions(m.consumer(kind)); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", m.desc.Name, err)
		}
	}
	for _, t := range p.config.tapes() {
		// A journal that was lost, or is older than the positions, begins its
		// indices anew from there: what it gets is new to everybody.
		if next := t.journal.Next(); positions[t.stream] > next {
			m.log.Warn("the journal is older than what was read of it; reading goes on at its end", "journal", t.name, "kind", kind,
				"position", positions[t.stream], "next", next)
			positions[t.stream] = next
		}
	}
	return bus.NewQueue(p.queueConfig(m.desc.Name, positions)), nil
}

// consumer is the name under which the store keeps positions and state.
func (m *Member) consumer(kind string) string { return m.desc.Name + "/" + kind }

func (p *Pipeline) queueConfig(name string, positions map[uint64]uint64) bus.QueueConfig {
	return bus.QueueConfig{
		Name: name, MaxBytes: p.config.RetainedBytes, MaxFrames: maxFrames, Credits: p.config.Credits, Positions: positions,
	}
}

// subscribe connects a consumer to what it wants.
func (m *Member) subscribe(ctx context.Context, kind string, q *bus.Queue) {
	m.connect(kind, q)
	for _, t := range m.pipeline.config.tapes() {
		if kind == "enforcer" && t.name != journalName {
			continue // it gets alerts alone
		}
		from := m.feedStart(kind, q, t)
		m.feeders.Go(func() { m.feed(ctx, kind, q, t, from) })
	}
}

// wants reports whether a kind of the plugin wants events of a kind.
func (m *Member) wants(kind string, k pb.Kind) bool {
	if kind == "enforcer" {
		return k == pb.Kind_KIND_ALERT
	}
	return slices.Contains(*m.consumes.Load(), k)
}

// connect subscribes a queue to the topics that it wants, and to no others. One
// that it wants already goes on without a gap.
func (m *Member) connect(kind string, q *bus.Queue) {
	p := m.pipeline
	lost := func(reason string) func(uint64) {
		return func(n uint64) {
			m.Dropped.Add(n)
			m.Gaps.add(reason, n)
			p.Stats.Drop(kind, reason, n)
		}
	}
	if m.wants(kind, pb.Kind_KIND_LOG) {
		// A consumer that works holds the flow up; one that is away does so
		// while it may come back and there is room.
		p.Logs.Subscribe(q, m.worthWaiting, lost("consumer_down"))
	} else {
		p.Logs.Unsubscribe(q)
	}
	if m.wants(kind, pb.Kind_KIND_PACKET) {
		p.Packets.Subscribe(q, func() bool { return false }, lost("queue_full"))
	} else {
		p.Packets.Unsubscribe(q)
	}
}

// Consume changes what the plugin receives, as its configuration wants it; an
// empty list leaves it as it is.
func (m *Member) Consume(kinds []pb.Kind) {
	if len(kinds) == 0 || slices.Equal(kinds, *m.consumes.Load()) {
		return
	}
	m.consumes.Store(&kinds)
	for kind, q := range m.queues {
		if kind != "parser" {
			m.connect(kind, q)
		}
	}
}

// maxAway is how long a full queue holds the flow up for a plugin that does not
// run. A restart takes milliseconds; past this the events are given up, as a gap.
const maxAway = time.Minute

// worthWaiting reports whether a full queue should hold the flow up.
func (m *Member) worthWaiting() bool {
	if !m.up.Load() {
		return false
	}
	since := m.downSince.Load()
	return since == 0 || time.Since(time.Unix(0, since)) < maxAway
}

// leave takes the queues out of the flow and ends what fills them.
func (m *Member) leave() {
	m.cancel()
	for kind, q := range m.queues {
		m.pipeline.Logs.Unsubscribe(q)
		m.pipeline.Packets.Unsubscribe(q)
		if kind == "parser" { // a producer may have got here late
			q.Retire()
			m.evict()
		}
		q.Close()
	}
	m.feeders.Wait()
}

// evict passes a parser's backlog on, unparsed, unless the parser is up.
func (m *Member) evict() {
	m.passing.Lock()
	defer m.passing.Unlock()
	if !m.up.Load() {
		m.passBacklog()
	}
}

// passBacklog is evict; m.passing is held.
func (m *Member) passBacklog() {
	q := m.queues["parser"]
	if q == nil || m.pipeline.ctx.Err() != nil { // all of it comes again at the next start
		return
	}
	q.Evict(func(f *pb.Frame, next, skip uint64, e *bus.Entry) {
		m.Gaps.add(reasonUnparsed, next-min(next, max(skip, f.FirstSequence)))
		if m.pipeline.passUnparsed(f, next, skip, e, unrouted) == nil && e != nil {
			e.Release()
		}
	})
}

// SetUp says whether the plugin is worth waiting for. When it is not, a parser's
// backlog and what follows passes unparsed, and a detector's is given up, as a
// gap.
func (m *Member) SetUp(up bool) {
	m.passing.Lock()
	defer m.passing.Unlock()
	if m.up.Swap(up) == up || up {
		if up {
			m.Gaps.close()
			for _, q := range m.queues {
				q.Forgive() // it was mended, or so somebody thinks
			}
			m.release()
		}
		return
	}
	m.passBacklog()
	for kind, q := range m.queues {
		if kind == "detector" && m.pipeline.ctx.Err() == nil {
			if n := q.DropAll(); n > 0 {
				m.Dropped.Add(n)
				m.Gaps.add("consumer_down", n)
				m.pipeline.Stats.Drop(kind, "consumer_down", n)
			}
		}
		q.Nudge()
	}
}

// Serving reports whether the plugin's links are up.
func (m *Member) Serving() bool { return m.serving.Load() }

// Work returns a number that grows with what the plugin got done, and as the
// search for a poison record gets on.
func (m *Member) Work() uint64 {
	var n uint64
	if m.sources != nil {
		n = m.Events.Load()
	}
	n += m.found.Load()
	for _, q := range m.queues {
		n += q.Done() + q.Steps()
	}
	return n
}
