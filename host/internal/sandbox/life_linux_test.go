//go:build amd64 || arm64

package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
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

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

const runtimeArch = runtime.GOARCH

// waitFor polls until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

// groupMembers counts the processes of a group that are not dead.
func groupMembers(t *testing.T, pgid int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(f) > 2 && f[2] == strconv.Itoa(pgid) && f[0] != "Z" && f[0] != "X" {
			n++
		}
	}
	return n
}

func localAddr(t *testing.T, f *os.File) string {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if err := conn.Control(func(fd uintptr) {
		sa, err := unix.Getsockname(int(fd))
		if a, ok := sa.(*unix.SockaddrInet4); ok && err == nil {
			port = a.Port
		}
	}); err != nil || port == 0 {
		t.Fatalf("local port of %s: %d, %v", f.Name(), port, err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// runHost starts the test binary as a host of its own and returns it with the
// plugin's process id, its answers and its report.
func runHost(t *testing.T, asUser uint32, spec map[string]any) (*exec.Cmd, int, map[string]string, Report) {
	t.Helper()
	spec["Path"] = filepath.Join(binDir, "hostile")
	arg, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	self := copySelf(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostEnv+"="+string(arg))
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	cmd.Stderr = os.Stderr
	if asUser != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: asUser, Gid: asUser}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var pid int
	var report Report
	var answers map[string]string
	lines := bufio.NewScanner(out)
	for (pid == 0 || answers == nil || report.Applied == nil) && lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "pid "):
			_, err = fmt.Sscanf(line, "pid %d", &pid)
		case strings.HasPrefix(line, "report "):
			err = json.Unmarshal([]byte(line[len("report "):]), &report)
		case strings.HasPrefix(line, "{"):
			err = json.Unmarshal([]byte(line), &answers)
		}
		if err != nil {
			t.Fatalf("read line %q of the host: %v", line, err)
		}
	}
	if pid == 0 || answers == nil {
		t.Fatalf("the host printed process id %d and answers %v", pid, answers)
	}
	return cmd, pid, answers, report
}

// copySelf copies the test binary to where every user may execute it.
func copySelf(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(reachableDir(t), "host")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHostKilled(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		name string
		spec map[string]any
		want int // processes before
	}{
		{"plugin", map[string]any{"UID": testUID, "Args": []string{"hostile", "stubborn", "disarm", "hold"}}, 1},
		{"plugin as root", map[string]any{"Args": []string{"hostile", "stubborn", "disarm", "hold"}}, 1},
		{"plugin with children", map[string]any{"UID": testUID, "Children": true, "Args": []string{"hostile", "stubborn", "disarm", "child", "hold"}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, pid, answers, _ := runHost(t, 0, tt.spec)
			if !strings.HasPrefix(answers["disarm"], "denied: ") {
				t.Errorf("disarm: got %q, want it denied", answers["disarm"])
			}
			if n := groupMembers(t, pid); n != tt.want {
				t.Fatalf("processes before: got %d, want %d", n, tt.want)
			}
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			waitFor(t, "the plugin to die with its host", func() bool { return groupMembers(t, pid) == 0 })
		})
	}
}

// TestUnprivilegedHost runs the host as an ordinary user: what cannot be
// applied is reported, and what can be still holds.
func TestUnprivilegedHost(t *testing.T) {
	needRoot(t)
	const nobody = 65534
	_, pid, got, report := runHost(t, nobody, map[string]any{"UID": testUID, "Args": []string{
		"hostile", "read=/etc/passwd", "dial=tcp://127.0.0.1:1", "inetsocket", "fork", "kill=1", "chmod=/tmp", "disarm", "threads=8", "hold",
	}})
	for a, v := range got {
		if want := a != "threads=8"; strings.HasPrefix(v, "denied: ") != want {
			t.Errorf("%s: got %q, want denied %v", a, v, want)
		}
	}
	if uid := procStatus(t, pid)["Uid"]; !strings.HasPrefix(uid, "65534\t") {
		t.Errorf("user: got %q, want the host's", uid)
	}
	for _, p := range []Protection{shim.OwnUser, shim.NetworkNamespace, shim.IPCNamespace, shim.ProcessLimit} {
		wantMissing(t, report, p)
	}
	wantApplied(t, report, shim.NoCapabilities, shim.NoNewPrivileges, shim.FileAccess, shim.SystemCalls, shim.ParentDeath, shim.FileLimit)
	for _, m := range report.Missing {
		t.Logf("missing: %s: %s", m.What, m.Why)
	}
}

