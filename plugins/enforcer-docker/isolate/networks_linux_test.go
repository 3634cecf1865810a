package isolate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/sdk/event"
)

// shape is what has to be as before after a release, in Docker's own words: all that
// inspecting shows but what Docker chooses or counts itself.
func (b bench) shape(id string) map[string]any {
	b.Helper()
	var c struct {
		Name, Image        string
		Config, HostConfig map[string]any
		State              struct{ Status string }
		NetworkSettings    struct {
			Ports    map[string]any
			Networks map[string]map[string]any
		}
	}
	text, err := json.Marshal(b.d.Inspect(id))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		b.Fatal(err)
	}
	networks := map[string]any{}
	for name, n := range c.NetworkSettings.Networks {
		ipam, _ := n["IPAMConfig"].(map[string]any)
		static := func(key string) bool { text, _ := ipam[key].(string); return text != "" }
		if !static("IPv4Address") {
			delete(n, "IPAddress")
		}
		if !static("IPv6Address") {
			delete(n, "GlobalIPv6Address")
		}
		if mac, _ := c.Config["MacAddress"].(string); mac == "" || name != c.HostConfig["NetworkMode"] {
			delete(n, "MacAddress")
		}
		delete(n, "EndpointID")
		delete(n, "DNSNames") // the aliases, once more
		if aliases, ok := n["Aliases"].([]any); ok {
			n["Aliases"] = slices.DeleteFunc(aliases, func(a any) bool { return a == id[:12] })
		}
		maps.DeleteFunc(n, empty)
		networks[name] = n
	}
	maps.DeleteFunc(c.HostConfig, empty)
	return map[string]any{
		"name": c.Name, "image": c.Image, "config": c.Config, "host": c.HostConfig, "state": c.State.Status,
		"ports": c.NetworkSettings.Ports, "networks": networks,
	}
}

