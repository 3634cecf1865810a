package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// The naive correlator reads a correlation word for word, from the words of the
// rules guide:
//
//	A correlation looks at what its rules found, group by group, in windows
//	(t - timespan, t] of event time. It is decided on each arrival, for the windows
//	that have what arrived and end with something that is there, the one that ends
//	first before the others; the first that holds raises the alert and empties the
//	group. Late events are left out.
//
// It forgets nothing, and counts everything anew each time.
type naiveCorrelator struct {
	rules  []*rule.Rule
	newest map[uint64]time.Time
	// groups are the findings by correlation and group.
	groups map[string][]finding
	late   bool
}

// finding is what a rule found.
type finding struct {
	time   time.Time
	rule   string
	value  string
	number float64
}

// notice is an alert, as far as the naive correlator tells it.
type notice struct {
	Rule, Group string
	At          uint64
	Count       uint64
	First, Last string
}

func (n *naiveCorrelator) event(ev *event.LogEvent) (out []notice) {
	newest, ok := n.newest[ev.Stream.ID]
	n.late = ok && ev.Time.Before(newest.Add(-5*time.Second))
	if !n.late && (!ok || ev.Time.After(newest)) {
		n.newest[ev.Stream.ID] = ev.Time
	}
	kinds, _ := ev.Get("kind")
	for _, r := range n.rules {
		if r.Correlation == nil && strings.Contains(kinds, strings.TrimPrefix(r.ID, "r")) {
			get := func(name string) string { v, _ := ev.Get(name); return v }
			out = append(out, n.found(ev, r.ID, ev.Time, "", 1, ev.Time, ev.Time, get)...)
		}
	}
	return out
}

// found tells of what a rule found, and asks the correlations that name it.
func (n *naiveCorrelator) found(ev *event.LogEvent, id string, at time.Time, group string, count int, first, last time.Time, get func(string) string) (out []notice) {
	named, generated := false, false
	for _, r := range n.rules {
		if c := r.Correlation; c != nil && slices.Contains(c.Rules, id) {
			named, generated = true, generated || c.Generate
		}
	}
	if !named || generated {
		out = append(out, notice{id, group, ev.Sequence, uint64(count), first.Format(time.RFC3339Nano), last.Format(time.RFC3339Nano)})
	}
	for _, r := range n.rules {
		if c := r.Correlation; c != nil && slices.Contains(c.Rules, id) && !n.late {
			out = append(out, n.correlate(ev, c, id, at, get)...)
		}
	}
	return out
}

