package match_test

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// dataDir holds advisories of public databases; it lies beside the project.
const dataDir = "../../../../shared/data/osv"

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

// synthetic writes n records: nine in ten about a package of its own, the others about
// 2,000 packages that have about eleven each.
func synthetic(t testing.TB, n int) vulndb.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "all.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for i := range n {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("S-%d.json", i), Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("package-%d", i)
		if i%10 == 0 {
			name = fmt.Sprintf("popular-%d", i/10%2000)
		}
		fmt.Fprintf(w, `{"id":"GHSA-%d","modified":"2026-01-02T03:04:05Z","aliases":["CVE-2025-%d"],"summary":"Prototype pollution in %s",
"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}],"affected":[{"package":{"ecosystem":"npm","name":%q},
"ranges":[{"type":"SEMVER","events":[{"introduced":"%d.0.0"},{"fixed":"%d.%d.%d"}]}]}],"database_specific":{"severity":"HIGH"}}`,
			i, 10000+i, name, name, i%3, i%3+1, i/10%20, i%9)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return vulndb.Source{Name: "synthetic", Path: path}
}

func imported(t testing.TB, sources ...vulndb.Source) *vulndb.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vulndb")
	if _, err := vulndb.Import(t.Context(), path, sources, vulndb.Options{}); err != nil {
		t.Fatal(err)
	}
	db, err := vulndb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// BenchmarkMatch matches 10,000 packages, of which half have advisories, with 220,000
// records. heap-MB is what the process holds of the system's memory after the first match, the
// index of the database and the packages included.
func BenchmarkMatch(b *testing.B) {
	db := imported(b, append(publicSources(b), synthetic(b, 212000))...)
	var packages []*inventory.Package
	for i := range 10000 {
		p := &inventory.Package{Ecosystem: "npm", Version: fmt.Sprintf("%d.%d.0", i%4, i%25)}
		switch {
		case i < 2500:
			p.Name = fmt.Sprintf("popular-%d", i%2000)
		case i < 5000:
			p.Name = fmt.Sprintf("package-%d", i*10+1)
		default:
			p.Name = fmt.Sprintf("@scope/clean-%d", i)
		}
		p.PURL = "pkg:npm/" + p.Name + "@" + p.Version
		packages = append(packages, p)
	}
	debug.FreeOSMemory()
	if _, err := match.Match(b.Context(), db, packages, match.Options{}); err != nil {
		b.Fatal(err)
	}
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	findings := 0
	b.ReportAllocs()
	for b.Loop() {
		r, err := match.Match(b.Context(), db, packages, match.Options{})
		if err != nil {
			b.Fatal(err)
		}
		findings = len(r.Findings)
	}
	b.ReportMetric(float64(findings), "findings")
	b.ReportMetric(float64(after.HeapSys-after.HeapReleased)/1e6, "heap-MB")
	b.ReportMetric(float64(db.Records()), "records")
}

// BenchmarkLockfile matches the 100 packages of a Rust program.
func BenchmarkLockfile(b *testing.B) {
	db := imported(b, publicSources(b)...)
	packages := rustPackages()
	findings := 0
	b.ReportAllocs()
	for b.Loop() {
		r, err := match.Match(b.Context(), db, packages, match.Options{})
		if err != nil {
			b.Fatal(err)
		}
		findings = len(r.Findings)
	}
	b.ReportMetric(float64(findings), "findings")
}

