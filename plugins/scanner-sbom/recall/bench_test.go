package recall_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// large writes a tree of 5,000 folders, 30,000 files and 600 lockfiles, of 17 packages
// each.
func large(tb testing.TB) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	locks := 0
	for i := range 5000 {
		folder := filepath.Join(dir, fmt.Sprintf("r%02d", i%20), fmt.Sprintf("p%03d", i%500/20), fmt.Sprintf("d%04d", i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			tb.Fatal(err)
		}
		for j := range 6 {
			name, text := fmt.Sprintf("f%d.rs", j), ""
			if j == 0 && i%25 < 3 {
				name, text = "Cargo.lock", lock(locks, 0)
				locks++
			}
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return dir
}

func lock(n, turn int) string {
	var b strings.Builder
	for i := range 17 {
		fmt.Fprintf(&b, "[[package]]\nname = \"c%d-%d\"\nversion = \"1.%d.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n", n, i, turn)
	}
	return b.String()
}

func BenchmarkScan(b *testing.B) {
	c := scan.Config{Readers: readers(b)}
	dir := large(b)
	settle(b)
	root := open(b, dir)
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			if _, stats, err := scan.Dir(b.Context(), root, c); err != nil || stats.Read != 600 {
				b.Fatal(stats, err)
			}
		}
	})
	state := b.TempDir()
	m := recall.Open(state)
	if _, _, err := m.Scan(b.Context(), root, c); err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			m = recall.Open(state)
			if _, stats, err := m.Scan(b.Context(), root, c); err != nil || stats.Read != 600 {
				b.Fatal(stats, err)
			}
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, stats, err := m.Scan(b.Context(), root, c); err != nil || stats.Read != 0 {
				b.Fatal(stats, err)
			}
		}
	})
	b.Run("changed", func(b *testing.B) {
		b.ReportAllocs()
		path, turn := filepath.Join(dir, "r00/p000/d0000/Cargo.lock"), 0
		for b.Loop() {
			turn++
			if err := os.WriteFile(path, []byte(lock(0, turn)), 0o600); err != nil {
				b.Fatal(err)
			}
			if _, stats, err := m.Scan(b.Context(), root, c); err != nil || stats.Read != 1 {
				b.Fatal(stats, err)
			}
		}
	})
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			if err := m.Save(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, stats, err := recall.Open(state).Scan(b.Context(), root, c); err != nil || stats.Read > 1 {
				b.Fatal(stats, err)
			}
		}
	})
}
