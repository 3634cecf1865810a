package supervise

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// supervised supervises a real plugin, which is built for the test; change,
// which may be nil, alters how.
func supervised(t *testing.T, change func(*Spec)) (s *Supervisor, work *atomic.Uint64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "supervise") // one that the plugin's user may search
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "idle")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/idle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	launcher := sandbox.NewLauncher()
	work = new(atomic.Uint64)
	spec := Spec{
		Name: "idle", Logger: hclog.NewNullLogger(), DrainTimeout: time.Second,
		Start: func(ctx context.Context) (*link.Conn, error) {
			exe, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer exe.Close()
			return link.Start(ctx, link.Config{
				Launcher: launcher, Spec: sandbox.Spec{Name: "idle", Exe: exe, Path: path}, RunDir: dir,
				Logger: hclog.NewNullLogger(), StartTimeout: 10 * time.Second, Pool: new(pb.Pool),
			})
		},
		Serve: func(ctx context.Context, _ *link.Conn) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
		Work: work.Load, SetUp: func(bool) {},
	}
	if change != nil {
		change(&spec)
	}
	s = New(spec)
	go s.Run(t.Context())
	t.Cleanup(func() {
		s.Stop()
		if err := launcher.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, work
}

// another waits for a process other than before, and returns its id.
func another(t *testing.T, s *Supervisor, before int) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if st := s.Status(); st.State == Running && st.PID != before {
			return st.PID
		}
	}
	t.Fatalf("no other process: %+v", s.Status())
	return 0
}

func TestAPluginThatDiesIsStartedAgain(t *testing.T) {
	s, work := supervised(t, nil)
	first := another(t, s, 0)
	work.Add(1)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := another(t, s, first)
	if st := s.Status(); st.Restarts != 1 {
		t.Errorf("%d restarts, want 1", st.Restarts)
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	third := another(t, s, second)
	if err := syscall.Kill(second, 0); err == nil {
		t.Error("the process that was replaced is left")
	}
	s.Stop()
	if st := s.Status(); st.State != Stopped || st.PID != 0 || st.CPU == 0 {
		t.Errorf("after Stop: %+v, want no process and the time of those before", st)
	}
	if err := syscall.Kill(third, 0); err == nil {
		t.Error("the last process is left")
	}
}

func TestAPluginThatHangsIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for two health checks")
	}
	s, _ := supervised(t, nil)
	first := another(t, s, 0)
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	another(t, s, first)
	if st := s.Status(); st.Restarts != 1 || !strings.Contains(st.LastError, errSilent.Error()) {
		t.Errorf("got %d restarts, %q; want 1 because %v", st.Restarts, st.LastError, errSilent)
	}
}

func TestStopEndsAPluginThatHangs(t *testing.T) {
	s, _ := supervised(t, nil)
	if err := syscall.Kill(another(t, s, 0), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.Stop()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Stop took %v, want about the drain's second", d)
	}
}

func TestAPluginThatDoesNotAcknowledgeIsKilled(t *testing.T) {
	s, _ := supervised(t, func(s *Spec) {
		s.Owes = func() bool { return true }
		s.AnswerTimeout = 200 * time.Millisecond
	})
	another(t, s, another(t, s, 0))
	if st := s.Status(); st.Restarts == 0 || !strings.Contains(st.LastError, errStuck.Error()) {
		t.Errorf("got %d restarts, %q; want one because %v", st.Restarts, st.LastError, errStuck)
	}
}

// TestTheOldProcessStaysUntilTheNewOneIsConfigured reloads while a successor is
// of no use, and while one is slow.
func TestTheOldProcessStaysUntilTheNewOneIsConfigured(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(map[bool]string{false: "beside the old one", true: "alone"}[alone], func(t *testing.T) {
			errUseless := errors.New("useless")
			var useless atomic.Bool
			var serving atomic.Int32
			configuring, release := make(chan int32, 1), make(chan struct{})
			s, _ := supervised(t, func(s *Spec) {
				s.Alone = alone
				first := true
				s.Configure = func(ctx context.Context, _ *link.Conn) error {
					if useless.Load() {
						return errUseless
					}
					if first {
						first = false
						return nil
					}
					configuring <- serving.Load()
					select {
					case <-release:
					case <-ctx.Done():
					}
					return nil
				}
				serve := s.Serve
				s.Serve = func(ctx context.Context, c *link.Conn) error {
					serving.Add(1)
					defer serving.Add(-1)
					return serve(ctx, c)
				}
			})
			first := another(t, s, 0)
			if !alone {
				useless.Store(true)
				if err := s.Reload(t.Context()); !errors.Is(err, errUseless) {
					t.Errorf("Reload: got %v, want %v", err, errUseless)
				}
				if st := s.Status(); st.PID != first || st.State != Running || st.Restarts != 0 {
					t.Errorf("after a reload that failed: got %+v, want process %d running on", st, first)
				}
				useless.Store(false)
			}
			reloaded := make(chan error, 1)
			go func() { reloaded <- s.Reload(t.Context()) }()
			want := int32(1)
			if alone {
				want = 0
			}
			if got := <-configuring; got != want {
				t.Errorf("%d processes were served while the next was configured, want %d", got, want)
			}
			close(release)
			if err := <-reloaded; err != nil {
				t.Error(err)
			}
			another(t, s, first)
			if st := s.Status(); st.Restarts != 0 {
				t.Errorf("got %d restarts of a plugin that was reloaded, want 0", st.Restarts)
			}
		})
	}
}
