package tree_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// TestParts: a walk of parts finds the files where they lie in the whole tree, each once,
// and no other; a link on the way to a part is followed, and one out of it is not.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"usr/bin/a", "usr/lib/os-release", "usr/lib/apk/db", "var/lib/dpkg/status", "var/secret", "home/x"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"lib": "usr/lib", "bin": "usr/bin", "etc": "home", "usr/out": "../home", "usr/bin/b": "/usr/bin/a"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, filepath.Join(dir, n))
		}
		return out
	}
	parts, err := tree.OpenParts(dir, at("var/lib/dpkg", "usr/bin", "usr", "lib/apk", "var/lib/rpm"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := parts.Close(); err != nil {
			t.Error(err)
		}
	}()
	var mu sync.Mutex
	var got []string
	stats, err := tree.Walk(context.Background(), parts, tree.Config{
		Workers: 2,
		Visit: func(f *tree.File) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, f.Path)
		},
		Fail: func(path string, err error) { t.Errorf("%s: %v", path, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{"lib/apk/db", "usr/bin/a", "usr/lib/apk/db", "usr/lib/os-release", "var/lib/dpkg/status"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if stats.Folders != 6 {
		t.Errorf("%d folders, want 6: usr, with bin, lib, and apk in that; lib/apk; var/lib/dpkg", stats.Folders)
	}

	view := tree.NewView(parts)
	for name, want := range map[string]string{
		"usr/bin/b": "usr/bin/a", "bin/b": "usr/bin/a", "lib/apk/db": "usr/lib/apk/db", "/var/lib/dpkg/status": "var/lib/dpkg/status",
	} {
		data, err := fs.ReadFile(view, name)
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", name, data, err, want)
		}
	}
	if info, err := view.Stat("var/lib"); err != nil || !info.IsDir() {
		t.Errorf("var/lib: %v, %v, want a folder", info, err)
	}
	if info, err := view.Stat("home"); err != nil || !info.IsDir() {
		t.Errorf("home: %v, %v, want a folder", info, err)
	}
	for _, name := range []string{"var/secret", "home/x", "usr/out/x", "etc/passwd", "etc/x"} {
		if _, err := view.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want that there is none", name, err)
		}
	}
	if _, err := view.ReadDir("var"); err == nil {
		t.Error("a folder above the parts was listed")
	}
	if sub, closeSub, err := view.Sub("usr"); err != nil {
		t.Error(err)
	} else {
		defer closeSub()
		if _, err := sub.Stat("bin/a"); err != nil {
			t.Error(err)
		}
	}
}

func TestPartsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := tree.OpenParts(dir, []string{filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none there: %v", err)
	}
	if _, err := tree.OpenParts(dir, []string{"/usr"}); err == nil {
		t.Error("a folder outside of the tree is one of its parts")
	}
}
