package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestLife follows an intent from the proposal to its end by time.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	if got := w.engine.who(); len(got) != 1 || got["container-of-a1"] != "intent-of-a1" {
		t.Fatalf("isolated: %v", got)
	}
	w.decide(isolate("a1")) // an alert that came again
	w.hand.pass(600 * time.Second)
	w.guard.nudge()
	w.until("intent-of-a1", Expired)
	if got := w.engine.who(); len(got) != 0 {
		t.Errorf("isolated after the end: %v", got)
	}
	want := []pb.Outcome{pb.Outcome_OUTCOME_PLANNED, pb.Outcome_OUTCOME_APPLIED, pb.Outcome_OUTCOME_EXPIRED}
	if got := w.tape.outcomes("intent-of-a1"); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// TestKills kills the host, or the plugin, around every call, and holds that the
// intent comes to the same end: in effect until its time is over, and then not.
func TestKills(t *testing.T) {
	points := []string{
		"prepare:before", "prepare:after", "execute:before", "execute:after", "inspect:before", "inspect:after", "release:before", "release:after",
	}
	for _, killed := range []string{"host", "plugin"} {
		for _, point := range points {
			t.Run(killed+" at "+point, func(t *testing.T) {
				w := newWorld(t)
				died := make(chan string, 1)
				w.engine.at = func(p string) error {
					if p != point || len(died) > 0 {
						return nil
					}
					if killed == "host" {
						died <- w.snapshot()
					} else {
						died <- ""
					}
					return errKilled
				}
				w.run()
				w.decide(isolate("a1"))
				w.poll(point, func() bool {
					switch {
					case strings.HasPrefix(point, "inspect"):
						w.guard.Changed(name, nil)
					case strings.HasPrefix(point, "release") && w.state("intent-of-a1") == Applied:
						w.hand.pass(600 * time.Second)
						w.guard.nudge()
					}
					return len(died) > 0
				})
				dir := <-died
				w.engine.mu.Lock()
				w.engine.at = nil
				w.engine.mu.Unlock()
				if killed == "host" {
					w.crash(dir)
				}
				if !strings.HasPrefix(point, "release") {
					w.untilTrying("intent-of-a1", Applied)
					if got := w.engine.who(); got["container-of-a1"] != "intent-of-a1" {
						t.Errorf("isolated: %v", got)
					}
					w.hand.pass(600 * time.Second)
					w.guard.nudge()
				}
				w.untilTrying("intent-of-a1", Expired)
				if got := w.engine.who(); len(got) != 0 {
					t.Errorf("isolated after the end: %v", got)
				}
			})
		}
	}
}

// TestRefusals holds what is refused, and by which code.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name, code string
		change     func(*world, *pb.ActionEvent)
	}{
		{"a verb that nobody knows", CodeAction, func(_ *world, a *pb.ActionEvent) { a.Action = "explode" }},
		{"an alert that is not known", CodeAlert, func(w *world, _ *pb.ActionEvent) {
			w.guard.Alert = func(string) (Alert, bool) { return Alert{}, false }
		}},
		{"another container", CodeTarget, func(_ *world, a *pb.ActionEvent) { a.Target = "container-of-a2" }},
		{"two containers", CodeAmbiguous, func(w *world, _ *pb.ActionEvent) {
			w.guard.Alert = func(string) (Alert, bool) {
				return Alert{Containers: []string{"container-of-a1", "container-of-a2"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
			}
		}},
		{"no container, and nothing that leads to one", CodeTarget, func(w *world, _ *pb.ActionEvent) {
			w.guard.Alert = func(string) (Alert, bool) {
				return Alert{Entities: map[string]bool{"pid=7": true}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
			}
		}},
		{"another container speaks", CodeOrigin, func(w *world, _ *pb.ActionEvent) {
			w.guard.Alert = func(string) (Alert, bool) {
				return Alert{Containers: []string{"container-of-a1"}, Provenance: pb.Provenance_PROVENANCE_CONTAINER, Peer: "container:container-of-a2"}, true
			}
		}},
		{"the network speaks", CodeOrigin, func(w *world, _ *pb.ActionEvent) {
			w.guard.Alert = func(string) (Alert, bool) {
				return Alert{Containers: []string{"container-of-a1"}, Provenance: pb.Provenance_PROVENANCE_NETWORK}, true
			}
		}},
		{"the host's own", CodeOwn, func(w *world, _ *pb.ActionEvent) { w.guard.Own = func(string) string { return "the host runs in it" } }},
		{"protected", CodeProtected, func(_ *world, a *pb.ActionEvent) {
			a.Details = append(a.Details, &pb.Field{Key: "protected", Value: "label ironpost.protect=true"})
		}},
		{"no time to live", CodeTTL, func(_ *world, a *pb.ActionEvent) { a.Details = a.Details[1:] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a := isolate("a1")
			c.change(w, a)
			w.run()
			w.decide(a)
			w.tape.mu.Lock()
			last := w.tape.events[len(w.tape.events)-1]
			w.tape.mu.Unlock()
			var code string
			for _, f := range last.Details {
				if f.Key == "code" {
					code = f.Value
				}
			}
			if last.Outcome != pb.Outcome_OUTCOME_REFUSED || code != c.code || last.Reason == "" {
				t.Errorf("got %v with code %q and reason %q, want refused with %q", last.Outcome, code, last.Reason, c.code)
			}
			w.halt()
			if n := w.engine.made(); n != 0 {
				t.Errorf("the engine was called: %v", w.engine.calls)
			}
		})
	}
}

// TestLimits holds the limits of how much is under effect, and that operators are
// not held to them.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy config.Guard
		more   []string
		want   int // containers isolated of six
	}{
		{"none", config.Guard{}, nil, 6},
		{"at once", config.Guard{MaxAtOnce: 4}, nil, 4},
		{"a share of twenty", config.Guard{MaxShare: 15}, nil, 3},
		{"a share that is less than one", config.Guard{MaxShare: 1}, nil, 1},
		{"alike", config.Guard{MaxAlike: 2}, []string{"group", "image=web"}, 2},
		{"a minute", config.Guard{MaxPerMinute: 5}, nil, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.guard.Policy = c.policy
			w.run()
			alerts := []string{"a1", "a2", "a3", "a4", "a5", "a6"}
			for i, a := range alerts {
				w.decide(isolate(a, c.more...))
				if i < c.want {
					w.until("intent-of-"+a, Applied)
				} else {
					w.until("intent-of-"+a, Refused)
				}
			}
			if got := len(w.engine.who()); got != c.want {
				t.Errorf("%d are isolated, want %d", got, c.want)
			}
		})
	}
}

