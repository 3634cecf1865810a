package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// startContainersHost starts a host that reads the containers of d into the
// plugin sink-record, whose file it returns.
func startContainersHost(t *testing.T, d *hosttest.Docker, section string) (h *hosttest.Host, record string) {
	t.Helper()
	plugins := filepath.Join(writeFiles(t, nil), "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/sink-record", filepath.Join(plugins, "sink-record"), "-ldflags=-s -w")
	h = hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-docker", "parser-json", "sink-file"}, PluginDirs: []string{plugins},
		Config: fmt.Sprintf("docker_socket = %q\n", d.Socket), NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf("[source_docker]\n%s[sink_file]\npath = %q\nkinds = [\"log\"]\n", section, filepath.Join(h.Dir, "events", "log")))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	return h, filepath.Join(h.Dir, "data", "sink-record", "record")
}

// restartable is a dockerd that can be stopped and started again, with
// --live-restore, so that its containers go on.
type restartable struct {
	t      *testing.T
	cmd    *exec.Cmd
	output bytes.Buffer
	again  <-chan error // of the dockerd that was started again, nil before
}

func (r *restartable) command(name string, args ...string) *exec.Cmd {
	r.cmd = exec.Command(name, args...)
	return r.cmd
}

// restart stops dockerd and starts it again, with the same arguments.
func (r *restartable) restart(d *hosttest.Docker) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for d.Answers() || r.cmd.Process.Signal(syscall.Signal(0)) == nil {
		if time.Now().After(deadline) {
			r.t.Fatal("dockerd goes on after SIGTERM")
		}
		<-tick.C
	}
	r.cmd = exec.Command(r.cmd.Path, r.cmd.Args[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	done, err := hosttest.StartOnThread(r.cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.again = done
	for !d.Answers() {
		if time.Now().After(deadline) {
			r.t.Fatal("dockerd does not answer after its restart")
		}
		<-tick.C
	}
}

// stop ends the dockerd that was started again. It is to run after the containers
// were removed, which would go on otherwise.
func (r *restartable) stop() {
	if r.again == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	<-r.again //nolint:errcheck // it says that the process was ended
	// With --live-restore it leaves its own mounts behind.
	for i, arg := range r.cmd.Args {
		if arg == "--data-root" {
			_ = syscall.Unmount(r.cmd.Args[i+1], syscall.MNT_DETACH)
		}
	}
	if r.t.Failed() {
		r.t.Logf("output of the second dockerd:\n%s", r.output.String())
	}
}

// counting is a container's program that prints numbered lines, every third to
// stderr, and then waits.
func counting(lines int) string {
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1));
if [ $((i%%3)) = 0 ]; then echo "line $i" >&2; else echo "line $i"; fi;
[ $((i%%40)) = 0 ] && /busybox usleep 20000; done; exec /busybox sleep 600`, lines)
	return fmt.Sprintf(`"Cmd":["/busybox","sh","-c",%q],"HostConfig":{"NetworkMode":"none"},"Labels":{"team":"blue"}`, script)
}

// dockerKept returns the lines that dockerd has in its own file of a container, as
// `docker logs` would print them. A dockerd that stops while its containers go on
// (--live-restore) does not wait for what it has read of their output and not
// written: up to 2 KiB of stdout and of stderr are in no file, and in nobody's reach.
func dockerKept(t *testing.T, d *hosttest.Docker, id string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(filepath.Dir(d.Socket), "root", "containers", id, id+"-json.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		var l struct{ Log string }
		if json.Unmarshal(s.Bytes(), &l) != nil {
			break // it is being written
		}
		lines = append(lines, strings.TrimSuffix(l.Log, "\n"))
	}
	return lines
}

// TestDockerSource reads containers through the host's proxy while the plugin,
// the host and dockerd are killed in turn: every line that dockerd kept comes, in
// its place, once.
func TestDockerSource(t *testing.T) {
	needRoot(t)
	t.Parallel()
	r := &restartable{t: t}
	d := hosttest.StartDocker(t, r.command, "--bridge=none", "--iptables=false", "--ip6tables=false", "--live-restore")
	t.Cleanup(r.stop)
	h, record := startContainersHost(t, d, "start = \"beginning\"\n")
	h.Wait(time.Minute, "the sources run", func() bool { return h.Plugin("source-docker").State == "running" })
	const lines = 10_000
	web := d.Run("web", counting(lines))
	db := d.Run("db", counting(lines))
	names := []string{web, db} // the streams are container/ID
	have := func() (n int, text string) {
		got := readRecord(t, record)
		for _, name := range names {
			n += len(got.sequences[name])
			text += absent(got.sequences[name], lines) + "\n"
		}
		return n, text
	}
	reached := func(n int) {
		t.Helper()
		h.Wait(time.Minute, fmt.Sprintf("%d lines", n), func() bool { got, _ := have(); return got >= n })
	}
	kill := func(name string) {
		t.Helper()
		h.Wait(time.Minute, name+" runs and is killed", func() bool {
			p := h.Plugin(name)
			return p.PID != 0 && syscall.Kill(p.PID, syscall.SIGKILL) == nil
		})
	}
	reached(500)
	kill("source-docker")
	reached(3000)
	kill("parser-json")
	kill("source-docker")
	reached(6000)
	r.restart(d)
	reached(9000)
	h.Kill()
	h.Start()
	reached(12_000)
	kill("source-docker")
	defer func() {
		if t.Failed() {
			_, text := have()
			t.Log(text)
		}
	}()
	kept := map[string][]string{}
	h.Wait(time.Minute, "dockerd to have the containers' last lines", func() bool {
		ended := true
		for _, name := range names {
			kept[name] = dockerKept(t, d, name)
			ended = ended && slices.Contains(kept[name], fmt.Sprint("line ", lines))
		}
		return ended
	})
	reached(len(kept[web]) + len(kept[db]))

	got := readRecord(t, record)
	for _, bad := range got.bad {
		// Many events have the same text.
		if !strings.HasPrefix(bad, "events: ") {
			t.Error(bad)
		}
	}
	for _, name := range names {
		// dockerd was stopped once.
		const most = 2 * 2048 / len("line 1\n")
		if n := len(kept[name]); n < lines-most || n > lines {
			t.Errorf("%.12s: dockerd kept %d of %d lines, want %d at least", name, n, lines, lines-most)
		} else if n < lines {
			t.Logf("%.12s: dockerd itself lost %d lines when it was stopped", name, lines-n)
		}
		want := make(map[string]uint64, lines)
		for i, message := range kept[name] {
			want[message] = uint64(i + 1)
		}
		if diff := cmp.Diff(want, got.sequences[name]); diff != "" {
			t.Errorf("%.12s: sequences of the lines that dockerd kept (-want +got):\n%.4000s", name, diff)
		}
	}
	wantContainerFields(t, h, web)
	var s statusLine
	h.JSON(&s, "status")
	if len(s.CoverageGaps) != 0 || len(s.Dropped) != 0 {
		t.Errorf("got coverage gaps %v and drops %v, want none", s.CoverageGaps, s.Dropped)
	}
	// One that ends at once is read as well.
	d.Run("short", `"Cmd":["/busybox","echo","line 1"],"HostConfig":{"NetworkMode":"none"}`)
	h.Wait(time.Minute, "the short container's line", func() bool {
		return len(readRecord(t, record).sequences) >= 4 // two that counted, the events, and this one
	})
}

// TestDockerEvents reads how containers are confined, without their secrets,
// through the host's proxy.
func TestDockerEvents(t *testing.T) {
	needRoot(t)
	t.Parallel()
	d := hosttest.StartDocker(t, exec.Command, "--bridge=none", "--iptables=false", "--ip6tables=false")
	h, _ := startContainersHost(t, d, "")
	h.Wait(time.Minute, "the source runs", func() bool {
		return h.Plugin("source-docker").State == "running" && h.Plugin("source-docker").Health == "ok"
	})
	// Not every machine that runs tests may run a privileged container: it is made only.
	d.Call(nil, "POST", "/containers/create?name=loose", strings.NewReader(`{"Image":"busybox:local","Cmd":["/busybox","true"],"Env":["TOKEN=hidden"],
		"HostConfig":{"NetworkMode":"host","Privileged":true,"CapAdd":["SYS_ADMIN"]}}`), "application/json")
	d.Run("shared", `"Cmd":["/busybox","sleep","600"],"Env":["TOKEN=hidden"],"HostConfig":{"NetworkMode":"none","PidMode":"host","Binds":["/:/host:ro"]}`)
	d.Call(nil, "POST", "/containers/shared/exec", strings.NewReader(`{"Cmd":["/busybox","id"]}`), "application/json")
	want := map[string][]string{
		"container_create":      {`"container_name":"loose"`, `"container_privileged":"true"`, `"container_network_mode":"host"`, `"container_cap_add":"SYS_ADMIN"`},
		"container_start":       {`"container_name":"shared"`, `"container_privileged":"false"`, `"container_pid_mode":"host"`, `"container_mounts":"/:/host:ro"`},
		"container_exec_create": {`"container_name":"shared"`, `"container_pid_mode":"host"`, `"container_mounts":"/:/host:ro"`, `"command":"/busybox id"`},
	}
	var text string
	defer func() {
		if t.Failed() {
			t.Log(text)
		}
	}()
	h.Wait(time.Minute, "the events", func() bool {
		b, _ := os.ReadFile(filepath.Join(h.Dir, "events", "log"))
		text = string(b)
		found := map[string]bool{}
		for line := range strings.Lines(text) {
			for action, members := range want {
				found[action] = found[action] || containsAll(line, append(members, `"event_action":"`+action+`"`)...)
			}
		}
		return found["container_create"] && found["container_start"] && found["container_exec_create"]
	})
	// A line that is JSON gives its fields, and none of the container's.
	d.Run("api", `"Cmd":["/busybox","echo","{\"level\":\"error\",\"msg\":\"login failed\",\"user\":\"bob\",\"container_name\":\"db\"}"],"HostConfig":{"NetworkMode":"none"}`)
	h.Wait(time.Minute, "the fields of a line", func() bool {
		b, _ := os.ReadFile(filepath.Join(h.Dir, "events", "log"))
		text = string(b)
		for line := range strings.Lines(text) {
			if containsAll(line, `"message":"login failed"`, `"user":"bob"`, `"container_name":"api"`, `"severity":"high"`) {
				return true
			}
		}
		return false
	})
	if strings.Contains(text, "hidden") {
		t.Error("an event holds something of the environment")
	}
}

// wantContainerFields looks for a line and an event of the container in what
// sink-file wrote.
func wantContainerFields(t *testing.T, h *hosttest.Host, id string) {
	t.Helper()
	f, err := os.Open(filepath.Join(h.Dir, "events", "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line, started, last := false, false, ""
	for s := bufio.NewScanner(f); s.Scan() && !(line && started); {
		text := s.Text()
		if !strings.Contains(text, id) {
			continue
		}
		last = text
		line = line || containsAll(text, `"container_name":"web"`, `"container_image":"busybox:local"`, `"container_labels.team":"blue"`, `"stderr"`)
		started = started || containsAll(text, `"docker_action":"start"`, `"container_name":"web"`, `"container_privileged":"false"`, `"container_network_mode":"none"`)
	}
	if !line || !started {
		t.Errorf("a line with the container's fields: %v, its start: %v; the last is %s", line, started, last)
	}
}

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
