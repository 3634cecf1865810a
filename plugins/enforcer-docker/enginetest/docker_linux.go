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
	"strings"
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
	done   <-chan struct{}
	output bytes.Buffer
}

// Start starts a dockerd, which ends with the test. It skips the test where there
// are no rights, no dockerd or no static busybox.
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
		if t.Failed() {
			t.Logf("output of dockerd:\n%s", tail(d.output.String(), 8<<10))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove dockerd's directory: %v", err)
		}
	})
	d.start()
	d.load(program)
	return d
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
	if err != nil {
		d.t.Fatal(err)
	}
	args := append([]string{
		binary, "--data-root", filepath.Join(d.dir, "root"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--host", "unix://" + d.Socket, "--storage-driver=vfs", "--log-level=warn",
	}, d.flags...)
	// The mounts of the namespace end with dockerd.
	d.cmd = exec.Command("unshare", append([]string{"--net", "--mount", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, args...)...)
	d.cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	done, err := startOnThread(d.cmd)
	if err != nil {
		d.t.Fatal(err)
	}
	d.done = done
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
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
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
// answer into v, unless that is nil.
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
	req, err := http.NewRequest(method, "http://docker/v1.41"+path, body)
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

// Run starts a container with further options in JSON, removed with the test, and
// returns its id. Its program sleeps unless the options have another Cmd.
func (d *Docker) Run(name, options string) string {
	d.t.Helper()
	id := d.Create(name, options)
	d.Call(nil, http.MethodPost, "/containers/"+id+"/start", "")
	return id
}

// Create is Run without starting the container.
func (d *Docker) Create(name, options string) string {
	d.t.Helper()
	members := map[string]json.RawMessage{"Image": json.RawMessage(`"busybox:local"`), "Cmd": json.RawMessage(`["/busybox","sleep","3600"]`), "StopSignal": json.RawMessage(`"SIGKILL"`)}
	if err := json.Unmarshal([]byte("{"+options+"}"), &members); err != nil {
		d.t.Fatal(err)
	}
	body, err := json.Marshal(members)
	if err != nil {
		d.t.Fatal(err)
	}
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/containers/create?name="+name, string(body))
	d.t.Cleanup(func() { _ = d.Try(http.MethodDelete, "/containers/"+made.ID+"?force=1", "") })
	return made.ID
}

// Network makes a bridge network with a subnet such as 172.30.1.0/24, and returns
// its id.
func (d *Docker) Network(name, subnet string) string {
	d.t.Helper()
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/networks/create", fmt.Sprintf(`{"Name":%q,"Driver":"bridge","IPAM":{"Config":[{"Subnet":%q}]}}`, name, subnet))
	return made.ID
}

// Inspect returns what Docker shows of a container.
func (d *Docker) Inspect(id string) map[string]any {
	d.t.Helper()
	var v map[string]any
	d.Call(&v, http.MethodGet, "/containers/"+id+"/json", "")
	return v
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
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", d.cmd.Process.Pid)); err != nil {
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
