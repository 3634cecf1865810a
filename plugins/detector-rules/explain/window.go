package explain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk"
)

// sighting is what a rule found: an event, or a window that is complete.
type sighting struct {
	time time.Time
	// number is the place of the event, from 1.
	number int
	event  *Event
	// group are the values that the window was of, by name.
	group map[string]string
}

// counted is a sighting as a window sees it.
type counted struct {
	sighting
	// rule is the id of the rule that found it.
	rule   string
	values []string
	value  string
	number float64
}

// window is what a threshold or a correlation asks.
type window struct {
	kind       sigma.CorrelationType
	span       time.Duration
	bounds     []sigma.Bound
	percentile int
	rules      []string
	expression *sigma.RuleExpr
	// names are those of the group's fields.
	names []string
}

// asked says for people what the window asks.
func (w *window) asked() string {
	var b strings.Builder
	switch w.kind {
	case sigma.EventCount:
		b.WriteString("events")
	case sigma.ValueCount:
		b.WriteString("different values")
	case sigma.Temporal, sigma.TemporalOrdered:
		switch {
		case w.expression != nil:
			b.WriteString(expression(w.expression))
		case len(w.bounds) > 0:
			b.WriteString("different rules")
		default:
			b.WriteString("all of " + strings.Join(w.rules, ", "))
		}
		if w.kind == sigma.TemporalOrdered {
			b.WriteString(", in this order,")
		}
	case sigma.ValueSum:
		b.WriteString("sum")
	case sigma.ValueAverage:
		b.WriteString("average")
	case sigma.ValuePercentile:
		fmt.Fprintf(&b, "percentile %d", w.percentile)
	}
	for i, bound := range w.bounds {
		if i > 0 {
			b.WriteString(" and")
		}
		fmt.Fprintf(&b, " %s %s", bound.Op, sigma.Number(bound.Number))
	}
	fmt.Fprintf(&b, " within %s", w.span)
	return b.String()
}

func expression(x *sigma.RuleExpr) string {
	var parts []string
	for _, s := range x.Subs {
		parts = append(parts, expression(s))
	}
	switch x.Op {
	case sigma.And:
		return "(" + strings.Join(parts, " and ") + ")"
	case sigma.Or:
		return "(" + strings.Join(parts, " or ") + ")"
	case sigma.Not:
		return "not " + parts[0]
	}
	return x.Rule
}

// state is how far the events of one window are.
type state struct {
	complete bool
	found    string
	missing  []string
	// progress is from 0 to 1.
	progress float64
}

// judge says how far some events are, which are in their order.
func (w *window) judge(events []counted) state {
	switch w.kind {
	case sigma.EventCount:
		return w.number(float64(len(events)), "events", len(events) > 0)
	case sigma.ValueCount:
		seen := map[string]bool{}
		for _, c := range events {
			seen[c.value] = true
		}
		return w.number(float64(len(seen)), "different values", len(seen) > 0)
	case sigma.Temporal, sigma.TemporalOrdered:
		return w.rulesSeen(events)
	}
	n, ok := w.value(events)
	return w.number(n, "", ok)
}

// number says how far a number is.
func (w *window) number(n float64, unit string, ok bool) state {
	s := state{complete: ok, found: strings.TrimSpace(sigma.Number(n) + " " + unit)}
	if !ok {
		s.found = "nothing"
	}
	for _, b := range w.bounds {
		if ok && within(b, n) {
			continue
		}
		s.complete = false
		switch need := b.Number - n; {
		case b.Op == "gte" && need > 0 && unit != "":
			s.missing = append(s.missing, strings.TrimSpace(sigma.Number(math.Ceil(need))+" more "+unit))
		case b.Op == "gt" && need >= 0 && unit != "":
			s.missing = append(s.missing, strings.TrimSpace(sigma.Number(math.Floor(need)+1)+" more "+unit))
		default:
			s.missing = append(s.missing, "a number that is "+b.Op+" "+sigma.Number(b.Number))
		}
	}
	if s.progress = 1; !s.complete {
		s.progress = 0
		if len(w.bounds) > 0 && w.bounds[0].Number > 0 {
			s.progress = min(max(n/w.bounds[0].Number, 0), 0.99)
		}
	}
	return s
}

func within(b sigma.Bound, n float64) bool {
	switch b.Op {
	case "gt":
		return n > b.Number
	case "gte":
		return n >= b.Number
	case "lt":
		return n < b.Number
	case "lte":
		return n <= b.Number
	case "eq":
		return n == b.Number
	}
	return n != b.Number
}