// TestUndone holds that what somebody undoes is done again, and given up with an
// alert in the end.
func TestUndone(t *testing.T) {
	w := newWorld(t)
	var title string
	w.guard.Raise = func(_ context.Context, _ *pb.ActionEvent, s, _ string) error { title = s; return nil }
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	for range maxRedone + 1 {
		w.engine.mu.Lock()
		delete(w.engine.isolated, "container-of-a1")
		before := len(w.engine.calls)
		w.engine.mu.Unlock()
		w.guard.Changed(name, []string{"container-of-a1"})
		w.poll("it is done again", func() bool { return w.engine.made() >= before+2 && w.state("intent-of-a1") != Executing })
	}
	w.until("intent-of-a1", Failed)
	if !strings.Contains(title, "again and again") {
		t.Errorf("the alert says %q", title)
	}
	if got := w.engine.who(); len(got) != 0 {
		t.Errorf("isolated: %v", got)
	}
}

// TestApproval holds that an intent waits for as many users as it needs, and no
// longer than it may.
func TestApproval(t *testing.T) {
	w := newWorld(t)
	w.guard.Policy = config.Guard{TwoApprovals: true, ApprovalTTL: time.Minute}
	w.run()
	stop := isolate("a1")
	stop.Action = "stop"
	w.decide(stop)
	if got := w.state("intent-of-a1"); got != Planned {
		t.Fatalf("it is %s", got)
	}
	if _, err := w.guard.Approve(t.Context(), "intent-of-a1", "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.guard.Approve(t.Context(), "intent-of-a1", "alice"); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("the same user twice: %v", err)
	}
	if got := w.engine.made(); got != 0 {
		t.Errorf("calls before it was approved: %v", w.engine.calls)
	}
	if _, err := w.guard.Approve(t.Context(), "container-of-a1", "bob"); err != nil {
		t.Fatal(err)
	}
	w.until("intent-of-a1", Applied)

	late := isolate("a2")
	late.Action = "kill"
	w.decide(late)
	w.hand.pass(61 * time.Second)
	w.guard.nudge()
	w.until("intent-of-a2", Refused)
}

// TestModes holds that no call that changes anything is made in simulate, and that
// what is in effect ends with the mode.
func TestModes(t *testing.T) {
	w := newWorld(t)
	mode := config.Simulate
	w.guard.Mode = func() config.Mode { return mode }
	w.decide(isolate("a1"))
	if got := w.tape.outcomes("intent-of-a1"); !slices.Equal(got, []pb.Outcome{pb.Outcome_OUTCOME_SIMULATED}) {
		t.Errorf("told %v", got)
	}
	if want := []string{"prepare container-of-a1"}; !slices.Equal(w.engine.calls, want) {
		t.Errorf("calls %v, want %v", w.engine.calls, want)
	}
	mode = config.Detect
	w.decide(isolate("a2"))
	if got := w.tape.outcomes("intent-of-a2"); len(got) != 0 {
		t.Errorf("told in detect: %v", got)
	}
	mode = config.Enforce
	w.decide(isolate("a3", "policy_mode", "simulate"))
	if got := w.tape.outcomes("intent-of-a3"); !slices.Equal(got, []pb.Outcome{pb.Outcome_OUTCOME_SIMULATED}) {
		t.Errorf("a policy that only simulates: told %v", got)
	}
	w.run()
	w.decide(isolate("a4"))
	w.until("intent-of-a4", Applied)
	w.halt()
	mode = config.Simulate
	w.run()
	w.until("intent-of-a4", Released)
	if got := w.engine.who(); len(got) != 0 {
		t.Errorf("isolated in simulate: %v", got)
	}
}

