package enginetest

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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Docker is a dockerd with the image busybox:local, whose program is /busybox. One
// test at a time uses it.
type Docker struct {
	*daemon
	t testing.TB
}

// For is the same dockerd for a part of a test: what it runs ends with that part.
func (d *Docker) For(t testing.TB) *Docker { return &Docker{d.daemon, t} }

// daemon is the process.
type daemon struct {
	// Socket is the path of its API.
	Socket string

	dir    string
	flags  []string
	client *http.Client
	cmd    *exec.Cmd
	pid    int // of dockerd
	done   <-chan struct{}
	output bytes.Buffer
	// house holds the namespaces of containers that outlive dockerd; nil where none do.
	house *exec.Cmd
}

// Binary is the environment variable with the path of another dockerd to test with.
const Binary = "IRONPOST_TEST_DOCKERD"

// liveRestore is the flag of a dockerd whose containers go on without it.
const liveRestore = "--live-restore"

// Start starts a dockerd, which ends with the test. It skips the test where there
// are no rights, no dockerd or no static busybox. With the flag --live-restore its
// containers go on while it is stopped, and end with the test.
func Start(t testing.TB, flags ...string) *Docker {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for dockerd and a network namespace")
	}
	for _, need := range []struct{ program, pack string }{{"dockerd", "docker.io"}, {"iptables", "iptables"}, {"ip", "iproute2"}, {"unshare", "util-linux"}} {
		if _, err := find(need.program); err != nil {
			t.Skipf("needs %s; on Debian and Ubuntu: apt-get install %s", need.program, need.pack)
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("needs a static busybox; on Debian and Ubuntu: apt-get install busybox-static")
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dkg") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	d := &Docker{&daemon{Socket: filepath.Join(dir, "docker.sock"), dir: dir, flags: flags}, t}
	d.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		d.stop()
		d.tearDown()
		if t.Failed() {
			t.Logf("output of dockerd:\n%s", tail(d.output.String(), 8<<10))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove dockerd's directory: %v", err)
		}
	})
	if slices.Contains(flags, liveRestore) {
		d.build()
	}
	d.start()
	d.load(program)
	return d
}

// build makes namespaces that last until the end of the test, however it ends.
func (d *Docker) build() {
	d.t.Helper()
	d.house = exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "ip link set lo up && exec sleep 3600")
	d.house.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := startOnThread(d.house); err != nil {
		d.t.Fatal(err)
	}
}

// tearDown ends what build made, and the containers in it.
func (d *Docker) tearDown() {
	if d.house == nil {
		return
	}
	_ = d.house.Process.Kill()
}

// child waits for the one child of a process, and returns its id.
func (d *Docker) child(of int) int {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", of, of))
		if pid, bad := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && bad == nil {
			return pid
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the process %d has no child: %v", of, err)
		}
	}
}

func tail(s string, most int) string { return s[max(0, len(s)-most):] }

// find looks for a program, also where root's are.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program
		_, err = os.Stat(path)
	}
	return path, err
}