// empty reports whether a value holds nothing: Docker tells that from an absent one at
// will.
func empty(_ string, v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// pair runs two containers on a network, one with an address, and says how the
// other reaches it.
func (b bench) pair(network, address string, ping string) (id string, reached func() bool) {
	b.Helper()
	key := "IPv4Address"
	if strings.Contains(address, ":") {
		key = "IPv6Address"
	}
	id = b.d.Run("one-"+network, fmt.Sprintf(`"HostConfig":{"NetworkMode":%q},"NetworkingConfig":{"EndpointsConfig":{%q:{"IPAMConfig":{%q:%q}}}}`, network, network, key, address))
	other := b.d.Run("other-"+network, fmt.Sprintf(`"HostConfig":{"NetworkMode":%q}`, network))
	return id, func() bool {
		return strings.Contains(b.d.In(other, ping, "-c", "1", "-W", "1", address), " 0% packet loss")
	}
}

// cutOff isolates, and expects that nobody reaches the container until it is released.
func (b bench) cutOff(id string, reached func() bool) {
	b.Helper()
	b.until("the container is reached", reached)
	was := b.shape(id)
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	if reached() {
		b.Error("the container is reached while it is isolated")
	}
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	b.until("the container is reached again", reached)
	if d := cmp.Diff(was, b.shape(id)); d != "" {
		b.Errorf("the container (-before +after):\n%s", d)
	}
}

// TestNetworks isolates containers on networks of every kind that Docker has, and
// expects back what was, as Docker, and those who use it, see it.
func TestNetworks(t *testing.T) {
	t.Parallel()
	whole := newBench(t)
	whole.d.Network("front", "172.30.1.0/24")
	whole.d.Network("back", "172.30.2.0/24")
	whole.d.Network("aside", "172.30.4.0/24")
	for _, test := range []struct {
		name string
		do   func(b bench)
	}{
		{"macvlan", macvlan},
		{"ipvlan", ipvlan},
		{"IPv6", sixth},
		{"link-local addresses and options of the driver", func(b bench) {
			b.round(isolate.Request{Action: "net-isolate", Container: b.d.Run("optional", `"HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{
				"front":{"IPAMConfig":{"LinkLocalIPs":["169.254.7.7"]},"DriverOpts":{"org.example.key":"value"}}}}`)})
		}},
		{"aliases and links on a network", links},
		{"links of the old kind", oldLinks},
		{"default bridge with a static address", staticDefault},
		{"three networks and a route", routes},
		{"priority of gateways", priority},
		{"one that shares the network of one that shares", chain},
		{"removed at its end, while isolated", removedAtEnd},
		{"network made anew while isolated", madeAnew},
		{"kept up by Docker", restartPolicies},
		{"swarm", swarm},
	} {
		t.Run(test.name, func(t *testing.T) { test.do(whole.sub(t)) })
	}
}

func macvlan(b bench) {
	b.d.Link("eth9")
	b.d.MakeNetwork("street", `"Driver":"macvlan","Options":{"parent":"eth9"},"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}`)
	id, reached := b.pair("street", "10.9.0.77", "ping")
	b.cutOff(id, reached)
}

// ipvlan is not in every kernel: a container on it does not start then.
func ipvlan(b bench) {
	b.d.Link("eth8")
	b.d.MakeNetwork("lane", `"Driver":"ipvlan","Options":{"parent":"eth8"},"IPAM":{"Config":[{"Subnet":"10.8.0.0/24"}]}`)
	id := b.d.Create("probe", `"HostConfig":{"NetworkMode":"lane"}`)
	if err := b.d.Try(http.MethodPost, "/containers/"+id+"/start", ""); err != nil {
		if !strings.Contains(err.Error(), "operation not supported") {
			b.Fatal(err)
		}
		b.Log("NOT TESTED on this kernel, which has no ipvlan")
		b.refused(isolate.Request{Action: "net-isolate", Container: id}, "it is not running")
		return
	}
	id, reached := b.pair("lane", "10.8.0.77", "ping")
	b.cutOff(id, reached)
}

func sixth(b bench) {
	b.d.MakeNetwork("six", `"Driver":"bridge","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"172.30.6.0/24"},{"Subnet":"fd00:77::/64"}]}`)
	id, reached := b.pair("six", "fd00:77::99", "ping6")
	b.cutOff(id, reached)
	if got := b.container(id).Endpoints[0].Address6; got != "fd00:77::99" {
		b.Errorf("address: got %s, want the static one", got)
	}
}

// links: names that others, and the container itself, find by Docker's DNS.
func links(b bench) {
	b.d.Run("db", `"HostConfig":{"NetworkMode":"front"}`)
	// Nobody else is asked for a name.
	const own = `"HostConfig":{"NetworkMode":"front","Dns":["127.0.0.1"]}`
	id := b.d.Run("linked", own+`,"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["shop"],"Links":["db:database"]}}}`)
	asker := b.d.Run("asker", own)
	resolves := func(from, name string) bool {
		return strings.Contains(b.d.In(from, "nslookup", "-timeout=1", "-retry=1", name, "127.0.0.11"), "172.30.1.")
	}
	r := isolate.Request{Action: "net-isolate", Container: id}
	if !resolves(id, "database") || !resolves(asker, "shop") {
		b.Fatal("the names are not found before")
	}
	was, p := b.shape(id), b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	if resolves(asker, "shop") {
		b.Error("the alias is found while the container is isolated")
	}
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if !resolves(id, "database") || !resolves(asker, "shop") {
		b.Error("the names are not found after")
	}
	if d := cmp.Diff(was, b.shape(id)); d != "" {
		b.Errorf("the container (-before +after):\n%s", d)
	}
}

// oldLinks are lines in /etc/hosts, written when the one that links is started.
func oldLinks(b bench) {
	db := b.d.Run("olddb", "")
	web := b.d.Run("oldweb", `"HostConfig":{"Links":["olddb:database"]}`)
	hosts := func() string { return b.d.In(web, "cat", "/etc/hosts") }
	line := b.container(db).Endpoints[0].Address + "\tdatabase"
	if !strings.Contains(hosts(), line) {
		b.Fatalf("no link in\n%s", hosts())
	}
	b.round(isolate.Request{Action: "net-isolate", Container: web})
	b.round(isolate.Request{Action: "net-isolate", Container: db})
	if !strings.Contains(hosts(), line) {
		b.Errorf("the link is not in\n%s", hosts())
	}
	// Another one takes the address, to which the link leads from then on.
	r := isolate.Request{Action: "net-isolate", Container: db}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Run("squatter-of-old", "")
	b.want("release", event.OutcomePartial, "who links to it will look for it at "+strings.TrimSuffix(line, "\tdatabase")+": oldweb", b.release(r, p))
	b.wantNames(db, "bridge")
}

// staticDefault: Docker refuses an address of one's own on the default network.
func staticDefault(b bench) {
	id := b.d.Run("sedentary", "")
	r := isolate.Request{Action: "net-isolate", Container: id}
	var before isolate.Before
	if err := json.Unmarshal(b.prepare(r), &before); err != nil {
		b.Fatal(err)
	}
	before.Endpoints[0].IPv4 = "172.17.0.99" // as of a daemon that admits it
	p, err := json.Marshal(before)
	if err != nil {
		b.Fatal(err)
	}
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	if err := b.d.Try(http.MethodPost, "/networks/bridge/connect", fmt.Sprintf(`{"Container":%q,"EndpointConfig":{"IPAMConfig":{"IPv4Address":"172.17.0.99"}}}`, id)); err == nil {
		b.Error("this Docker takes the address: the test is of no use")
	}
	b.want("release", event.OutcomePartial, "the address 172.17.0.99 on bridge could not be had", b.release(r, p))
	b.wantNames(id, "bridge")
}

// routes: of several networks Docker picks the one to the world outside.
func routes(b bench) {
	id := b.d.Run("routed", `"HostConfig":{"NetworkMode":"front"}`)
	for _, network := range []string{"back", "aside"} {
		b.d.Call(nil, http.MethodPost, "/networks/"+network+"/connect", fmt.Sprintf(`{"Container":%q}`, id))
	}
	was := b.route(id)
	b.round(isolate.Request{Action: "net-isolate", Container: id})
	if got := b.route(id); got != was {
		b.Errorf("default route: got %q, want %q", got, was)
	}
	b.round(isolate.Request{Action: "net-isolate", Container: id, Networks: []string{"aside", "back"}}, "front")
	if got := b.route(id); got != was {
		b.Errorf("default route: got %q, want %q", got, was)
	}
}

// route is the default route of a container, without the name of the device.
func (b bench) route(id string) string {
	b.Helper()
	for line := range strings.Lines(b.d.In(id, "ip", "route")) {
		if route, _, ok := strings.Cut(line, " dev "); ok && strings.HasPrefix(route, "default") {
			return route
		}
	}
	b.Fatal("there is no default route")
	return ""
}

// priority of gateways is known to API 1.48 and later.
func priority(b bench) {
	if !b.d.Serves("1.48") {
		b.Log("NOT TESTED with this Docker, which knows no priority of gateways")
		return
	}
	id := b.d.CreateBy("1.48", "preferring", `"HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{"front":{},"back":{"GwPriority":7},"aside":{"GwPriority":-1}}}`)
	b.d.Call(nil, http.MethodPost, "/containers/"+id+"/start", "")
	was := b.route(id)
	if !strings.Contains(was, "172.30.2.") {
		b.Errorf("default route: got %q, want that of the network back", was)
	}
	b.round(isolate.Request{Action: "net-isolate", Container: id})
	if got := b.route(id); got != was {
		b.Errorf("default route: got %q, want %q", got, was)
	}
}

// chain: a network that is handed on twice has the same owner, whoever runs between.
func chain(b bench) {
	owner := b.d.Run("first", `"HostConfig":{"NetworkMode":"front"}`)
	second := b.d.Run("second", fmt.Sprintf(`"HostConfig":{"NetworkMode":"container:%s"}`, owner))
	third := b.d.Run("third", fmt.Sprintf(`"HostConfig":{"NetworkMode":"container:%s"}`, second))
	b.d.Call(nil, http.MethodPost, "/containers/"+second+"/stop?t=0", "")
	b.refused(isolate.Request{Action: "net-isolate", Container: owner}, "the container third")
	r := isolate.Request{Action: "net-isolate", Container: third, Shared: []string{owner}}
	was := b.shape(owner)
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.wantNames(owner)
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if d := cmp.Diff(was, b.shape(owner)); d != "" {
		b.Errorf("the owner (-before +after):\n%s", d)
	}
}

// removedAtEnd: of a container that was run with --rm nothing is left to restore.
func removedAtEnd(b bench) {
	id := b.d.Run("passing", `"HostConfig":{"NetworkMode":"front","AutoRemove":true}`)
	r := isolate.Request{Action: "net-isolate", Container: id}
	b.round(r)
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodPost, "/containers/"+id+"/kill", "")
	b.d.Wait(id, "removed")
	b.want("inspect", event.OutcomeExpired, "the container is gone", b.inspect(r, p))
	b.want("release", event.OutcomeReleased, "the container is gone", b.release(r, p))
}

