package shared

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Bounds of one window.
const (
	maxMembers = 4096
	maxPast    = 4096
	// lateness is how far an event may lie behind the span before the newest one: events
	// of several hosts do not come in the order of their times.
	lateness = int64(5 * time.Second)
	// remembered is the least time for which what happened to a window is remembered.
	remembered = int64(10 * time.Minute)
)

// member is an event that counts, or the newest event of a value.
type member struct {
	id, value string
	time      int64  // nanoseconds since 1970
	order     uint64 // of arrival
	// known says that the engine has it.
	known bool
}

// fate is what became of an event that is no member.
type fate uint8

const (
	replaced  fate = 1 + iota // its value was seen again
	counted                   // it was in a window that was complete
	completed                 // it completed one
	heldBack                  // it completed one, whose alert was held back by its limit
)

// past is an event that is no member.
type past struct {
	id    string
	until int64 // it is forgotten then
	fate  fate
}

// window is a sliding window over event time.
type window struct {
	span    int64
	members []member // by time
	past    []past   // by arrival
	fates   map[string]fate
	order   uint64
	bytes   int
	// said is the time of the event that was Done last, if there was one; for quiet it
	// has others not be.
	said  int64
	spoke bool
	quiet int64
}

// Memory that members and past events take beside their texts.
const (
	memberBytes = 64
	pastBytes   = 96
)

func (m *member) size() int { return memberBytes + len(m.id) + len(m.value) }

// retention is for how long a window with such a span is kept after its last use, and its
// past.
func retention(span int64) int64 { return max(2*span, remembered) }

// instant brings times that no event has into a range that can be reckoned with.
func instant(t uint64) int64 {
	return min(max(int64(t), math.MinInt64/4), math.MaxInt64/4) //nolint:gosec // it came from an int64
}

// index returns the place of an event among the members; -1 when it is none.
func (w *window) index(id string) int {
	return slices.IndexFunc(w.members, func(m member) bool { return m.id == id })
}

// add makes an event a member. at is its place among the members, -1 when it is too old
// to be one; fresh is false when nothing changed, since it came before.
func (w *window) add(e member, now int64) (at int, fresh bool) {
	if at := w.index(e.id); at >= 0 {
		return at, false
	}
	same := -1
	if e.value != "" {
		same = slices.IndexFunc(w.members, func(m member) bool { return m.value == e.value })
	}
	if w.fates[e.id] == replaced {
		return same, false
	}
	if n := len(w.members); n > 0 && e.time <= w.members[n-1].time-w.span-lateness {
		return -1, true
	}
	if same >= 0 {
		if w.members[same].time >= e.time {
			w.note(e.id, replaced, now)
			return same, true
		}
		w.note(w.members[same].id, replaced, now)
		w.remove(same)
	}
	w.order++
	e.order = w.order
	at, _ = slices.BinarySearchFunc(w.members, e.time, func(m member, t int64) int {
		if m.time <= t { // behind those of the same time
			return -1
		}
		return 1
	})
	w.members = slices.Insert(w.members, at, e)
	w.bytes += e.size()
	return at - w.prune(), true
}

// prune removes the oldest members, and returns how many.
func (w *window) prune() (n int) {
	newest := w.members[len(w.members)-1].time
	for w.members[n].time <= newest-w.span-lateness || len(w.members)-n > maxMembers {
		w.bytes -= w.members[n].size()
		n++
	}
	w.members = slices.Delete(w.members, 0, n)
	return n
}

func (w *window) remove(at int) {
	w.bytes -= w.members[at].size()
	w.members = slices.Delete(w.members, at, at+1)
}

// most returns the most members that lie in one span with the one at a place. With known,
// only those that the engine has count.
func (w *window) most(at int, known bool) int {
	if at < 0 {
		return 1 // too old to meet any
	}
	of := w.members[at].time
	for at > 0 && w.members[at-1].time == of {
		at--
	}
	first, best := at, 0
	for first > 0 && w.members[first-1].time > of-w.span {
		first--
	}
	weight := func(m member) int {
		if known && !m.known {
			return 0
		}
		return 1
	}
	within := 0
	for _, m := range w.members[first:at] {
		within += weight(m)
	}
	for _, m := range w.members[at:] {
		if m.time >= of+w.span {
			break
		}
		within += weight(m)
		for w.members[first].time <= m.time-w.span {
			within -= weight(w.members[first])
			first++
		}
		best = max(best, within)
	}
	return best
}

// speaks reports whether what is complete with an event at a time is Done, and remembers
// that it was. quiet is for how long, in both directions, the next one is not.
func (w *window) speaks(at, quiet int64) bool {
	w.quiet = max(w.quiet, quiet)
	if d := at - w.said; quiet > 0 && w.spoke && d < quiet && -d < quiet {
		return false
	}
	w.said, w.spoke = at, true
	return true
}

// complete empties the window of the members, of those alone that the engine has when
// known is set, and remembers id with a fate: completed, or counted when it is not Done.
// It returns what was counted.
func (w *window) complete(id string, as fate, known bool, now int64) []member {
	var out []member
	w.members = slices.DeleteFunc(w.members, func(m member) bool {
		if known && !m.known && m.id != id {
			return false
		}
		w.bytes -= m.size()
		out = append(out, m)
		return true
	})
	for i := range w.past { // what a value was seen with before
		if p := &w.past[i]; p.fate == replaced && len(w.members) == 0 {
			p.fate, p.until = counted, now+retention(w.span)
			w.fates[p.id] = counted
		}
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.order, b.order) })
	for _, m := range out {
		if m.id != id {
			w.note(m.id, counted, now)
		}
	}
	w.note(id, as, now)
	return out
}

// settle has an event count no more.
func (w *window) settle(id string, now int64) {
	if at := w.index(id); at >= 0 {
		w.remove(at)
	}
	if f := w.fates[id]; f != completed && f != heldBack {
		w.note(id, counted, now)
	}
}

// trim removes the members that came first, until there are no more of those that the
// engine has in one span with id than it counts: the others were in a window that
// another host completed.
func (w *window) trim(id string, most uint64) {
	for {
		at := w.index(id)
		if at < 0 || uint64(w.most(at, true)) <= most { //nolint:gosec // it is not negative
			return
		}
		first := -1
		for i, m := range w.members {
			if m.known && i != at && (first < 0 || m.order < w.members[first].order) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		w.remove(first)
	}
}

// note remembers the fate of an event.
func (w *window) note(id string, f fate, now int64) {
	if w.fates == nil {
		w.fates = make(map[string]fate)
	}
	until := now + retention(w.span)
	if w.fates[id] != 0 {
		w.fates[id] = f
		for i := range w.past {
			if w.past[i].id == id {
				w.past[i].fate, w.past[i].until = f, until
			}
		}
		return
	}
	w.fates[id] = f
	w.past = append(w.past, past{id, until, f})
	w.bytes += pastBytes + len(id)
	w.forget(now)
}

// forget leaves out what is remembered no longer.
func (w *window) forget(now int64) {
	n := 0
	for n < len(w.past) && (w.past[n].until <= now || len(w.past)-n > maxPast) {
		delete(w.fates, w.past[n].id)
		w.bytes -= pastBytes + len(w.past[n].id)
		n++
	}
	w.past = slices.Delete(w.past, 0, n)
}
