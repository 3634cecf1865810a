package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// The oracle is the window rules of the design written down again, slowly and
// word for word, with nothing forgotten and nothing bounded:
//
//	Windows are in event time, sliding, (t - window, t]; an alert is raised on
//	arrival of the line that completes the count and empties its group's
//	window; a line counts once. A line up to 5 s behind the newest of its stream
//	counts at its own time; an older one is left out of windows, and counted.
type oracle struct {
	count  int
	window time.Duration
	newest map[uint64]time.Time
	lines  map[string][]*event.LogEvent
	late   uint64
}

// alarm is what an alert must say.
type alarm struct {
	Group string
	// At is the event on whose arrival it came, Cited those it counted, by
	// time and arrival.
	At    event.ID
	Cited []event.ID
	Count uint64
}

func (o *oracle) line(ev *event.LogEvent) (out []alarm) {
	newest, ok := o.newest[ev.Stream.ID]
	if ok && ev.Time.Before(newest.Add(-5*time.Second)) {
		o.late++
		return nil
	}
	if !ok || ev.Time.After(newest) {
		o.newest[ev.Stream.ID] = ev.Time
	}
	address, _ := ev.Get("src_ip")
	if !strings.EqualFold(ev.Process, "sshd") || !strings.Contains(strings.ToLower(ev.Message), "failed password") || address == "" {
		return nil
	}
	o.lines[address] = append(o.lines[address], ev)
	var ends []time.Time
	for _, l := range o.lines[address] {
		ends = append(ends, l.Time)
	}
	var found []*event.LogEvent
	var foundEnd time.Time
	for _, t := range ends {
		var inside []*event.LogEvent
		for _, l := range o.lines[address] {
			if l.Time.After(t.Add(-o.window)) && !l.Time.After(t) {
				inside = append(inside, l)
			}
		}
		if len(inside) >= o.count && (found == nil || t.Before(foundEnd)) {
			found, foundEnd = inside, t
		}
	}
	if found == nil {
		return nil
	}
	o.lines[address] = nil
	a := alarm{Group: address, At: ev.ID(), Count: uint64(len(found))}
	for len(found) > 0 {
		first := 0
		for i := range found {
			if found[i].Time.Before(found[first].Time) {
				first = i
			}
		}
		a.Cited = append(a.Cited, found[first].ID())
		found = append(found[:first:first], found[first+1:]...)
	}
	return []alarm{a}
}

// logs makes a random log: addresses, gaps, bursts, lines out of order within
// and beyond 5 s, several streams, one of which may be minutes behind.
func logs(r *rand.Rand, lines int) []*event.LogEvent {
	streams := make([]*event.Stream, 1+r.IntN(3))
	clocks := make([]time.Time, len(streams))
	start := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range streams {
		streams[i] = &event.Stream{ID: uint64(i + 1), Name: fmt.Sprint("s", i), Provenance: event.ProvenanceHost}
		clocks[i] = start
	}
	if len(streams) > 1 && r.IntN(2) == 0 {
		clocks[1] = start.Add(-time.Duration(r.IntN(600)) * time.Second)
	}
	addresses := 1 + r.IntN(12)
	pace := 1 + r.IntN(30)
	burst := 0
	out := make([]*event.LogEvent, lines)
	for i := range out {
		s := r.IntN(len(streams))
		switch {
		case burst > 0:
			burst--
			clocks[s] = clocks[s].Add(time.Duration(r.IntN(400)) * time.Millisecond)
		case r.IntN(40) == 0:
			clocks[s] = clocks[s].Add(time.Duration(r.IntN(200)) * time.Second)
		case r.IntN(20) == 0:
			burst = r.IntN(15)
		default:
			clocks[s] = clocks[s].Add(time.Duration(r.IntN(pace)) * time.Second)
		}
		at := clocks[s]
		switch r.IntN(12) {
		case 0, 1:
			at = at.Add(-time.Duration(r.IntN(5001)) * time.Millisecond)
		case 2:
			at = at.Add(-time.Duration(r.IntN(90)) * time.Second)
		case 3:
			at = at.Add(-5 * time.Second)
		}
		ev := &event.LogEvent{
			Stream: streams[s], Sequence: uint64(i), Time: at, ObservedTime: start.Add(time.Duration(i) * time.Millisecond),
			Process: "sshd", Message: "Failed password for root from somewhere",
		}
		if r.IntN(10) > 0 {
			ev.Set("src_ip", fmt.Sprintf("192.0.2.%d", r.IntN(addresses)))
		}
		switch r.IntN(8) {
		case 0:
			ev.Process = "cron"
		case 1:
			ev.Message = "Accepted password for root"
		case 2:
			ev.Process, ev.Message = "SSHD", "FAILED PASSWORD for x"
		}
		out[i] = ev
	}
	return out
}

