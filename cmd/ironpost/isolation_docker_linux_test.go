package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestDockerGrant gives a plugin a part of the Docker API and lets it ask for
// more.
func TestDockerGrant(t *testing.T) {
	needRoot(t)
	t.Parallel()
	d := hosttest.StartDocker(t, exec.Command, "--bridge=none", "--iptables=false", "--ip6tables=false")
	d.Run("web", `"Cmd":["/busybox","sleep","600"],"HostConfig":{"NetworkMode":"none"}`)
	dir := writeFiles(t, nil)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{}, PluginDirs: []string{dir}, Config: fmt.Sprintf("docker_socket = %q\n", d.Socket), NoStart: true,
	})
	h.Start()
	appendConfig(t, h, fmt.Sprintf("[asker]\ncontainer = \"web\"\npid = %d\nsocket = %q\n", h.PID(), d.Socket))
	drop(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/asker"), filepath.Join(dir, "asker"))
	out, err := h.CLI("plugin", "enable", "--yes", "asker")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"docker read", "docker POST /containers/web/pause", "service processes"} {
		if !strings.Contains(out, want) {
			t.Errorf("plugin enable shows %q, want %q in it", out, want)
		}
	}
	var info infoLine
	h.Wait(time.Minute, "the plugin has asked for everything", func() bool {
		h.JSON(&info, "plugin", "info", "asker")
		return info.Counters["done"] == 1 && info.Counters["events pause"] == 1
	})
	// The host's own counters are read before it asks the plugin for the others.
	h.JSON(&info, "plugin", "info", "asker")
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ping 200", "list 200", "inspect 200", "pause 204", "unpause 204", "events pause",
		"stop 403", "exec 403", "create 403", "dots 403", "direct true",
		"process uid=0 executable=" + exe, "processes true <nil>",
		"mapped program=" + exe + " host=true", "mapped true true <nil>", "command true",
	}
	for _, w := range want {
		if info.Counters[w] != 1 {
			t.Errorf("got %v, want %q counted once", info.Counters, w)
		}
	}
	// Events, ping, list, inspect, pause and unpause went through; stop, exec,
	// create and the path with dots did not. Of the calls of the host, the
	// command was not granted.
	for name, want := range map[string]uint64{"docker.calls": 6, "docker.calls_refused": 4, "host.calls_refused": 1} {
		if info.Counters[name] != want {
			t.Errorf("%s: got %d, want %d", name, info.Counters[name], want)
		}
	}
	if !strings.Contains(h.Output(), "a Docker call was refused") {
		t.Error("the host's log names no refused call")
	}
	var state struct{ State struct{ Status string } }
	d.Call(&state, http.MethodGet, "/containers/web/json", http.NoBody, "")
	if state.State.Status != "running" {
		t.Errorf("the container: got %q, want it running", state.State.Status)
	}
	text, err := h.CLI("plugin", "info", "asker")
	if err != nil || !strings.Contains(text, "docker.calls_refused") {
		t.Errorf("plugin info: got %q, %v, want the refused calls in it", text, err)
	}
}
