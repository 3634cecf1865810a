package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// together counts what several engines ask, word for word as sdk.WindowAdd has it, for events
// that come in the order of their times.
type together struct {
	windows map[string][]sdk.WindowAdd
	done    map[string]time.Time
}

func (s *together) answer(ops []sdk.SharedOperation) []sdk.SharedResult {
	out := make([]sdk.SharedResult, len(ops))
	for i, op := range ops {
		w := op.Window
		held := append(s.windows[op.Key], *w)
		seen := map[string]bool{}
		for _, h := range held {
			if h.Time.After(w.Time.Add(-op.Span)) {
				id := string(h.ID)
				if len(h.Value) > 0 {
					id = string(h.Value)
				}
				seen[id] = true
			}
		}
		out[i].Count = uint64(len(seen))
		if len(seen) >= w.Threshold {
			held = nil
			if at, ok := s.done[op.Key]; !ok || w.Time.Sub(at) >= w.Quiet {
				out[i].Done, s.done[op.Key] = true, w.Time
			}
		}
		s.windows[op.Key] = held
	}
	return out
}

func newTogether() *together {
	return &together{windows: map[string][]sdk.WindowAdd{}, done: map[string]time.Time{}}
}

// askAll has an engine's questions answered, and returns the alerts that the host raises.
func askAll(e *Engine, s *together) (out []*event.AlertEvent) {
	ops := slices.Clone(e.Questions())
	results := s.answer(ops)
	for i, r := range results {
		if r.Done {
			out = append(out, ops[i].Window.Alert)
		}
	}
	e.Answer(results)
	return out
}

const (
	repeatsOverFleet = `
title: Failed login
id: failed
detection: {conditions: [{field: kind, value: failed}]}
suppress: {timeframe_secs: 20, group_by: [src_ip], scope: %s}
`
	windowOverFleet = `
title: Failed logins
id: failed
detection:
  conditions: [{field: kind, value: failed}]
  threshold: {count: 3, timeframe_secs: 60, group_by: [src_ip]}
suppress: {timeframe_secs: 90, scope: fleet}
`
)

const valuesOverFleet = `
title: Failed login
id: failed
logsource: {product: ironpost}
detection: {selection: {kind: failed}, condition: selection}
---
title: Many users from one address
id: many_users
correlation:
  type: value_count
  rules: [failed]
  group-by: [src_ip]
  timespan: 30s
  condition: {field: user, gte: 4}
ironpost:
  scope: %s
  suppress: 20
`

