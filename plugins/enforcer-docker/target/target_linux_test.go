package target_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/target"
	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine lists processes as the host does. groups are control groups that others
// claim to be in.
type machine struct {
	sdk.Processes // nothing else of it is called
	groups        map[int]string
}

func (m machine) List(_ context.Context, pids ...int) ([]sdk.Process, error) {
	var out []sdk.Process
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		group := m.groups[pid]
		if group == "" {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
			if err != nil {
				return nil, err
			}
			_, group, _ = strings.Cut(strings.TrimSpace(string(text)), "::")
			if i := bytes.Index(text, []byte("docker")); group == "" && i > 0 { // cgroup v1
				group, _, _ = strings.Cut(string(text[i-1:]), "\n")
			}
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		started, err := strconv.ParseUint(strings.Fields(rest)[19], 10, 64)
		if err != nil {
			return nil, err
		}
		out = append(out, sdk.Process{PID: pid, ControlGroup: group, StartedTicks: started})
	}
	return out, nil
}

// TestAlert finds the containers of alerts, on a real dockerd.
func TestAlert(t *testing.T) {
	d := enginetest.Start(t)
	d.Network("front", "172.30.1.0/24")
	e, err := engine.New(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	web := d.Run("web", `"HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{"front":{"IPAMConfig":{"IPv4Address":"172.30.1.10"}}}}`)
	db := d.Run("db", `"HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{"front":{"IPAMConfig":{"IPv4Address":"172.30.1.11"}}}}`)
	d.Run("side", `"HostConfig":{"NetworkMode":"container:`+db+`"}`)
	// A network that is handed on twice, by one that has ended.
	first := d.Run("first", `"HostConfig":{"NetworkMode":"front"},"NetworkingConfig":{"EndpointsConfig":{"front":{"IPAMConfig":{"IPv4Address":"172.30.1.12"}}}}`)
	second := d.Run("second", `"HostConfig":{"NetworkMode":"container:`+first+`"}`)
	d.Run("third", `"HostConfig":{"NetworkMode":"container:`+second+`"}`)
	d.Call(nil, http.MethodPost, "/containers/"+second+"/kill", "")
	d.Wait(second, "not-running")
	// Networks of other kinds, and containers that do not run at the moment.
	d.MakeNetwork("six", `"Driver":"bridge","EnableIPv6":true,"IPAM":{"Config":[{"Subnet":"172.30.6.0/24"},{"Subnet":"fd00:77::/64"}]}`)
	six := d.Run("six", `"HostConfig":{"NetworkMode":"six"},"NetworkingConfig":{"EndpointsConfig":{"six":{"IPAMConfig":{"IPv4Address":"172.30.6.9","IPv6Address":"fd00:77::9"}}}}`)
	d.Link("eth9")
	d.MakeNetwork("street", `"Driver":"macvlan","Options":{"parent":"eth9"},"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]}`)
	street := d.Run("street", `"HostConfig":{"NetworkMode":"street"},"NetworkingConfig":{"EndpointsConfig":{"street":{"IPAMConfig":{"IPv4Address":"10.9.0.9"}}}}`)
	d.Call(nil, http.MethodPost, "/containers/"+street+"/pause", "")
	d.Run("hostly", `"HostConfig":{"NetworkMode":"host"}`)
	inspected, err := e.Inspect(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(inspected.PID)
	field := func(key, value string) event.Field { return event.Field{Key: key, Value: value} }
	of := func(p event.Provenance, entities ...event.Field) *event.AlertEvent {
		return &event.AlertEvent{Time: time.Now(), Provenance: p, Evidence: event.EvidenceConfirmed, Entities: entities}
	}
	host := func(entities ...event.Field) *event.AlertEvent { return of(event.ProvenanceHost, entities...) }
	with := func(a *event.AlertEvent, change func(*event.AlertEvent)) *event.AlertEvent { change(a); return a }
	resolver := func(change func(*target.Resolver)) *target.Resolver {
		r := &target.Resolver{Docker: e, Processes: machine{groups: map[int]string{os.Getpid(): "/docker/" + web}}}
		if change != nil {
			change(r)
		}
		return r
	}
	strict := resolver(nil)
	for _, test := range []struct {
		name  string
		r     *target.Resolver
		alert *event.AlertEvent
		want  string // id
		why   string
	}{
		{"id", strict, host(field("container_id", web)), web, ""},
		{"short id", strict, host(field("container_id", web[:12])), web, ""},
		{"too short an id", strict, host(field("container_id", web[:8])), "", "there is no container"},
		{"id of none", strict, host(field("container_id", strings.Repeat("0", 64))), "", "there is no container"},
		{"name", strict, host(field("container_name", "web")), "", ""},
		{"name as an id", strict, host(field("container_id", "web")), "", "there is no container web"},
		{"control group", strict, host(field("cgroup", "/docker/"+web)), web, ""},
		{"control group within", strict, host(field("cgroup", "/docker/"+web+"/init")), web, ""},
		{"control group of systemd", strict, host(field("cgroup", "/system.slice/docker-"+web+".scope")), web, ""},
		{"control group of a user's", strict, host(field("cgroup", "/user.slice/user-1000.slice/docker-"+web+".scope")), "", ""},
		{"process", strict, host(field("pid", pid)), web, ""},
		{"process that claims a control group", strict, host(field("pid", strconv.Itoa(os.Getpid()))), "", ""},
		{"process that is gone", strict, host(field("pid", "4194303")), "", ""},
		{"process that is younger than the alert", strict, with(host(field("pid", pid)), func(a *event.AlertEvent) { a.Time = a.Time.Add(-time.Hour) }), "", ""},
		{"no process", strict, host(field("pid", "x")), "", ""},
		{"source address", strict, host(field("src_ip", "172.30.1.10")), web, ""},
		{"source address in IPv6", strict, host(field("src_ip", "::ffff:172.30.1.10")), web, ""},
		{"source address of two", strict, host(field("src_ip", "172.30.1.11")), "", "it may be about 2 containers"},
		{"source address of one that runs and one that does not", strict, host(field("src_ip", "172.30.1.12")), "", "it may be about 2 containers: first, third"},
		{"IPv6 address", strict, host(field("src_ip", "fd00:77::9")), six, ""},
		{"IPv6 address, written otherwise", strict, host(field("src_ip", "FD00:77:0:0::9")), six, ""},
		{"both addresses of one", strict, host(field("src_ip", "fd00:77::9"), field("src_ip", "172.30.6.9")), six, ""},
		{"address on a macvlan, of one that is paused", strict, host(field("src_ip", "10.9.0.9")), street, ""},
		{"the machine's own address", strict, host(field("src_ip", "172.30.1.1")), "", ""},
		{"the address of this machine to itself", strict, host(field("src_ip", "127.0.0.1")), "", ""},
		{"source address of none", strict, host(field("src_ip", "203.0.113.1")), "", ""},
		{"destination address", strict, host(field("dst_ip", "172.30.1.10")), "", ""},
		{"destination address, wanted", resolver(func(r *target.Resolver) { r.Destination = true }), host(field("dst_ip", "172.30.1.10")), web, ""},
		{"id and address of one", strict, host(field("container_id", web), field("src_ip", "172.30.1.10")), web, ""},
		{"id and address of two", strict, host(field("container_id", db), field("src_ip", "172.30.1.10")), "", "it may be about 2 containers"},
		{
			"forgeable", strict, with(host(field("src_ip", "172.30.1.10")), func(a *event.AlertEvent) { a.Evidence = event.EvidenceForgeable }),
			"", "the evidence may be forged",
		},
		{
			"forgeable, wanted", resolver(func(r *target.Resolver) { r.Forgeable = true }),
			with(host(field("src_ip", "172.30.1.10")), func(a *event.AlertEvent) { a.Evidence = event.EvidenceForgeable }), web, "",
		},
		{"network", strict, of(event.ProvenanceNetwork, field("container_id", web)), "", "proved nothing"},
		{"network with an address", strict, of(event.ProvenanceNetwork, field("src_ip", "172.30.1.10")), "", ""},
		{
			"container's line about another", strict,
			with(of(event.ProvenanceContainer, field("container_id", web), field("src_ip", "172.30.1.10")), func(a *event.AlertEvent) { a.Peer = "container:" + db }), db, "",
		},
		{
			"container's line by its stream", strict,
			with(of(event.ProvenanceContainer, field("container_id", web)), func(a *event.AlertEvent) {
				a.Causes = []event.ID{{Stream: event.StreamID("source-docker", "container/"+db), Sequence: 1}}
			}), db, "",
		},
		{
			"lines of two containers", strict,
			with(of(event.ProvenanceContainer), func(a *event.AlertEvent) {
				for _, id := range []string{web, db} {
					a.Causes = append(a.Causes, event.ID{Stream: event.StreamID("source-docker", "container/"+id), Sequence: 1})
				}
			}), "", "it may be about 2 containers",
		},
		{"line of a container that is gone", strict, of(event.ProvenanceContainer, field("container_id", web)), "", "is gone, or cannot be told"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := test.r.Alert(t.Context(), test.alert)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if found.Container != nil {
				got = found.Container.ID
			}
			if got != test.want || (found.Why == "") != (test.why == "") || !strings.Contains(found.Why, test.why) {
				t.Errorf("got %q by %q (%q), want %q (%q)", engine.Short(got), found.By, found.Why, engine.Short(test.want), test.why)
			}
		})
	}
	all, err := e.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"web": web, web: web, web[:6]: web, "": "", "we": "", "none": ""} {
		got, err := target.Named(all, text)
		if (err == nil) != (want != "") || got != nil && got.ID != want {
			t.Errorf("Named(%q): got %v, %v", text, got, err)
		}
	}
}
