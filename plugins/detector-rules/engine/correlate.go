package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// window is what a threshold or a correlation asks of the events of one group.
type window struct {
	kind sigma.CorrelationType
	// span is in ns.
	span int64
	// count, if not 0, is how many events complete the window, and no more than
	// that is asked.
	count  int
	bounds []sigma.Bound
	// percentile is which one of the values is compared.
	percentile int
	// rules is how many rules there are; expression is nil when all of them have
	// to be seen.
	rules      int
	expression *sightings
	// maxEntries bounds the entries of a group, maxBodies the events kept.
	maxEntries, maxBodies int
}

// sightings is a condition on which rules were seen; a leaf is the position of one.
type sightings struct {
	op       sigma.Op
	subs     []*sightings
	position int32
}

// What a group of a correlation holds at most.
const (
	// maxNumbers is how many numbers a group keeps for a sum, an average or a
	// percentile.
	maxNumbers = 4096
	// minEntries is what a group keeps at least, so that it is seldom put in order.
	minEntries = 64
	// maxEntriesEver bounds what conditions with large numbers ask for.
	maxEntriesEver = 1 << 20
)

func thresholdWindow(t *rule.Threshold) *window {
	w := &window{kind: sigma.EventCount, span: int64(t.Timeframe), count: t.Count, rules: 1}
	w.bound()
	return w
}

func correlationWindow(c *sigma.Correlation) *window {
	w := &window{
		kind: c.Type, span: int64(c.Timespan), bounds: c.Conditions, percentile: c.Percentile, rules: len(c.Rules),
	}
	if c.Expression != nil {
		w.expression = newSightings(c.Expression, c.Rules)
	}
	if c.Type == sigma.EventCount && len(c.Conditions) == 1 {
		switch b := c.Conditions[0]; b.Op {
		case "gte":
			w.count = max(int(math.Ceil(min(b.Number, maxEntriesEver))), 1)
		case "gt":
			w.count = max(int(math.Floor(min(b.Number, maxEntriesEver)))+1, 1)
		}
	}
	w.bound()
	return w
}

func newSightings(x *sigma.RuleExpr, rules []string) *sightings {
	out := &sightings{op: x.Op, position: int32(slices.Index(rules, x.Rule))}
	for _, s := range x.Subs {
		out.subs = append(out.subs, newSightings(s, rules))
	}
	return out
}

// bound says how many entries and how many events a group keeps. Within the span in
// which events of one stream can still share a window, the span of the window and
// Lateness, there are fewer than need in each window, else it had been complete;
// maxClocks times that leaves room for streams with other clocks.
func (w *window) bound() {
	need := w.count
	switch w.kind {
	case sigma.EventCount, sigma.ValueCount:
		for _, b := range w.bounds {
			need = max(need, int(min(math.Abs(b.Number), maxEntriesEver))+1)
		}
	case sigma.Temporal, sigma.TemporalOrdered:
		need = minEntries + w.rules
	default:
		w.maxEntries, w.maxBodies = maxNumbers, 2*event.MaxCited
		return
	}
	spans := int((w.span + int64(Lateness) + w.span - 1) / w.span)
	w.maxEntries = min(maxClocks*spans*need+1, maxEntriesEver)
	w.maxBodies = 2 * event.MaxCited
	if w.kind == sigma.EventCount && w.count > 0 && w.count <= event.MaxCited {
		w.maxBodies = w.maxEntries
	}
	if w.kind != sigma.EventCount {
		w.maxEntries = max(w.maxEntries, minEntries)
	}
}

// identifies says that entries have the number of what counts: a value, or a rule.
func (w *window) identifies() bool {
	return w.kind == sigma.ValueCount || w.ordersRules() || w.kind == sigma.Temporal
}

// showsRules says that the event of each rule is worth keeping.
func (w *window) showsRules() bool { return w.kind == sigma.Temporal || w.ordersRules() }

func (w *window) ordersRules() bool { return w.kind == sigma.TemporalOrdered }

// numbers says that entries have a number.
func (w *window) numbers() bool {
	return w.kind == sigma.ValueSum || w.kind == sigma.ValueAverage || w.kind == sigma.ValuePercentile
}

// complete returns the entries, the one at among them, that complete the window:
// those of the window that ends first; end is 0 when none is complete. The window
// that ends with the entry itself comes first, and those that end with later ones
// follow.
func (e *Engine) complete(w *window, g *group, at int) (first, end int) {
	entries := g.entries
	if w.count > 0 {
		for first := max(at-w.count+1, 0); first <= at && first+w.count <= len(entries); first++ {
			if entries[first+w.count-1].time-entries[first].time < w.span {
				return first, first + w.count
			}
		}
		return 0, 0
	}
	for last := at; last < len(entries) && entries[last].time-entries[at].time < w.span; {
		now := entries[last].time
		for last < len(entries) && entries[last].time == now {
			last++
		}
		for entries[first].time <= now-w.span {
			first++
		}
		if e.holds(w, g, entries[first:last]) {
			return first, last
		}
	}
	return 0, 0
}

