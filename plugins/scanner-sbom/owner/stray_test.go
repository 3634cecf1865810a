package owner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// TestStrays: of a root file system the programs are listed that no package has, and no other
// files.
func TestStrays(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	const elf = "\x7fELF and more"
	write("var/lib/dpkg/status", "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n", 0o644)
	write("var/lib/dpkg/info/tool.list", "/.\n/usr/bin/tool\n", 0o644)
	write("usr/bin/tool", elf, 0o755)
	write("usr/local/bin/own", elf, 0o755)
	write("opt/app/run", "#!/bin/sh\n", 0o755)
	write("opt/app/readme", "a text", 0o755)
	write("opt/app/library.so", elf, 0o644)
	write("opt/app/empty", "", 0o755)
	write("proc/1/exe", elf, 0o755)
	write("skipped/x", elf, 0o755)
	if err := os.Symlink("own", filepath.Join(dir, "usr/local/bin/link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }() // it was read only
	view := tree.NewView(root)
	x, _ := owner.Read(t.Context(), view, nil, owner.Options{})
	skip := func(path, _ string) bool { return path == "skipped" }
	list := func(o owner.StrayOptions) (out []string, more int) {
		t.Helper()
		o.Skip = skip
		found, more, problems, ok := owner.Strays(t.Context(), view, x, o)
		if !ok || len(problems) > 0 {
			t.Errorf("it is known: %v, problems %v", ok, problems)
		}
		for _, f := range found {
			out = append(out, fmt.Sprint(f.Path, " ", f.Kind, " ", f.Bytes))
		}
		return out, more
	}
	got, more := list(owner.StrayOptions{})
	if diff := cmp.Diff([]string{"opt/app/run script 10", "usr/local/bin/own elf 13"}, got); diff != "" || more != 0 {
		t.Errorf("%d more; (-want +got):\n%s", more, diff)
	}
	if got, more := list(owner.StrayOptions{Most: 1}); len(got) != 1 || more != 1 {
		t.Errorf("with room for one there are %q and %d more", got, more)
	}
	got, _ = list(owner.StrayOptions{Blind: true})
	if diff := cmp.Diff([]string{"opt/app/readme executable 6", "opt/app/run executable 10", "usr/local/bin/own executable 13"}, got); diff != "" {
		t.Errorf("without reading (-want +got):\n%s", diff)
	}
	for what, o := range map[string]owner.StrayOptions{"too_many": {Entries: 3}, "too_deep": {Depth: 1}} {
		_, _, problems, _ := owner.Strays(t.Context(), view, x, o)
		if len(problems) == 0 || problems[0].Code != what {
			t.Errorf("want a problem %s, got %v", what, problems)
		}
	}
	none, _ := owner.Read(t.Context(), view, []*inventory.Package{}, owner.Options{Limits: owner.Limits{Files: 1, Bytes: 1}})
	if _, _, _, ok := owner.Strays(t.Context(), view, none, owner.StrayOptions{}); ok {
		t.Error("of a database that could not be read it is told who has no package")
	}
}
