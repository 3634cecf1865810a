package isolate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	// The network that has another id after each start.
	plain := isolate.Request{Action: "net-isolate", Container: b.d.Run("plain", `"HostConfig":{"RestartPolicy":{"Name":"unless-stopped"},"PortBindings":{"80/tcp":[{"HostPort":"18031"}]}},"ExposedPorts":{"80/tcp":{}}`)}
	effects = append(effects, effect{plain, b.container(plain.Container), b.prepare(plain)})
	b.want("execute on the default network", event.OutcomeApplied, "", b.execute(plain, effects[len(effects)-1].picture))
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
		if e.r.Container == plain.Container {
			e.before.Endpoints[0].NetworkID = after.Endpoints[0].NetworkID
		}
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
