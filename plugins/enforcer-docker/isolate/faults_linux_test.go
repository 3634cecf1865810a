package isolate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestDaemonRestart restarts dockerd while answers are in effect: containers that are
// always started come back, and the answer is carried out again; what was comes back
// at the release all the same.
func TestDaemonRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.d.Network("front", "172.30.1.0/24")
	b.d.Network("back", "172.30.2.0/24")
	const always = `"HostConfig":{"RestartPolicy":{"Name":"always"},"NetworkMode":"front"},
		"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["kept"],"IPAMConfig":{"IPv4Address":"172.30.1.%d"}}}}`
	type effect struct {
		r       isolate.Request
		before  engine.Container
		picture []byte
	}
	var effects []effect
	for i, action := range []string{"net-isolate", "pause", "stop"} {
		id := b.d.Run("always-"+action, fmt.Sprintf(always, 30+i))
		r := isolate.Request{Action: action, Container: id}
		e := effect{r, b.container(id), b.prepare(r)}
		b.want("execute "+action, event.OutcomeApplied, "", b.execute(r, e.picture))
		effects = append(effects, e)
	}
	b.d.Stop()
	for _, e := range effects {
		if _, err := b.x.Inspect(t.Context(), e.r, e.picture); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("inspect %s without dockerd: got %v, want ErrUnreachable", e.r.Action, err)
		}
		if _, err := b.x.Execute(t.Context(), e.r, e.picture); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("execute %s without dockerd: got %v, want ErrUnreachable", e.r.Action, err)
		}
		if _, err := b.x.Release(t.Context(), e.r, e.picture); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("release %s without dockerd: got %v, want ErrUnreachable", e.r.Action, err)
		}
	}
	b.d.Again()
	for _, e := range effects {
		name := e.r.Action
		state, err := b.x.Inspect(t.Context(), e.r, e.picture)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s after the restart: %s (%s)", name, state.Outcome, state.Reason)
		b.want("execute again "+name, event.OutcomeApplied, "", b.execute(e.r, e.picture))
		b.want("inspect "+name, event.OutcomeApplied, "", b.inspect(e.r, e.picture))
		b.want("release "+name, event.OutcomeReleased, "", b.release(e.r, e.picture))
		after := b.container(e.r.Container)
		if d := cmp.Diff(e.before.Endpoints, after.Endpoints, asked); d != "" {
			t.Errorf("%s: endpoints (-before +after):\n%s", name, d)
		}
		if after.State != e.before.State {
			t.Errorf("%s: got %s, want %s as before", name, after.State, e.before.State)
		}
	}
}

// givenUp: a call that is given up is neither a success nor a failure.
func givenUp(b bench, _ int) {
	id := b.d.Run("slow", "")
	r := isolate.Request{Action: "pause", Container: id}
	p := b.prepare(r)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if effect, err := b.x.Execute(ctx, r, p); !errors.Is(err, engine.ErrUnreachable) {
		b.Errorf("got %v, %v; want ErrUnreachable", effect, err)
	}
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
}

// seedVariable is the environment variable with another seed for TestOnlyTheNamed.
const seedVariable = "IRONPOST_TEST_SEED"

// TestOnlyTheNamed carries out a random order of answers on random containers, and
// looks after each whether any other container changed.
func TestOnlyTheNamed(t *testing.T) {
	t.Parallel()
	seed := uint64(1)
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("seed %d; another one: %s=NUMBER", seed, seedVariable)
	b := newBench(t)
	b.d.Network("front", "172.30.1.0/24")
	b.d.Network("back", "172.30.2.0/24")
	var ids []string
	for i := range 6 {
		id := b.d.Run(fmt.Sprintf("one-%d", i), fmt.Sprintf(`"HostConfig":{"NetworkMode":"front"},
			"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["all"],"IPAMConfig":{"IPv4Address":"172.30.1.%d"}}}}`, 50+i))
		if i%2 == 0 {
			b.d.Call(nil, http.MethodPost, "/networks/back/connect", fmt.Sprintf(`{"Container":%q}`, id))
		}
		ids = append(ids, id)
	}
	world := func() map[string]engine.Container {
		out := map[string]engine.Container{}
		for _, id := range ids {
			out[id] = b.container(id)
		}
		return out
	}
	random := rand.New(rand.NewPCG(seed, 0))
	type held struct {
		r isolate.Request
		p []byte
	}
	inEffect := map[string]held{}
	original := world()
	for range 16 {
		before := world()
		id := ids[random.IntN(len(ids))]
		var what string
		if h, ok := inEffect[id]; ok {
			what = "release " + h.r.Action
			b.want(what, event.OutcomeReleased, "", b.release(h.r, h.p))
			delete(inEffect, id)
		} else {
			actions := []isolate.Request{
				{Action: "net-isolate"},
				{Action: "net-isolate", Networks: []string{"front"}},
				{Action: "net-isolate", Quarantine: true},
				{Action: "pause"},
				{Action: "stop"},
				{Action: "kill"},
			}
			r := actions[random.IntN(len(actions))]
			r.Container, what = id, "execute "+r.Action
			p := b.prepare(r)
			b.want(what, event.OutcomeApplied, "", b.execute(r, p))
			inEffect[id] = held{r, p}
		}
		after := world()
		delete(before, id)
		delete(after, id)
		if d := cmp.Diff(before, after); d != "" {
			t.Fatalf("%s on %s changed others (-before +after):\n%s", what, engine.Short(id), d)
		}
	}
	for _, h := range inEffect {
		b.want("release at the end", event.OutcomeReleased, "", b.release(h.r, h.p))
	}
	if d := cmp.Diff(original, world(), asked, cmpopts.IgnoreFields(engine.Container{}, "PID", "StartedAt")); d != "" {
		t.Errorf("containers at the end (-before +after):\n%s", d)
	}
}