func (n *naiveCorrelator) correlate(ev *event.LogEvent, c *sigma.Correlation, id string, at time.Time, get func(string) string) []notice {
	field := func(name string) string {
		if other := c.Aliases[name][id]; other != "" {
			name = other
		}
		return get(name)
	}
	values := map[string]string{}
	var parts []string
	for _, name := range c.GroupBy {
		values[name] = field(name)
		if values[name] == "" {
			return nil
		}
		parts = append(parts, values[name])
	}
	f := finding{time: at, rule: id}
	if len(c.Fields) > 0 {
		f.value = field(c.Fields[0])
		if f.value == "" {
			return nil
		}
		if c.Type != sigma.ValueCount {
			var err error
			if f.number, err = strconv.ParseFloat(f.value, 64); err != nil {
				return nil
			}
		}
	}
	group := strings.Join(parts, "|")
	key := c.ID + "/" + group
	n.groups[key] = append(n.groups[key], f)
	all := n.groups[key]
	var ends []time.Time
	for _, x := range all {
		if !x.time.Before(at) && x.time.Add(-c.Timespan).Before(at) {
			ends = append(ends, x.time)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, end := range ends {
		var inside []finding
		for _, x := range all {
			if x.time.After(end.Add(-c.Timespan)) && !x.time.After(end) {
				inside = append(inside, x)
			}
		}
		// By time; those of one time as they came.
		slices.SortStableFunc(inside, func(a, b finding) int { return a.time.Compare(b.time) })
		if !naiveHolds(c, inside) {
			continue
		}
		delete(n.groups, key)
		first, last := inside[0].time, inside[len(inside)-1].time
		return n.found(ev, c.ID, last, group, len(inside), first, last, func(name string) string {
			if v, ok := values[name]; ok {
				return v
			}
			return get(name)
		})
	}
	return nil
}

// naiveHolds decides the condition of a correlation for the findings of a window.
func naiveHolds(c *sigma.Correlation, inside []finding) bool {
	within := func(n float64) bool {
		for _, b := range c.Conditions {
			ok := map[string]bool{
				"gt": n > b.Number, "gte": n >= b.Number, "lt": n < b.Number, "lte": n <= b.Number, "eq": n == b.Number, "neq": n != b.Number,
			}[b.Op]
			if !ok {
				return false
			}
		}
		return true
	}
	values, rules := map[string]bool{}, map[string]bool{}
	sum := 0.0
	var numbers []float64
	for _, f := range inside {
		values[f.value], rules[f.rule] = true, true
		sum += f.number
		numbers = append(numbers, f.number)
	}
	// steps is how many of the rules, from the first, follow each other.
	steps := 0
	for _, f := range inside {
		if steps < len(c.Rules) && f.rule == c.Rules[steps] {
			steps++
		}
	}
	switch c.Type {
	case sigma.EventCount:
		return within(float64(len(inside)))
	case sigma.ValueCount:
		return within(float64(len(values)))
	case sigma.ValueSum:
		return within(sum)
	case sigma.ValueAverage:
		return within(sum / float64(len(inside)))
	case sigma.ValuePercentile:
		slices.Sort(numbers)
		// The least value that so many percent of the values do not exceed.
		for i, n := range numbers {
			if float64(i+1)*100 >= float64(c.Percentile)*float64(len(numbers)) {
				return within(n)
			}
		}
	case sigma.Temporal:
		if c.Expression != nil {
			return naiveExpression(c.Expression, rules)
		}
		if len(c.Conditions) > 0 {
			return within(float64(len(rules)))
		}
		return len(rules) == len(c.Rules)
	case sigma.TemporalOrdered:
		if c.Expression != nil {
			var seen []string
			for _, id := range c.Rules {
				if rules[id] {
					seen = append(seen, id)
				}
			}
			at := 0
			for _, f := range inside {
				if at < len(seen) && f.rule == seen[at] {
					at++
				}
			}
			return naiveExpression(c.Expression, rules) && at == len(seen)
		}
		if len(c.Conditions) > 0 {
			return within(float64(steps))
		}
		return steps == len(c.Rules)
	}
	panic("unknown type")
}

func naiveExpression(x *sigma.RuleExpr, seen map[string]bool) bool {
	switch x.Op {
	case sigma.And:
		for _, s := range x.Subs {
			if !naiveExpression(s, seen) {
				return false
			}
		}
		return true
	case sigma.Or:
		for _, s := range x.Subs {
			if naiveExpression(s, seen) {
				return true
			}
		}
		return false
	case sigma.Not:
		return !naiveExpression(x.Subs[0], seen)
	}
	return seen[x.Rule]
}

// activities makes random events of kinds a, b and c, some of several at once, with
// values and numbers, as logs does.
func activities(r *rand.Rand, n, users int) []*event.LogEvent {
	out := logs(r, n)
	for _, ev := range out {
		ev.Fields = ev.Fields[:0]
		kinds := []string{"a", "b", "c", "a", "b", "ab", "bc", "none"}
		ev.Set("kind", kinds[r.IntN(len(kinds))])
		if r.IntN(12) > 0 {
			ev.Set("user", fmt.Sprint("u", r.IntN(users)))
		}
		if r.IntN(12) > 0 {
			ev.Set("account", fmt.Sprint("u", r.IntN(users)))
		}
		if r.IntN(10) > 0 {
			ev.Set("port", fmt.Sprint(r.IntN(9)))
		}
		switch r.IntN(12) {
		case 0:
		case 1:
			ev.Set("bytes", "many")
		default:
			ev.Set("bytes", fmt.Sprint(r.IntN(40)-8))
		}
	}
	return out
}

// correlationOf writes a random correlation of a type over the rules given.
func correlationOf(r *rand.Rand, id, kind string, rules []string) string {
	pick := slices.Clone(rules)
	r.Shuffle(len(pick), func(i, j int) { pick[i], pick[j] = pick[j], pick[i] })
	pick = pick[:1+r.IntN(min(len(pick), 3))]
	var b strings.Builder
	fmt.Fprintf(&b, "---\ntitle: T\nid: %s\ncorrelation:\n  type: %s\n  rules: [%s]\n  timespan: %ds\n  generate: %v\n", id, kind, strings.Join(pick, ", "), 1+r.IntN(60), r.IntN(3) == 0)
	switch r.IntN(4) {
	case 0:
	case 1:
		fmt.Fprintf(&b, "  group-by: [who]\n  aliases: {who: {%s: account}, other: {%s: account}}\n", pick[0], pick[0])
	case 2:
		b.WriteString("  group-by: [user, port]\n")
	default:
		b.WriteString("  group-by: user\n")
	}
	bound := func(low, high int) string {
		n := low + r.IntN(high-low)
		switch r.IntN(8) {
		case 0:
			return fmt.Sprintf("gt: %d", n)
		case 1:
			return fmt.Sprintf("eq: %d", n)
		case 2:
			return fmt.Sprintf("gte: %d, lte: %d", n, n+r.IntN(5))
		case 3:
			return fmt.Sprintf("gte: %d, neq: %d", n, n+r.IntN(3))
		case 4:
			return fmt.Sprintf("gte: %d.5", n)
		case 5:
			if r.IntN(4) == 0 {
				return fmt.Sprintf("lt: %d", n)
			}
		}
		return fmt.Sprintf("gte: %d", n)
	}
	switch kind {
	case "event_count":
		fmt.Fprintf(&b, "  condition: {%s}\n", bound(1, 10))
	case "value_count":
		fmt.Fprintf(&b, "  condition: {field: %s, %s}\n", []string{"port", "account"}[r.IntN(2)], bound(1, 6))
	case "value_sum":
		fmt.Fprintf(&b, "  condition: {field: bytes, %s}\n", bound(-5, 200))
	case "value_avg":
		fmt.Fprintf(&b, "  condition: {field: bytes, %s}\n", bound(5, 33))
	case "value_percentile":
		fmt.Fprintf(&b, "  condition: {field: bytes, percentile: %d, %s}\n", []int{0, 10, 50, 90, 100}[r.IntN(5)], bound(10, 33))
	default:
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "  condition: {%s}\n", bound(1, 1+len(pick)))
		case 1:
			expressions := []string{pick[0], "not " + pick[0], pick[0] + " and not " + pick[len(pick)-1], strings.Join(pick, " or "), "1 of them", "all of them", strings.Join(pick, " and ")}
			fmt.Fprintf(&b, "  condition: %s\n", expressions[r.IntN(len(expressions))])
		}
	}
	return b.String()
}