// rustPackages are what a program of 2021 might have locked.
func rustPackages() []*inventory.Package {
	list := `addr2line 0.14.1, adler 0.2.3, aho-corasick 0.7.15, ansi_term 0.11.0, anyhow 1.0.38, atty 0.2.14, autocfg 1.0.1, backtrace 0.3.56, base64 0.13.0,
bitflags 1.2.1, bumpalo 3.6.0, bytes 1.0.1, cc 1.0.66, cfg-if 1.0.0, chrono 0.4.19, clap 2.33.3, crossbeam-deque 0.8.0, crossbeam-utils 0.8.1, either 1.6.1,
encoding_rs 0.8.26, env_logger 0.8.2, failure 0.1.8, fnv 1.0.7, foreign-types 0.3.2, form_urlencoded 1.0.0, futures 0.3.12, futures-core 0.3.12,
futures-io 0.3.12, futures-sink 0.3.12, futures-task 0.3.12, futures-util 0.3.12, getrandom 0.2.2, gimli 0.23.0, h2 0.3.0, hashbrown 0.9.1, heck 0.3.2,
hermit-abi 0.1.18, http 0.2.3, http-body 0.4.0, httparse 1.3.5, httpdate 0.3.2, humantime 2.1.0, hyper 0.14.2, hyper-tls 0.5.0, idna 0.2.0, indexmap 1.6.1,
ipnet 2.3.0, itoa 0.4.7, js-sys 0.3.47, lazy_static 1.4.0, libc 0.2.85, log 0.4.14, matches 0.1.8, memchr 2.3.4, mime 0.3.16, miniz_oxide 0.4.3, mio 0.7.7,
native-tls 0.2.7, num-integer 0.1.44, num-traits 0.2.14, num_cpus 1.13.0, object 0.23.0, once_cell 1.5.2, openssl 0.10.32, openssl-sys 0.9.60,
percent-encoding 2.1.0, pin-project 1.0.5, pin-utils 0.1.0, pkg-config 0.3.19, ppv-lite86 0.2.10, proc-macro2 1.0.24, quote 1.0.8, rand 0.8.3,
rand_core 0.6.1, regex 1.4.3, regex-syntax 0.6.22, reqwest 0.11.0, rustc-demangle 0.1.18, ryu 1.0.5, security-framework 2.0.0, serde 1.0.123, serde_derive 1.0.123,
serde_json 1.0.62, slab 0.4.2, smallvec 1.6.0, socket2 0.3.19, strsim 0.8.0, structopt 0.3.21, syn 1.0.60, textwrap 0.11.0, thread_local 1.1.2, time 0.1.43,
tokio 1.2.0, tokio-util 0.6.3, tracing 0.1.23, unicode-bidi 0.3.4, unicode-width 0.1.8, url 2.2.0, want 0.3.0, wasm-bindgen 0.2.70`
	var out []*inventory.Package
	for entry := range strings.SplitSeq(strings.ReplaceAll(list, "\n", " "), ",") {
		name, version, _ := strings.Cut(strings.TrimSpace(entry), " ")
		out = append(out, &inventory.Package{Ecosystem: "crates.io", Name: name, Version: version, PURL: "pkg:cargo/" + name + "@" + version})
	}
	return out
}

// BenchmarkChanges tells which of 50,000 packages have other findings after 100 of 220,000
// advisories came, among them two about each of 50 packages that are there.
func BenchmarkChanges(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "vulndb")
	sources := append(publicSources(b), synthetic(b, 212000))
	open := func() *vulndb.DB {
		b.Helper()
		if _, err := vulndb.Import(b.Context(), path, sources, vulndb.Options{}); err != nil {
			b.Fatal(err)
		}
		db, err := vulndb.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		return db
	}
	before := open()
	fresh := filepath.Join(dir, "fresh")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		text := record(fmt.Sprintf("NEW-%d", i), "npm", fmt.Sprintf("package-%d", i/2*20+1), "introduced 0", "")
		if err := os.WriteFile(filepath.Join(fresh, fmt.Sprintf("%d.json", i)), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	sources = []vulndb.Source{{Name: "fresh", Path: fresh}}
	after := open()
	var packages []*inventory.Package
	for i := range 50000 {
		packages = append(packages, &inventory.Package{Ecosystem: "npm", Name: fmt.Sprintf("package-%d", i), Version: fmt.Sprintf("%d.%d.0", i%4, i%25)})
	}
	b.Run("index", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			match.NewIndex(packages)
		}
	})
	b.Run("changes", func(b *testing.B) {
		x := match.NewIndex(packages)
		changed := 0
		b.ReportAllocs()
		for b.Loop() {
			got, err := x.Changes(b.Context(), before, after, match.Options{})
			if err != nil {
				b.Fatal(err)
			}
			changed = len(got)
		}
		b.ReportMetric(float64(changed), "packages")
	})
	b.Run("rematch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := match.Match(b.Context(), after, packages, match.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	// One lockfile of a tree changed: 17 of 10,000 packages.
	b.Run("lockfile", func(b *testing.B) {
		var memory match.Memory
		turn := 0
		b.ReportAllocs()
		for b.Loop() {
			turn++
			for i := range 17 {
				packages[i].Version = fmt.Sprintf("%d.0.%d", i, turn)
			}
			if _, err := memory.Match(b.Context(), after, packages[:10000], match.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
