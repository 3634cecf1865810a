package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// redisServer is a Redis of the test's own.
type redisServer struct {
	t       *testing.T
	dir     string
	address string
	flags   []string
	process *os.Process // nil when it does not run
	done    chan error
}

func startRedis(t *testing.T, flags ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server; install the package redis-server")
	}
	r := &redisServer{t: t, dir: t.TempDir(), address: hosttest.FreeAddress(t), flags: flags}
	t.Cleanup(r.kill)
	r.start()
	return r
}

func (r *redisServer) kill() {
	if r.process == nil {
		return
	}
	_ = r.process.Kill()
	<-r.done //nolint:errcheck // it says that the process was killed
	r.process = nil
}

func (r *redisServer) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// start returns when it has read its data and answers.
func (r *redisServer) start() {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.address)
	cmd := exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", "", "--logfile", filepath.Join(r.dir, "log"),
	}, r.flags...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	done, err := hosttest.StartOnThread(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.process, r.done = cmd.Process, done
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !r.answers(); <-tick.C {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(r.dir, "log"))
			r.t.Fatalf("redis-server does not answer:\n%s", text)
		}
	}
}

func (r *redisServer) answers() bool {
	conn, err := net.DialTimeout("tcp", r.address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte("PING\r\n"))
	answer := make([]byte, 7)
	n, _ := conn.Read(answer)
	return string(answer[:n]) == "+PONG\r\n"
}
