package dockerproxy

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inspected is the answer of GET /containers/{id}/json, shortened to what
// matters here. The secrets stand where people put them.
const inspected = `{"Id":"0123","Created":"2026-03-01T12:00:00Z","Path":"/app","Args":["--password","SECRET"],
"State":{"Status":"running","Running":true,"Pid":77,"StartedAt":"2026-01-02T03:04:05Z","Error":"SECRET","Health":{"Log":[{"Output":"SECRET"}]}},
"Image":"sha256:ab","Name":"/web","ExecIDs":["SECRET"],
"HostConfig":{"Tmpfs":{"/scratch":"size=1m"},"Binds":["/:/host"],"Privileged":true,"NetworkMode":"host","PidMode":"host","IpcMode":"private","CapAdd":["SYS_ADMIN"],
 "Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda","CgroupPermissions":"rwm"}],"LogConfig":{"Config":{"splunk-token":"SECRET"}}},
"Mounts":[{"Type":"bind","Source":"/var/run/docker.sock","Destination":"/s","Mode":"ro","RW":false,"Propagation":"rprivate"}],
"Config":{"User":"1000","Image":"nginx:1","Env":["TOKEN=SECRET"],"Cmd":["SECRET"],"Entrypoint":["SECRET"],"Healthcheck":{"Test":["SECRET"]},"Labels":{"team":"blue"}}}`

func TestSettings(t *testing.T) {
	docker := daemon(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "absent"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"message":"No such container: absent"}`))
		case strings.Contains(r.URL.Path, "broken"):
			_, _ = w.Write([]byte(`{"Id":`))
		case strings.Contains(r.URL.Path, "huge"):
			_, _ = w.Write([]byte(`{"Id":"` + strings.Repeat("x", maxAnswer) + `"}`))
		default:
			_, _ = w.Write([]byte(inspected))
		}
	})
	_, c, _ := serve(t, docker, "settings")
	status, got := ask(t, c, "GET", "/v1.41/containers/web/json", "")
	if status != http.StatusOK || strings.Contains(got, "SECRET") {
		t.Errorf("got %d %s, want 200 without secrets", status, got)
	}
	var s containerSettings
	if err := json.Unmarshal([]byte(got), &s); err != nil {
		t.Fatal(err)
	}
	want := containerSettings{
		ID: "0123", Name: "/web", Created: "2026-03-01T12:00:00Z", Image: "sha256:ab",
		State: containerState{Status: "running", Running: true, Pid: 77, StartedAt: "2026-01-02T03:04:05Z"},
		HostConfig: hostSettings{
			Tmpfs: map[string]string{"/scratch": "size=1m"}, Privileged: true, NetworkMode: "host", PidMode: "host", IpcMode: "private", CapAdd: []string{"SYS_ADMIN"},
			Devices: []deviceMapping{{"/dev/sda", "/dev/sda", "rwm"}},
		},
		Mounts: []mountPoint{{Type: "bind", Source: "/var/run/docker.sock", Destination: "/s", Mode: "ro", Propagation: "rprivate"}},
		Config: imageSettings{User: "1000", Image: "nginx:1", Labels: map[string]string{"team": "blue"}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/containers/absent/json", http.StatusNotFound, "No such container: absent"},
		{"/containers/broken/json", http.StatusBadGateway, "read the settings of a container"},
		{"/containers/huge/json", http.StatusBadGateway, "the answer is longer than 8388608 bytes"},
		{"/containers/json", http.StatusForbidden, "not granted"},
		{"/containers/web/top", http.StatusForbidden, "not granted"},
	} {
		if status, got := ask(t, c, "GET", tt.path, ""); status != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %d %s, want %d and %q", tt.path, status, got, tt.status, tt.want)
		}
	}
	for _, grants := range [][]string{{"settings", "read"}, {"GET /containers/*/json"}} {
		_, c, _ := serve(t, docker, grants...)
		if _, got := ask(t, c, "GET", "/containers/web/json", ""); got != inspected {
			t.Errorf("with %q: got %s, want all of it", grants, got)
		}
	}
}
