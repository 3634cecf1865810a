package recall

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// What is kept decoded is bounded, and let go of when nobody asks for it; neither changes what
// a scan gives.
func TestDecoded(t *testing.T) {
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const files = 5
	for i := range files {
		text := ""
		for j := range 10 {
			text += fmt.Sprintf("[[package]]\nname = \"c%d\"\nversion = \"1.%d.0\"\n\n", j, i%2)
		}
		folder := filepath.Join(dir, fmt.Sprint("d", i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "Cargo.lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	c := scan.Config{Readers: readers}
	fresh, _, err := scan.Dir(t.Context(), root, c)
	if err != nil {
		t.Fatal(err)
	}
	m := Open(t.TempDir())
	check := func(what string, recalled, decoded int64) {
		t.Helper()
		v, stats, err := m.Scan(t.Context(), root, c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fresh.Packages(), v.Packages()); diff != "" {
			t.Fatalf("%s: a scan without memory (-) and with it (+) differ:\n%s", what, diff)
		}
		if got := m.decoded.Load(); stats.Recalled != recalled || got != decoded {
			t.Fatalf("%s: %d files are recalled, and %d packages kept decoded, want %d and %d", what, stats.Recalled, got, recalled, decoded)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, stats, err := m.Scan(t.Context(), root, c)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, error %v", stats, err)
		}
		if stats.Recalled == files {
			break
		}
	}
	check("again", files, 10*files)
	for _, at := range m.targets {
		at.used = time.Now().Add(-idle - time.Second)
	}
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	if got := m.decoded.Load(); got != 0 {
		t.Errorf("after it was idle, %d packages are decoded, want none", got)
	}
	for _, at := range m.targets {
		if at.base != nil {
			t.Error("after it was idle, what the inventory came to is kept")
		}
	}
	if !m.room(maxDecoded - 25) {
		t.Fatal("there is no room in an empty memory")
	}
	check("with room for two files", files, maxDecoded-5)
	m.room(25 - maxDecoded)
	check("with room", files, 10*files)
}
