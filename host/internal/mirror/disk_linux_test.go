package mirror

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk: a disk that is full is told at once, and once there is room the rest comes.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can mount a small file system")
	}
	requests := 0
	s, c := server(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		content(w, r, `"v1"`, file)
	})
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "all.zip")
	if _, err := c.Fetch(t.Context(), s.URL, Validator{}, path); !errors.Is(err, syscall.ENOSPC) || requests != 1 {
		t.Fatalf("got %v after %d requests, want %v after one", err, requests, syscall.ENOSPC)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), s.URL, Validator{}, path); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(file) {
		t.Errorf("got %d bytes that are others, %v", len(got), err)
	}
}