// holds decides the condition for the entries of one window.
func (e *Engine) holds(w *window, g *group, entries []entry) bool {
	switch w.kind {
	case sigma.EventCount:
		return w.within(float64(len(entries)))
	case sigma.ValueCount:
		return w.within(float64(e.see(g, entries)))
	case sigma.Temporal:
		seen := e.see(g, entries)
		switch {
		case w.expression != nil:
			return w.expression.holds(e.saw)
		case len(w.bounds) > 0:
			return w.within(float64(seen))
		}
		return seen == w.rules
	case sigma.TemporalOrdered:
		switch {
		case w.expression != nil:
			e.see(g, entries)
			return w.expression.holds(e.saw) && e.inOrder(w, entries)
		case len(w.bounds) > 0:
			return w.within(float64(steps(entries)))
		}
		return steps(entries) == w.rules
	}
	n, ok := w.value(entries, &e.sorted)
	return ok && w.within(n)
}

// within reports whether a number is within all bounds.
func (w *window) within(n float64) bool {
	for _, b := range w.bounds {
		var ok bool
		switch b.Op {
		case "gt":
			ok = n > b.Number
		case "gte":
			ok = n >= b.Number
		case "lt":
			ok = n < b.Number
		case "lte":
			ok = n <= b.Number
		case "eq":
			ok = n == b.Number
		case "neq":
			ok = n != b.Number
		}
		if !ok {
			return false
		}
	}
	return true
}

// see notes which values or rules are among the entries, and returns how many.
func (e *Engine) see(g *group, entries []entry) int {
	if e.sight++; e.sight == 0 {
		clear(e.seen)
		e.sight = 1
	}
	if need := max(len(g.values), g.rule.program.window.rules); need > len(e.seen) {
		e.seen = append(e.seen, make([]uint32, need-len(e.seen))...)
	}
	n := 0
	for i := range entries {
		if id := entries[i].id; e.seen[id] != e.sight {
			e.seen[id] = e.sight
			n++
		}
	}
	return n
}

// saw reports whether see noted something.
func (e *Engine) saw(id int32) bool { return int(id) < len(e.seen) && e.seen[id] == e.sight }

func (x *sightings) holds(saw func(int32) bool) bool {
	switch x.op {
	case sigma.And:
		return !slices.ContainsFunc(x.subs, func(s *sightings) bool { return !s.holds(saw) })
	case sigma.Or:
		return slices.ContainsFunc(x.subs, func(s *sightings) bool { return s.holds(saw) })
	case sigma.Not:
		return !x.subs[0].holds(saw)
	}
	return saw(x.position)
}

// steps returns how many of the rules, from the first on, were seen one after the
// other. Those that one event found were seen in the order of the correlation.
func steps(entries []entry) int {
	next := int32(0)
	for i := range entries {
		if entries[i].id == next {
			next++
		}
	}
	return int(next)
}

// inOrder reports whether those of the rules that were noted were seen one after
// the other.
func (e *Engine) inOrder(w *window, entries []entry) bool {
	at := 0
	for id := range int32(w.rules) {
		if !e.saw(id) {
			continue
		}
		for at < len(entries) && entries[at].id != id {
			at++
		}
		if at == len(entries) {
			return false
		}
		at++
	}
	return true
}

// value returns the sum, the average or the percentile of the entries' numbers.
func (w *window) value(entries []entry, sorted *[]float64) (n float64, ok bool) {
	if w.kind == sigma.ValuePercentile {
		*sorted = (*sorted)[:0]
		for i := range entries {
			*sorted = append(*sorted, entries[i].number)
		}
		slices.Sort(*sorted)
		// The nearest rank.
		rank := int(math.Ceil(float64(w.percentile) / 100 * float64(len(*sorted))))
		return (*sorted)[max(rank, 1)-1], true
	}
	weight := 0.0
	for i := range entries {
		n += entries[i].number
		weight += float64(entries[i].id)
	}
	if w.kind == sigma.ValueAverage {
		n /= weight
	}
	return n, !math.IsNaN(n)
}

// describe says for people what the window asks, and names what was found.
func (w *window) describe(c *sigma.Correlation, entries []entry) (asked, found string) {
	var b strings.Builder
	b.WriteString(string(c.Type))
	if len(c.Fields) > 0 {
		fmt.Fprintf(&b, " of %s", strings.Join(c.Fields, ", "))
	}
	if w.kind == sigma.ValuePercentile {
		fmt.Fprintf(&b, " %d", w.percentile)
	}
	for i, bound := range w.bounds {
		if i > 0 {
			b.WriteString(" and")
		}
		fmt.Fprintf(&b, " %s %s", bound.Op, sigma.Number(bound.Number))
	}
	fmt.Fprintf(&b, " in %s", time.Duration(w.span))
	if w.numbers() {
		if n, ok := w.value(entries, new([]float64)); ok {
			found = sigma.Number(n)
		}
	}
	return b.String(), found
}
