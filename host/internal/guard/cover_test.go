package guard

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// attached is an enforcer over one container on networks, as isolation works on the
// real one: what a release restores is what was there when it was prepared.
type attached struct {
	*engine
	mu     sync.Mutex
	on     map[string]bool
	looked map[string]int // how often an intent was inspected
}

func concerned(req *pb.ExecuteRequest, network string) bool {
	any := true
	for _, f := range req.Intent.Details {
		if f.Key == detailNetwork {
			if f.Value == network {
				return true
			}
			any = false
		}
	}
	return any
}

func (e *attached) Prepare(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var before []string
	for n := range e.on {
		if concerned(req, n) {
			before = append(before, n)
		}
	}
	if len(before) == 0 {
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_REFUSED, Reason: "it is on none"}, nil
	}
	picture, err := json.Marshal(before)
	return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_PLANNED, Before: picture}, err
}

func (e *attached) Execute(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.on, func(n string, _ bool) bool { return concerned(req, n) })
	return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_APPLIED}, nil
}

func (e *attached) Inspect(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked[req.Intent.Id]++
	for n := range e.on {
		if concerned(req, n) {
			return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_RELEASED}, nil
		}
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_APPLIED}, nil
}

func (e *attached) Release(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var before []string
	err := json.Unmarshal(req.Before, &before)
	for _, n := range before {
		e.on[n] = true
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_RELEASED}, err
}

func (e *attached) looks(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.looked[id]
}

func (e *attached) networks() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(e.on)), " ")
}

// TestWider holds that a wider isolation is made over a narrower one, and that both
// are undone in the reverse order, whichever ends first.
func TestWider(t *testing.T) {
	for _, test := range []struct {
		name           string
		narrow, wide   string // their times to live in seconds
		order          string // who releases by hand: "narrow", "all", "disable" or ""
		first, between string // networks when the shorter time is over
	}{
		{name: "the narrower ends first", narrow: "60", wide: "600", first: "wide", between: ""},
		{name: "the wider ends first", narrow: "600", wide: "60", first: "narrow", between: "back"},
		{name: "the narrower is released by hand", narrow: "600", wide: "600", order: "narrow", between: ""},
		{name: "everything is released", narrow: "600", wide: "600", order: "all"},
		{name: "the guard is disabled", narrow: "600", wide: "600", order: "disable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			e := &attached{engine: w.engine, on: map[string]bool{"front": true, "back": true}, looked: map[string]int{}}
			w.guard.Enforcer = func(string) Enforcer { return e }
			w.guard.Alert = func(string) (Alert, bool) {
				return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
			}
			w.run()
			propose := func(id, ttl string, networks ...string) {
				a := isolate(id)
				a.Target, a.Details[0].Value = "c", ttl
				for _, n := range networks {
					a.Details = append(a.Details, &pb.Field{Key: detailNetwork, Value: n})
				}
				w.decide(a)
			}
			propose("narrow", test.narrow, "front")
			w.until("intent-of-narrow", Applied)
			propose("same", test.narrow, "front") // no more than that
			w.until("intent-of-same", Done)
			propose("wide", test.wide)
			w.until("intent-of-wide", Applied)
			if got := e.networks(); got != "" {
				t.Fatalf("it is on %q, want none", got)
			}
			propose("within", "600", "back")
			w.until("intent-of-within", Done)
			over := State(Released)
			switch test.order {
			case "narrow":
				if _, err := w.guard.ReleaseIntents(t.Context(), "intent-of-narrow", "alice"); err != nil {
					t.Fatal(err)
				}
			case "all":
				if _, err := w.guard.ReleaseIntents(t.Context(), "", "alice"); err != nil {
					t.Fatal(err)
				}
			case "disable":
				if _, _, err := w.guard.Disable(t.Context(), "alice", "", true); err != nil {
					t.Fatal(err)
				}
			default:
				over = Expired
				w.hand.pass(100 * time.Second)
				w.guard.nudge()
			}
			if test.first == "narrow" {
				w.until("intent-of-wide", Expired)
			}
			if test.first == "wide" || test.order == "narrow" {
				// It was its turn before each look at the other.
				begun := e.looks("intent-of-wide")
				w.poll("the wider is looked at", func() bool {
					w.guard.Changed(name, nil)
					return e.looks("intent-of-wide") >= begun+3
				})
				if got := w.state("intent-of-narrow"); got != Applied {
					t.Errorf("the narrower is %s while the wider is in effect", got)
				}
			}
			if got := e.networks(); test.order != "all" && test.order != "disable" && got != test.between {
				t.Errorf("when the first is over it is on %q, want %q", got, test.between)
			}
			if test.order != "all" && test.order != "disable" {
				w.hand.pass(700 * time.Second)
				w.guard.nudge()
			}
			w.until("intent-of-narrow", over)
			if got := e.networks(); got != "back front" {
				t.Errorf("in the end it is on %q, want what it was on", got)
			}
		})
	}
}