var baseRules = func() string {
	var b strings.Builder
	for _, k := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, "---\ntitle: T\nid: r%s\nlogsource: {product: ironpost, service: log}\ndetection: {s: {kind|contains: %s}, condition: s}\n", k, k)
	}
	return b.String()
}()

var correlationKinds = []string{"event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile"}

// TestCorrelationOracle: for random logs and correlations of every type, chained and
// not, the alerts are those of the naive correlator; also when the detector dies at
// random points, or gets the same rules again among others.
func TestCorrelationOracle(t *testing.T) {
	fired := map[string]int{}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 23))
		text := baseRules
		var types []string
		names := []string{"ra", "rb", "rc"}
		for i := range 1 + r.IntN(3) {
			kind := correlationKinds[(int(seed)+i*3)%len(correlationKinds)]
			id := fmt.Sprint("c", i)
			text += correlationOf(r, id, kind, names)
			if r.IntN(2) == 0 {
				names = append(names, id)
			}
			types = append(types, kind)
		}
		rules := parse(t, text)
		others := parse(t, text+"---\ntitle: T\nid: more\nlogsource: {product: ironpost, service: log}\ndetection: {s: {kind: never}, condition: s}\n")
		naive := &naiveCorrelator{rules: rules, newest: map[uint64]time.Time{}, groups: map[string][]finding{}}
		calm, killed := New(Compile(rules), Options{}), New(Compile(rules), Options{})
		store := map[string][]byte{}
		var want, got, again []notice
		for _, ev := range activities(r, 150+r.IntN(150), 1+r.IntN(4)) {
			want = append(want, naive.event(ev)...)
			calm.Log(ev, func(a *event.AlertEvent) { got = append(got, noticeOf(ev, a)) })
			killed.Log(ev, func(a *event.AlertEvent) { again = append(again, noticeOf(ev, a)) })
			if r.IntN(12) == 0 {
				saveTo(killed, store)
				if r.IntN(2) == 0 {
					killed = New(Compile(nil), Options{})
					restoreFrom(t, killed, store)
				}
				killed.Swap(Compile([][]*rule.Rule{rules, others}[r.IntN(2)]))
			}
		}
		for _, n := range want {
			if i, ok := strings.CutPrefix(n.Rule, "c"); ok {
				number, _ := strconv.Atoi(i)
				fired[types[number]]++
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d: alerts differ (-naive +engine):\n%s\n%s", seed, d, text)
		}
		if d := cmp.Diff(want, again); d != "" {
			t.Fatalf("seed %d: alerts across deaths differ (-naive +engine):\n%s\n%s", seed, d, text)
		}
		if s := killed.Stats(); s.BadState != 0 {
			t.Fatalf("seed %d: got %+v", seed, s)
		}
	}
	for _, kind := range correlationKinds {
		if fired[kind] < 200 {
			t.Errorf("%s fired %d times, too few to tell", kind, fired[kind])
		}
	}
	t.Log(fired)
}

