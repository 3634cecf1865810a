package rotate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small file system is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "f")
	f := open(t, Config{Path: path, Fsync: true})
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, f, "{1}")
	lines := make([]string, 60)
	for i := range lines {
		lines[i] = fmt.Sprintf("{%s%d}", strings.Repeat("y", 990), i)
	}
	many := []byte(strings.Join(lines, "\n") + "\n")
	if err := f.Append(many); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want no space left", err)
	}
	if got := content(t, path); got != "{1}\n" {
		t.Errorf("got %d bytes after the failed write, want the 4 before it", len(got))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	add(t, f, lines[:30]...) // now there is room
	if got := content(t, path); got != "{1}\n"+strings.Join(lines[:30], "\n")+"\n" {
		t.Errorf("got %d bytes", len(got))
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
