package isolate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a dockerd and what acts on it.
type bench struct {
	*testing.T
	d      *enginetest.Docker
	engine *engine.Engine
	x      *isolate.Isolator
}

func newBench(t *testing.T, flags ...string) bench {
	d := enginetest.Start(t, flags...)
	e, err := engine.New(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return bench{t, d, e, isolate.New(e, nil)}
}

// sub is the bench for a part of a test.
func (b bench) sub(t *testing.T) bench { b.T, b.d = t, b.d.For(t); return b }

// prepare takes the picture, which has to be possible.
func (b bench) prepare(r isolate.Request) []byte {
	b.Helper()
	picture, err := b.x.Prepare(b.Context(), r)
	if err != nil {
		b.Fatalf("prepare %s: %v", r.Action, err)
	}
	if len(picture) > sdk.MaxBefore {
		b.Errorf("the picture has %d bytes, more than the host keeps", len(picture))
	}
	return picture
}

type step func() (sdk.Effect, error)

// want checks what a step comes to.
func (b bench) want(what string, outcome event.Outcome, reason string, do step) {
	b.Helper()
	effect, err := do()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
	if effect.Outcome != outcome || !strings.Contains(effect.Reason, reason) {
		b.Fatalf("%s: got %s (%s), want %s (%s)", what, effect.Outcome, effect.Reason, outcome, reason)
	}
}

func (b bench) execute(r isolate.Request, p []byte) step {
	return func() (sdk.Effect, error) { return b.x.Execute(b.Context(), r, p) }
}

func (b bench) inspect(r isolate.Request, p []byte) step {
	return func() (sdk.Effect, error) { return b.x.Inspect(b.Context(), r, p) }
}

func (b bench) release(r isolate.Request, p []byte) step {
	return func() (sdk.Effect, error) { return b.x.Release(b.Context(), r, p) }
}

// container looks at a container.
func (b bench) container(id string) engine.Container {
	b.Helper()
	c, err := b.engine.Inspect(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// asked compares what was asked for; addresses that Docker chose are not of interest.
var asked = cmp.Options{cmpopts.IgnoreFields(engine.Endpoint{}, "Address", "Address6", "HardwareAddress"), cmpopts.EquateEmpty()}

// names are the names of the networks that a container is on.
func (b bench) names(id string) []string {
	b.Helper()
	out := []string{}
	for _, p := range b.container(id).Endpoints {
		out = append(out, p.Network)
	}
	return out
}

func (b bench) wantNames(id string, want ...string) {
	b.Helper()
	if d := cmp.Diff(want, b.names(id), cmpopts.EquateEmpty()); d != "" {
		b.Errorf("networks (-want +got):\n%s", d)
	}
}

// round executes and releases, each twice, as after a crash, and expects all that
// was asked for to be back.
func (b bench) round(r isolate.Request, left ...string) {
	b.Helper()
	before, shape := b.container(r.Container), b.shape(r.Container)
	p := b.prepare(r)
	b.want("inspect before", event.OutcomeReleased, "", b.inspect(r, p))
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.wantNames(r.Container, left...)
	b.want("execute again", event.OutcomeApplied, "", b.execute(r, p))
	b.want("inspect", event.OutcomeApplied, "", b.inspect(r, p))
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	b.want("release again", event.OutcomeReleased, "", b.release(r, p))
	b.want("inspect after", event.OutcomeReleased, "", b.inspect(r, p))
	after := b.container(r.Container)
	if d := cmp.Diff(before.Endpoints, after.Endpoints, asked); d != "" {
		b.Errorf("endpoints (-before +after):\n%s", d)
	}
	if d := cmp.Diff(shape, b.shape(r.Container)); d != "" {
		b.Errorf("the container (-before +after):\n%s", d)
	}
	for i, p := range before.Endpoints {
		if p.Static() && after.Endpoints[i].Address != p.Address {
			b.Errorf("address on %s: got %s, want the static %s", p.Network, after.Endpoints[i].Address, p.Address)
		}
	}
}

// settings are those of a container on the networks front, with an address of its
// own, and back, both with aliases; port 80 is published.
const settings = `"Cmd":["/busybox","httpd","-f","-p","80","-h","/"],"ExposedPorts":{"80/tcp":{}},
	"HostConfig":{"NetworkMode":"front","PortBindings":{"80/tcp":[{"HostPort":"%d"}]}},
	"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["web","www"],"IPAMConfig":{"IPv4Address":"172.30.1.%d"}}}}`

func (b bench) web(name string, address, port int) string {
	b.Helper()
	id := b.d.Run(name, fmt.Sprintf(settings, port, address))
	b.d.Call(nil, http.MethodPost, "/networks/back/connect", fmt.Sprintf(`{"Container":%q,"EndpointConfig":{"Aliases":["inner"]}}`, id))
	return id
}

// served reports whether the published port of a container answers.
func (b bench) served(port int) error {
	_, err := b.d.Fetch(fmt.Sprintf("127.0.0.1:%d", port))
	return err
}

// wantServed waits for the published port of a container.
func (b bench) wantServed(port int) {
	b.Helper()
	b.until(fmt.Sprintf("the published port %d answers", port), func() bool { return b.served(port) == nil })
}

// until waits for what has to come true.
func (b bench) until(what string, holds func() bool) {
	b.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); !holds(); <-tick {
		if time.Now().After(deadline) {
			b.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestPicture refuses pictures of others.
func TestPicture(t *testing.T) {
	x := isolate.New(nil, nil)
	r := isolate.Request{Action: "pause", Container: strings.Repeat("a", 64)}
	for name, data := range map[string]string{
		"empty": "", "no JSON": "x", "another version": `{"version":2}`,
		"another container": `{"version":1,"container":"` + strings.Repeat("b", 64) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := x.Release(t.Context(), r, []byte(data)); !errors.Is(err, isolate.ErrBefore) {
				t.Errorf("got %v, want ErrBefore", err)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Fatal(err)
			}
		})
	}
}
