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
	"github.com/ironpost/ironpost/plugins/enforcer-docker/enginetest"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
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

func newBench(t *testing.T) bench {
	d := enginetest.Start(t)
	e, err := engine.New(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return bench{t, d, e, isolate.New(e)}
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
var asked = cmp.Options{cmpopts.IgnoreFields(engine.Endpoint{}, "Address", "Address6"), cmpopts.EquateEmpty()}

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
	before := b.container(r.Container)
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
	if before.State != after.State {
		b.Errorf("state: got %s, want %s as before", after.State, before.State)
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
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.Tick(100 * time.Millisecond); ; <-tick {
		err := b.served(port)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("the published port %d does not answer: %v", port, err)
		}
	}
}

// TestIsolator acts on containers of every kind of network, on a real dockerd.
func TestIsolator(t *testing.T) {
	t.Parallel()
	whole := newBench(t)
	whole.d.Network("front", "172.30.1.0/24")
	whole.d.Network("back", "172.30.2.0/24")
	bystander := whole.web("bystander", 99, 18999)
	untouched := whole.picture(bystander)
	port := 18080
	for _, test := range []struct {
		name string
		do   func(b bench, port int)
	}{
		{"two networks", twoNetworks},
		{"one of two networks", oneOfTwo},
		{"quarantine", quarantine},
		{"default bridge", func(b bench, _ int) {
			b.round(isolate.Request{Action: "net-isolate", Container: b.d.Run("plain", `"HostConfig":{"NetworkMode":"default"}`)})
		}},
		{"a MAC address of its own", func(b bench, _ int) {
			id := b.d.Run("mac", `"MacAddress":"02:11:22:33:44:55","HostConfig":{"NetworkMode":"back"}`)
			b.round(isolate.Request{Action: "net-isolate", Container: id})
			if got := b.container(id).Endpoints[0].MAC; got != "02:11:22:33:44:55" {
				b.Errorf("MAC address: got %q", got)
			}
		}},
		{"paused", func(b bench, _ int) {
			id := b.d.Run("frozen", `"HostConfig":{"NetworkMode":"back"}`)
			b.d.Call(nil, http.MethodPost, "/containers/"+id+"/pause", "")
			b.round(isolate.Request{Action: "net-isolate", Container: id})
			b.refused(isolate.Request{Action: "pause", Container: id}, "it is paused already")
		}},
		{"stopped", func(b bench, _ int) {
			id := b.d.Create("stopped", `"HostConfig":{"NetworkMode":"back"}`)
			for _, action := range []string{"net-isolate", "pause", "stop", "kill"} {
				b.refused(isolate.Request{Action: action, Container: id}, "it is not running")
			}
		}},
		{"host", func(b bench, _ int) {
			b.refused(isolate.Request{Action: "net-isolate", Container: b.d.Run("hostly", `"HostConfig":{"NetworkMode":"host"}`)}, "network of the host")
		}},
		{"none", func(b bench, _ int) {
			b.refused(isolate.Request{Action: "net-isolate", Container: b.d.Run("alone", `"HostConfig":{"NetworkMode":"none"}`)}, "it has no network")
		}},
		{"swarm", func(b bench, _ int) {
			id := b.d.Run("task", `"Labels":{"com.docker.swarm.service.name":"shop"}`)
			b.refused(isolate.Request{Action: "stop", Container: id}, "task of the swarm service shop")
		}},
		{"another's networks", func(b bench, _ int) {
			id := b.d.Run("elsewhere", `"HostConfig":{"NetworkMode":"back"}`)
			b.refused(isolate.Request{Action: "net-isolate", Container: id, Networks: []string{"front"}}, "none of the networks front")
		}},
		{"container:X", shared},
		{"pause", func(b bench, _ int) {
			b.round(isolate.Request{Action: "pause", Container: b.d.Run("paused", "")}, "bridge")
		}},
		{"stop", func(b bench, _ int) {
			b.round(isolate.Request{Action: "stop", Container: b.d.Run("ended", `"HostConfig":{"RestartPolicy":{"Name":"always"}}`)}, "bridge")
		}},
		{"kill", func(b bench, _ int) {
			b.round(isolate.Request{Action: "kill", Container: b.d.Run("killed", "")}, "bridge")
		}},
		{"removed when it ends", func(b bench, _ int) {
			b.refused(isolate.Request{Action: "stop", Container: b.d.Run("rm", `"HostConfig":{"AutoRemove":true}`)}, "could not be brought back")
		}},
		{"address taken", addressTaken},
		{"network removed", networkRemoved},
		{"reconnected by somebody", reconnected},
		{"restarted by somebody", restarted},
		{"removed", removed},
		{"given up", givenUp},
	} {
		port++
		t.Run(test.name, func(t *testing.T) { test.do(whole.sub(t), port) })
	}
	if d := cmp.Diff(untouched, whole.picture(bystander)); d != "" {
		t.Errorf("a container that was not meant changed (-want +got):\n%s", d)
	}
}

// picture is all that must not change of a container that is not meant.
func (b bench) picture(id string) engine.Container { return b.container(id) }

func (b bench) refused(r isolate.Request, why string) {
	b.Helper()
	if _, err := b.x.Prepare(b.Context(), r); !errors.Is(err, isolate.ErrRefused) || !strings.Contains(err.Error(), why) {
		b.Errorf("prepare %s: got %v, want it refused: %s", r.Action, err, why)
	}
}

func twoNetworks(b bench, port int) {
	id := b.web("two", 20, port)
	b.wantServed(port)
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	if b.served(port) == nil {
		b.Error("the published port answers while the container is isolated")
	}
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	b.wantServed(port)
	b.round(r)
}

func oneOfTwo(b bench, port int) {
	id := b.web("partly", 21, port)
	b.round(isolate.Request{Action: "net-isolate", Container: id, Networks: []string{"front", "other"}}, "back")
}

func quarantine(b bench, port int) {
	id := b.web("moved", 22, port)
	b.wantServed(port)
	r := isolate.Request{Action: "net-isolate", Container: id, Quarantine: true}
	b.round(r, engine.QuarantineName)
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	if b.served(port) == nil {
		b.Error("the published port answers while the container is in quarantine")
	}
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
}

// shared: who is cut off with the owner of a network has to be named.
func shared(b bench, port int) {
	owner := b.web("owner", 23, port)
	member := b.d.Run("member", fmt.Sprintf(`"HostConfig":{"NetworkMode":"container:%s"}`, owner))
	b.refused(isolate.Request{Action: "net-isolate", Container: owner}, "the container member")
	b.refused(isolate.Request{Action: "net-isolate", Container: member}, "the container owner")
	b.round(isolate.Request{Action: "net-isolate", Container: owner, Shared: []string{member}})
	before := b.container(owner)
	r := isolate.Request{Action: "net-isolate", Container: member, Shared: []string{owner}}
	p := b.prepare(r)
	b.want("execute on a member", event.OutcomeApplied, "", b.execute(r, p))
	b.wantNames(owner)
	b.want("inspect", event.OutcomeApplied, "", b.inspect(r, p))
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if d := cmp.Diff(before.Endpoints, b.container(owner).Endpoints, asked); d != "" {
		b.Errorf("endpoints of the owner (-before +after):\n%s", d)
	}
	// Another one that joins between Prepare and Execute keeps the network.
	p = b.prepare(r)
	b.d.Run("late", fmt.Sprintf(`"HostConfig":{"NetworkMode":"container:%s"}`, owner))
	b.want("execute with another member", event.OutcomeFailed, "the container late", b.execute(r, p))
	b.wantNames(owner, "back", "front")
}

func addressTaken(b bench, port int) {
	id := b.web("tenant", 24, port)
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.web("squatter", 24, port+1000)
	b.want("release", event.OutcomePartial, "the address 172.30.1.24 on front could not be had", b.release(r, p))
	b.wantNames(id, "back", "front")
	front := b.container(id).Endpoints[1]
	if front.Static() || front.Address == "172.30.1.24" || !cmp.Equal(front.Aliases, []string{"web", "www"}) {
		b.Errorf("got %+v, want another address and the aliases as before", front)
	}
	b.wantServed(port)
}

func networkRemoved(b bench, _ int) {
	b.d.Network("gone", "172.30.3.0/24")
	id := b.d.Run("homeless", `"HostConfig":{"NetworkMode":"gone"}`)
	b.d.Call(nil, http.MethodPost, "/networks/back/connect", fmt.Sprintf(`{"Container":%q}`, id))
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodDelete, "/networks/gone", "")
	b.want("release", event.OutcomePartial, "the network gone was removed", b.release(r, p))
	b.wantNames(id, "back")
	// As compose does: the same name, another network.
	b.d.Network("gone", "172.30.3.0/24")
	b.want("release again", event.OutcomePartial, "the network gone was made anew", b.release(r, p))
	b.wantNames(id, "back", "gone")
}

