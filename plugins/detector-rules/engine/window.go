package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// What groups and entries cost beside the text they hold, in bytes.
const (
	groupCost = 256
	entryCost = 32
)

// sweepEvery is after how many events the low mark is computed again.
const sweepEvery = 1024

// maxClocks is how many streams, each at another time of the same attack, a
// group has room for.
const maxClocks = 4

// maxGroupValue is how much of a field's value may be part of a group's name; a
// longer one is cut, and a hash of the whole stands for the rest.
const maxGroupValue = 256

// ruleState is what the engine remembers of one rule.
type ruleState struct {
	program *program
	groups  map[string]*group
	// head is the group that was touched last, last the one longest ago.
	head, last *group
	bytes      int

	hits, alerts, suppressed, rateLimited uint64
	lastHit                               int64

	rate limiter
}

// group is one window.
type group struct {
	key     string
	saveKey string // see stateKey
	rule    *ruleState
	// entries are by time, then by arrival.
	entries []entry
	// lastAlert is when the group raised an alert, if alerted; suppressed is
	// how many were held back since.
	lastAlert  int64
	alerted    bool
	suppressed uint64

	bytes int
	// dirty: in Engine.dirty. saved: the host has the key. gone: dropped.
	dirty, saved, gone bool
	prev, next         *group
}

// entry is an event that counts.
type entry struct {
	time      int64
	stream    *stream
	confirmed bool
	body      *body
}

func (n *entry) cost() int {
	if n.body == nil {
		return entryCost
	}
	return entryCost + n.body.size
}

// bounds returns how many stamps and how many events a group keeps. Within the
// span in which events of one stream can still share a window, Timeframe and
// Lateness, there are fewer than Count in each Timeframe, else the rule had
// fired; maxClocks times that leaves room for streams with other clocks.
func bounds(t *rule.Threshold) (stamps, bodies int) {
	spans := int((t.Timeframe + Lateness + t.Timeframe - 1) / t.Timeframe)
	stamps = maxClocks*spans*t.Count + 1
	if t.Count <= event.MaxCited {
		return stamps, stamps
	}
	return stamps, 2 * event.MaxCited
}

// firstEntries is how many entries a group has room for at first: an attacker
// comes again.
const firstEntries = 4

// insert puts an entry in its place and returns where that is.
func (g *group) insert(n entry) int {
	at := len(g.entries)
	for at > 0 && g.entries[at-1].time > n.time {
		at--
	}
	if g.entries == nil {
		g.entries = make([]entry, 0, firstEntries)
	}
	g.entries = slices.Insert(g.entries, at, n)
	return at
}

// complete returns the first of count neighbouring entries, the one at among
// them, that lie within less than timeframe; -1 when there are none. The window
// that ends with the entry itself comes first.
func (g *group) complete(at, count int, timeframe int64) int {
	for first := max(at-count+1, 0); first <= at && first+count <= len(g.entries); first++ {
		if g.entries[first+count-1].time-g.entries[first].time < timeframe {
			return first
		}
	}
	return -1
}

// trim forgets what no event can complete any more, low being what all streams
// have reached, and what is beyond the bounds: stamps whose own stream is past
// them, else the oldest; and the events of the oldest entries. It returns the
// cost of what went.
func (g *group) trim(low int64, stamps, bodies int) (freed int) {
	timeframe := int64(g.rule.program.rule.Threshold.Timeframe)
	if low != math.MinInt64 {
		for len(g.entries) > 0 && g.entries[0].time <= low-int64(Lateness)-timeframe {
			freed += g.entries[0].cost()
			g.entries[0] = entry{}
			g.entries = g.entries[1:]
		}
	}
	for len(g.entries) > stamps {
		at := max(slices.IndexFunc(g.entries, func(n entry) bool { return n.stream.over(n.time, timeframe) }), 0)
		freed += g.entries[at].cost()
		if at == 0 {
			g.entries[0] = entry{}
			g.entries = g.entries[1:]
		} else {
			g.entries = slices.Delete(g.entries, at, at+1)
		}
	}
	for i := len(g.entries) - 1 - bodies; i >= 0 && g.entries[i].body != nil; i-- {
		freed += g.entries[i].body.size
		g.entries[i].body = nil
	}
	return freed
}

// over reports whether nothing that is still expected can change the group.
func (g *group) over(low int64) bool {
	if low == math.MinInt64 {
		return false
	}
	r := g.rule.program.rule
	low -= int64(Lateness)
	if t := r.Threshold; t != nil && len(g.entries) > 0 && g.entries[len(g.entries)-1].time > low-int64(t.Timeframe) {
		return false
	}
	return r.Suppress == nil || !g.alerted || g.lastAlert <= low-int64(r.Suppress.Timeframe)
}

// groupKey writes the name of the group of the event at hand; false when it
// lacks a field.
func (e *Engine) groupKey(p *program) ([]byte, bool) {
	e.key = e.key[:0]
	for i, id := range p.group {
		value := e.matcher.get(id)
		if value == "" {
			return nil, false
		}
		e.key = appendGroup(e.key, value, i, len(p.group))
	}
	return e.key, true
}