// bruteForce is the rule under test, with other numbers.
func bruteForce(tb testing.TB, count, secs int) []*rule.Rule {
	tb.Helper()
	data, err := os.ReadFile("../../../rules/ssh_brute_force.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	text := strings.Replace(string(data), "count: 5", fmt.Sprint("count: ", count), 1)
	text = strings.Replace(text, "timeframe_secs: 60", fmt.Sprint("timeframe_secs: ", secs), 1)
	return parse(tb, text)
}

func parse(tb testing.TB, text string) []*rule.Rule {
	tb.Helper()
	res := rule.Parse("test.yaml", []byte(text))
	if len(res.Problems) > 0 {
		tb.Fatalf("%v in\n%s", res.Problems, text)
	}
	return res.Rules
}

func alarmOf(at event.ID, a *event.AlertEvent) alarm {
	return alarm{Group: a.Group, At: at, Cited: a.Causes, Count: a.Count}
}

// TestOracle: for 1,000 logs the alerts are those of the oracle, no more, no
// less, on the same arrivals and about the same lines; also when the detector
// dies at random points and takes its state back.
func TestOracle(t *testing.T) {
	total := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		count, secs := 5, 60
		if seed%2 == 1 {
			count, secs = 1+r.IntN(12), 1+r.IntN(120)
		}
		rules := bruteForce(t, count, secs)
		set := Compile(rules)
		undisturbed, killed := New(set, Options{}), New(set, Options{})
		store := map[string][]byte{}
		o := &oracle{count: count, window: time.Duration(secs) * time.Second, newest: map[uint64]time.Time{}, lines: map[string][]*event.LogEvent{}}
		var got, again, want []alarm
		evidence := true
		for _, ev := range logs(r, 300+r.IntN(300)) {
			want = append(want, o.line(ev)...)
			undisturbed.Log(ev, func(a *event.AlertEvent) {
				got = append(got, alarmOf(ev.ID(), a))
				evidence = evidence && a.Evidence == event.EvidenceConfirmed && a.Entity("src_ip") == a.Group
			})
			killed.Log(ev, func(a *event.AlertEvent) { again = append(again, alarmOf(ev.ID(), a)) })
			if r.IntN(10) == 0 {
				saveTo(killed, store)
				if r.IntN(5) == 0 {
					killed = New(Compile(rules), Options{})
					restoreFrom(t, killed, store)
				}
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d, %d in %d s: alerts differ (-oracle +engine):\n%s", seed, count, secs, d)
		}
		if d := cmp.Diff(want, again); d != "" {
			t.Fatalf("seed %d, %d in %d s: alerts across deaths differ (-oracle +engine):\n%s", seed, count, secs, d)
		}
		if s := undisturbed.Stats(); s.Late != o.late || s.Alerts != uint64(len(want)) || s.EvictedGroups != 0 {
			t.Fatalf("seed %d: got %+v, want %d late, %d alerts, none evicted", seed, s, o.late, len(want))
		}
		if s := killed.Stats(); s.BadState != 0 {
			t.Fatalf("seed %d: %d entries of its own state are bad", seed, s.BadState)
		}
		if !evidence {
			t.Fatalf("seed %d: an alert is not confirmed or does not name its src_ip", seed)
		}
		total += len(want)
	}
	if total < 5000 {
		t.Errorf("the logs gave %d alerts in all, too few to tell", total)
	}
	t.Logf("%d alerts", total)
}

func saveTo(e *Engine, store map[string][]byte) {
	e.Save(func(k string, v []byte) bool {
		store[k] = append([]byte(nil), v...)
		return true
	}, func(k string) bool {
		delete(store, k)
		return true
	})
}

func restoreFrom(tb testing.TB, e *Engine, store map[string][]byte) {
	tb.Helper()
	err := e.Restore(func(yield func(string, []byte) bool) {
		for k, v := range store {
			if !yield(k, v) {
				return
			}
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
}