func noticeOf(ev *event.LogEvent, a *event.AlertEvent) notice {
	n := notice{Rule: a.RuleID, Group: a.Group, At: ev.Sequence, Count: a.Count}
	n.First, n.Last = ev.Time.Format(time.RFC3339Nano), ev.Time.Format(time.RFC3339Nano)
	for _, d := range a.Details {
		switch d.Key {
		case "first_seen":
			n.First = d.Value
		case "last_seen":
			n.Last = d.Value
		}
	}
	return n
}

// TestCorrelationFlood: groups that get the same over and over stay small, and
// still fire when the naive correlator, which forgets nothing, does.
func TestCorrelationFlood(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 29))
		kind := []string{"value_count", "temporal", "temporal_ordered"}[seed%3]
		text := baseRules + fmt.Sprintf("---\ntitle: T\nid: c\ncorrelation:\n  type: %s\n  rules: [ra, rb, rc]\n  group-by: user\n  timespan: %ds\n", kind, 30+r.IntN(30))
		if kind == "value_count" {
			text += "  condition: {field: port, gte: 12}\n"
		}
		rules := parse(t, text)
		naive := &naiveCorrelator{rules: rules, newest: map[uint64]time.Time{}, groups: map[string][]finding{}}
		e := New(Compile(rules), Options{})
		most := 0
		var want, got []notice
		start := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
		for i := range 1200 {
			at := start.Add(time.Duration(i) * 100 * time.Millisecond).Add(-time.Duration(r.IntN(3000)) * time.Millisecond)
			ev := &event.LogEvent{Stream: hostLog, Sequence: uint64(i), Time: at, ObservedTime: at}
			// c is rare, and comes after what it needs, or before.
			k := []string{"a", "b"}[r.IntN(2)]
			if r.IntN(300) == 0 {
				k = "c"
			}
			ev.Set("kind", k)
			ev.Set("user", "u")
			ev.Set("port", fmt.Sprint(r.IntN(10)+r.IntN(200)/199))
			if r.IntN(300) == 0 {
				ev.Set("port", "99")
			}
			want = append(want, naive.event(ev)...)
			e.Log(ev, func(a *event.AlertEvent) { got = append(got, noticeOf(ev, a)) })
			for _, rs := range e.rules {
				for _, g := range rs.groups {
					most = max(most, len(g.entries))
				}
			}
		}
		// What was forgotten is not counted.
		for _, list := range [][]notice{want, got} {
			for i := range list {
				list[i] = notice{Rule: list[i].Rule, Group: list[i].Group, At: list[i].At}
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d, %s: alerts differ (-naive +engine):\n%s", seed, kind, d)
		}
		if most > 600 {
			t.Errorf("seed %d, %s: a group has %d entries", seed, kind, most)
		}
	}
}

