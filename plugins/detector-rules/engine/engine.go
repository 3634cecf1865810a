package engine

import (
	"math"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk"
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
	// Enricher adds to events what is known about them; nil adds nothing.
	Enricher Enricher
	// Fleet has the caller ask Questions, about rules that count over all hosts, after every
	// call of Log, Packet or Alert, or after several. Without it they count here alone.
	Fleet bool
	// HostID names this host in the ids of events.
	HostID string
}

// Enricher adds to events what local files know, before they are matched; see package
// enrichment. Windows of packet summaries and alerts cannot be grouped by what it adds.
type Enricher interface {
	// Log adds fields to a log event.
	Log(ev *event.LogEvent)
	// Packet and Alert call put with further fields.
	Packet(ev *event.PacketEvent, put func(field, value string))
	Alert(ev *event.AlertEvent, put func(field, value string))
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
	// lacked a field of group_by. Twice are further pairs, of a line that had come
	// by another source.
	Matches, Ungrouped, Twice uint64
	// Alerts were raised; Suppressed and RateLimited were not.
	Alerts, Suppressed, RateLimited uint64
	// EvictedGroups and EvictedStreams had to go though they were in use; so had
	// Lost events of groups that stay.
	EvictedGroups, EvictedStreams, Lost uint64
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
	// Cost estimates how long the rule's condition takes for an event, on average
	// over all events since the set was put in, most of which do not reach it.
	Cost float64 // in ns
}

// Engine runs a Set over events. See the package documentation for what it
// promises; it is for one goroutine at a time.
type Engine struct {
	opts  Options
	set   *Set
	view  *view
	rules []*ruleState
	// byKey finds the state of a rule by its id and content hash.
	byKey   map[string]*ruleState
	streams streams
	twins   twins
	stats   Stats
	// since is how many events there were when the set was put in.
	since uint64

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
	// sightings are those that are made of the event at hand, of which depth are in
	// use: what completes one window may complete the next.
	sightings []*sighting
	depth     int
	// body is where the copy of an event is written first. cited and values are what
	// an alert is made of.
	body   []byte
	cited  []citation
	values []string
	// seen has the number sight of what see noted last, by its number.
	seen  []uint32
	sight uint32
	// questions wait for Answer; operations is where Questions lists them.
	questions  []question
	operations []sdk.SharedOperation
	// sorted is where numbers are sorted.
	sorted []float64
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
	speaker   speaker
	// body is the copy that is kept, passing that which is cited at once; both are made
	// on first need.
	body, passing *body
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
	if e.opts.Enricher != nil {
		e.opts.Enricher.Log(ev)
	}
	at, observed := nanos(ev.Time), nanos(ev.ObservedTime)
	// A time that was only observed says nothing about the stream's own clock.
	borrowed := ev.Flags&(event.FlagTimeInferred|event.FlagTimeClamped|event.FlagUnparsed|event.FlagUnrouted) != 0 && ev.Time.Equal(ev.ObservedTime)
	st, late := e.hear(ev.Stream, at, observed, borrowed)
	e.twins.hear(ev.Stream)
	if rules := e.view.log(ev); len(rules) > 0 {
		e.now = occurrence{log: ev, time: at, stream: st, late: late, confirmed: confirmedLog(ev), speaker: speakerOf(ev.Stream)}
		e.hits(rules, raise)
	}
}

