package vulndb_test

import (
	"archive/zip"
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// dataDir holds advisories of public databases; it lies beside the project.
const dataDir = "../../../../shared/data/osv"

// publicSources are the databases that are there.
func publicSources(t testing.TB) []vulndb.Source {
	t.Helper()
	var out []vulndb.Source
	for _, name := range []string{"go-vulndb.tar.gz", "pypa-advisories.tar.gz", "rustsec-advisories.tar.gz", "npm-security-wg.tar.gz", "kev.json.gz"} {
		path := filepath.Join(dataDir, name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("SKIPPED: the public databases are not here: %v", err)
		}
		base, _, _ := strings.Cut(name, ".")
		out = append(out, vulndb.Source{Name: base, Path: path})
	}
	return out
}

// synthetic writes n records of the shape and size of those for npm into a zip: nine in
// ten are of packages that have one alone.
func synthetic(t testing.TB, n int) vulndb.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "all.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(out)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		id := fmt.Sprintf("GHSA-%04x-%04x-%04x", i&0xffff, i>>16, random.IntN(1<<16))
		w, err := z.Create(id + ".json")
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("package-%d", i)
		if i%10 == 0 {
			name = fmt.Sprintf("popular-%d", random.IntN(2000))
		}
		fmt.Fprintf(w, `{"schema_version":"1.7.0","id":%q,"modified":"2026-01-02T03:04:05Z","published":"2025-12-01T00:00:00Z",
"aliases":["CVE-2025-%d"],"summary":"Prototype pollution in %s","details":"%s",
"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}],
"affected":[{"package":{"ecosystem":"npm","name":%q,"purl":"pkg:npm/%s"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"%d.0.0"},{"fixed":"%d.%d.%d"}]}],"database_specific":{"source":"https://example.invalid/%s.json"}}],
"references":[{"type":"WEB","url":"https://example.invalid/advisories/%s"},{"type":"PACKAGE","url":"https://example.invalid/%s"}],
"database_specific":{"cwe_ids":["CWE-1321"],"severity":"HIGH","github_reviewed":true}}`,
			id, 10000+i, name, strings.Repeat(fmt.Sprintf("Versions of %s before %d allow something number %d. ", name, i%7, random.IntN(1<<20)), 8),
			name, name, i%3, i%3+1, i%20, i%9, id, id, name)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	return vulndb.Source{Name: "synthetic", Path: path}
}

func BenchmarkImport(b *testing.B) {
	sources := append(publicSources(b), synthetic(b, 212000))
	path := filepath.Join(b.TempDir(), "vulndb")
	b.ReportAllocs()
	for b.Loop() {
		report, err := vulndb.Import(b.Context(), path, sources, vulndb.Options{Replace: true})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(report.Records), "records")
		b.ReportMetric(float64(report.Bytes)/1e6, "MB")
	}
}

func BenchmarkUpdate(b *testing.B) {
	sources := publicSources(b)
	path := filepath.Join(b.TempDir(), "vulndb")
	if _, err := vulndb.Import(b.Context(), path, append(sources, synthetic(b, 212000)), vulndb.Options{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := vulndb.Import(b.Context(), path, sources[:1], vulndb.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "vulndb")
	if _, err := vulndb.Import(b.Context(), path, publicSources(b), vulndb.Options{}); err != nil {
		b.Fatal(err)
	}
	db, err := vulndb.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()
	for _, bench := range []struct {
		name, ecosystem, pkg string
		some                 bool
	}{
		{"none", "crates.io", "serde_json", false},
		{"few", "crates.io", "rustls", true},
		{"many", "PyPI", "Django", true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var room vulndb.Room
			b.ReportAllocs()
			for b.Loop() {
				room.Reset()
				entries, err := db.Lookup(bench.ecosystem, bench.pkg, &room)
				if err != nil || (len(entries) > 0) != bench.some {
					b.Fatal(len(entries), err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "vulndb")
	if _, err := vulndb.Import(b.Context(), path, []vulndb.Source{synthetic(b, 212000)}, vulndb.Options{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		db, err := vulndb.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