// start runs dockerd and waits until it answers. Each start has a namespace of its
// own, in which nothing is left of the containers before.
func (d *Docker) start() {
	d.t.Helper()
	binary, err := find("dockerd")
	if other := os.Getenv(Binary); other != "" {
		binary, err = other, nil
	}
	if err != nil {
		d.t.Fatal(err)
	}
	args := append([]string{
		binary, "--data-root", filepath.Join(d.dir, "root"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--host", "unix://" + d.Socket, "--storage-driver=vfs", "--log-level=warn",
	}, d.flags...)
	if d.house == nil {
		// The mounts of the namespace end with dockerd.
		d.cmd = exec.Command("unshare", append([]string{"--net", "--mount", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, args...)...)
	} else {
		inside := strconv.Itoa(d.child(d.house.Process.Pid))
		d.cmd = exec.Command("nsenter", append([]string{"--target", inside, "--net", "--mount", "--pid"}, args...)...)
	}
	// The other programs of Docker are where dockerd is.
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	done, err := startOnThread(d.cmd)
	if err != nil {
		d.t.Fatal(err)
	}
	d.done, d.pid = done, d.cmd.Process.Pid
	if d.house != nil {
		d.pid = d.child(d.pid)
	}
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(20 * time.Millisecond); !d.Answers(); <-tick {
		select {
		case <-done:
			d.t.Fatalf("dockerd ended at once:\n%s", tail(d.output.String(), 8<<10))
		default:
		}
		if time.Now().After(deadline) {
			d.t.Fatal("dockerd does not answer within a minute")
		}
	}
}

// startOnThread starts a command on a thread that lives until the command has
// ended, when done is closed: Pdeathsig comes with the end of the thread that forked.
func startOnThread(cmd *exec.Cmd) (done <-chan struct{}, err error) {
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is of no interest
		}
	}()
	return ended, <-started
}

func (d *Docker) stop() {
	select {
	case <-d.done:
		return // its number may be another's
	default:
	}
	_ = syscall.Kill(d.pid, syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(d.pid, syscall.SIGKILL)
		<-d.done
	}
}

// Freeze stops dockerd's process, so that it takes connections and answers nothing,
// until the function that it returns is called, or the test has ended.
func (d *Docker) Freeze() (thaw func()) {
	d.t.Helper()
	if err := syscall.Kill(d.pid, syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	pid := d.pid
	thaw = sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	d.t.Cleanup(thaw)
	return thaw
}

// Restart stops dockerd and starts it again.
func (d *Docker) Restart() {
	d.t.Helper()
	d.Stop()
	d.start()
}

// Stop stops dockerd, which Start of the same Docker brings back with what it had.
func (d *Docker) Stop() {
	d.t.Helper()
	d.client.CloseIdleConnections()
	d.stop()
}

// Again starts dockerd after Stop.
func (d *Docker) Again() {
	d.t.Helper()
	d.start()
}

// Answers reports whether dockerd answers now.
func (d *Docker) Answers() bool {
	resp, err := d.client.Get("http://docker/_ping")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Call makes one call of the API with a body in JSON, "" for none, and decodes the
// answer into v, unless that is nil. The path may begin with a version; it is 1.41 else.
func (d *Docker) Call(v any, method, path, body string) {
	d.t.Helper()
	if err := d.call(v, method, path, strings.NewReader(body), "application/json"); err != nil {
		d.t.Fatal(err)
	}
}

// Try is Call for a call that may fail.
func (d *Docker) Try(method, path, body string) error {
	return d.call(nil, method, path, strings.NewReader(body), "application/json")
}

func (d *Docker) call(v any, method, path string, body io.Reader, kind string) error {
	if !strings.HasPrefix(path, "/v") {
		path = "/v1.41" + path
	}
	req, err := http.NewRequest(method, "http://docker"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}

// Fetch asks an HTTP server, as 127.0.0.1:80, from within dockerd's network
// namespace, and returns the first bytes of the answer.
func (d *Docker) Fetch(address string) (string, error) {
	conn, err := d.dial(address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer := make([]byte, 64)
	n, err := io.ReadAtLeast(conn, answer, len("HTTP/1.0 200"))
	return string(answer[:n]), err
}

// dial connects from a thread that is in dockerd's network namespace.
func (d *Docker) dial(address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		var ns *os.File
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", d.pid)); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			conn, err = net.DialTimeout("tcp", address, 2*time.Second)
		}
	}()
	<-done
	return conn, err
}

// load makes the image busybox:local.
func (d *Docker) load(program []byte) {
	d.t.Helper()
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
	if err := d.call(nil, http.MethodPost, "/images/create?fromSrc=-&repo=busybox&tag=local", &image, "application/x-tar"); err != nil {
		d.t.Fatal(err)
	}
}
