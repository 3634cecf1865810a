package isolate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// through is the bench with calls that go through a Front.
func (b bench) through(f *enginetest.Front) bench {
	b.Helper()
	e, err := engine.New(f.Socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	b.engine, b.x = e, isolate.New(e, nil)
	return b
}

// TestFrozen stops the process of dockerd in the middle of calls, for longer than who
// asks waits: nothing is known then, and it is not guessed. When dockerd goes on, what
// was asked for has happened, and is found so without being asked for again.
func TestFrozen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.d.Network("front", "172.30.1.0/24")
	front := b.d.Front(t, "1.24", "1.51")
	b = b.through(front)
	const patience = 2 * time.Second
	type answer struct {
		r     isolate.Request
		p     []byte
		shape map[string]any
	}
	var answers []answer
	for _, r := range []isolate.Request{{Action: "net-isolate"}, {Action: "pause"}, {Action: "kill"}, {Action: "stop"}} {
		// Its program does not hear the signal to stop, so that stopping takes long.
		r.Container = b.d.Run("cold-"+r.Action, `"StopSignal":"SIGTERM","HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["cold"]}}}`)
		answers = append(answers, answer{r, b.prepare(r), b.shape(r.Container)})
	}
	// asked makes calls until dockerd has them, freezes it, and lets all give up.
	asked := func(path []string, do func(context.Context, answer) (sdk.Effect, error)) (thaw func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		errs := make([]error, len(answers))
		var waiting sync.WaitGroup
		for i, a := range answers {
			waiting.Go(func() { _, errs[i] = do(ctx, a) })
		}
		b.until("the calls have come", func() bool {
			return !slices.ContainsFunc(path, func(part string) bool {
				return !slices.ContainsFunc(front.Calls(), func(call string) bool { return strings.Contains(call, part) })
			})
		})
		thaw = b.d.Freeze()
		time.AfterFunc(patience, cancel)
		waiting.Wait()
		for i, err := range errs {
			// Who was quick has his answer.
			if err != nil && !errors.Is(err, engine.ErrUnreachable) {
				t.Errorf("%s: got %v, want ErrUnreachable", answers[i].r.Action, err)
			}
		}
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			t.Error("every call was over before dockerd was stopped: the test is of no use")
		}
		short, cancel := context.WithTimeout(t.Context(), patience/4)
		defer cancel()
		for _, a := range answers {
			if effect, err := b.x.Inspect(short, a.r, a.p); !errors.Is(err, engine.ErrUnreachable) {
				t.Errorf("inspect %s while dockerd is stopped: got %v, %v; want ErrUnreachable", a.r.Action, effect, err)
			}
		}
		return thaw
	}
	thaw := asked([]string{"/disconnect", "/pause", "/kill", "/stop"}, func(ctx context.Context, a answer) (sdk.Effect, error) {
		return b.x.Execute(ctx, a.r, a.p)
	})
	thaw()
	for _, a := range answers {
		b.want("inspect "+a.r.Action+" after", event.OutcomeApplied, "", b.inspect(a.r, a.p))
	}
	thaw = asked([]string{"/connect", "/unpause", "/start"}, func(ctx context.Context, a answer) (sdk.Effect, error) {
		return b.x.Release(ctx, a.r, a.p)
	})
	thaw()
	for _, a := range answers {
		b.want("inspect "+a.r.Action+" after the release", event.OutcomeReleased, "", b.inspect(a.r, a.p))
		b.want("release "+a.r.Action, event.OutcomeReleased, "", b.release(a.r, a.p))
		if d := cmp.Diff(a.shape, b.shape(a.r.Container)); d != "" {
			t.Errorf("%s: the container (-before +after):\n%s", a.r.Action, d)
		}
	}
}

