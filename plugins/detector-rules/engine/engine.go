package engine

import (
	"math"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// Lateness is how far behind the newest of its stream an event may be and
// still count in windows.
const Lateness = 5 * time.Second

// Defaults of Options.
const (
	DefaultMaxGroups        = 100_000
	DefaultMaxGroupsPerRule = 50_000
	DefaultMaxBytes         = 24 << 20
	DefaultMaxStreams       = 4096
)

// DefaultRateLimit is the rate limit of a rule that names none. It is a guard
// against floods and no tuning: far above what a person can read.
var DefaultRateLimit = rule.Limit{Count: 10_000, Timeframe: time.Minute}

// Options bound an Engine. The zero value means the defaults.
type Options struct {
	// MaxGroups and MaxGroupsPerRule bound how many groups have a window.
	MaxGroups, MaxGroupsPerRule int
	// MaxBytes bounds roughly what all windows hold, in bytes.
	MaxBytes int
	// MaxStreams bounds how many streams have a newest time.
	MaxStreams int
	// RateLimit holds for rules that name none.
	RateLimit rule.Limit
}

func (o Options) withDefaults() Options {
	pick := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	pick(&o.MaxGroups, DefaultMaxGroups)
	pick(&o.MaxGroupsPerRule, DefaultMaxGroupsPerRule)
	pick(&o.MaxBytes, DefaultMaxBytes)
	pick(&o.MaxStreams, DefaultMaxStreams)
	if o.RateLimit.Count <= 0 || o.RateLimit.Timeframe <= 0 {
		o.RateLimit = DefaultRateLimit
	}
	return o
}

// Stats counts since the Engine was made; Groups, Bytes and Streams are what is
// held now.
type Stats struct {
	// Events were looked at, Late of them were too late for windows.
	Events, Late uint64
	// Matches are pairs of an event and a rule that held. Ungrouped of them
	// lacked a field of group_by.
	Matches, Ungrouped uint64
	// Alerts were raised; Suppressed and RateLimited were not.
	Alerts, Suppressed, RateLimited uint64
	// EvictedGroups and EvictedStreams had to go though they were in use.
	EvictedGroups, EvictedStreams uint64
	// BadState counts entries that Restore could not use.
	BadState uint64

	Groups, Bytes, Streams int
}

// RuleStats counts what became of one rule.
type RuleStats struct {
	Rule *rule.Rule
	// Hits are the events for which the rule's condition held, Alerts the
	// alerts that it raised.
	Hits, Alerts, Suppressed, RateLimited uint64
	// LastHit is the time of the last of these events, zero for none.
	LastHit time.Time
}

// Engine runs a Set over events. See the package documentation for what it
// promises; it is for one goroutine at a time.
type Engine struct {
	opts    Options
	set     *Set
	matcher *matcher
	rules   []*ruleState
	// byKey finds the state of a rule by its id and content hash.
	byKey   map[string]*ruleState
	streams streams
	stats   Stats

	// dirty are the groups, and deleted the keys, that changed since Save.
	dirty   []*group
	deleted map[string]struct{}
	// pending is restored state whose rule has not been loaded yet.
	pending map[string][]byte
	// low is a time before which no event is expected to count any more,
	// renewed every sweepEvery events.
	low int64
	key []byte
	// value is where Save encodes, table what it numbers streams with.
	value []byte
	table streamTable
	now   occurrence
}

// occurrence is the event at hand.
type occurrence struct {
	log    *event.LogEvent
	packet *event.PacketEvent
	alert  *event.AlertEvent
	// time is in ns; see nanos.
	time   int64
	stream *stream
	late   bool
	// confirmed says that the source of the event proves its addresses.
	confirmed bool
	// body is the copy that is kept, made on first need.
	body *body
}

// New makes an Engine that runs set.
func New(set *Set, opts Options) *Engine {
	e := &Engine{opts: opts.withDefaults(), deleted: map[string]struct{}{}, low: math.MinInt64}
	e.streams.init(e.opts.MaxStreams)
	e.adopt(set)
	return e
}

// Log looks at a log event and raises the alerts that it completes. raise is
// called before Log returns and may keep the alert.
func (e *Engine) Log(ev *event.LogEvent, raise func(*event.AlertEvent)) {
	at, observed := nanos(ev.Time), nanos(ev.ObservedTime)
	// A time that was only observed says nothing about the stream's own clock.
	borrowed := ev.Flags&(event.FlagTimeInferred|event.FlagTimeClamped|event.FlagUnparsed|event.FlagUnrouted) != 0 && ev.Time.Equal(ev.ObservedTime)
	st, late := e.hear(ev.Stream, at, observed, borrowed)
	if rules := e.matcher.log(ev); len(rules) > 0 {
		e.now = occurrence{log: ev, time: at, stream: st, late: late, confirmed: confirmedLog(ev)}
		e.hits(rules, raise)
	}
}

// Packet is Log for a packet summary.
func (e *Engine) Packet(ev *event.PacketEvent, raise func(*event.AlertEvent)) {
	at := nanos(ev.Time)
	st, late := e.hear(ev.Stream, at, at, false)
	if rules := e.matcher.packet(ev); len(rules) > 0 {
		e.now = occurrence{packet: ev, time: at, stream: st, late: late}
		e.hits(rules, raise)
	}
}

// Alert is Log for another detector's alert. Alerts that stand at the end of
// event.MaxHops detectors are left out.
func (e *Engine) Alert(ev *event.AlertEvent, raise func(*event.AlertEvent)) {
	if ev.Hops >= event.MaxHops {
		return
	}
	at := nanos(ev.Time)
	st, late := e.hear(ev.Stream, at, nanos(ev.ObservedTime), false)
	if rules := e.matcher.alert(ev); len(rules) > 0 {
		e.now = occurrence{alert: ev, time: at, stream: st, late: late, confirmed: ev.Evidence == event.EvidenceConfirmed}
		e.hits(rules, raise)
	}
}

// confirmedLog reports whether a log line proves the addresses in it: a
// program of this host wrote it about a connection. What the kernel logs is
// about packets, whose source may be forged.
func confirmedLog(ev *event.LogEvent) bool {
	return ev.Stream != nil && ev.Stream.Provenance == event.ProvenanceHost && ev.Process != "kernel"
}

// hear takes the times of an event and reports whether it is late in its stream.
func (e *Engine) hear(s *event.Stream, at, observed int64, borrowed bool) (st *stream, late bool) {
	if e.stats.Events++; e.stats.Events%sweepEvery == 0 {
		e.low = e.streams.low()
	}
	var id uint64
	if s != nil {
		id = s.ID
	}
	st, evicted := e.streams.get(id)
	if evicted != 0 {
		e.stats.EvictedStreams++
		e.forget(streamKey(evicted))
	}
	late = st.observe(at, observed, borrowed)
	e.streams.hear(observed)
	if late {
		e.stats.Late++
	} else {
		// A stream that begins, or speaks again, behind the others must not
		// have its own windows swept away.
		e.low = min(e.low, at)
	}
	return st, late
}

// hits feeds the rules that hold for the event at hand.
func (e *Engine) hits(rules []int32, raise func(*event.AlertEvent)) {
	for _, number := range rules {
		e.hit(e.rules[number], raise)
	}
	e.now = occurrence{}
}

// hit is an event for which a rule holds.
func (e *Engine) hit(rs *ruleState, raise func(*event.AlertEvent)) {
	e.stats.Matches++
	rs.hits++
	rs.lastHit = e.now.time
	p := rs.program
	switch {
	case p.rule.Threshold != nil:
		e.count(rs, raise)
	case p.rule.Suppress != nil:
		g := e.group(rs, e.entityKey(p))
		e.fire(rs, "", g, []entry{e.entry(1)}, raise)
		e.touch(g)
		e.evict(rs)
	default:
		e.fire(rs, "", nil, []entry{e.entry(1)}, raise)
	}
}

// count adds the event at hand to its group, and fires when it completes the
// count.
func (e *Engine) count(rs *ruleState, raise func(*event.AlertEvent)) {
	if e.now.late {
		return
	}
	p := rs.program
	key, ok := e.groupKey(p)
	if !ok {
		e.stats.Ungrouped++
		return
	}
	t := p.rule.Threshold
	if t.Count == 1 && p.rule.Suppress == nil {
		// Nothing has to be remembered.
		e.fire(rs, string(key), nil, []entry{e.entry(1)}, raise)
		return
	}
	g := e.group(rs, key)
	n := e.entry(t.Count)
	at := g.insert(n)
	e.grow(g, n.cost())
	first := g.complete(at, t.Count, int64(t.Timeframe))
	if first < 0 {
		e.grow(g, -g.trim(e.low, p.maxStamps, p.maxBodies))
		e.touch(g)
		e.evict(rs)
		return
	}
	e.fire(rs, g.key, g, g.entries[first:first+t.Count], raise)
	e.empty(g)
	if p.rule.Suppress == nil {
		e.drop(g)
		return
	}
	e.touch(g)
	e.evict(rs)
}

// nanos returns a time in ns since 1970, bounded so that the difference of two
// never overflows: 1824 to 2116 is exact, what lies outside is taken for the end of it.
func nanos(t time.Time) int64 {
	const bound = 1<<62 - 1
	switch s := t.Unix(); {
	case s >= bound/1_000_000_000:
		return bound
	case s <= -bound/1_000_000_000:
		return -bound
	}
	return t.UnixNano()
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Streams = len(e.streams.byID)
	return s
}

// Rules returns the counters of every rule that runs, in the order of the set.
func (e *Engine) Rules() []RuleStats {
	out := make([]RuleStats, len(e.rules))
	for i, rs := range e.rules {
		out[i] = RuleStats{
			Rule: rs.program.rule, Hits: rs.hits, Alerts: rs.alerts,
			Suppressed: rs.suppressed, RateLimited: rs.rateLimited,
		}
		if rs.hits > 0 {
			out[i].LastHit = time.Unix(0, rs.lastHit).UTC()
		}
	}
	return out
}
