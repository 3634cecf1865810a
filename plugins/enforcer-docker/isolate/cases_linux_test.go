package isolate_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestIsolator acts on containers of every kind of network, on a real dockerd. It is
// the longest test, and stands in the first file so that it begins first.
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
		{"a MAC address of its own", ownMAC},
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

// ownMAC: an address that was asked for comes back, or it is told that it does not;
// one that Docker chose is of no interest.
func ownMAC(b bench, _ int) {
	const own = "02:11:22:33:44:55"
	id := b.d.Run("mac", `"MacAddress":"`+own+`","HostConfig":{"NetworkMode":"back"}`)
	r := isolate.Request{Action: "net-isolate", Container: id}
	if b.engine.SetsMAC() {
		b.round(r)
		if got := b.container(id).Endpoints[0].HardwareAddress; got != own {
			b.Errorf("MAC address: got %q", got)
		}
		return
	}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	effect, err := b.x.Release(b.Context(), r, p)
	if err != nil {
		b.Fatal(err)
	}
	kept := b.container(id).Endpoints[0].HardwareAddress == own
	if told := effect.Outcome == event.OutcomePartial && strings.Contains(effect.Reason, "the MAC address "+own+" on back could not be had"); told == kept {
		b.Errorf("the address was kept: %t; got %s (%s)", kept, effect.Outcome, effect.Reason)
	}
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
	if _, err := b.x.Release(b.Context(), r, p); err == nil {
		b.want("release", event.OutcomePartial, "the network gone was removed", b.release(r, p))
		b.wantNames(id, "back")
	} else if !b.d.Serves("1.44") || !strings.Contains(err.Error(), "there is none with the name gone") {
		b.Fatalf("release: %v", err)
	}
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
