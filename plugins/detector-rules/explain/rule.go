package explain

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Rules explains rules to who asks.
type Rules struct {
	names *Names
	byID  map[string]*rule.Rule
}

// New takes the rules in force, the disabled ones too, and the names that they are
// read with.
func New(rules []*rule.Rule, names *Names) *Rules {
	x := &Rules{names: names, byID: make(map[string]*rule.Rule, len(rules))}
	for _, r := range rules {
		x.byID[r.ID] = r
	}
	return x
}

// Rule explains a rule over log events. How many alerts they raise it leaves to the
// caller. An id that is not there is an error that wraps sdk.ErrNoRule.
func (x *Rules) Rule(q sdk.RuleQuestion) (sdk.RuleExplanation, error) {
	r := x.byID[q.Rule]
	if r == nil {
		return sdk.RuleExplanation{}, fmt.Errorf("%w: %s", sdk.ErrNoRule, q.Rule)
	}
	a := answer{Rules: x, question: q, events: x.names.events(q.Events)}
	out, _ := a.rule(r, nil)
	return out, nil
}

// answer is a question that is worked on.
type answer struct {
	*Rules
	question sdk.RuleQuestion
	events   []*Event
}

// rule explains a rule, and returns what it found. within are the correlations that
// name it, directly or not.
func (a *answer) rule(r *rule.Rule, within []*rule.Rule) (sdk.RuleExplanation, []sighting) {
	out := sdk.RuleExplanation{
		ID: r.ID, Title: r.Title, File: r.File, Line: r.Line, Kind: "rule", Status: r.Status, Filters: r.Filters, Events: len(a.events),
	}
	if r.Correlation != nil {
		return a.correlation(r, out, within)
	}
	out.LogSource = r.LogSource.String()
	found := a.matches(r, &out)
	t := r.Threshold
	if t == nil {
		return out, found
	}
	out.Kind = "threshold"
	w := window{
		kind: sigma.EventCount, span: t.Timeframe, bounds: []sigma.Bound{{Op: "gte", Number: float64(t.Count)}}, rules: []string{r.ID}, names: t.GroupBy,
	}
	var events []counted
	for _, s := range found {
		c := counted{sighting: s, rule: r.ID}
		if a.group(&c, r, t.GroupBy, nil) {
			events = append(events, c)
		} else {
			out.Ungrouped++
		}
	}
	out.Windows, found = w.run(events)
	out.Windows = out.Windows[:min(len(out.Windows), a.question.Limit)]
	return out, found
}

// matches holds the rule's condition to every event.
func (a *answer) matches(r *rule.Rule, out *sdk.RuleExplanation) (found []sighting) {
	when := a.names.Condition(r)
	var shown []sdk.EventExplanation
	show := func(i int, matched bool) {
		e, l := a.events[i], a.question.Events[i]
		out := sdk.EventExplanation{Number: i + 1, Time: l.Time, Message: message(l), Matched: matched, Finding: finding(r, when, e, a.question.All)}
		for _, s := range e.Sources {
			out.LogSources = append(out.LogSources, s.String())
		}
		shown = append(shown, out)
	}
	var others []int
	for i, e := range a.events {
		matched := isFor(r, e) && Holds(when, e)
		if matched {
			out.Matched++
			found = append(found, sighting{time: a.question.Events[i].Time, number: i + 1, event: e})
		}
		switch {
		case matched && len(shown) < a.question.Limit:
			show(i, true)
		case !matched && len(others) < a.question.Limit:
			others = append(others, i)
		}
	}
	for _, i := range others {
		if len(shown) < a.question.Limit {
			show(i, false)
		}
	}
	slices.SortFunc(shown, func(a, b sdk.EventExplanation) int { return a.Number - b.Number })
	out.Findings = shown
	return found
}

// correlation explains a correlation and the rules that it names.
func (a *answer) correlation(r *rule.Rule, out sdk.RuleExplanation, within []*rule.Rule) (sdk.RuleExplanation, []sighting) {
	c := r.Correlation
	out.Kind = "correlation"
	if slices.Contains(within, r) {
		return out, nil
	}
	within = append(slices.Clip(within), r)
	w := window{
		kind: c.Type, span: c.Timespan, bounds: c.Conditions, percentile: c.Percentile, rules: c.Rules, expression: c.Expression, names: c.GroupBy,
	}
	var events []counted
	for _, id := range c.Rules {
		named := a.byID[id]
		if named == nil {
			continue // the loader refuses this
		}
		explained, found := a.rule(named, within)
		out.Rules = append(out.Rules, explained)
		if named.Disabled() {
			continue
		}
		out.Matched += len(found)
		for _, s := range found {
			n := counted{sighting: s, rule: id}
			if a.group(&n, named, c.GroupBy, c) && a.measure(&n, named, c) {
				events = append(events, n)
			} else {
				out.Ungrouped++
			}
		}
	}
	var found []sighting
	out.Windows, found = w.run(events)
	out.Windows = out.Windows[:min(len(out.Windows), a.question.Limit)]
	return out, found
}

// group reads the values that name the group; false when one of them is not there.
func (a *answer) group(c *counted, r *rule.Rule, names []string, by *sigma.Correlation) bool {
	for _, name := range names {
		value := a.get(&c.sighting, r, name, by)
		if value == "" {
			return false
		}
		c.values = append(c.values, value)
	}
	return true
}

// get reads a field of what a rule found, under the name that a correlation has for
// it.
func (a *answer) get(s *sighting, r *rule.Rule, name string, by *sigma.Correlation) string {
	names := []string{name}
	if by != nil {
		field := name
		if other := by.Aliases[name][r.ID]; other != "" {
			field = other
		}
		names = a.names.fields(r.LogSource, field)
		if value := s.group[field]; value != "" {
			return value
		}
	}
	if value := s.group[name]; value != "" {
		return value
	}
	return s.event.first(names)
}

// measure reads what is counted; false when it is not there.
func (a *answer) measure(c *counted, r *rule.Rule, by *sigma.Correlation) bool {
	switch by.Type {
	case sigma.ValueCount:
		for _, name := range by.Fields {
			value := a.get(&c.sighting, r, name, by)
			if value == "" {
				return false
			}
			c.value += fmt.Sprintf("%d:%s", len(value), value)
		}
	case sigma.ValueSum, sigma.ValueAverage, sigma.ValuePercentile:
		n, ok := number(a.get(&c.sighting, r, by.Fields[0], by))
		c.number = n
		return ok
	}
	return true
}

// message is what an event says, for people.
func message(l *event.LogEvent) string {
	if l.Message == "" && len(l.Raw) > 0 {
		return show(string(l.Raw))
	}
	return show(l.Message)
}
