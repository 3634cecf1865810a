package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// What groups and entries cost beside the text they hold, in bytes.
const (
	groupCost = 256
	entryCost = 40
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
	// recent are the groups of each class by when they were touched.
	recent [classes]groupList
	bytes  int

	hits, alerts, suppressed, rateLimited uint64
	lastHit                               int64

	rates [classes]limiter
}

// groupList lists groups: head was touched last, last longest ago.
type groupList struct {
	head, last *group
	count      int
}

// group is one window.
type group struct {
	// key says whose the group is and, from named on, its name; see speaker.mark.
	key     string
	named   int
	class   class
	saveKey string // see stateKey
	rule    *ruleState
	// entries are by time, then by arrival.
	entries []entry
	// values are what the ids of a value_count stand for, ids where they are.
	values []string
	ids    map[string]int32
	// orderAt is at how many entries the group is put in order.
	orderAt int
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
	time   int64
	stream *stream
	body   *body
	// number is what a window over numbers takes from the event.
	number float64
	// id is the number of the value or of the rule that counts; in a window over
	// numbers, for how many events the entry stands.
	id        int32
	confirmed bool
}

// name is what the group is called in alerts.
func (g *group) name() string { return g.key[g.named:] }

func (n *entry) cost() int {
	if n.body == nil {
		return entryCost
	}
	return entryCost + n.body.size
}

// firstEntries is how many entries a group has room for at first: an attacker
// comes again. One that needs a few more to be complete has room for them.
const (
	firstEntries = 4
	fewEntries   = 8
)

// insert puts an entry in its place and returns where that is.
func (g *group) insert(n entry) int {
	at := len(g.entries)
	for at > 0 && g.entries[at-1].time > n.time {
		at--
	}
	if g.entries == nil {
		room := firstEntries
		if count := g.rule.program.window.count; count <= fewEntries {
			room = max(room, count)
		}
		g.entries = make([]entry, 0, room)
	}
	if at == len(g.entries) {
		g.entries = append(g.entries, n)
	} else {
		g.entries = slices.Insert(g.entries, at, n)
	}
	return at
}

// trim forgets what no event can complete any more, low being what all streams
// have reached, and what is beyond the bounds: stamps whose own stream is past
// them, else the oldest; and the events of the oldest entries. It returns the
// cost of what went, and how many entries went that might have counted.
func (g *group) trim(low int64, w *window) (freed int, lost uint64) {
	if low != math.MinInt64 {
		for len(g.entries) > 0 && g.entries[0].time <= low-int64(Lateness)-w.span {
			freed += g.entries[0].cost()
			g.entries[0] = entry{}
			g.entries = g.entries[1:]
		}
	}
	if g.crowded(w) {
		n, m := g.order(low, w)
		freed, lost = freed+n, lost+m
	}
	for len(g.entries) > w.maxEntries {
		at := slices.IndexFunc(g.entries, func(n entry) bool { return n.stream.over(n.time, w.span) })
		if at < 0 {
			at = 0
			lost++
		}
		freed += g.entries[at].cost()
		if at == 0 {
			g.entries[0] = entry{}
			g.entries = g.entries[1:]
		} else {
			g.entries = slices.Delete(g.entries, at, at+1)
		}
	}
	for i := len(g.entries) - 1 - w.maxBodies; i >= 0 && g.entries[i].body != nil; i-- {
		if w.showsRules() && !slices.ContainsFunc(g.entries[i+1:], func(n entry) bool { return n.id == g.entries[i].id }) {
			break
		}
		freed += g.entries[i].body.size
		g.entries[i].body = nil
	}
	return freed, lost
}

// crowded reports whether it is time to put the group in order.
func (g *group) crowded(w *window) bool {
	return w.kind != sigma.EventCount && len(g.entries) > max(g.orderAt, minEntries)
}

