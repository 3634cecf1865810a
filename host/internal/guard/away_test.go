package guard

import (
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestAway holds that an answer waits for an engine that is away, from its approval
// on, and no longer than it may.
func TestAway(t *testing.T) {
	for _, c := range []struct {
		name string
		away time.Duration
		want State
	}{
		{"for a while", 4 * time.Minute, Applied},
		{"for too long", 6 * time.Minute, Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.guard.Policy = config.Guard{Approve: []string{"net-isolate"}, ApprovalTTL: time.Hour}
			w.run()
			w.decide(isolate("a1"))
			w.hand.pass(30 * time.Minute) // somebody takes his time to agree
			back := w.hand.clock().Boot() + c.away
			w.engine.mu.Lock()
			w.engine.at = func(p string) error {
				if strings.HasPrefix(p, "prepare") && w.hand.clock().Boot() < back {
					return errKilled
				}
				return nil
			}
			w.engine.mu.Unlock()
			if _, err := w.guard.Approve(t.Context(), "intent-of-a1", "alice"); err != nil {
				t.Fatal(err)
			}
			w.wait("intent-of-a1", c.want, 5*time.Second)
			if got := len(w.engine.who()); (got == 1) != (c.want == Applied) {
				t.Errorf("%d are isolated", got)
			}
		})
	}
}

// TestHalfDone holds that what was done in part is completed, whether somebody was
// killed half-way or the engine refused a part for a time, and that what stays in
// part is kept so.
func TestHalfDone(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused int // the engine does only a part so often
		want    State
	}{{"once", 1, Applied}, {"for a time", 4, Applied}, {"for ever", 1 << 20, Partial}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			half := &halfway{engine: w.engine, left: c.refused}
			w.guard.Enforcer = func(string) Enforcer { return half }
			w.run()
			w.decide(isolate("a1"))
			w.untilTrying("intent-of-a1", c.want)
			if c.want == Applied {
				return
			}
			w.poll("it is not tried any more", func() bool {
				w.hand.pass(time.Second)
				w.guard.nudge()
				half.mu.Lock()
				defer half.mu.Unlock()
				return half.made == 1+maxRedone
			})
			w.wait("intent-of-a1", Partial, 5*time.Second) // the last try is written down after it was made
			w.hand.pass(60 * time.Second)
			w.guard.Changed(name, nil)
			if got := w.state("intent-of-a1"); got != Partial {
				t.Errorf("it is %s, want partial: what is cut stays cut", got)
			}
		})
	}
}

// TestEvidenceAgain holds that evidence is collected again when somebody was killed
// meanwhile, and not for ever.
func TestEvidenceAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		kills int
		want  State
	}{{"once", 1, Done}, {"for ever", 1 << 20, Failed}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			kills := c.kills
			w.engine.at = func(p string) error {
				if p == "execute:before" && kills > 0 {
					kills--
					return errKilled
				}
				return nil
			}
			w.run()
			evidence := isolate("a1", "release_needed", "false")
			evidence.Action = "evidence"
			w.decide(evidence)
			w.untilTrying("intent-of-a1", c.want)
			if got := w.tape.outcomes("intent-of-a1"); len(got) != 2 || got[0] != pb.Outcome_OUTCOME_PLANNED {
				t.Errorf("told %v", got)
			}
		})
	}
}