// entityKey is groupKey for a rule that has suppression and no threshold: a
// field that is missing is empty.
func (e *Engine) entityKey(p *program) []byte {
	e.key = e.key[:0]
	for i, id := range p.group {
		value := e.matcher.get(id)
		e.key = appendGroup(e.key, value, i, len(p.group))
	}
	return e.key
}

// appendGroup adds one of n values to a group's name: alone as it is, several
// with a bar between them and a backslash before bars and backslashes.
func appendGroup(dst []byte, value string, i, n int) []byte {
	if len(value) > maxGroupValue {
		sum := sha256.Sum256([]byte(value))
		value = strings.ToValidUTF8(value[:maxGroupValue-40], "") + "...sha256:" + hex.EncodeToString(sum[:8])
	}
	if n == 1 {
		return append(dst, value...)
	}
	if i > 0 {
		dst = append(dst, '|')
	}
	for j := 0; j < len(value); j++ {
		if c := value[j]; c == '|' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[j])
	}
	return dst
}

// group returns the group of that name, a new one if need be.
func (e *Engine) group(rs *ruleState, key []byte) *group {
	if g := rs.groups[string(key)]; g != nil {
		return g
	}
	g := &group{key: string(key), rule: rs}
	e.insert(g)
	for range 2 {
		if last := rs.last; last != g && last.over(e.low) {
			e.drop(last)
		}
	}
	return g
}

// insert makes a group known.
func (e *Engine) insert(g *group) {
	rs := g.rule
	rs.groups[g.key] = g
	g.next = rs.head
	if rs.head != nil {
		rs.head.prev = g
	} else {
		rs.last = g
	}
	rs.head = g
	e.stats.Groups++
	e.grow(g, groupCost+2*len(g.key))
	if len(e.deleted) > 0 {
		key := g.stateKey()
		if _, ok := e.deleted[key]; ok {
			delete(e.deleted, key)
			g.saved = true
		}
	}
}

// grow accounts for what the group holds more, or less.
func (e *Engine) grow(g *group, n int) {
	g.bytes += n
	g.rule.bytes += n
	e.stats.Bytes += n
}

// empty forgets the entries of a group.
func (e *Engine) empty(g *group) {
	for i := range g.entries {
		e.grow(g, -g.entries[i].cost())
	}
	g.entries = nil
}

// touch notes that the group changed, now.
func (e *Engine) touch(g *group) {
	if !g.dirty {
		if len(e.dirty) > 1024+2*e.stats.Groups {
			// Nobody saves; what was dropped must not pile up.
			e.dirty = slices.DeleteFunc(e.dirty, func(g *group) bool { return g.gone })
		}
		g.dirty = true
		e.dirty = append(e.dirty, g)
	}
	if rs := g.rule; rs.head != g {
		g.prev.next = g.next
		if g.next != nil {
			g.next.prev = g.prev
		} else {
			rs.last = g.prev
		}
		g.prev, g.next = nil, rs.head
		rs.head.prev = g
		rs.head = g
	}
}

// drop forgets a group.
func (e *Engine) drop(g *group) {
	rs := g.rule
	delete(rs.groups, g.key)
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		rs.head = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		rs.last = g.prev
	}
	g.prev, g.next, g.entries, g.gone = nil, nil, nil, true
	rs.bytes -= g.bytes
	e.stats.Groups--
	e.stats.Bytes -= g.bytes
	if g.saved {
		e.forget(g.stateKey())
	}
}

// evict keeps the bounds: per rule, then in all, where the rule that holds the
// most gives.
func (e *Engine) evict(rs *ruleState) {
	for len(rs.groups) > e.opts.MaxGroupsPerRule {
		e.evictFrom(rs)
	}
	for e.stats.Groups > e.opts.MaxGroups || e.stats.Bytes > e.opts.MaxBytes {
		e.evictFrom(slices.MaxFunc(e.rules, func(a, b *ruleState) int { return a.bytes - b.bytes }))
	}
}

func (e *Engine) evictFrom(rs *ruleState) {
	if !rs.last.over(e.low) {
		e.stats.EvictedGroups++
	}
	e.drop(rs.last)
}

// limiter bounds alerts in event time. A time a whole timeframe away from the
// window, before or behind, begins a new one.
type limiter struct {
	start   int64
	count   int
	held    uint64
	dirty   bool
	started bool
}

// allow reports whether one more alert at the given time is within the limit.
func (l *limiter) allow(at int64, limit rule.Limit) bool {
	l.dirty = true
	if away := at - l.start; !l.started || away >= int64(limit.Timeframe) || away <= -int64(limit.Timeframe) {
		l.start, l.count, l.started = at, 0, true
	}
	if l.count >= limit.Count {
		l.held++
		return false
	}
	l.count++
	return true
}

// suppress reports whether an alert at the given time repeats the last one of
// its group.
func (g *group) suppress(at int64, timeframe time.Duration) bool {
	if away := at - g.lastAlert; g.alerted && away < int64(timeframe) && away > -int64(timeframe) {
		g.suppressed++
		return true
	}
	g.lastAlert, g.alerted = at, true
	return false
}
