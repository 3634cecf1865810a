package supervise

import (
	"context"
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

// process supervises a real plugin, which is built for the test.
func process(t *testing.T) (s *Supervisor, work *atomic.Uint64) {
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
	s = New(Spec{
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
	})
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
	s, work := process(t)
	first := another(t, s, 0)
	work.Add(1)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := another(t, s, first)
	if st := s.Status(); st.Restarts != 1 {
		t.Errorf("%d restarts, want 1", st.Restarts)
	}
	s.Reload()
	third := another(t, s, second)
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
	s, _ := process(t)
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
	s, _ := process(t)
	if err := syscall.Kill(another(t, s, 0), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.Stop()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("Stop took %v, want about the drain's second", d)
	}
}
