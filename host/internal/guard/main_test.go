package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "enforcer-docker"

// errKilled is what a call ends with when its plugin, or the host, is killed.
var errKilled = errors.New("the connection is gone")

// engine is an enforcer over containers that it makes up: which are isolated.
type engine struct {
	mu       sync.Mutex
	isolated map[string]string // by which intent
	gone     map[string]bool
	calls    []string
	// at is called before and after the effect of each call, as "execute:before".
	at func(point string) error
}

func (e *engine) step(call string, req *pb.ExecuteRequest, do func(target, id string) *pb.ExecuteResponse) (*pb.ExecuteResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call+" "+req.Intent.Target)
	if err := e.point(call + ":before"); err != nil {
		return nil, err
	}
	reply := do(req.Intent.Target, req.Intent.Id)
	if err := e.point(call + ":after"); err != nil {
		return nil, err
	}
	return reply, nil
}

func (e *engine) point(p string) error {
	if e.at == nil {
		return nil
	}
	return e.at(p)
}

func (e *engine) Prepare(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return e.step("prepare", req, func(target, _ string) *pb.ExecuteResponse {
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_PLANNED, Before: []byte("networks of " + target)}
	})
}

func (e *engine) Execute(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return e.step("execute", req, func(target, id string) *pb.ExecuteResponse {
		if string(req.Before) != "networks of "+target {
			return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_FAILED, Reason: "nothing to restore"}
		}
		e.isolated[target] = id
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_APPLIED}
	})
}

func (e *engine) Inspect(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return e.step("inspect", req, func(target, _ string) *pb.ExecuteResponse {
		switch {
		case e.gone[target]:
			return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_EXPIRED}
		case e.isolated[target] == "":
			return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_RELEASED}
		}
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_APPLIED}
	})
}

func (e *engine) Release(_ context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return e.step("release", req, func(target, _ string) *pb.ExecuteResponse {
		delete(e.isolated, target)
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_RELEASED}
	})
}

func (e *engine) Plan(context.Context, *pb.PlanRequest) (*pb.PlanResponse, error) {
	return nil, errors.New("it does not explain itself")
}

func (e *engine) who() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.isolated)
}

func (e *engine) made() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

// tape keeps the action events that were recorded.
type tape struct {
	mu     sync.Mutex
	events []*pb.ActionEvent
}

func (t *tape) Append(_ uint8, data []byte) (uint64, error) {
	var a pb.ActionEvent
	if err := proto.Unmarshal(data, &a); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, &a)
	return uint64(len(t.events)), nil
}

func (t *tape) Wait(context.Context, uint64) error { return nil }

func (t *tape) outcomes(id string) (out []pb.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.events {
		if a.Id == id {
			out = append(out, a.Outcome)
		}
	}
	return out
}

// hand is a clock that is set by hand.
type hand struct {
	mu   sync.Mutex
	wall time.Time
	boot time.Duration
}

func (h *hand) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wall, h.boot = h.wall.Add(d), h.boot+d
}

func (h *hand) clock() expiry.Clock {
	return expiry.Clock{
		Wall:   func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.wall },
		Boot:   func() time.Duration { h.mu.Lock(); defer h.mu.Unlock(); return h.boot },
		BootID: "boot-1",
	}
}

// world is a guard with all that it works with.
type world struct {
	t      *testing.T
	dir    string
	engine *engine
	tape   *tape
	hand   *hand
	config Config
	guard  *Guard
	store  *state.Store
	stop   func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, dir: t.TempDir(), tape: &tape{},
		engine: &engine{isolated: make(map[string]string), gone: make(map[string]bool)},
		hand:   &hand{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), boot: 100 * time.Hour},
	}
	mode := config.Enforce
	w.config = Config{
		Journal: w.tape, Clock: w.hand.clock(), Mode: func() config.Mode { return mode },
		Enforcer: func(n string) Enforcer {
			if n != name {
				return nil
			}
			return w.engine
		},
		Alert: func(id string) (Alert, bool) {
			return Alert{Containers: []string{"container-of-" + id}, Provenance: pb.Provenance_PROVENANCE_HOST}, true
		},
	}
	w.open()
	t.Cleanup(func() {
		w.halt()
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// open makes a guard of what is in the directory.
func (w *world) open() {
	w.t.Helper()
	var err error
	if w.store, err = state.Open(w.dir, 1<<20); err != nil {
		w.t.Fatal(err)
	}
	w.config.Store = w.store
	if w.guard, err = New(w.config); err != nil {
		w.t.Fatal(err)
	}
}

// run has the guard work until halt.
func (w *world) run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	g := w.guard
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.stop = func() { cancel(); running.Wait() }
}

func (w *world) halt() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// crash has the host die: another begins with what was on the disk when the copy of
// the state was made.
func (w *world) crash(copied string) {
	w.t.Helper()
	w.halt()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.dir = copied
	w.open()
	w.run()
}

// snapshot copies the state as it is on the disk now. It is not written meanwhile.
func (w *world) snapshot() string {
	w.t.Helper()
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	to := w.t.TempDir()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Error(err)
		return to
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(w.dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), data, 0o600)
		}
		if err != nil {
			w.t.Error(err)
		}
	}
	return to
}

// isolate is an intent about the container of an alert.
func isolate(alert string, more ...string) *pb.ActionEvent {
	a := &pb.ActionEvent{
		Id: "intent-of-" + alert, AlertId: alert, Action: "net-isolate", Target: "container-of-" + alert,
		Details: []*pb.Field{{Key: "ttl_seconds", Value: "600"}, {Key: "policy", Value: "p"}, {Key: "running", Value: "20"}},
	}
	for i := 0; i+1 < len(more); i += 2 {
		a.Details = append([]*pb.Field{{Key: more[i], Value: more[i+1]}}, a.Details...)
	}
	return a
}

func (w *world) decide(a *pb.ActionEvent) {
	w.t.Helper()
	if err := w.guard.Decide(w.t.Context(), name, a); err != nil {
		w.t.Fatal(err)
	}
}

// state returns the state of an intent.
func (w *world) state(id string) State {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	in := w.guard.intents[key(name, id)]
	if in == nil {
		return ""
	}
	return in.State
}

// until waits until an intent has a state, without time going by on the clock.
func (w *world) until(id string, want State) { w.t.Helper(); w.wait(id, want, 0) }

// untilTrying is until with the pauses between tries going by.
func (w *world) untilTrying(id string, want State) {
	w.t.Helper()
	w.wait(id, want, 50*time.Millisecond)
}

func (w *world) wait(id string, want State, pass time.Duration) {
	w.t.Helper()
	w.poll(fmt.Sprintf("%s is %s", id, want), func() bool {
		w.hand.pass(pass)
		w.guard.nudge()
		return w.state(id) == want
	})
}

// poll waits until a condition holds.
func (w *world) poll(what string, condition func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if <-tick.C; time.Now().After(deadline) {
			w.t.Fatalf("not within a minute: %s; the engine was called %d times", what, w.engine.made())
		}
	}
}
