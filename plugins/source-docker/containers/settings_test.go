package containers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/source-docker/dockertest"
)

// raw returns the records of a stream as JSON objects.
func (l *ledger) raw(t *testing.T, name string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	if e := l.streams[name]; e != nil {
		for _, text := range e.texts {
			m := map[string]any{}
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatalf("a record that is no JSON: %v: %s", err, text)
			}
			out = append(out, m)
		}
	}
	return out
}

func TestSettings(t *testing.T) {
	d := dockertest.New(t)
	l := newLedger()
	l.run(t, d, nil)
	until(t, "the mark", func() bool { return len(l.Positions()) == 1 })
	d.Add(&dockertest.Container{ID: id("a"), Name: "web", Image: "nginx:1", Settings: `{
		"HostConfig":{"Privileged":true,"NetworkMode":"host","PidMode":"host","IpcMode":"private","UTSMode":"","CapAdd":["CAP_SYS_ADMIN","net_raw"],"CapDrop":["ALL"],
			"SecurityOpt":["seccomp=unconfined"],"Devices":[{"PathOnHost":"/dev/sda"}]},
		"Mounts":[{"Type":"bind","Source":"/var/run/docker.sock","Destination":"/s","RW":false},{"Type":"bind","Source":"/","Destination":"/host","RW":true},
			{"Type":"volume","Source":"/var/lib/docker/volumes/x/_data","Destination":"/data","RW":true}],
		"Config":{"User":"1000:1000"}}`}).Exec("sh -c 'id'")
	plain := d.Add(&dockertest.Container{ID: id("b"), Name: "plain", Settings: `{"HostConfig":{"NetworkMode":"default","CapAdd":null},"Mounts":[],"Config":{}}`})
	until(t, "its start", func() bool { return len(l.raw(t, eventsStream)) == 3 })
	plain.Stop()
	plain.Remove()
	gone := d.Add(&dockertest.Container{ID: id("c"), Name: "gone"})
	gone.Exec("x")
	until(t, "the events", func() bool { return len(l.raw(t, eventsStream)) == 7 })
	var got []map[string]any
	for _, m := range l.raw(t, eventsStream) {
		for _, key := range []string{"time", "message", "container_id", "container_image", "container_labels", "docker_type", "docker_action", "docker_attributes"} {
			delete(m, key)
		}
		got = append(got, m)
	}
	confined := map[string]any{
		"container_name": "web", "container_privileged": true, "container_read_only": false, "container_user": "1000:1000",
		"container_network_mode": "host", "container_pid_mode": "host", "container_ipc_mode": "private",
		"container_cap_add": []any{"SYS_ADMIN", "NET_RAW"}, "container_cap_drop": []any{"ALL"},
		"container_security_options": []any{"seccomp=unconfined"}, "container_devices": []any{"/dev/sda"},
		"container_mounts": []any{"/:/host:rw", "/var/run/docker.sock:/s:ro"},
	}
	usual := map[string]any{"container_name": "plain", "container_privileged": false, "container_read_only": false, "container_network_mode": "default"}
	unknown := map[string]any{"container_name": "gone"}
	with := func(m map[string]any, more ...string) map[string]any {
		out := maps.Clone(m)
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	want := []map[string]any{
		with(confined, "event_action", "container_start"),
		with(confined, "event_action", "container_exec_create", "command", "sh -c 'id'"),
		with(usual, "event_action", "container_start"),
		with(usual, "event_action", "container_die"),
		with(usual, "event_action", "container_destroy"),
		with(unknown, "event_action", "container_start"),
		with(unknown, "event_action", "container_exec_create", "command", "x"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if n := d.Inspected(); n != 3 {
		t.Errorf("settings were asked for %d times, want 3: once a container", n)
	}
	if n := l.counted("settings_unknown"); n != 1 {
		t.Errorf("settings_unknown: got %d, want 1", n)
	}
}

func TestSettingsBounds(t *testing.T) {
	var s settings
	for i := range 1000 {
		s.HostConfig.SecurityOpt = append(s.HostConfig.SecurityOpt, fmt.Sprint("option ", i))
	}
	s.HostConfig.CapAdd = []string{strings.Repeat("X", maxListBytes+1)}
	var got struct {
		Options []string `json:"container_security_options"`
		Add     []string `json:"container_cap_add"`
	}
	text := append(append([]byte{'{'}, s.members()...), `"end":1}`...)
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if n := len(got.Options); n != maxListed+1 || got.Options[maxListed] != "..." {
		t.Errorf("got %d options, want %d and the mark", n, maxListed)
	}
	if diff := cmp.Diff([]string{"..."}, got.Add); diff != "" {
		t.Errorf("a value that is too long (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(text), `"container_settings_cut":true`) {
		t.Errorf("lists were cut, and container_settings_cut does not tell it: %s", text)
	}
	var r remembered
	for i := range 3 * maxRemembered {
		r.keep(fmt.Sprint(i), nil)
	}
	if len(r.order) != maxRemembered || len(r.members) != maxRemembered {
		t.Errorf("remembered: got %d and %d, want %d", len(r.order), len(r.members), maxRemembered)
	}
}

// TestSettingsHidden: what leads out of a container is told, whatever it is given
// besides.
func TestSettingsHidden(t *testing.T) {
	type mount = struct {
		Type, Source, Destination string
		RW                        bool
	}
	var got struct {
		Add    []string `json:"container_cap_add"`
		Mounts []string `json:"container_mounts"`
		Cut    bool     `json:"container_settings_cut"`
	}
	members := func(s *settings) {
		got.Add, got.Mounts, got.Cut = nil, nil, false
		text := append(append([]byte{'{'}, s.members()...), `"end":1}`...)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	dangerous := []string{"/", "/run", "/var/run", "/run/docker.sock", "/var/run/docker.sock", "/etc", "/root", "/home", "/var", "/var/lib", "/proc", "/sys", "/dev"}
	capabilities := []string{"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "DAC_READ_SEARCH", "SYS_RAWIO", "BPF", "SYS_BOOT"}
	var s settings
	for i := range 1000 {
		place := fmt.Sprint("/a", i, strings.Repeat("x", 2000))
		s.Mounts = append(s.Mounts, mount{"bind", fmt.Sprint("/srv/", i), place, true}, mount{"bind", "/etc", place, false},
			mount{"bind", fmt.Sprint("/etc/x", i), place, true}, mount{"bind", fmt.Sprint("/srv/", i, ".sock"), place, true})
		s.HostConfig.CapAdd = append(s.HostConfig.CapAdd, "CHOWN", fmt.Sprint("CAP_X", i))
	}
	for _, source := range dangerous {
		s.Mounts = append(s.Mounts, mount{"bind", source, "/" + strings.Repeat("y", 2000), true})
	}
	for _, name := range capabilities {
		s.HostConfig.CapAdd = append(s.HostConfig.CapAdd, "CAP_"+name)
	}
	members(&s)
	for _, source := range dangerous {
		if !slices.ContainsFunc(got.Mounts, func(m string) bool { return strings.HasPrefix(m, source+":") && strings.HasSuffix(m, ":rw") }) {
			t.Errorf("the mount of %s is not told: %q", source, got.Mounts)
		}
	}
	for _, name := range capabilities {
		if !slices.Contains(got.Add, name) {
			t.Errorf("the capability %s is not told: %q", name, got.Add)
		}
	}
	if !got.Cut || got.Mounts[len(got.Mounts)-1] != "..." || got.Add[len(got.Add)-1] != "..." {
		t.Errorf("cut: got %t, mounts %q, capabilities %q", got.Cut, got.Mounts, got.Add)
	}

	s = settings{Mounts: []mount{{"bind", "/srv/a", "/a", false}, {"bind", "/etc", "/x,y:z", true}}}
	s.HostConfig.CapAdd = slices.Repeat([]string{"CHOWN", "CAP_CHOWN"}, 100)
	members(&s)
	if diff := cmp.Diff([]string{"/etc:/x%2Cy%3Az:rw", "/srv/a:/a:ro"}, got.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CHOWN"}, got.Add); diff != "" || got.Cut {
		t.Errorf("doubles: cut %t (-want +got):\n%s", got.Cut, diff)
	}
}