// TestCorrelationNumbersAreBounded: a window over numbers merges its oldest, and
// its sum stays what it is.
func TestCorrelationNumbersAreBounded(t *testing.T) {
	text := baseRules + "---\ntitle: T\nid: c\ncorrelation:\n  type: value_sum\n  rules: [ra]\n  timespan: 1d\n  condition: {field: bytes, gte: 20000}\n"
	e := New(Compile(parse(t, text)), Options{})
	var got []*event.AlertEvent
	for i := range 20_000 {
		ev := &event.LogEvent{Stream: hostLog, Sequence: uint64(i), Time: at(float64(i)), ObservedTime: at(float64(i))}
		ev.Set("kind", "a")
		ev.Set("bytes", "1")
		e.Log(ev, func(a *event.AlertEvent) {
			if a.RuleID == "c" {
				got = append(got, a)
			}
		})
		for _, g := range e.rules[3].groups {
			if len(g.entries) > maxNumbers {
				t.Fatalf("a group has %d entries", len(g.entries))
			}
		}
	}
	if len(got) != 1 || got[0].Causes[len(got[0].Causes)-1].Sequence != 19_999 {
		t.Fatalf("got %d alerts, want one at the last event", len(got))
	}
	if s := e.Stats(); s.Lost != 0 {
		t.Errorf("got %+v, want none lost", s)
	}
}

// TestCorrelationAlert: the alert says what it stands on.
func TestCorrelationAlert(t *testing.T) {
	text := baseRules + `---
title: Chain
id: c
description: D
level: high
tags: [attack.t1110]
correlation:
  type: temporal_ordered
  rules: [ra, rc]
  group-by: [who]
  aliases: {who: {ra: user, rc: account}}
  timespan: 1m
`
	e := New(Compile(parse(t, text)), Options{})
	var got []*event.AlertEvent
	for i, k := range []string{"a", "a", "b", "c"} {
		ev := failed(uint64(i), float64(i), "192.0.2.1")
		ev.Set("kind", k)
		ev.Set("account", "root")
		e.Log(ev, func(a *event.AlertEvent) { got = append(got, a) })
	}
	var rules []string
	for _, a := range got {
		rules = append(rules, a.RuleID)
	}
	// No correlation names rb, and none generates what ra and rc find.
	if d := cmp.Diff([]string{"rb", "c"}, rules); d != "" {
		t.Fatalf("alerts differ (-want +got):\n%s", d)
	}
	a := got[1]
	details := []event.Field{
		{Key: "correlation", Value: "temporal_ordered in 1m0s"},
		{Key: "rules", Value: "ra, rc"},
		{Key: "first_seen", Value: "2025-03-01T12:00:00Z"},
		{Key: "last_seen", Value: "2025-03-01T12:00:03Z"},
		{Key: "group_by", Value: "who"},
		{Key: "matched", Value: "rc: s.kind|contains"},
	}
	if d := cmp.Diff(details, a.Details); d != "" {
		t.Errorf("details differ (-want +got):\n%s", d)
	}
	if a.Group != "root" || a.Count != 3 || a.Severity != event.SeverityHigh || a.Entity("src_ip") != "192.0.2.1" || a.Entity("who") != "root" || len(a.Logs) != 3 {
		t.Errorf("got %+v", a)
	}
}

