package hosttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dockerd is the process behind a Docker, and how it is started again.
type dockerd struct {
	command func(name string, args ...string) *exec.Cmd
	binary  string
	args    []string
	exec    string // the folder of what runs

	cmd    *exec.Cmd
	done   chan error // nil when it does not run
	output buffer
}

// end ends the process by a signal, or by SIGKILL when it takes too long; one that
// does not run is left alone.
func (p *dockerd) end(s syscall.Signal) {
	if p.done == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done: //nolint:errcheck // it says that the process was ended
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done //nolint:errcheck // it says that the process was killed
	}
	p.done = nil
	// A dockerd that finds the containerd of its predecessor takes it for alive.
	text, err := os.ReadFile(filepath.Join(p.exec, "containerd", "containerd.pid"))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); err == nil && syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
		<-tick.C
	}
}

// For is the same dockerd for a part of a test: what it runs ends with that part.
func (d *Docker) For(t *testing.T) *Docker {
	return &Docker{Socket: d.Socket, t: t, client: d.client, process: d.process}
}

// Stop ends dockerd with SIGTERM, and with it its containers unless it has
// --live-restore. One goroutine at a time stops, kills and starts it.
func (d *Docker) Stop() {
	d.client.CloseIdleConnections()
	d.process.end(syscall.SIGTERM)
}

// Kill ends dockerd with SIGKILL. Its containers go on until it is started again.
func (d *Docker) Kill() {
	d.client.CloseIdleConnections()
	d.process.end(syscall.SIGKILL)
}

// Again starts dockerd, with what it had, and returns when it answers. One that runs
// is left alone.
func (d *Docker) Again() {
	d.t.Helper()
	p := d.process
	if p.done != nil {
		return
	}
	p.cmd = p.command(p.binary, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	done, err := StartOnThread(p.cmd)
	if err != nil {
		d.t.Fatal(err)
	}
	p.done = done
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !d.Answers() {
		select {
		case err := <-done:
			done <- err
			d.t.Fatalf("dockerd ended at once: %v\n%s", err, p.output.String())
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			d.t.Fatal("dockerd does not answer within a minute")
		}
	}
}