// TestRelease holds an operator's release of one and of all.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	w.run()
	for _, a := range []string{"a1", "a2", "a3"} {
		w.decide(isolate(a))
		w.until("intent-of-"+a, Applied)
	}
	if list, err := w.guard.ReleaseIntents(t.Context(), "container-of-a2", "alice"); err != nil || len(list) != 1 {
		t.Fatalf("released %v, %v", list, err)
	}
	w.until("intent-of-a2", Released)
	if got := w.engine.who(); len(got) != 2 || got["container-of-a2"] != "" {
		t.Errorf("isolated: %v", got)
	}
	if _, err := w.guard.ReleaseIntents(t.Context(), "nobody", "alice"); err == nil {
		t.Error("an unknown container was released")
	}
	if list, err := w.guard.ReleaseIntents(t.Context(), "", "alice"); err != nil || len(list) != 2 {
		t.Fatalf("released %v, %v", list, err)
	}
	w.until("intent-of-a1", Released)
	w.until("intent-of-a3", Released)
	if got := w.engine.who(); len(got) != 0 {
		t.Errorf("isolated: %v", got)
	}
}

// TestEvidenceFirst holds that intents about one target keep their order.
func TestEvidenceFirst(t *testing.T) {
	w := newWorld(t)
	evidence := isolate("a1", "release_needed", "false")
	evidence.Id, evidence.Action = "evidence-of-a1", "evidence"
	w.decide(evidence)
	w.decide(isolate("a1"))
	w.run()
	w.until("intent-of-a1", Applied)
	if got := w.state("evidence-of-a1"); got != Done {
		t.Errorf("the evidence is %s when the container is isolated", got)
	}
	w.halt()
	want := []string{"prepare", "execute", "prepare", "execute"}
	for i, c := range w.engine.calls[:4] {
		if !strings.HasPrefix(c, want[i]) {
			t.Errorf("calls %v, want %v", w.engine.calls, want)
		}
	}
}

// TestGone holds that a container that is gone ends its intent.
func TestGone(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	w.engine.mu.Lock()
	w.engine.gone["container-of-a1"] = true
	w.engine.mu.Unlock()
	w.guard.Changed(name, nil)
	w.until("intent-of-a1", Released)
}

// TestAgain holds that the same answer is not given twice, whatever leads to it.
func TestAgain(t *testing.T) {
	w := newWorld(t)
	w.guard.Policy = config.Guard{MaxPerMinute: 2}
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"container-of-a1"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	for _, alert := range []string{"a2", "a3", "a4", "a5"} {
		again := isolate(alert)
		again.Target = "container-of-a1"
		w.decide(again)
		w.until("intent-of-"+alert, Done)
		if got := w.tape.outcomes("intent-of-" + alert); !slices.Equal(got, []pb.Outcome{pb.Outcome_OUTCOME_APPLIED}) {
			t.Errorf("of the alert %s %v is told, want that it is in effect", alert, got)
		}
	}
	if n := w.counted("refused_" + CodeAlready); n > 0 {
		t.Errorf("%d refusals are counted", n)
	}
	// They have not opened the breaker for others.
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"container-of-b"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	other := isolate("b")
	w.decide(other)
	w.until("intent-of-b", Applied)
}

// TestEndless holds that only what changes nothing has no end.
func TestEndless(t *testing.T) {
	w := newWorld(t)
	a := isolate("a1", "release_needed", "false")
	a.Details = slices.DeleteFunc(a.Details, func(f *pb.Field) bool { return f.Key == "ttl_seconds" })
	w.decide(a)
	if got := w.state("intent-of-a1"); got != Refused {
		t.Errorf("an isolation without an end is %s", got)
	}
}

// TestAnEnforcerThatHangs holds that it holds up none but itself.
func TestAnEnforcerThatHangs(t *testing.T) {
	w := newWorld(t)
	hang := make(chan struct{})
	hanging := &engine{isolated: make(map[string]string), gone: make(map[string]bool), at: func(string) error { <-hang; return errKilled }}
	w.guard.Enforcer = func(n string) Enforcer {
		if n == "hanging" {
			return hanging
		}
		return w.engine
	}
	w.run()
	for i := range 3 * workers {
		if err := w.guard.Decide(t.Context(), "hanging", isolate(fmt.Sprint("h", i))); err != nil {
			t.Fatal(err)
		}
	}
	deciding := make(chan error, 1)
	go func() { deciding <- w.guard.Decide(t.Context(), "hanging", isolate("sim", "policy_mode", "simulate")) }()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	w.hand.pass(700 * time.Second)
	w.guard.nudge()
	w.until("intent-of-a1", Expired)
	close(hang)
	if err := <-deciding; err != nil {
		t.Error(err)
	}
}
