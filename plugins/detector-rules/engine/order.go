package engine

import (
	"math"
	"slices"
	"unsafe"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// valueCost is what a value of a group costs beside its text, in bytes.
const valueCost = 64

// order forgets the entries of a group that can make no difference any more, and
// beyond the bound those that make the least. It returns the cost of what went, and
// how many entries went that might have made one.
//
// An entry makes none when another of the same value, or rule, is nearer to
// everything that is still expected: no event comes from before low - Lateness, and
// a window that has both the older one and such an event has the newer one too.
func (g *group) order(low int64, w *window) (freed int, lost uint64) {
	before := g.bytesOfEntries()
	safe := int64(math.MinInt64)
	if low != math.MinInt64 {
		safe = low - int64(Lateness)
	}
	if w.identifies() {
		g.dropRepeated(w, safe)
	}
	if len(g.entries) > w.maxEntries {
		g.entries = slices.DeleteFunc(g.entries, func(n entry) bool { return n.stream.over(n.time, w.span) })
	}
	if kept := len(g.entries); kept > w.maxEntries {
		switch {
		case w.identifies():
			g.dropRepeated(w, math.MaxInt64)
			if w.ordersRules() && len(g.entries) > w.maxEntries {
				g.keepSteps(w)
			}
		case w.kind != sigma.ValuePercentile:
			g.merge()
			kept = len(g.entries)
		}
		// Some more than have to go, so that this is not done for each event.
		if over := len(g.entries) - (w.maxEntries - w.maxEntries/8); over > 0 {
			clear(g.entries[:over])
			g.entries = g.entries[over:]
		}
		lost = uint64(kept - len(g.entries))
	}
	g.forgetValues()
	g.orderAt = min(2*len(g.entries), w.maxEntries)
	return before - g.bytesOfEntries(), lost
}

// bytesOfEntries is what entries and values cost.
func (g *group) bytesOfEntries() (n int) {
	for i := range g.entries {
		n += g.entries[i].cost()
	}
	for _, v := range g.values {
		n += valueCost + len(v)
	}
	return n
}

// dropRepeated forgets entries that another of the same kind follows, not later than
// safe; where the order counts, without one of another kind between them.
func (g *group) dropRepeated(w *window, safe int64) {
	next := map[int32]int64{}
	last := int32(-1)
	at := len(g.entries)
	for _, n := range slices.Backward(g.entries) {
		follower, ok := next[n.id]
		if w.ordersRules() && n.id != last {
			ok = false
		}
		next[n.id], last = n.time, n.id
		if ok && follower <= safe {
			continue
		}
		at--
		g.entries[at] = n
	}
	clear(g.entries[:at])
	g.entries = g.entries[at:]
}

// keepSteps forgets all entries but the newest, and those that are the latest to
// have begun a sequence which can still be completed.
func (g *group) keepSteps(w *window) {
	// latest[n] are the entries of the sequence of the first n rules that began
	// last.
	latest := make([][]int32, w.rules+1)
	for i := range g.entries {
		switch id := g.entries[i].id; {
		case id == 0:
			latest[1] = []int32{int32(i)}
		case latest[id] != nil && (latest[id+1] == nil || latest[id][0] >= latest[id+1][0]):
			latest[id+1] = append(slices.Clone(latest[id]), int32(i))
		}
	}
	keep := make([]bool, len(g.entries))
	for i := len(g.entries) - w.maxEntries/2; i < len(g.entries); i++ {
		keep[i] = true
	}
	for _, sequence := range latest {
		for _, i := range sequence {
			keep[i] = true
		}
	}
	kept := g.entries[:0]
	for i, n := range g.entries {
		if keep[i] {
			kept = append(kept, n)
		}
	}
	clear(g.entries[len(kept):])
	g.entries = kept
}

// merge makes one of every two neighbours in the older half, at the time of the
// later: their numbers stay in the window a little longer.
func (g *group) merge() {
	half := len(g.entries) / 2
	kept := g.entries[:0]
	for i := 0; i < len(g.entries); i++ {
		n := g.entries[i]
		if i+1 < half {
			next := g.entries[i+1]
			next.number += n.number
			next.id += n.id
			next.confirmed = next.confirmed && n.confirmed
			n = next
			i++
		}
		kept = append(kept, n)
	}
	clear(g.entries[len(kept):])
	g.entries = kept
}

// forgetValues forgets the values that no entry has, when they are many.
func (g *group) forgetValues() {
	if len(g.values) <= 2*len(g.entries) {
		return
	}
	values := g.values
	g.values, g.ids = nil, map[string]int32{}
	for i := range g.entries {
		text := values[g.entries[i].id]
		id, ok := g.ids[text]
		if !ok {
			id = int32(len(g.values))
			g.ids[text] = id
			g.values = append(g.values, text)
		}
		g.entries[i].id = id
	}
}

// alias returns the bytes as a string without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