// rulesSeen says which rules found something, in their order where it counts.
func (w *window) rulesSeen(events []counted) state {
	seen := map[string]bool{}
	for _, c := range events {
		seen[c.rule] = true
	}
	ordered := w.kind == sigma.TemporalOrdered
	wanted := w.rules
	if w.expression != nil {
		wanted = slices.DeleteFunc(slices.Clone(w.rules), func(id string) bool { return !seen[id] })
	}
	steps := 0
	for _, c := range events {
		if ordered && steps < len(wanted) && c.rule == wanted[steps] {
			steps++
		}
	}
	var names []string
	for _, id := range w.rules {
		if seen[id] {
			names = append(names, id)
		}
	}
	n := len(names)
	if ordered && w.expression == nil {
		n = steps
	}
	s := state{found: strings.Join(names, ", "), progress: min(float64(n)/float64(len(w.rules)), 0.99)}
	if s.found == "" {
		s.found = "nothing"
	}
	switch {
	case w.expression != nil:
		s.complete = holdsRules(w.expression, seen)
		if !s.complete {
			s.missing = append(s.missing, expression(w.expression))
		} else if ordered && steps < len(wanted) {
			s.complete = false
			s.missing = append(s.missing, "the order "+strings.Join(wanted, ", "))
		}
	case len(w.bounds) > 0:
		unit := "different rules"
		if ordered {
			unit = "rules in order"
		}
		s = w.number(float64(n), unit, true)
	case ordered:
		s.complete = steps == len(w.rules)
		s.missing = slices.Clone(w.rules[steps:])
		if !s.complete && len(names) > steps {
			s.missing[0] += " (in order: after " + orBegin(w.rules[:steps]) + ")"
		}
	default:
		s.complete = n == len(w.rules)
		for _, id := range w.rules {
			if !seen[id] {
				s.missing = append(s.missing, id)
			}
		}
	}
	if s.complete {
		s.progress = 1
	}
	return s
}

func orBegin(ids []string) string {
	if len(ids) == 0 {
		return "the beginning"
	}
	return ids[len(ids)-1]
}

func holdsRules(x *sigma.RuleExpr, seen map[string]bool) bool {
	holds := func(s *sigma.RuleExpr) bool { return holdsRules(s, seen) }
	switch x.Op {
	case sigma.And:
		return !slices.ContainsFunc(x.Subs, func(s *sigma.RuleExpr) bool { return !holds(s) })
	case sigma.Or:
		return slices.ContainsFunc(x.Subs, holds)
	case sigma.Not:
		return !holds(x.Subs[0])
	}
	return seen[x.Rule]
}

// value is the sum, the average or the percentile of the numbers.
func (w *window) value(events []counted) (n float64, ok bool) {
	if len(events) == 0 {
		return 0, false
	}
	var all []float64
	for _, c := range events {
		all = append(all, c.number)
		n += c.number
	}
	switch w.kind {
	case sigma.ValueAverage:
		return n / float64(len(all)), true
	case sigma.ValuePercentile:
		slices.Sort(all)
		rank := int(math.Ceil(float64(w.percentile) / 100 * float64(len(all)))) // the nearest rank
		return all[max(rank, 1)-1], true
	}
	return n, true
}

// run lays the events of all groups on lines of time. It returns how far each group
// came at its best, the nearest to completion first, and what completed windows
// found: the event that did, after which the group begins anew.
func (w *window) run(events []counted) (windows []sdk.WindowExplanation, found []sighting) {
	slices.SortStableFunc(events, func(a, b counted) int { return a.time.Compare(b.time) })
	type group struct {
		sdk.WindowExplanation
		open []counted
		best float64
	}
	groups := map[string]*group{}
	var order []*group
	for _, c := range events {
		key := strings.Join(c.values, "\x00")
		g := groups[key]
		if g == nil {
			g = &group{best: -1}
			g.Group = map[string]string{}
			for i, name := range w.names {
				g.Group[name] = show(c.values[i])
			}
			g.Wanted = w.asked()
			groups[key] = g
			order = append(order, g)
		}
		g.open = slices.DeleteFunc(g.open, func(o counted) bool { return c.time.Sub(o.time) >= w.span })
		g.open = append(g.open, c)
		s := w.judge(g.open)
		if s.progress >= g.best {
			g.best = s.progress
			g.Complete, g.Found, g.Missing = s.complete, s.found, s.missing
			g.From, g.Upto, g.Events = g.open[0].time, c.time, len(g.open)
		}
		if s.complete {
			next := c.sighting
			next.group = map[string]string{}
			for i, name := range w.names {
				next.group[name] = c.values[i]
			}
			found = append(found, next)
			g.open = nil
		}
	}
	slices.SortStableFunc(order, func(a, b *group) int { return cmp.Compare(b.best, a.best) })
	for _, g := range order {
		windows = append(windows, g.WindowExplanation)
	}
	slices.SortStableFunc(found, func(a, b sighting) int { return a.time.Compare(b.time) })
	return windows, found
}