// reconnected: somebody brings the container back, in his own way.
func reconnected(b bench, port int) {
	id := b.web("back-again", 25, port)
	r := isolate.Request{Action: "net-isolate", Container: id}
	before, p := b.container(id), b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodPost, "/networks/front/connect", fmt.Sprintf(`{"Container":%q}`, id))
	b.want("inspect", event.OutcomePartial, "it is still on front", b.inspect(r, p))
	b.want("execute again", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodPost, "/networks/front/connect", fmt.Sprintf(`{"Container":%q}`, id))
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if d := cmp.Diff(before.Endpoints, b.container(id).Endpoints, asked); d != "" {
		b.Errorf("endpoints (-before +after):\n%s", d)
	}
}

// restarted: Docker attaches a container without networks to its first one when it
// is started.
func restarted(b bench, port int) {
	id := b.web("risen", 26, port)
	r := isolate.Request{Action: "net-isolate", Container: id}
	before, p := b.container(id), b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodPost, "/containers/"+id+"/restart?t=0", "")
	b.want("execute again", event.OutcomeApplied, "", b.execute(r, p))
	b.want("inspect", event.OutcomeApplied, "", b.inspect(r, p))
	b.wantNames(id)
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if d := cmp.Diff(before.Endpoints, b.container(id).Endpoints, asked); d != "" {
		b.Errorf("endpoints (-before +after):\n%s", d)
	}
	b.wantServed(port)
}

func removed(b bench, _ int) {
	id := b.d.Run("brief", "")
	r := isolate.Request{Action: "pause", Container: id}
	p := b.prepare(r)
	b.d.Call(nil, http.MethodDelete, "/containers/"+id+"?force=1", "")
	b.want("execute", event.OutcomeFailed, "the container is gone", b.execute(r, p))
	b.want("inspect", event.OutcomeExpired, "the container is gone", b.inspect(r, p))
	b.want("release", event.OutcomeReleased, "the container is gone", b.release(r, p))
	b.refused(r, "the container is gone")
}

// TestPicture refuses pictures of others.
func TestPicture(t *testing.T) {
	x := isolate.New(nil)
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
