package journal

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/sdk"
)

const (
	journald = "/usr/lib/systemd/systemd-journald"
	childEnv = "JOURNAL_TEST_CHILD"
)

// TestRealJournal follows a real journald, which runs in a mount and process
// namespace of its own with an empty /run, so that the machine's journal is
// neither read nor written.
func TestRealJournal(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		followReal(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make a namespace for journald")
	}
	for _, bin := range []string{journald, Command, "systemd-cat"} {
		if _, err := exec.LookPath(bin); err != nil {
			t.Skipf("needs systemd: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, "-test.run=^TestRealJournal$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("in the namespace: %v", err)
	}
}

func followReal(t *testing.T) {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"tmpfs", "/run", "tmpfs", 0},
		{"proc", "/proc", "proc", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			t.Fatalf("mount %s: %v", m.target, err)
		}
	}
	for _, dir := range []string{"/run/systemd/journal", "/run/log/journal"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	daemon := exec.Command(journald)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	}()
	until(t, "journald", func() bool {
		_, err := os.Stat("/run/systemd/journal/stdout")
		files, _ := filepath.Glob("/run/log/journal/*/system.journal")
		return err == nil && len(files) > 0
	})
	say(t, "before the start")
	until(t, "the entry in the journal", func() bool {
		out, _ := exec.Command(Command, "--output=cat", "--quiet").Output()
		return strings.Contains(string(out), "before the start")
	})

	// The first life begins at the end; the second behind what was durable.
	h := newHost()
	stop := live(t, h)
	until(t, "the mark", func() bool { return h.last() != "" })
	say(t, "first life")
	until(t, "the first entry", func() bool { return h.has("first life") })
	stop()
	if h.has("before the start") {
		t.Error("an entry from before the start was emitted")
	}
	say(t, "while down")
	again := newHost()
	again.resume = []byte(h.last())
	stop = live(t, again)
	until(t, "the entry from while it was down", func() bool { return again.has("while down") })
	stop()
	if again.has("first life") {
		t.Error("a durable entry was emitted again")
	}

	// Rotation, and a journald that is killed and started again, are passed over
	// while journalctl runs, and while nothing does.
	at := newHost()
	at.resume = []byte(again.last())
	stop = live(t, at)
	rotate := func() {
		t.Helper()
		before, _ := filepath.Glob("/run/log/journal/*/system@*.journal")
		if err := daemon.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		until(t, "the archived file", func() bool {
			after, _ := filepath.Glob("/run/log/journal/*/system@*.journal")
			return len(after) > len(before)
		})
	}
	say(t, "before the rotation")
	rotate()
	say(t, "after the rotation")
	until(t, "the entry after the rotation", func() bool { return at.has("after the rotation") })
	_ = daemon.Process.Kill()
	_ = daemon.Wait()
	daemon = journaldAgain(t)
	say(t, "after the kill")
	until(t, "the entry after the kill", func() bool { return at.has("after the kill") })
	stop()
	if n := len(at.lines); !at.has("before the rotation") || at.times("before the rotation") != 1 || at.times("after the rotation") != 1 {
		t.Errorf("%d entries: one from before or after the rotation is missing or came twice", n)
	}
	say(t, "before two rotations")
	rotate()
	say(t, "between two rotations")
	rotate()
	rotated := newHost()
	rotated.resume = []byte(at.last())
	stop = live(t, rotated)
	until(t, "the entries from before the rotations", func() bool {
		return rotated.has("before two rotations") && rotated.has("between two rotations")
	})
	stop()
	if rotated.has("after the kill") {
		t.Error("a durable entry was emitted again after rotations")
	}

	// The file of the position is deleted, as vacuuming does.
	rotate()
	archived, _ := filepath.Glob("/run/log/journal/*/system@*.journal")
	for _, path := range archived {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	say(t, "after the vacuum")
	vacuumed := newHost()
	vacuumed.resume = []byte(rotated.last())
	stop = live(t, vacuumed)
	until(t, "the entry after the vacuum", func() bool { return vacuumed.has("after the vacuum") })
	stop()

	// A position that no journal has is given up after two tries.
	lost := newHost()
	lost.resume = []byte("garbage")
	stop = live(t, lost)
	until(t, "everything that is left of this boot", func() bool { return lost.has("after the vacuum") })
	stop()
	if lost.counts["cursor_invalid"] != 1 {
		t.Errorf("cursor_invalid: got %d, want 1", lost.counts["cursor_invalid"])
	}
}

// journaldAgain starts journald where another one ended.
func journaldAgain(t *testing.T) *exec.Cmd {
	t.Helper()
	_ = os.Remove("/run/systemd/journal/stdout")
	daemon := exec.Command(journald)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "journald again", func() bool {
		_, err := os.Stat("/run/systemd/journal/stdout")
		return err == nil
	})
	return daemon
}

func (h *host) times(message string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.lines {
		if strings.Contains(line, `"MESSAGE":"`+message+`"`) {
			n++
		}
	}
	return n
}

func say(t *testing.T, message string) {
	t.Helper()
	cmd := exec.Command("systemd-cat", "-t", "ironpost-test")
	cmd.Stdin = strings.NewReader(message + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemd-cat: %v: %s", err, out)
	}
}

func live(t *testing.T, h *host) (stop func()) {
	t.Helper()
	config := Defaults()
	src := New(&config)
	if err := src.Setup(t.Context(), sdk.Env{Commands: local{}, Counter: h.count}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, h) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func (h *host) has(message string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.lines {
		if strings.Contains(line, `"MESSAGE":"`+message+`"`) {
			return true
		}
	}
	return false
}

// last is the position that is stored: of the last entry, else the mark.
func (h *host) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.positions) > 0:
		return h.positions[len(h.positions)-1]
	case len(h.marked) > 0:
		return h.marked[0]
	}
	return ""
}

// local runs commands as the host does.
type local struct{}

func (local) Run(ctx context.Context, name string, args ...string) (sdk.Output, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &running{cmd, out, cancel, nil}, nil
}

type running struct {
	cmd    *exec.Cmd
	out    io.Reader
	cancel context.CancelFunc
	err    error
}

func (r *running) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.out.Read(p)
	if err == nil {
		return n, nil
	}
	if r.err = r.cmd.Wait(); r.err == nil {
		r.err = io.EOF
	}
	return n, r.err
}

func (r *running) Close() error {
	r.cancel()
	if r.err == nil {
		_, _ = io.Copy(io.Discard, r.out)
		r.err = r.cmd.Wait()
	}
	return nil
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		<-tick.C
	}
}
