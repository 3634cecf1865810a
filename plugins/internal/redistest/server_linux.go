package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long the server may take to start or stop.
const patience = 30 * time.Second

// Config says how the server is set up.
type Config struct {
	// Unix has it listen on a socket in place of a port.
	Unix bool
	// TLS has it take encrypted connections alone.
	TLS bool
	// ACL holds lines of an ACL file ("user x on >secret ..."); the default user is off
	// unless one of them is about it.
	ACL string
	// Durable has it write each change to its disk before it answers: a restart loses
	// nothing. Else a restart loses all.
	Durable bool
	// Settings are further lines of its configuration file.
	Settings []string
}

// Server is a Redis server.
type Server struct {
	// Address is HOST:PORT, or the path of the socket.
	Address string
	// CA is the file with the authority of its certificate, with TLS.
	CA string

	dir  string
	unix bool
	tls  bool

	mu      sync.Mutex
	process *os.Process   // nil when it does not run
	ended   chan struct{} // closed with the process
	paused  bool
}

// Start starts a server, and skips the test where there is none installed.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server; install the package redis-server")
	}
	s := &Server{dir: t.TempDir(), unix: c.Unix, tls: c.TLS}
	lines := []string{"dir " + s.dir, "save \"\"", "daemonize no", "logfile " + filepath.Join(s.dir, "log"), "enable-debug-command local"}
	if c.Durable {
		lines = append(lines, "appendonly yes", "appendfsync always")
	}
	if c.ACL != "" {
		acl := c.ACL
		if !strings.Contains("\n"+acl, "\nuser default ") {
			acl += "\nuser default off\n"
		}
		s.write(t, "users.acl", []byte(acl))
		lines = append(lines, "aclfile "+filepath.Join(s.dir, "users.acl"))
	}
	if c.Unix {
		s.Address = filepath.Join(s.dir, "s")
		lines = append(lines, "port 0", "unixsocket "+s.Address)
	} else {
		port := freePort(t)
		s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		lines = append(lines, "bind 127.0.0.1")
		if c.TLS {
			s.CA = filepath.Join(s.dir, "ca.pem")
			s.certify(t)
			lines = append(lines, "port 0", fmt.Sprint("tls-port ", port), "tls-cert-file "+s.dir+"/cert.pem", "tls-key-file "+s.dir+"/key.pem", "tls-ca-cert-file "+s.CA, "tls-auth-clients optional")
		} else {
			lines = append(lines, fmt.Sprint("port ", port))
		}
	}
	s.write(t, "redis.conf", []byte(strings.Join(append(lines, c.Settings...), "\n")+"\n"))
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	s.Start(t)
	return s
}

func (s *Server) write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Start starts it again after Stop or Kill, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	cmd := exec.Command("redis-server", filepath.Join(s.dir, "redis.conf")) //nolint:noctx // it ends with the test
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, began := make(chan struct{}), make(chan error)
	go func() { // the signal comes with the end of the thread
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		began <- err
		if err == nil {
			_ = cmd.Wait() // it is ended by a signal
			close(ended)
		}
	}()
	if err := <-began; err != nil {
		s.mu.Unlock()
		t.Fatal(err)
	}
	s.process, s.ended, s.paused = cmd.Process, ended, false
	s.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); !s.listens(); {
		select {
		case <-ended:
			t.Fatalf("redis-server ended: %s", s.log())
		case <-tick.C:
		}
		if time.Now().After(until) {
			t.Fatalf("redis-server does not listen within %v: %s", patience, s.log())
		}
	}
}

// listens reports whether it takes connections, and has read its data.
func (s *Server) listens() bool {
	return strings.Contains(s.log(), "eady to accept connections") && s.dial() == nil
}

func (s *Server) dial() error {
	network := "tcp"
	if s.unix {
		network = "unix"
	}
	c, err := net.DialTimeout(network, s.Address, time.Second) //nolint:noctx // bounded
	if err != nil {
		return err
	}
	return c.Close()
}

func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return ""
	}
	text := string(b)
	if i := strings.LastIndex(text, "oO0OoO0OoO0Oo"); i >= 0 { // where it was started last
		text = text[i:]
	}
	return text
}

// end ends it by a signal, and waits.
func (s *Server) end(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	if s.paused {
		_ = s.process.Signal(syscall.SIGCONT) // it may be gone
	}
	_ = s.process.Signal(signal) // likewise
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.process.Kill() // likewise
		<-s.ended
	}
	s.process = nil
}

// Stop ends it as its operator does, Kill as the kernel does.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends it at once.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause stops the process where it is, until Resume.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		t.Fatal("redis-server does not run")
	}
	if err := s.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	s.paused = signal == syscall.SIGSTOP
}

// CLI has redis-cli carry out a command and returns its output. With an ACL the arguments
// begin with "--user", NAME, "--pass", SECRET.
func (s *Server) CLI(t testing.TB, args ...string) string {
	t.Helper()
	out, err := s.Run(args...)
	if err != nil {
		t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// Run is CLI for a command that may fail.
func (s *Server) Run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	place := []string{"--no-auth-warning", "-e"}
	if s.unix {
		place = append(place, "-s", s.Address)
	} else {
		host, port, err := net.SplitHostPort(s.Address)
		if err != nil {
			return "", err
		}
		place = append(place, "-h", host, "-p", port)
	}
	if s.tls {
		place = append(place, "--tls", "--cacert", s.CA)
	}
	out, err := exec.CommandContext(ctx, "redis-cli", append(place, args...)...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%w; install the package redis-tools", err)
	}
	return strings.TrimSuffix(string(out), "\n"), err
}
