package guard

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestDisabled holds that nothing is answered while the guard is disabled, over
// restarts too, and that what was in effect stays, or is released when that is asked.
func TestDisabled(t *testing.T) {
	w := newWorld(t)
	w.guard.Policy.Approve = []string{"pause"}
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	waits := isolate("a2")
	waits.Action = "pause"
	w.decide(waits)
	w.until("intent-of-a2", Planned)

	state, ending, err := w.guard.Disable(t.Context(), "alice", "a drill", false)
	if err != nil || state.Enabled || state.By != "alice" || state.Reason != "a drill" || len(ending) > 0 {
		t.Fatalf("disable: got %v, %v, %v", state, ending, err)
	}
	w.until("intent-of-a2", Refused)
	w.decide(isolate("a3"))
	w.until("intent-of-a3", Refused)
	if in := w.kept("intent-of-a3"); !slices.Contains(in.After, detail{"code", CodeDisabled}) {
		t.Errorf("refused with %v, want the code %s", in.After, CodeDisabled)
	}
	if got := w.engine.who(); got["container-of-a1"] == "" || len(got) != 1 {
		t.Errorf("isolated: %v, want what was", got)
	}
	if warned := w.guard.Warnings(); !slices.ContainsFunc(warned, func(s string) bool { return strings.Contains(s, "disabled since") }) {
		t.Errorf("warnings: %q", warned)
	}

	// Another life of the host: it is still disabled, and now it is to release.
	w.crash(w.snapshot())
	if s := w.guard.State(); s.Enabled || s.By != "alice" {
		t.Errorf("after a restart: %v", s)
	}
	w.until("intent-of-a1", Applied)
	state, ending, err = w.guard.Disable(t.Context(), "bob", "", true)
	if err != nil || state.By != "alice" || !state.ReleaseAll || len(ending) != 1 {
		t.Fatalf("disable again: got %v, %v, %v; want alice's, and one to be released", state, ending, err)
	}
	w.until("intent-of-a1", Released)
	if got := w.engine.who(); len(got) > 0 {
		t.Errorf("isolated after the release: %v", got)
	}

	if state, err := w.guard.Enable(t.Context(), "bob"); err != nil || !state.Enabled {
		t.Fatalf("enable: got %v, %v", state, err)
	}
	w.decide(isolate("a4"))
	w.until("intent-of-a4", Applied)
	var told []string
	w.tape.mu.Lock()
	defer w.tape.mu.Unlock()
	for _, a := range w.tape.events {
		if a.Action == Action {
			told = append(told, a.Target)
		}
	}
	if !slices.Equal(told, []string{"disabled", "disabled", "enabled"}) {
		t.Errorf("told %v", told)
	}
}

// TestDisabledOrder: an operator's order is refused too, with words.
func TestDisabledOrder(t *testing.T) {
	w := newWorld(t)
	w.guard.Enforcer = func(string) Enforcer { return planning{w.engine} }
	if _, _, err := w.guard.Disable(t.Context(), "alice", "", false); err != nil {
		t.Fatal(err)
	}
	_, err := w.guard.Isolate(t.Context(), Order{Enforcer: name, Target: "web", Action: "net-isolate", Actor: "bob", TTL: 1e12})
	if !errors.Is(err, control.ErrInvalid) || !strings.Contains(err.Error(), "guard enable") {
		t.Errorf("got %v, want how to enable it", err)
	}
}

// planning is an engine that explains itself.
type planning struct{ *engine }

// TestEnabledBefore: what was to be released is, also when the guard is enabled before
// it was.
func TestEnabledBefore(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.decide(isolate("a1"))
	w.until("intent-of-a1", Applied)
	w.halt() // nothing is released now
	if _, _, err := w.guard.Disable(t.Context(), "alice", "", true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.guard.Enable(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	w.crash(w.snapshot())
	w.until("intent-of-a1", Released)
	if got := w.tape.outcomes("intent-of-a1"); got[len(got)-1] != pb.Outcome_OUTCOME_RELEASED {
		t.Errorf("told %v", got)
	}
}

func (p planning) Plan(context.Context, *pb.PlanRequest) (*pb.PlanResponse, error) {
	return &pb.PlanResponse{Target: "web", Steps: []*pb.PlanStep{{Intent: isolate("web")}}}, nil
}