// TestLonger: a policy that asks for the same for longer has it last longer, once; one
// that comes again puts nothing off, nor does one that has to be approved.
func TestLonger(t *testing.T) {
	w := newWorld(t)
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	w.run()
	propose := func(id, ttl string, more ...string) {
		a := isolate(id)
		a.Target, a.Details[0].Value = "c", ttl
		for i := 0; i+1 < len(more); i += 2 {
			a.Details = append(a.Details, &pb.Field{Key: more[i], Value: more[i+1]})
		}
		w.decide(a)
	}
	propose("minute", "60")
	w.until("intent-of-minute", Applied)
	w.hand.pass(30 * time.Second)
	propose("again", "60")
	w.until("intent-of-again", Done)
	if left := w.left("intent-of-minute"); left != 30*time.Second {
		t.Errorf("after the same again it lasts for %v, want 30s", left)
	}
	propose("approved", "7200", "approvals", "1")
	w.until("intent-of-approved", Done)
	if left := w.left("intent-of-minute"); left != 30*time.Second {
		t.Errorf("after one that nobody approved it lasts for %v, want 30s", left)
	}
	propose("hour", "3600")
	w.until("intent-of-hour", Done)
	w.hand.pass(100 * time.Second)
	w.guard.nudge()
	if left := w.left("intent-of-minute"); left != 3500*time.Second || w.state("intent-of-minute") != Applied {
		t.Errorf("after one of an hour it is %s for %v, want 58m20s", w.state("intent-of-minute"), left)
	}
	w.hand.pass(time.Hour)
	w.guard.nudge()
	w.until("intent-of-minute", Expired)
}

// TestWaitingCoversNothing: an answer that waits for operators keeps none from being
// carried out that needs fewer.
func TestWaitingCoversNothing(t *testing.T) {
	w := newWorld(t)
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	w.run()
	for _, id := range []string{"mild", "severe"} {
		a := isolate(id)
		if id == "mild" {
			a = isolate(id, "approvals", "2")
		}
		a.Target = "c"
		w.decide(a)
	}
	w.until("intent-of-mild", Planned)
	w.until("intent-of-severe", Applied)
}

// TestApart: isolations from networks that have nothing to do with each other end each
// at its own time.
func TestApart(t *testing.T) {
	w := newWorld(t)
	e := &attached{engine: w.engine, on: map[string]bool{"front": true, "back": true}, looked: map[string]int{}}
	w.guard.Enforcer = func(string) Enforcer { return e }
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	w.run()
	for network, ttl := range map[string]string{"front": "60", "back": "7200"} {
		a := isolate(network)
		a.Target, a.Details[0].Value = "c", ttl
		a.Details = append(a.Details, &pb.Field{Key: detailNetwork, Value: network})
		w.decide(a)
		w.until("intent-of-"+network, Applied)
	}
	w.hand.pass(100 * time.Second)
	w.guard.nudge()
	w.until("intent-of-front", Expired)
	if got := e.networks(); got != "front" {
		t.Errorf("it is on %q, want front", got)
	}
}

// TestCoveredCooldown: that an answer was in effect already keeps the next one from
// nobody when its time is over.
func TestCoveredCooldown(t *testing.T) {
	w := newWorld(t)
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	w.run()
	propose := func(id string) {
		a := isolate(id, "cooldown_seconds", "300")
		a.Target = "c"
		w.decide(a)
	}
	propose("a1")
	w.until("intent-of-a1", Applied)
	w.hand.pass(590 * time.Second)
	propose("a2")
	w.until("intent-of-a2", Done)
	w.hand.pass(20 * time.Second)
	w.guard.nudge()
	w.until("intent-of-a1", Expired)
	propose("a3")
	w.until("intent-of-a3", Applied)
	in := w.kept("intent-of-a2")
	if in.CoveredBy != "intent-of-a1" || !slices.Contains(in.After, detail{detailCoveredBy, "intent-of-a1"}) || !slices.Contains(in.After, detail{"code", CodeAlready}) {
		t.Errorf("kept %+v", in)
	}
}

// TestReleasing: while an answer is being taken back, the same is not begun anew: what
// it would restore is half restored.
func TestReleasing(t *testing.T) {
	w := newWorld(t)
	w.guard.Alert = func(string) (Alert, bool) {
		return Alert{Containers: []string{"c"}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
	}
	a := isolate("first")
	a.Target = "c"
	w.run()
	w.decide(a)
	w.until("intent-of-first", Applied)
	w.engine.mu.Lock()
	w.engine.at = func(p string) error {
		if p == "release:before" {
			return errKilled
		}
		return nil
	}
	w.engine.mu.Unlock()
	if _, err := w.guard.ReleaseIntents(t.Context(), "intent-of-first", "alice"); err != nil {
		t.Fatal(err)
	}
	w.until("intent-of-first", Releasing)
	b := isolate("second")
	b.Target = "c"
	w.decide(b)
	w.until("intent-of-second", Refused)
	if in := w.kept("intent-of-second"); !slices.Contains(in.After, detail{"code", CodeAlready}) {
		t.Errorf("refused with %v, want %s", in.After, CodeAlready)
	}
	w.engine.mu.Lock()
	w.engine.at = nil
	w.engine.mu.Unlock()
	w.untilTrying("intent-of-first", Released)
}

// kept returns an intent as it is kept now.
func (w *world) kept(id string) intent {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	return *w.guard.intents[key(name, id)]
}

// counted returns how often something happened.
func (w *world) counted(what string) uint64 {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	return w.guard.counts[what]
}

// left is how long an intent lasts.
func (w *world) left(id string) time.Duration {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	return w.guard.left(w.guard.intents[key(name, id)].Stamp)
}