// TestCorrelationOverSimpleRules: what a rule in the simple form alerts on is what a
// correlation counts, and a filter applies to it.
func TestCorrelationOverSimpleRules(t *testing.T) {
	text := `
id: brute
title: T
detection: {conditions: [{field: process, value: sshd}], threshold: {count: 2, timeframe_secs: 60, group_by: src_ip}}
---
title: Spread
id: spread
correlation: {type: value_count, rules: [brute], timespan: 10m, condition: {field: src_ip, gte: 3}, generate: true}
---
title: Known host
logsource: {product: ironpost}
filter: {rules: [brute], known: {src_ip: '9'}, condition: not known}
`
	e := New(Compile(parse(t, text)), Options{})
	var got []string
	for i, address := range []string{"1", "1", "9", "9", "2", "2", "1", "1", "3", "3"} {
		for _, a := range feed(e, failed(uint64(i), float64(i), address)) {
			got = append(got, fmt.Sprint(i, " ", a.RuleID, " ", a.Group, " ", a.Count))
		}
	}
	want := []string{"1 brute 1 2", "5 brute 2 2", "7 brute 1 2", "9 brute 3 2", "9 spread  4"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("alerts differ (-want +got):\n%s", d)
	}
}

// TestCorrelationEdit: an edit of a rule that a correlation names starts the
// correlation afresh; one of another rule does not.
func TestCorrelationEdit(t *testing.T) {
	text := baseRules + "---\ntitle: T\nid: c\ncorrelation: {type: event_count, rules: [ra], timespan: 1m, condition: {gte: 2}}\n"
	for change, want := range map[string]int{
		"kind|contains: b": 1,
		"kind|contains: a": 0,
		"gte: 2":           0,
		"title: T":         1,
	} {
		edited := strings.Replace(text, change, map[string]string{
			"kind|contains: b": "kind|contains: bb", "kind|contains: a": "kind|contains: [a, z]", "gte: 2": "gt: 1", "title: T": "title: U",
		}[change], 1)
		e := New(Compile(parse(t, text)), Options{})
		n := 0
		for i := range 2 {
			ev := failed(uint64(i), float64(i), "x")
			ev.Set("kind", "a")
			n = len(feed(e, ev))
			e.Swap(Compile(parse(t, edited)))
		}
		if n != want {
			t.Errorf("%s: got %d alerts, want %d", change, n, want)
		}
	}
}

// TestPercentile: the rank is the nearest.
func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		percentile int
		want       float64
	}{{0, 15}, {5, 15}, {30, 20}, {40, 20}, {50, 35}, {100, 50}} {
		w := &window{kind: sigma.ValuePercentile, percentile: c.percentile}
		var entries []entry
		for _, n := range []float64{40, 15, 50, 20, 35} {
			entries = append(entries, entry{number: n, id: 1})
		}
		if got, ok := w.value(entries, new([]float64)); !ok || got != c.want {
			t.Errorf("percentile %d: got %v, want %v", c.percentile, got, c.want)
		}
	}
}

