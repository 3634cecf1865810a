package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrAbsent says that there are no programs of PostgreSQL.
var ErrAbsent = errors.New("no PostgreSQL in /usr/lib/postgresql; install the package postgresql")

// The superuser of the server.
const (
	User     = "ironpost"
	Password = "p4ss:w@rd/%"
)

const (
	// patience bounds how long the server may take to start or stop.
	patience = time.Minute
)

// Config says how the server is set up.
type Config struct {
	// Dir is where the data directory is made; "" is the directory for temporary files.
	Dir string
	// Settings are options of the server, such as "ssl=on"; {dir} in them is where the
	// files are. A later one wins.
	Settings []string
	// Files are put beside the data, readable by the server alone: name and content.
	Files map[string][]byte
	// Durable leaves fsync on.
	Durable bool
}

// Server is a PostgreSQL server. Its methods are safe for concurrent use.
type Server struct {
	dir, data, bin string
	port           int
	who            *syscall.Credential // nil is the user of the test
	settings       []string

	mu        sync.Mutex
	process   *os.Process // nil when it does not run
	ended     chan struct{}
	log       bytes.Buffer
	databases int
}

// Start starts a server. Close it.
func Start(c Config) (_ *Server, err error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		return nil, ErrAbsent
	}
	slices.SortFunc(bins, func(a, b string) int { return len(a) - len(b) })
	s := &Server{bin: filepath.Dir(bins[len(bins)-1])}
	if s.dir, err = os.MkdirTemp(c.Dir, "pgtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Close())
		}
	}()
	if err := s.place(c.Files); err != nil {
		return nil, err
	}
	if err := s.initialize(c.Durable); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	s.settings = []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=" + s.dir,
		"shared_buffers=32MB", "max_connections=40", "timezone=Asia/Tokyo", "max_wal_size=4GB", "checkpoint_timeout=30min",
	}
	if !c.Durable {
		s.settings = append(s.settings, "fsync=off", "full_page_writes=off")
	}
	for _, setting := range c.Settings {
		s.settings = append(s.settings, strings.ReplaceAll(setting, "{dir}", s.dir))
	}
	return s, s.Start()
}

// place makes the directories, owned by who the server runs as.
func (s *Server) place(files map[string][]byte) error {
	s.data = filepath.Join(s.dir, "data")
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return err
	}
	paths := []string{s.dir, s.data}
	all := map[string][]byte{"password": []byte(Password + "\n")}
	maps.Copy(all, files)
	for name, content := range all {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
		paths = append(paths, path)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		if account, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, path := range paths {
		if err := os.Chown(path, int(uid), int(gid)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) initialize(durable bool) error {
	args := []string{
		"-D", s.data, "-U", User, "--pwfile", filepath.Join(s.dir, "password"), "-E", "UTF8", "--locale=C.UTF-8",
		"--auth-local=trust", "--auth-host=scram-sha-256",
	}
	if !durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// Start starts the server again after Stop or Kill, and returns when it answers.
func (s *Server) Start() error {
	deadline := time.Now().Add(patience)
	for {
		ended, err := s.launch()
		if err != nil {
			return err
		}
		if err = s.ready(deadline, ended); err == nil {
			return nil
		}
		// Processes of a server that was killed may hold its memory for a moment.
		if time.Now().After(deadline) || !strings.Contains(s.Log(), "shared memory block") {
			return fmt.Errorf("%w: %s", err, s.Log())
		}
	}
}

// launch starts the process on a thread of its own: the signal at the end of the
// parent is bound to that.
func (s *Server) launch() (ended chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil, errors.New("it runs already")
	}
	args := []string{"-D", s.data}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	s.log.Reset()
	ended = make(chan struct{})
	started := make(chan error)
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = locked{s}, locked{s}
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	s.process, s.ended = cmd.Process, ended
	return ended, nil
}

// locked writes into the log.
type locked struct{ s *Server }

func (l locked) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.log.Len() > 1<<20 {
		l.s.log.Reset()
	}
	return l.s.log.Write(p)
}

// Log returns what the server wrote since it was started, the newest of it.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// ready returns when the server answers, or with the reason why it does not.
func (s *Server) ready(deadline time.Time, ended chan struct{}) error {
	for {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			err = conn.Close(ctx)
		}
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ended:
			s.mu.Lock()
			s.process = nil
			s.mu.Unlock()
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server as an administrator does who does not wait for clients.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends all processes of the server at once.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) error {
	s.mu.Lock()
	process, ended := s.process, s.ended
	s.mu.Unlock()
	if process == nil {
		return nil
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", process.Pid, process.Pid))
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if signal == syscall.SIGKILL {
		for text := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(text); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
	}
	select {
	case <-ended:
	case <-time.After(patience):
		_ = process.Kill()
		return errors.New("PostgreSQL does not stop")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = nil
	return nil
}

// Close ends the server and removes its data. It may be called twice.
func (s *Server) Close() error {
	err := s.end(syscall.SIGQUIT)
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Dir is where Config.Files are.
func (s *Server) Dir() string { return s.dir }

// CPU returns the processor time that the processes of the server have taken since it was
// started; those that have ended are counted.
func (s *Server) CPU() time.Duration {
	s.mu.Lock()
	process := s.process
	s.mu.Unlock()
	if process == nil {
		return 0
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", process.Pid, process.Pid))
	ticks := int64(0)
	for i, pid := range append([]string{strconv.Itoa(process.Pid)}, strings.Fields(string(children))...) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		_, rest, ok := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if err != nil || !ok || len(fields) < 15 {
			continue // it has ended
		}
		times := fields[11:13] // utime, stime
		if i == 0 {
			times = fields[11:15] // and those of children that were waited for
		}
		for _, text := range times {
			n, _ := strconv.ParseInt(text, 10, 64)
			ticks += n
		}
	}
	const hertz = 100 // of Linux's interfaces, whatever the kernel's
	return time.Duration(ticks) * time.Second / hertz
}

// Address is where the server listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns how the superuser reaches a database.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: s.Address(), Path: "/" + database}
	return u.String()
}

// Database makes a database for a test as a copy of another one, to which nobody is
// connected, or an empty one, and returns its name.
func (s *Server) Database(t testing.TB, template string) string {
	t.Helper()
	if template == "" {
		template = "template0"
	}
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	s.mu.Unlock()
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template)
	return name
}

// Exec carries out statements as the superuser.
func (s *Server) Exec(t testing.TB, database, statements string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(ctx, statements, pgx.QueryExecModeSimpleProtocol)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// Value returns the one value that a query gives, as the superuser.
func Value[T any](t testing.TB, s *Server, database, query string, args ...any) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	err = conn.QueryRow(ctx, query, args...).Scan(&v)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
