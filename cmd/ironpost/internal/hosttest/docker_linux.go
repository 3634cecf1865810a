package hosttest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Docker is a dockerd of the test's own, away from the machine's, with the image
// busybox:local.
type Docker struct {
	// Socket is the path of its API.
	Socket string

	t       *testing.T
	client  *http.Client
	process *dockerd
}

// StartDocker starts a dockerd by a command and returns when it answers. It skips
// the test without dockerd or a static busybox, and ends with the test.
func StartDocker(t *testing.T, command func(name string, args ...string) *exec.Cmd, flags ...string) *Docker {
	t.Helper()
	binary, err := exec.LookPath("dockerd")
	if err != nil {
		binary = "/usr/sbin/dockerd"
		if _, err := os.Stat(binary); err != nil {
			t.Skip("needs dockerd; on Debian and Ubuntu: apt-get install docker.io")
		}
	}
	program, err := os.ReadFile("/bin/busybox")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("needs a static busybox; on Debian and Ubuntu: apt-get install busybox-static")
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dkr") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	d := &Docker{t: t, Socket: filepath.Join(dir, "docker.sock")}
	d.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	d.process = &dockerd{command: command, binary: binary, exec: filepath.Join(dir, "exec"), args: append(slices.Clone(flags), "--data-root", filepath.Join(dir, "root"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", "unix://"+d.Socket, "--storage-driver=vfs")}
	t.Cleanup(func() {
		d.client.CloseIdleConnections()
		d.process.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("output of dockerd:\n%s", d.process.output.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove dockerd's directory: %v", err)
		}
	})
	d.Again()
	d.load(program)
	return d
}

// StartOnThread starts a command on a thread that lives until the command has ended,
// and returns a channel of capacity 1 that is given what Wait returned: Pdeathsig
// comes with the end of the thread that forked.
func StartOnThread(cmd *exec.Cmd) (done chan error, err error) {
	started, done := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	return done, <-started
}

// Answers reports whether dockerd answers now.
func (d *Docker) Answers() bool {
	resp, err := d.client.Get("http://docker/_ping")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return true
}

// Call makes one call of the API and decodes the answer into v, unless that is nil.
func (d *Docker) Call(v any, method, path string, body io.Reader, kind string) {
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

// Run starts a container of busybox:local with further options in JSON, and
// removes it with the test. It returns its id.
func (d *Docker) Run(name, options string) string {
	d.t.Helper()
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/containers/create?name="+name, strings.NewReader(`{"Image":"busybox:local",`+options+`}`), "application/json")
	d.Call(nil, http.MethodPost, "/containers/"+name+"/start", http.NoBody, "")
	d.t.Cleanup(func() { d.Call(nil, http.MethodDelete, "/containers/"+name+"?force=1", http.NoBody, "") })
	return made.ID
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
	d.Call(nil, http.MethodPost, "/images/create?fromSrc=-&repo=busybox&tag=local", &image, "application/x-tar")
}