// TestMatched: an alert names what of the rule's condition held, and nothing that
// stands behind a not.
func TestMatched(t *testing.T) {
	rules := parse(t, `
title: Choice
id: choice
logsource: {product: ironpost, service: log}
detection:
  one: {process: sshd, 'message|contains': [Failed, Accepted]}
  two: {user: nobody}
  three: [{user|re: '^ro'}, {user: admin}]
  words: [password]
  none: {user: x}
  condition: (one or two) and three and words and not none
---
title: Fixed
id: fixed
logsource: {product: ironpost, service: log}
detection:
  one: {process: sshd}
  none: {user: x}
  condition: one and not none
---
title: Simple
id: simple
detection: {conditions: [{any: [{field: user, value: root}, {field: user, operator: regex, value: zz}]}, {field: host, operator: not_equals, value: y}]}
`)
	got := map[string]string{}
	for _, a := range feed(New(Compile(rules), Options{}), failed(0, 0, "192.0.2.1")) {
		got[a.RuleID] = a.Details[len(a.Details)-1].Value
	}
	want := map[string]string{
		"choice": "one.process, one.message|contains, three.user|re, words", "fixed": "one.process", "simple": "user equals",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("evidence differs (-want +got):\n%s", d)
	}
}

// correlated are correlations whose groups keep more than events.
const correlated = `---
title: T
id: values
correlation: {type: value_count, rules: [ra], group-by: user, timespan: 1m, condition: {field: port, gte: 4}}
---
title: T
id: sum
correlation: {type: value_sum, rules: [ra, rb], group-by: user, timespan: 1m, condition: {field: bytes, gte: 100}}
---
title: T
id: order
correlation: {type: temporal_ordered, rules: [ra, rb, rc], group-by: user, timespan: 1m}
`

// FuzzRestoreCorrelation: no state of a correlation makes the detector fail, and what
// it accepts it writes alike.
func FuzzRestoreCorrelation(f *testing.F) {
	set := Compile(parse(f, baseRules+correlated))
	feedActivities := func(e *Engine) {
		for _, ev := range activities(rand.New(rand.NewPCG(1, 2)), 40, 2) {
			e.Log(ev, func(*event.AlertEvent) {})
		}
	}
	e := New(set, Options{})
	feedActivities(e)
	store := map[string][]byte{}
	saveTo(e, store)
	for k, v := range store {
		f.Add(k, v)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e := New(set, Options{})
		restoreFrom(t, e, map[string][]byte{key: value})
		if before := e.Stats(); before.Groups == 1 && before.BadState == 0 {
			for i, rs := range e.rules {
				for _, g := range rs.groups {
					again := New(set, Options{})
					restoreFrom(t, again, map[string][]byte{g.stateKey(): g.encode()})
					if !bytes.Equal(again.rules[i].recent[g.class].head.encode(), g.encode()) {
						t.Error("a group is not written as it was read")
					}
				}
			}
		}
		feedActivities(e)
		if s := e.Stats(); s.Bytes < 0 || s.Groups < 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestCorrelationBounds: groups of correlations are evicted within the bounds of all
// groups, and counted.
func TestCorrelationBounds(t *testing.T) {
	e := New(Compile(parse(t, baseRules+correlated)), Options{MaxGroups: 50, MaxBytes: 1 << 20})
	for i, ev := range activities(rand.New(rand.NewPCG(5, 6)), 3000, 400) {
		ev.Message = strings.Repeat("x", 2000)
		e.Log(ev, func(*event.AlertEvent) {})
		if s := e.Stats(); s.Groups > 50 || s.Bytes > 1<<20 || s.Bytes < 0 {
			t.Fatalf("event %d: got %+v", i, s)
		}
	}
	if s := e.Stats(); s.EvictedGroups == 0 {
		t.Errorf("got %+v, want evicted groups", s)
	}
	for range 5 {
		e.Swap(Compile(parse(t, baseRules+correlated)))
	}
	e.Swap(Compile(nil))
	if s := e.Stats(); s.Groups != 0 || s.Bytes != 0 {
		t.Errorf("got %+v after the rules went, want nothing", s)
	}
}