// madeAnew: the container is attached to the network that has the name now.
func madeAnew(b bench) {
	b.d.Network("renewed", "172.30.8.0/24")
	id := b.d.Run("mover", `"HostConfig":{"NetworkMode":"renewed"},"NetworkingConfig":{"EndpointsConfig":{"renewed":{"Aliases":["kept"],"IPAMConfig":{"IPv4Address":"172.30.8.8"}}}}`)
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	b.d.Call(nil, http.MethodDelete, "/networks/renewed", "")
	b.d.Network("renewed", "172.30.9.0/24") // the address is of no use there
	b.want("release", event.OutcomePartial, "the network renewed was made anew, and the container is on the new one; the address 172.30.8.8 on renewed could not be had", b.release(r, p))
	got := b.container(id).Endpoints
	if len(got) != 1 || !strings.HasPrefix(got[0].Address, "172.30.9.") || !cmp.Equal(got[0].Aliases, []string{"kept"}) {
		b.Errorf("got %+v, want the alias, and an address of the new network", got)
	}
	b.want("release again", event.OutcomePartial, "", b.release(r, p))
}

// restartPolicies: who is ended stays so, whatever Docker was told, until it is released.
func restartPolicies(b bench) {
	for _, test := range []struct{ policy, action string }{{"always", "kill"}, {"unless-stopped", "stop"}, {"on-failure", "kill"}} {
		id := b.d.Run(test.action+"-"+test.policy, fmt.Sprintf(`"HostConfig":{"NetworkMode":"front","RestartPolicy":{"Name":%q}}`, test.policy))
		b.round(isolate.Request{Action: test.action, Container: id}, "front")
	}
	// It crashes while it is isolated: Docker starts it again, on its first network.
	id := b.d.Run("crashing", `"HostConfig":{"NetworkMode":"front","RestartPolicy":{"Name":"always"}},"Cmd":["/busybox","sh","-c","trap 'exit 3' USR1; while :; do /busybox sleep 1; done"]`)
	was := b.shape(id)
	r := isolate.Request{Action: "net-isolate", Container: id}
	p := b.prepare(r)
	b.want("execute", event.OutcomeApplied, "", b.execute(r, p))
	started := b.container(id).StartedAt
	b.d.Call(nil, http.MethodPost, "/containers/"+id+"/kill?signal=USR1", "")
	b.until("it runs again", func() bool { c := b.container(id); return c.State == engine.StateRunning && c.StartedAt != started })
	b.want("execute again", event.OutcomeApplied, "", b.execute(r, p))
	b.wantNames(id)
	b.want("release", event.OutcomeReleased, "", b.release(r, p))
	if d := cmp.Diff(was, b.shape(id)); d != "" {
		b.Errorf("the container (-before +after):\n%s", d)
	}
}

// swarm: the tasks of a real service are left to the swarm.
func swarm(b bench) {
	b.d.Call(nil, http.MethodPost, "/swarm/init", `{"ListenAddr":"127.0.0.1:2377","AdvertiseAddr":"127.0.0.1"}`)
	defer b.d.Call(nil, http.MethodPost, "/swarm/leave?force=1", "")
	b.d.Call(nil, http.MethodPost, "/services/create", `{"Name":"shop","TaskTemplate":{"ContainerSpec":{"Image":"busybox:local","Command":["/busybox","sleep","3600"]},"Networks":[{"Target":"host"}]}}`)
	var task string
	b.until("the task runs", func() bool {
		all, err := b.engine.Containers(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range all {
			if c.Service() == "shop" && c.Running() {
				task = c.ID
			}
		}
		return task != ""
	})
	was := b.shape(task)
	for _, action := range []string{"net-isolate", "pause", "stop", "kill"} {
		b.refused(isolate.Request{Action: action, Container: task}, "it is a task of the swarm service shop, which is not handled")
	}
	if d := cmp.Diff(was, b.shape(task)); d != "" {
		b.Errorf("the task (-before +after):\n%s", d)
	}
}
