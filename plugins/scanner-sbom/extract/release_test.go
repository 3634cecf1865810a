package extract_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// purlIn returns the purl of the one package of dpkg in a tree of some files.
func purlIn(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	const file = "var/lib/dpkg/status"
	place(t, dir, file, []byte("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"))
	for name, text := range files {
		place(t, dir, name, []byte(text))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }() // it was read only
	f, err := root.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // likewise
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		if r.Name != "dpkg" || !r.Wants(file) {
			continue
		}
		found, err := r.Read(t.Context(), extract.Input{Path: file, Info: info, Body: f, View: tree.NewView(root)})
		if err != nil || len(found) != 1 {
			t.Fatalf("got %d packages, %v, want one", len(found), err)
		}
		return found[0].PURL
	}
	t.Fatal("nobody reads the database")
	return ""
}

// TestRelease: packages are of the distribution that the tree says it is, wherever os-release(5)
// has it say so.
func TestRelease(t *testing.T) {
	const debian = "pkg:deb/debian/a@1?arch=all&distro=12"
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"etc":                 {map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n"}, debian},
		"usr/lib, and no etc": {map[string]string{"usr/lib/os-release": "ID=debian\nVERSION_ID=\"12\"\n"}, debian},
		"usr/lib alone":       {map[string]string{"etc/passwd": "", "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n"}, debian},
		"etc before usr/lib":  {map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=12\n", "usr/lib/os-release": "ID=ubuntu\n"}, debian},
		"etc is a folder":     {map[string]string{"etc/os-release/x": "", "usr/lib/os-release": "ID=debian\nVERSION_ID=12\n"}, debian},
		"other quotes":        {map[string]string{"etc/os-release": "# a text\nID='debian'\nVERSION_ID='12'\n"}, debian},
		"none":                {nil, "pkg:deb/linux/a@1?arch=all"},
	} {
		if got := purlIn(t, tt.files); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

// TestLargeRelease: a file that names a distribution and goes on for long is not read to its end.
func TestLargeRelease(t *testing.T) {
	var b strings.Builder
	b.WriteString("ID=debian\nVERSION_ID=12\n")
	for i := range 1 << 20 {
		b.WriteString(strings.Repeat("A", 1+i%7) + string(rune('a'+i%26)) + strings.Repeat("b", i%1000/30) + "=1\n")
	}
	files := map[string]string{"etc/os-release": b.String()}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := purlIn(t, files)
	runtime.ReadMemStats(&after)
	const most = 48 << 20 // the file, which is written here, and more
	if used := after.TotalAlloc - before.TotalAlloc; !strings.HasPrefix(got, "pkg:deb/debian/") || used > most {
		t.Errorf("got %s, by %d MB of memory, want at most %d MB", got, used>>20, most>>20)
	}
}