// TestFleetOracle: over several hosts the same rules raise what one host would that sees
// all their events.
func TestFleetOracle(t *testing.T) {
	events := func(scope string) []*rule.Rule {
		text := "id: many\ntitle: Many\ndetection:\n  conditions: [{field: kind, value: failed}]\n" +
			"  threshold: {count: 5, timeframe_secs: 60, group_by: [src_ip], scope: " + scope + "}\n"
		return parse(t, text)
	}
	values := func(scope string) []*rule.Rule { return parse(t, fmt.Sprintf(valuesOverFleet, scope)) }
	repeats := func(scope string) []*rule.Rule { return parse(t, fmt.Sprintf(repeatsOverFleet, scope)) }
	for name, rules := range map[string]func(string) []*rule.Rule{"events": events, "values": values, "repeats": repeats} {
		t.Run(name, func(t *testing.T) {
			total := 0
			for seed := range uint64(50) {
				r := rand.New(rand.NewPCG(seed, 7))
				one, state := New(Compile(rules("host")), Options{Fleet: true, HostID: "one"}), newTogether()
				var hosts []*Engine
				for i := range 3 {
					hosts = append(hosts, New(Compile(rules("fleet")), Options{Fleet: true, HostID: fmt.Sprint("host-", i)}))
				}
				var want, got []string
				secs := 0.0
				for i := range 300 {
					secs += r.Float64() * 6
					ev := failed(uint64(i), secs, fmt.Sprintf("192.0.2.%d", r.IntN(3)))
					ev.Set("kind", "failed")
					ev.Set("user", fmt.Sprint("u", r.IntN(8)))
					for _, a := range feed(one, ev) {
						want = append(want, fmt.Sprint(i, " ", a.RuleID, " ", a.Group))
					}
					host := hosts[r.IntN(len(hosts))]
					if raised := feed(host, ev); len(raised) > 0 {
						t.Fatalf("the engine raised %v itself", raised)
					}
					for _, a := range askAll(host, state) {
						got = append(got, fmt.Sprint(i, " ", a.RuleID, " ", a.Group))
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
				}
				total += len(want)
			}
			if total < 100 {
				t.Errorf("%d alerts in all: the logs show too little", total)
			}
		})
	}
}

func fleetRule(t *testing.T) *Set {
	t.Helper()
	rules := bruteForce(t, 5, 60)
	rules[0].Fleet = true
	return Compile(rules)
}

// The question carries the alert that would be raised.
func TestFleetQuestion(t *testing.T) {
	e := New(fleetRule(t), Options{Fleet: true, HostID: "web1"})
	feed(e, failed(1, 0, "192.0.2.1"), failed(2, 100, "192.0.2.1"), failed(3, 101, "192.0.2.1"))
	ops := e.Questions()
	if len(ops) != 3 || e.Asking() != 3 {
		t.Fatalf("%d questions, want 3", len(ops))
	}
	q, id := ops[2], event.ID{Stream: hostLog.ID, Sequence: 3}
	trace := event.Trace("web1", id)
	if q.Span != time.Minute || q.Window.Threshold != 5 || !q.Window.Time.Equal(at(101)) || !bytes.Equal(q.Window.ID, trace[:]) || q.Validate() != nil {
		t.Errorf("the question is %+v %+v (%v)", q, q.Window, q.Validate())
	}
	if ops[0].Key != q.Key || !strings.Contains(q.Key, "192.0.2.1") {
		t.Errorf("keys %q and %q, want the same, with the group", ops[0].Key, q.Key)
	}
	a := q.Window.Alert
	if a.ID != event.AlertID("ssh_brute_force", "192.0.2.1", id) || a.TraceID != trace || a.Count != 5 || a.Entity("src_ip") != "192.0.2.1" ||
		a.Evidence != event.EvidenceConfirmed {
		t.Errorf("the alert is %+v", a)
	}
	// It cites what this host has of the window, and no more.
	want := []event.ID{{Stream: hostLog.ID, Sequence: 2}, id}
	if diff := cmp.Diff(want, a.Causes); diff != "" || len(a.Logs) != 2 {
		t.Errorf("it cites %d events (-want +got):\n%s", len(a.Logs), diff)
	}
	e.Answer(make([]sdk.SharedResult, 3))
	if e.Asking() != 0 {
		t.Errorf("%d questions after the answer", e.Asking())
	}
}

// Nobody can be asked: what this host counted decides, and nothing is counted twice.
func TestFleetAlone(t *testing.T) {
	e := New(fleetRule(t), Options{Fleet: true, HostID: "web1"})
	var got []uint64
	for i := range uint64(10) {
		feed(e, failed(i, float64(i), "192.0.2.1"))
		e.Alone(func(a *event.AlertEvent) { got = append(got, a.Causes[len(a.Causes)-1].Sequence) })
	}
	if diff := cmp.Diff([]uint64{4, 9}, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if s := e.Stats(); s.Alerts != 2 {
		t.Errorf("%d alerts are counted, want 2", s.Alerts)
	}
	// Several questions at once are decided in their order.
	for i := range uint64(7) {
		feed(e, failed(100+i, 1000+float64(i), "192.0.2.1"))
	}
	got = nil
	e.Alone(func(a *event.AlertEvent) { got = append(got, a.Causes[len(a.Causes)-1].Sequence) })
	if diff := cmp.Diff([]uint64{104}, got); diff != "" {
		t.Errorf("alerts of seven events at once (-want +got):\n%s", diff)
	}
}

// A window that one host completes is told once, where its suppression is that of all.
func TestFleetSuppressesWindows(t *testing.T) {
	rules := parse(t, windowOverFleet)
	state := newTogether()
	a, b := New(Compile(rules), Options{Fleet: true, HostID: "web1"}), New(Compile(rules), Options{Fleet: true, HostID: "web2"})
	burst := func(e *Engine, seq uint64, secs float64) []*event.AlertEvent {
		for i := range uint64(3) {
			ev := failed(seq+i, secs+float64(i), "192.0.2.1")
			ev.Set("kind", "failed")
			if raised := feed(e, ev); len(raised) > 0 {
				t.Fatalf("the engine raised %v itself", raised)
			}
		}
		return askAll(e, state)
	}
	first := burst(a, 1, 0)
	if len(first) != 1 || first[0].Count != 3 || first[0].Group != "192.0.2.1" || first[0].ID == "" || !first[0].Time.Equal(at(2)) {
		t.Fatalf("alerts %+v, want one of three events", first)
	}
	for i, e := range []*Engine{b, a} {
		if got := burst(e, 10, 30+float64(i)); len(got) != 0 {
			t.Errorf("engine %d: alerts %+v, want none so soon", i, got)
		}
		if s := e.Stats(); s.Suppressed != 1 || s.Alerts != uint64(i) {
			t.Errorf("engine %d: %+v, want one held back", i, s)
		}
	}
	got := burst(b, 20, 100)
	if len(got) != 1 || b.Stats().Alerts != 1 {
		t.Fatalf("alerts %+v, want one after the time", got)
	}
	if want := (event.Field{Key: "suppressed", Value: "1"}); !slices.Contains(got[0].Details, want) {
		t.Errorf("details %v, want %v: what this host held back", got[0].Details, want)
	}
	if got := burst(b, 30, 300); len(got) != 1 || slices.ContainsFunc(got[0].Details, func(f event.Field) bool { return f.Key == "suppressed" }) {
		t.Errorf("alerts %+v, want one more, that tells nothing twice", got)
	}
}

// A limit of all hosts is asked for by any rule that has one; one host's stays its own.
func TestFleetLimitsAlerts(t *testing.T) {
	limit := func(text string) (out []sdk.AlertLimit) {
		for _, id := range []string{"web1", "web2"} {
			e := New(Compile(parse(t, text)), Options{Fleet: true, HostID: id})
			ev := failed(1, 0, "192.0.2.1")
			ev.Set("kind", "failed")
			feed(e, ev)
			ops := e.Questions()
			if len(ops) != 1 || ops[0].Validate() != nil || ops[0].Window.Threshold != 1 {
				t.Fatalf("questions %+v", ops)
			}
			out = append(out, *ops[0].Window.Limit)
			e.Answer([]sdk.SharedResult{{Count: 1, Done: true, Limited: true}})
			if s := e.Stats(); s.RateLimited != 1 || s.Alerts != 0 {
				t.Errorf("%+v, want one limited", s)
			}
		}
		return out
	}
	rate := "id: failed\ntitle: Failed login\ndetection: {conditions: [{field: kind, value: failed}]}\n"
	if l := limit(rate + "rate_limit: {count: 7, timeframe_secs: 3600, scope: fleet}\n"); l[0] != l[1] || l[0].Count != 7 || l[0].Span != time.Hour {
		t.Errorf("limits %+v, want one of 7 an hour", l)
	}
	if l := limit(fmt.Sprintf(repeatsOverFleet, "fleet")); l[0] == l[1] || l[0].Count != uint64(DefaultRateLimit.Count) {
		t.Errorf("limits %+v, want one for each host", l)
	}
	// Nobody can be asked: this host's count decides.
	e := New(Compile(parse(t, rate+"rate_limit: {count: 2, timeframe_secs: 3600, scope: fleet}\n")), Options{Fleet: true})
	raised := 0
	for i := range uint64(5) {
		ev := failed(i, float64(i), "192.0.2.1")
		ev.Set("kind", "failed")
		feed(e, ev)
		e.Alone(func(*event.AlertEvent) { raised++ })
	}
	if s := e.Stats(); raised != 2 || s.RateLimited != 3 || s.Alerts != 2 {
		t.Errorf("%d raised, %+v; want 2 of 5", raised, s)
	}
}

// The limit of a rule goes with each question, and holds by itself where nobody can be asked.
func TestFleetLimit(t *testing.T) {
	rules := bruteForce(t, 2, 60)
	rules[0].Fleet, rules[0].RateLimit = true, rule.Limit{Count: 2, Timeframe: time.Hour}
	engines := []*Engine{New(Compile(rules), Options{Fleet: true, HostID: "web1"}), New(Compile(rules), Options{Fleet: true, HostID: "web2"})}
	var limits []sdk.AlertLimit
	for i, e := range engines {
		feed(e, failed(1, 0, "192.0.2.1"), failed(2, 1, fmt.Sprint("192.0.2.", i)))
		for _, op := range e.Questions() {
			if err := op.Validate(); err != nil {
				t.Fatal(err)
			}
			limits = append(limits, *op.Window.Limit)
		}
		// The first completes a window, whose alert was one too many.
		e.Answer([]sdk.SharedResult{{Count: 2, Done: true, Limited: true}, {Count: 1}})
		if s := e.Stats(); s.RateLimited != 1 || s.Alerts != 0 {
			t.Errorf("%d held back and %d raised, want 1 and 0", s.RateLimited, s.Alerts)
		}
	}
	for _, l := range limits {
		if l != limits[0] || l.Count != 2 || l.Span != time.Hour || l.Key == "" {
			t.Errorf("limits %+v and %+v, want one of 2 an hour", limits[0], l)
		}
	}
	raised := 0
	for i := range uint64(8) {
		feed(engines[0], failed(10+i, 100+float64(i), "192.0.2.9"))
		engines[0].Alone(func(*event.AlertEvent) { raised++ })
	}
	if s := engines[0].Stats(); raised != 2 || s.Alerts != 2 || s.RateLimited != 3 {
		t.Errorf("alone: %d raised, %+v; want 2 of 4", raised, s)
	}
	if l := New(fleetRule(t), Options{}).limitOf(rules[0]); l != rules[0].RateLimit {
		t.Errorf("limit %v", l)
	}
	rules[0].RateLimit = rule.Limit{}
	if l := New(fleetRule(t), Options{}).limitOf(rules[0]); l != DefaultRateLimit {
		t.Errorf("limit %v, want %v where a rule does not say", l, DefaultRateLimit)
	}
}

// Long groups and values are shared by their hashes.
func TestFleetBounds(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, key := range []string{sharedKey("rule|hash|", long+"a"), sharedKey("rule|hash|", long+"b"), sharedKey(long, long)} {
		if len(key) > sdk.MaxSharedKey {
			t.Errorf("a key of %d bytes", len(key))
		}
	}
	if sharedKey("rule|", long+"a") == sharedKey("rule|", long+"b") || sharedKey("rule|", "a") != "rule|a" {
		t.Error("keys are mixed up")
	}
	if v := sharedValue([]byte(long)); len(v) > sdk.MaxSharedValue || bytes.Equal(v, sharedValue([]byte(long+"b"))) {
		t.Errorf("a value of %d bytes, or mixed up", len(v))
	}
}