// Packet is Log for a packet summary.
func (e *Engine) Packet(ev *event.PacketEvent, raise func(*event.AlertEvent)) {
	at := nanos(ev.Time)
	st, late := e.hear(ev.Stream, at, at, false)
	if rules := e.view.packet(ev); len(rules) > 0 {
		// This host saw it, which is not to say that it is true.
		e.now = occurrence{packet: ev, time: at, stream: st, late: late, speaker: speaker{provenance: event.ProvenanceHost}}
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
	if rules := e.view.alert(ev); len(rules) > 0 {
		e.now = occurrence{alert: ev, time: at, stream: st, late: late, confirmed: ev.Evidence == event.EvidenceConfirmed, speaker: alertSpeaker(ev)}
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
		rs := e.rules[number]
		if e.twins.several && e.now.log != nil && e.now.speaker.class() == trusted && e.twins.repeats(e.now.log, e.now.time, rs) {
			e.stats.Twice++
			continue
		}
		e.hit(rs, raise)
	}
	e.now = occurrence{}
}

// sighting is what a rule found: an event that it matched, or a window that is
// complete.
type sighting struct {
	now *occurrence
	// by is what found it, cause what completed the window.
	by    *program
	cause *sighting
	// entries are what an alert about it cites, the last of them the one that is
	// counted on; none yet of an event that nothing but an alert needs.
	entries []entry
	// key is the name of the window's group, g the group; empty and nil for an
	// event.
	key string
	g   *group
	// names and group are the fields of a correlation's group by name.
	names []string
	group []string
	// one is where a single entry lies.
	one [1]entry
}

// sighted returns a sighting of the event at hand, which is valid until leave.
func (e *Engine) sighted() *sighting {
	if e.depth == len(e.sightings) {
		e.sightings = append(e.sightings, new(sighting))
	}
	s := e.sightings[e.depth]
	e.depth++
	s.now = &e.now
	return s
}

// leave gives back the sighting that was made last. It keeps nothing of the event.
func (e *Engine) leave(s *sighting) {
	clear(s.group)
	s.names, s.group = s.names[:0], s.group[:0]
	s.by, s.cause, s.entries, s.key, s.g = nil, nil, nil, "", nil
	s.one[0].body, s.one[0].stream = nil, nil
	e.depth--
}

// get returns the value of a field.
func (s *sighting) get(f *field) string {
	for i, name := range s.names {
		if slices.Contains(f.names, name) {
			return s.group[i]
		}
	}
	for _, name := range f.names {
		if value := s.now.get(name); value != "" {
			return value
		}
	}
	return ""
}

// hit is an event for which a rule holds.
func (e *Engine) hit(rs *ruleState, raise func(*event.AlertEvent)) {
	e.stats.Matches++
	rs.hits++
	rs.lastHit = e.now.time
	p := rs.program
	s := e.sighted()
	defer e.leave(s)
	s.by = p
	switch {
	case p.window != nil:
		e.count(rs, &p.own, s, raise)
		return
	case p.rule.Suppress != nil && p.raises:
		key, named, _ := e.groupKey(&p.own, s, true)
		s.g = e.group(rs, key, named)
	}
	if len(p.supplies) > 0 {
		s.one[0] = e.entry(1)
		s.entries = s.one[:]
	}
	e.found(rs, s, raise)
	if s.g != nil && !s.g.gone {
		e.touch(s.g)
		e.evict(rs)
	}
}

// found raises the alert of what a rule found, and has it counted by the
// correlations that name the rule.
func (e *Engine) found(rs *ruleState, s *sighting, raise func(*event.AlertEvent)) {
	p := rs.program
	if p.raises {
		e.fire(rs, s, raise)
	}
	for i := range p.supplies {
		f := &p.supplies[i]
		e.count(e.rules[f.to], f, s, raise)
	}
}

// count adds what a rule found to its group of a window, and tells what completes
// the window.
func (e *Engine) count(rs *ruleState, f *supply, s *sighting, raise func(*event.AlertEvent)) {
	if e.now.late {
		return
	}
	p := rs.program
	w := p.window
	key, named, ok := e.groupKey(f, s, false)
	if !ok {
		e.stats.Ungrouped++
		return
	}
	if w.count == 1 && p.rule.Suppress == nil {
		// Nothing has to be remembered.
		e.completed(rs, f, s, string(key[named:]), nil, nil, raise)
		return
	}
	n := e.entryOf(s, max(w.count, 1))
	value, ok := w.measure(f, s, &n)
	if !ok {
		e.stats.Ungrouped++
		return
	}
	g := e.group(rs, key, named)
	if w.kind == sigma.ValueCount {
		n.id = e.identify(g, value)
	}
	at := g.insert(n)
	e.grow(g, n.cost())
	first, end := 0, 0
	if e.opts.Fleet && p.rule.Fleet {
		e.ask(rs, f, s, g, n, value)
	} else {
		first, end = e.complete(w, g, at)
	}
	if end == 0 {
		if g.crowded(w) {
			e.low = e.streams.low()
		}
		freed, lost := g.trim(e.low, w)
		e.grow(g, -freed)
		e.stats.Lost += lost
		e.touch(g)
		e.evict(rs)
		return
	}
	e.completed(rs, f, s, g.name(), g, g.entries[first:end], raise)
	if g.gone {
		return
	}
	e.empty(g)
	if p.rule.Suppress == nil || !p.raises {
		e.drop(g)
		return
	}
	e.touch(g)
	e.evict(rs)
}

// completed tells of a window that is complete. One without entries is what was found
// alone.
func (e *Engine) completed(rs *ruleState, f *supply, from *sighting, key string, g *group, entries []entry, raise func(*event.AlertEvent)) {
	p := rs.program
	s := e.sighted()
	defer e.leave(s)
	s.by, s.cause, s.entries, s.key, s.g = p, from, entries, key, g
	if entries == nil {
		s.one[0] = e.entryOf(from, 1)
		s.entries = s.one[:]
	}
	if p.rule.Correlation != nil {
		rs.hits++
		rs.lastHit = e.now.time
	}
	for i := range f.group {
		s.names = append(s.names, f.group[i].name)
		s.group = append(s.group, from.get(&f.group[i]))
	}
	e.found(rs, s, raise)
}

// entryOf is what a window keeps of what was found. What a complete window counts
// as is its last event, at its time, and it proves what all its events do.
func (e *Engine) entryOf(s *sighting, count int) entry {
	if s.key == "" && s.g == nil && len(s.entries) <= 1 {
		return e.entry(count)
	}
	n := s.entries[len(s.entries)-1]
	n.number, n.id = 0, 0
	for i := range s.entries {
		n.confirmed = n.confirmed && s.entries[i].confirmed
	}
	return n
}

// measure reads what a window counts from what was found; false when it is not
// there.
func (w *window) measure(f *supply, s *sighting, n *entry) (value []byte, ok bool) {
	switch {
	case w.kind == sigma.ValueCount:
		for i := range f.values {
			text := s.get(&f.values[i])
			if text == "" {
				return nil, false
			}
			value = appendGroup(value, text, i, len(f.values))
		}
	case w.numbers():
		n.id = 1
		if n.number, ok = sigma.ParseNumber(s.get(&f.values[0])); !ok {
			return nil, false
		}
	default:
		n.id = f.position
	}
	return value, true
}

// identify returns the number that a group has for a value.
func (e *Engine) identify(g *group, value []byte) int32 {
	id, ok := g.ids[string(value)]
	if !ok {
		if g.ids == nil {
			g.ids = map[string]int32{}
		}
		id = int32(len(g.values))
		text := string(value)
		g.ids[text] = id
		g.values = append(g.values, text)
		e.grow(g, valueCost+len(text))
	}
	return id
}

// nanos returns a time in ns since 1970, bounded so that the difference of two
// never overflows: 1824 to 2116 is exact, what lies outside is taken for the end of it.
func nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s >= maxNanos/1_000_000_000:
		return maxNanos
	case s <= -maxNanos/1_000_000_000:
		return -maxNanos
	}
	return t.UnixNano()
}

// maxNanos bounds times, before and after 1970.
const maxNanos = 1<<62 - 1

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
	events := e.stats.Events - e.since
	for number, program := range e.set.matched {
		if events > 0 {
			out[program].Cost = float64(e.view.scratch.Cost(int32(number))) / float64(events)
		}
	}
	return out
}
