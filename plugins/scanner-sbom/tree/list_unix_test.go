//go:build unix

package tree_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// A pipe in the place of a folder does not hold up who lists or opens it.
func TestViewListsFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "info")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("info", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	view := tree.NewView(root)
	for _, name := range []string{"info", "link"} {
		answer := make(chan error, 1)
		go func() {
			_, err := view.ReadDir(name)
			if err != nil {
				_, _, err = view.Sub(name)
			}
			answer <- err
		}()
		select {
		case err := <-answer:
			if err == nil {
				t.Errorf("%s is a folder, want an error", name)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it waits for who writes into the pipe", name)
			f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets it go
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			t.Log("then:", <-answer)
		}
	}
}