func TestLife(t *testing.T) {
	l := newLauncher(t)
	t.Run("exit code", func(t *testing.T) {
		p := start(t, l, Spec{}, "memory=1")
		p.answers(t)
		state, err := p.Wait(t.Context())
		if err != nil || state.Code != 0 || state.Signal != 0 {
			t.Errorf("Wait: got %v, %v, want exit code 0", state, err)
		}
		if state.MaxRSS <= 0 || state.UserTime+state.SystemTime <= 0 {
			t.Errorf("usage: got %+v, want memory and time", state)
		}
		if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("Kill after the end: got %v, want %v", err, os.ErrProcessDone)
		}
		if _, err := p.Usage(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("Usage after the end: got %v, want %v", err, os.ErrProcessDone)
		}
	})
	t.Run("killed", func(t *testing.T) {
		p := start(t, l, Spec{}, "stubborn", "hold")
		p.answers(t)
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait on a plugin that ignores SIGTERM: got %v, want %v", err, context.DeadlineExceeded)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if state, err := p.Wait(t.Context()); err != nil || state.Signal != syscall.SIGKILL || state.Code != -1 {
			t.Errorf("Wait: got %v, %v, want killed", state, err)
		}
	})
	t.Run("close", func(t *testing.T) {
		own := NewLauncher()
		p := start(t, own, Spec{}, "stubborn", "hold")
		p.answers(t)
		for range 2 {
			if err := own.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if state, err := p.Wait(t.Context()); err != nil || state.Signal != syscall.SIGKILL {
			t.Errorf("after Close: got %v, %v, want killed", state, err)
		}
		if _, err := own.Start(t.Context(), Spec{Name: "late", Exe: hostile(t)}); !errors.Is(err, ErrClosed) {
			t.Errorf("Start after Close: got %v, want %v", err, ErrClosed)
		}
	})
	t.Run("orphans", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(binDir, "hostile"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "digest"), data, 0o555); err != nil {
			t.Fatal(err)
		}
		exe, err := os.Open(filepath.Join(dir, "digest"))
		if err != nil {
			t.Fatal(err)
		}
		defer exe.Close()
		p := start(t, l, Spec{Exe: exe}, "hold")
		p.answers(t)
		if n, err := KillOrphans(dir); err != nil || n != 1 {
			t.Errorf("KillOrphans: got %d, %v, want 1", n, err)
		}
		<-p.Done()
	})
}

func TestStartErrors(t *testing.T) {
	l := newLauncher(t)
	dir := t.TempDir()
	file := func(content string, mode os.FileMode) *os.File {
		path := filepath.Join(dir, strconv.Itoa(int(time.Now().UnixNano())))
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		spec Spec
		want error
	}{
		{"no program", t.Context(), Spec{}, ErrSpec},
		{"relative path", t.Context(), Spec{Exe: hostile(t), ReadPaths: []string{"log"}}, ErrSpec},
		{"NUL in environment", t.Context(), Spec{Exe: hostile(t), Env: []string{"A=\x00"}}, ErrSpec},
		{"tiny memory", t.Context(), Spec{Exe: hostile(t), MaxMemory: 1}, ErrSpec},
		{"not a program", t.Context(), Spec{Exe: file("text", 0o755)}, syscall.ENOEXEC},
		{"empty", t.Context(), Spec{Exe: file("", 0o755)}, syscall.ENOEXEC},
		{"not executable", t.Context(), Spec{Exe: file("\x7fELF", 0o644)}, syscall.EACCES},
		{"private directory missing", t.Context(), Spec{Exe: hostile(t), PrivateDir: "/nonexistent/dir"}, syscall.ENOENT},
		{"cancelled", cancelled, Spec{Exe: hostile(t)}, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = "broken"
			p, err := l.Start(tt.ctx, tt.spec)
			if err == nil {
				_ = p.Kill()
				<-p.Done()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			t.Log(err)
		})
	}
}

// TestParallelStarts starts twenty plugins at once.
func TestParallelStarts(t *testing.T) {
	needRoot(t)
	l := newLauncher(t)
	exe := hostile(t)
	const n = 20
	var wg sync.WaitGroup
	errs := make([]error, n)
	begin := time.Now()
	for i := range n {
		wg.Go(func() {
			_, errs[i] = l.Start(t.Context(), Spec{Name: strconv.Itoa(i), Exe: exe, Args: []string{"hostile", "hold"}, UID: FirstUID + uint32(i), GID: FirstUID})
		})
	}
	wg.Wait()
	t.Logf("%d plugins in %v", n, time.Since(begin)) // make bench holds it to a second
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStart compares a sandboxed start to a plain one, each to the
// plugin's own end.
func BenchmarkStart(b *testing.B) {
	path := filepath.Join(binDir, "hostile")
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := exec.Command(path).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sandboxed", func(b *testing.B) {
		l := NewLauncher()
		defer func() {
			if err := l.Close(); err != nil {
				b.Error(err)
			}
		}()
		exe, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		defer exe.Close()
		spec := Spec{Name: "hostile", Exe: exe}
		if os.Geteuid() == 0 {
			spec.UID, spec.GID = testUID, testUID
		}
		b.ReportAllocs()
		for b.Loop() {
			p, err := l.Start(b.Context(), spec)
			if err != nil {
				b.Fatal(err)
			}
			if state, err := p.Wait(b.Context()); err != nil || state.Code != 0 {
				b.Fatal(state, err)
			}
		}
	})
}
