//go:build unix

package tree_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// What a hostile tree has in place of the files that readers look up is not opened:
// opening a device may do something.
func TestViewOpensFilesAlone(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"os-release": "/pipe", "outside": "/../../../../../../etc/hostname", "file": "/real", "circle": "circle"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "real"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	view := tree.NewView(root)
	for name, opens := range map[string]bool{"pipe": false, "os-release": false, "outside": false, "circle": false, "file": true} {
		f, err := view.Open(name)
		if (err == nil) != opens {
			t.Errorf("%s: error %v, want it opened: %t", name, err, opens)
		}
		if err == nil {
			_ = f.Close()
		}
	}
}
