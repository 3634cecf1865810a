package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// disk mounts a small file system.
func disk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := disk(t)
	s := open(t, Config{Dir: dir})
	synced := 0
	var err error
	n := 0
	for err == nil && n < 10000 {
		for range 50 {
			s.PutAlert(alert(n))
			n++
		}
		if err = s.Sync(t.Context()); err == nil {
			synced = n
		}
	}
	if !errors.Is(err, ErrFull) || synced == 0 {
		t.Fatalf("got %v after %d alerts, want ErrFull", err, synced)
	}
	t.Logf("%v", err)
	if !errors.Is(s.Health(), ErrFull) {
		t.Errorf("got health %v, want ErrFull", s.Health())
	}
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != synced {
		t.Errorf("got %d alerts, want the %d that were synced", got, synced)
	}
	// With room the same rows are written.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	flushed(t, s)
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != n || s.Health() != nil {
		t.Errorf("got %d alerts and health %v, want %d and nil", got, s.Health(), n)
	}
	if s.Stats().Corrupt > 0 {
		t.Error("a full disk was taken for a corrupt file")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := disk(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "new")} {
		if _, err := Open(t.Context(), Config{Dir: d}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: got %v, want ErrReadOnly", d, err)
		} else {
			t.Logf("%v", err)
		}
	}
}