// over reports whether nothing that is still expected can change the group.
func (g *group) over(low int64) bool {
	if low == math.MinInt64 {
		return false
	}
	r := g.rule.program.rule
	low -= int64(Lateness)
	if w := g.rule.program.window; w != nil && len(g.entries) > 0 && g.entries[len(g.entries)-1].time > low-w.span {
		return false
	}
	return r.Suppress == nil || !g.alerted || g.lastAlert <= low-int64(r.Suppress.Timeframe)
}

// groupKey writes the key of the group of what was found, and tells where the name
// begins in it; false when a field is missing, unless missing ones count as empty.
func (e *Engine) groupKey(f *supply, s *sighting, missing bool) (key []byte, named int, ok bool) {
	e.key = e.key[:0]
	for i := range f.group {
		value := s.get(&f.group[i])
		if value == "" && !missing {
			return nil, 0, false
		}
		if i == 0 {
			first := byte(0)
			if value != "" {
				first = value[0]
			}
			e.key = e.now.speaker.mark(e.key, first)
			named = len(e.key)
		}
		e.key = appendGroup(e.key, value, i, len(f.group))
	}
	if len(f.group) == 0 {
		e.key = e.now.speaker.mark(e.key, 0)
		named = len(e.key)
	}
	return e.key, named, true
}

// appendGroup adds one of n values to a group's name: alone as it is, several
// with a bar between them and a backslash before bars and backslashes.
func appendGroup(dst []byte, value string, i, n int) []byte {
	value = shortened(value)
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

// shortened returns a value, or what stands for it if it is too long.
func shortened(value string) string {
	if len(value) <= maxGroupValue {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return strings.ToValidUTF8(value[:maxGroupValue-40], "") + "...sha256:" + hex.EncodeToString(sum[:8])
}

// group returns the group of the event at hand with that key, a new one if need be.
func (e *Engine) group(rs *ruleState, key []byte, named int) *group {
	if g := rs.groups[string(key)]; g != nil {
		return g
	}
	g := &group{key: string(key), named: named, class: e.now.speaker.class(), rule: rs}
	e.insert(g)
	for range 2 {
		if last := rs.recent[g.class].last; last != g && last.over(e.low) {
			e.drop(last)
		}
	}
	return g
}

// insert makes a group known.
func (e *Engine) insert(g *group) {
	rs := g.rule
	rs.groups[g.key] = g
	l := &rs.recent[g.class]
	l.push(g)
	l.count++
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

// push puts a group that is not in the list at its head.
func (l *groupList) push(g *group) {
	g.prev, g.next = nil, l.head
	if l.head != nil {
		l.head.prev = g
	} else {
		l.last = g
	}
	l.head = g
}

// unlink takes a group out of the list.
func (l *groupList) unlink(g *group) {
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		l.head = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		l.last = g.prev
	}
	g.prev, g.next = nil, nil
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
	g.entries, g.values, g.ids, g.orderAt = nil, nil, nil, 0
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
	if l := &g.rule.recent[g.class]; l.head != g {
		l.unlink(g)
		l.push(g)
	}
}

// drop forgets a group.
func (e *Engine) drop(g *group) {
	rs := g.rule
	delete(rs.groups, g.key)
	l := &rs.recent[g.class]
	l.unlink(g)
	l.count--
	g.entries, g.gone = nil, true
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

// evictFrom drops the group that was touched longest ago, of the class that has more
// of them: a flood of what is not trusted does not push out the host's own.
func (e *Engine) evictFrom(rs *ruleState) {
	last := rs.recent[trusted].last
	if rs.recent[untrusted].count >= rs.recent[trusted].count {
		last = rs.recent[untrusted].last
	}
	if !last.over(e.low) {
		e.stats.EvictedGroups++
	}
	e.drop(last)
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
	if g.repeats(at, timeframe) {
		g.suppressed++
		return true
	}
	g.lastAlert, g.alerted = at, true
	return false
}

// repeats is suppress that changes nothing.
func (g *group) repeats(at int64, timeframe time.Duration) bool {
	away := at - g.lastAlert
	return g.alerted && away < int64(timeframe) && away > -int64(timeframe)
}
