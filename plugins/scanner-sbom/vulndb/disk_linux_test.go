package vulndb_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// TestFullDisk: where the disk is full, import and installation fail, the database stays as it
// was, and nothing lies beside it.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "vulndb")
	load(t, path, vulndb.Options{}, source(t, "small", map[string]string{"1.json": record("A-1", "one", "1.0.0")}))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for i := range 6000 {
		files[fmt.Sprintf("%d.json", i)] = record(fmt.Sprintf("B-%d", i), fmt.Sprintf("many-%d", i), "1.0.0")
	}
	many := source(t, "many", files)
	large := filepath.Join(t.TempDir(), "large")
	load(t, large, vulndb.Options{}, many)
	bundle, err := os.ReadFile(large)
	if err != nil {
		t.Fatal(err)
	}
	key, public := signer(t)
	keys, err := vulndb.ParseKeys([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"import": func() error {
			_, err := vulndb.Import(t.Context(), path, []vulndb.Source{many}, vulndb.Options{})
			return err
		},
		"install": func() error {
			_, err := vulndb.Install(t.Context(), path, bytes.NewReader(bundle), sign(t, key, bundle, true), keys, vulndb.InstallOptions{})
			return err
		},
	} {
		if err := change(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want %v", name, err, syscall.ENOSPC)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
			t.Errorf("%s: the database is another: %v", name, err)
		}
		if left := beside(t, path); len(left) > 0 {
			t.Errorf("%s: left over: %v", name, left)
		}
	}
}
