//go:build unix

package tail

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNamedPipeIsRefused(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "b.log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	src, _ := newLedger().run(t, beginning(fifo))
	until(t, "the named pipe in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "not a regular file")
	})
}

// TestPermissionDenied runs itself as an unprivileged user where it is root,
// since root may read everything.
func TestPermissionDenied(t *testing.T) {
	if dir := os.Getenv("TAIL_TEST_UNPRIVILEGED"); dir != "" {
		unprivileged(t, filepath.Join(dir, "a.log"))
		return
	}
	dir, err := os.MkdirTemp("/tmp", "tail")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "a.log"), "secret\n")
	if os.Getuid() != 0 {
		unprivileged(t, filepath.Join(dir, "a.log"))
		return
	}
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skipf("the test binary cannot be copied for another user: %v", err)
	}
	bin := filepath.Join(dir, "test")
	if err := os.WriteFile(bin, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "a.log"), bin} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run=^TestPermissionDenied$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TAIL_TEST_UNPRIVILEGED="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as an unprivileged user: %v\n%s", err, out)
	}
}

func unprivileged(t *testing.T, path string) {
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	src, _ := l.run(t, beginning(path))
	until(t, "the refusal in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), path+": permission denied;")
	})
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l.wantLines(t, path, "secret")
	until(t, "good health", func() bool { return src.Health(t.Context()) == nil })
}