// TestLiveRestore restarts a dockerd whose containers go on: all answers are in effect
// still, and are undone by the new one.
func TestLiveRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t, "--live-restore")
	b.d.Network("front", "172.30.1.0/24")
	b.d.Network("back", "172.30.2.0/24")
	web := b.web("survivor", 40, 18040)
	b.wantServed(18040)
	frozen := b.d.Run("frozen", `"HostConfig":{"NetworkMode":"default"}`)
	plain := b.d.Run("plain", "")
	requests := []isolate.Request{{Action: "net-isolate", Container: web}, {Action: "pause", Container: frozen}, {Action: "net-isolate", Container: plain}}
	var pictures [][]byte
	var shapes []map[string]any
	pid := b.container(web).PID
	for _, r := range requests {
		shapes = append(shapes, b.shape(r.Container))
		pictures = append(pictures, b.prepare(r))
		b.want("execute "+r.Action, event.OutcomeApplied, "", b.execute(r, pictures[len(pictures)-1]))
	}
	b.d.Restart()
	if got := b.container(web); got.PID != pid {
		t.Errorf("the container has the process %d, had %d: the test is of no use", got.PID, pid)
	}
	for i, r := range requests {
		b.want("inspect "+r.Action, event.OutcomeApplied, "", b.inspect(r, pictures[i]))
		b.want("execute again "+r.Action, event.OutcomeApplied, "", b.execute(r, pictures[i]))
		b.want("release "+r.Action, event.OutcomeReleased, "", b.release(r, pictures[i]))
		if d := cmp.Diff(shapes[i], b.shape(r.Container)); d != "" {
			t.Errorf("%s: the container (-before +after):\n%s", r.Action, d)
		}
	}
	b.wantServed(18040)
}

// TestVersions makes every answer to daemons of the oldest and of a newer API than
// the client knows, and compares the calls that come with those that are granted.
func TestVersions(t *testing.T) {
	t.Parallel()
	whole := newBench(t)
	whole.d.Network("front", "172.30.1.0/24")
	whole.d.Network("back", "172.30.2.0/24")
	var came []string
	all, some := []string{"pause", "stop", "kill"}, []string{"stop"}
	oldest := "1.24"
	if whole.d.Serves("1.48") {
		oldest = "1.51" // it behaves in ways that no daemon of an older API does
	}
	for i, test := range []struct {
		oldest, newest string
		actions        []string
	}{{"1.24", oldest, all}, {"1.44", "1.60", some}} {
		t.Run(test.newest, func(t *testing.T) {
			f := whole.d.Front(t, test.oldest, test.newest)
			b := whole.sub(t).through(f)
			id := b.web("by-"+test.newest, 60+i, 18060+i)
			b.round(isolate.Request{Action: "net-isolate", Container: id})
			b.round(isolate.Request{Action: "net-isolate", Container: id, Quarantine: true}, engine.QuarantineName)
			for _, action := range test.actions {
				b.round(isolate.Request{Action: action, Container: id}, "back", "front")
			}
			b.wantServed(18060 + i)
			gather(b, id)
			came = append(came, f.Calls()...)
		})
	}
	granted := engine.Calls()
	used := map[string]bool{}
	for _, call := range came {
		if call == "HEAD /_ping" || call == "GET /_ping" {
			continue // always granted
		}
		i := slices.IndexFunc(granted, func(g string) bool { return fits(g, call) })
		if i < 0 {
			t.Errorf("%s: it is not granted", call)
			continue
		}
		used[granted[i]] = true
	}
	for _, g := range granted {
		if !used[g] {
			t.Errorf("%s: it is granted, and never made", g)
		}
	}
}

// gather collects what evidence consists of.
func gather(b bench, id string) {
	b.Helper()
	ctx := b.Context()
	c := b.container(id)
	for what, get := range map[string]func() (int, error){
		"details":   func() (int, error) { _, v, err := b.engine.Details(ctx, id); return len(v), err },
		"processes": func() (int, error) { v, err := b.engine.Processes(ctx, id); return len(v), err },
		"top":       func() (int, error) { v, err := b.engine.Top(ctx, id); return len(v), err },
		"stats":     func() (int, error) { v, err := b.engine.Stats(ctx, id); return len(v), err },
		"changes":   func() (int, error) { v, err := b.engine.Changes(ctx, id); return len(v), err },
		"logs":      func() (int, error) { _, err := b.engine.Logs(ctx, id, 10, 1<<10); return 1, err },
		"digests":   func() (int, error) { _, err := b.engine.Digests(ctx, c.ImageID); return 1, err },
	} {
		if n, err := get(); err != nil || n == 0 {
			b.Errorf("%s: got %d, %v", what, n, err)
		}
	}
	stop, done := context.WithCancel(ctx)
	if err := b.engine.Events(stop, time.Time{}, done, func(engine.Event) {}); !errors.Is(err, context.Canceled) {
		b.Errorf("events: %v", err)
	}
}

// fits reports whether a call is one of a grant, as "GET /images/**/json".
func fits(grant, call string) bool {
	g, c := strings.Split(grant, "/"), strings.Split(call, "/")
	if len(g) != len(c) {
		return false
	}
	for i := range g {
		if !strings.HasPrefix(g[i], "*") && g[i] != c[i] {
			return false
		}
	}
	return true
}
