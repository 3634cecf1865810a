package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// daemon is a dockerd of the test's own, away from the machine's.
type daemon struct {
	t      *testing.T
	socket string
	client *http.Client
}

// startDocker starts a dockerd without a network and returns when it answers.
func startDocker(t *testing.T) *daemon {
	t.Helper()
	binary, err := exec.LookPath("dockerd")
	if err != nil {
		binary = "/usr/sbin/dockerd"
		if _, err := os.Stat(binary); err != nil {
			t.Skip("needs dockerd; on Debian and Ubuntu: apt-get install docker.io")
		}
	}
	dir, err := os.MkdirTemp("", "dkr") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, socket: filepath.Join(dir, "docker.sock")}
	d.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}}}
	var output bytes.Buffer
	cmd := exec.Command(binary, "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", "unix://"+d.socket,
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs")
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done: //nolint:errcheck // it says that the process was ended
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-done //nolint:errcheck // it says that the process was killed
		}
		if t.Failed() {
			t.Logf("output of dockerd:\n%s", output.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove dockerd's directory: %v", err)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(50 * time.Millisecond); ; <-tick {
		if resp, err := d.client.Get("http://docker/_ping"); err == nil {
			_ = resp.Body.Close()
			return d
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("dockerd ended at once: %v\n%s", err, output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer within a minute")
		}
	}
}

// call makes one call and decodes the answer into v, unless that is nil.
func (d *daemon) call(v any, method, path string, body io.Reader, kind string) {
	d.t.Helper()
	req, err := http.NewRequest(method, "http://docker/v1.41"+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		d.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if v != nil {
		if err := json.Unmarshal(answer, v); err != nil {
			d.t.Fatalf("%s %s: %v in %q", method, path, err, answer)
		}
	}
}

// runContainer starts a container that does nothing, from a static busybox.
func (d *daemon) runContainer(name string) {
	d.t.Helper()
	program, err := os.ReadFile("/bin/busybox")
	if errors.Is(err, os.ErrNotExist) {
		d.t.Skip("needs a static busybox; on Debian and Ubuntu: apt-get install busybox-static")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	if err := w.WriteHeader(&tar.Header{Name: "busybox", Mode: 0o755, Size: int64(len(program))}); err != nil {
		d.t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		d.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.call(nil, http.MethodPost, "/images/create?fromSrc=-&repo=busybox&tag=local", &image, "application/x-tar")
	d.call(nil, http.MethodPost, "/containers/create?name="+name,
		strings.NewReader(`{"Image":"busybox:local","Cmd":["/busybox","sleep","600"],"HostConfig":{"NetworkMode":"none"}}`), "application/json")
	d.call(nil, http.MethodPost, "/containers/"+name+"/start", http.NoBody, "")
	d.t.Cleanup(func() { d.call(nil, http.MethodDelete, "/containers/"+name+"?force=1", http.NoBody, "") })
}

// TestDockerGrant gives a plugin a part of the Docker API and lets it ask for
// more.
func TestDockerGrant(t *testing.T) {
	needRoot(t)
	t.Parallel()
	d := startDocker(t)
	d.runContainer("web")
	dir := writeFiles(t, nil)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{}, PluginDirs: []string{dir}, Config: fmt.Sprintf("docker_socket = %q\n", d.socket), NoStart: true,
	})
	h.Start()
	appendConfig(t, h, fmt.Sprintf("[asker]\ncontainer = \"web\"\npid = %d\nsocket = %q\n", h.PID(), d.socket))
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
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ping 200", "list 200", "inspect 200", "pause 204", "unpause 204", "events pause",
		"stop 403", "exec 403", "create 403", "dots 403", "direct true",
		"process uid=0 executable=" + exe, "processes true <nil>", "command true",
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
	d.call(&state, http.MethodGet, "/containers/web/json", http.NoBody, "")
	if state.State.Status != "running" {
		t.Errorf("the container: got %q, want it running", state.State.Status)
	}
	text, err := h.CLI("plugin", "info", "asker")
	if err != nil || !strings.Contains(text, "docker.calls_refused") {
		t.Errorf("plugin info: got %q, %v, want the refused calls in it", text, err)
	}
}
