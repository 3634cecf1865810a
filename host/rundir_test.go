package host

import (
	"os"
	"path/filepath"
	"testing"
)

// A person may keep the control socket and the plugins in one folder.
func TestTheSocketDirectoryLeavesItsNeighboursAlone(t *testing.T) {
	parent, err := os.MkdirTemp("", "run") // short, and searchable by others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	kept := filepath.Join(parent, "plugins", "parser-acme")
	if err := os.Mkdir(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte("a plugin"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, remove, err := runDir(filepath.Join(parent, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the plugin beside the socket is gone: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left", dir)
	}
}
