package main

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/cargo"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// BenchmarkCargoLock100 is what the original measured: a Cargo.lock of a hundred packages,
// parsed, written down as CycloneDX, and held against the databases of everybody, 220,000
// advisories of which those of the public collections are real. One lockfile is of a program
// that is kept up to date; the other is the same of 2021, of which a third has findings
// by now. Garbage is collected as in the plugin.
func BenchmarkCargoLock100(b *testing.B) {
	db := everything(b)
	lean(b)
	b.Run("kept up to date", func(b *testing.B) { benchmarkCargoLock(b, db, lockfile(kept())) })
	b.Run("of 2021", func(b *testing.B) { benchmarkCargoLock(b, db, lockfile(nil)) })
}

// lean collects garbage as the plugin does, until the benchmark ends.
func lean(b *testing.B) {
	debug.FreeOSMemory() // what the import left counts against the limit that is set now
	collectLean()
	b.Cleanup(func() { debug.SetGCPercent(100); debug.SetMemoryLimit(math.MaxInt64) })
}

// kept are newer versions of the crates that have findings, and what took the place of those
// that nobody maintains any more.
func kept() *strings.Replacer {
	return strings.NewReplacer(
		"adler 0.2.3", "adler2 2.0.0", "ansi_term 0.11.0", "nu-ansi-term 0.50.1", "anyhow 1.0.38", "anyhow 1.0.103", "atty 0.2.14", "is-terminal 0.4.16",
		"bumpalo 3.6.0", "bumpalo 3.17.0", "chrono 0.4.19", "chrono 0.4.41", "crossbeam-deque 0.8.0", "crossbeam-deque 0.8.6",
		"crossbeam-utils 0.8.1", "crossbeam-utils 0.8.21", "failure 0.1.8", "thiserror 2.0.12", "h2 0.3.0", "h2 0.4.16", "hyper 0.14.2", "hyper 1.6.0",
		"idna 0.2.0", "idna 1.0.3", "mio 0.7.7", "mio 1.0.4", "openssl 0.10.32", "openssl 0.10.73", "rand 0.8.3", "rand 0.10.1", "rand_core 0.6.1", "rand_core 0.9.3",
		"regex 1.4.3", "regex 1.11.1", "smallvec 1.6.0", "smallvec 1.15.1", "structopt 0.3.21", "clap_derive 4.5.32", "thread_local 1.1.2", "thread_local 1.1.8",
		"time 0.1.43", "time 0.3.41", "tokio 1.2.0", "tokio 1.45.1",
	)
}

func benchmarkCargoLock(b *testing.B, db *vulndb.DB, text string) {
	b.Helper()
	created := time.Unix(1700000000, 0)
	var out []byte
	findings := 0
	b.ReportAllocs()
	for b.Loop() {
		packages, ok := cargo.Parse(text)
		if !ok || len(packages) != 100 {
			b.Fatalf("%d packages are understood, want 100", len(packages))
		}
		d := document.Document{Target: document.Target{Name: "app", Kind: document.Directory}, Packages: packages, ToolVersion: "1.0.0", Created: created}
		var err error
		if out, err = d.Append(out[:0], document.CycloneDX16); err != nil {
			b.Fatal(err)
		}
		r, err := match.Match(b.Context(), db, packages, match.Options{})
		if err != nil {
			b.Fatal(err)
		}
		findings = len(r.Findings)
	}
	b.ReportMetric(float64(findings), "findings")
	b.ReportMetric(float64(db.Records()), "records")
}

// everything is a database of the public collections and of made-up records, 220,000 in all.
func everything(b *testing.B) *vulndb.DB {
	b.Helper()
	const data = "../../../shared/data/osv" // it lies beside the project
	var sources []vulndb.Source
	for _, name := range []string{"go-vulndb.tar.gz", "pypa-advisories.tar.gz", "rustsec-advisories.tar.gz", "npm-security-wg.tar.gz", "kev.json.gz"} {
		path := filepath.Join(data, name)
		if _, err := os.Stat(path); err != nil {
			b.Skipf("SKIPPED: the public databases are not here: %v", err)
		}
		sources = append(sources, vulndb.Source{Name: name, Path: path})
	}
	dir := b.TempDir()
	made := filepath.Join(dir, "all.zip")
	f, err := os.Create(made)
	if err != nil {
		b.Fatal(err)
	}
	z := zip.NewWriter(f)
	for i := range 210_000 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("S-%d.json", i), Method: zip.Store})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(w, `{"id":"GHSA-%d","modified":"2026-01-02T03:04:05Z","aliases":["CVE-2025-%d"],"summary":"Prototype pollution",
"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N"}],"affected":[{"package":{"ecosystem":"npm","name":"package-%d"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.%d.0"}]}]}]}`, i, 10000+i, i/2, i%9)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "vulndb")
	if _, err := vulndb.Import(b.Context(), path, append(sources, vulndb.Source{Name: "made", Path: made}), vulndb.Options{}); err != nil {
		b.Fatal(err)
	}
	db, err := vulndb.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// lockfile is a Cargo.lock as Cargo writes it: each package with its source and checksum, and
// with two or three that it needs. newer, if any, has other crates for some.
func lockfile(newer *strings.Replacer) string {
	const crates = `addr2line 0.14.1, adler 0.2.3, aho-corasick 0.7.15, ansi_term 0.11.0, anyhow 1.0.38, atty 0.2.14, autocfg 1.0.1,
backtrace 0.3.56, base64 0.13.0, bitflags 1.2.1, bumpalo 3.6.0, bytes 1.0.1, cc 1.0.66, cfg-if 1.0.0, chrono 0.4.19, clap 2.33.3, crossbeam-deque 0.8.0,
crossbeam-utils 0.8.1, either 1.6.1, encoding_rs 0.8.26, env_logger 0.8.2, failure 0.1.8, fnv 1.0.7, foreign-types 0.3.2, form_urlencoded 1.0.0,
futures 0.3.12, futures-core 0.3.12, futures-io 0.3.12, futures-sink 0.3.12, futures-task 0.3.12, futures-util 0.3.12, getrandom 0.2.2, gimli 0.23.0, h2 0.3.0,
hashbrown 0.9.1, heck 0.3.2, hermit-abi 0.1.18, http 0.2.3, http-body 0.4.0, httparse 1.3.5, httpdate 0.3.2, humantime 2.1.0, hyper 0.14.2, hyper-tls 0.5.0,
idna 0.2.0, indexmap 1.6.1, ipnet 2.3.0, itoa 0.4.7, js-sys 0.3.47, lazy_static 1.4.0, libc 0.2.85, log 0.4.14, matches 0.1.8, memchr 2.3.4, mime 0.3.16,
miniz_oxide 0.4.3, mio 0.7.7, native-tls 0.2.7, num-integer 0.1.44, num-traits 0.2.14, num_cpus 1.13.0, object 0.23.0, once_cell 1.5.2, openssl 0.10.32,
openssl-sys 0.9.60, percent-encoding 2.1.0, pin-project 1.0.5, pin-utils 0.1.0, pkg-config 0.3.19, ppv-lite86 0.2.10, proc-macro2 1.0.24, quote 1.0.8,
rand 0.8.3, rand_core 0.6.1, regex 1.4.3, regex-syntax 0.6.22, reqwest 0.11.0, rustc-demangle 0.1.18, ryu 1.0.5, security-framework 2.0.0, serde 1.0.123,
serde_derive 1.0.123, serde_json 1.0.62, slab 0.4.2, smallvec 1.6.0, socket2 0.3.19, strsim 0.8.0, structopt 0.3.21, syn 1.0.60, textwrap 0.11.0,
thread_local 1.1.2, time 0.1.43, tokio 1.2.0, tokio-util 0.6.3, tracing 0.1.23, unicode-bidi 0.3.4, unicode-width 0.1.8, url 2.2.0, want 0.3.0, wasm-bindgen 0.2.70`
	var names []string
	var out strings.Builder
	out.WriteString("# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\nversion = 3\n")
	all := strings.Split(strings.ReplaceAll(crates, "\n", " "), ", ")
	for i := range all {
		if newer != nil {
			all[i] = newer.Replace(all[i])
		}
	}
	for _, crate := range all {
		name, _, _ := strings.Cut(crate, " ")
		names = append(names, name)
	}
	for i, crate := range all {
		name, version, _ := strings.Cut(crate, " ")
		fmt.Fprintf(&out, "\n[[package]]\nname = %q\nversion = %q\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"%x\"\n",
			name, version, sha256.Sum256([]byte(crate)))
		if needs := i % 5; needs > 0 {
			out.WriteString("dependencies = [\n")
			for j := range needs {
				fmt.Fprintf(&out, " %q,\n", names[min(i*(needs-j)/(needs+1)+j, len(names)-1)])
			}
			out.WriteString("]\n")
		}
	}
	return out.String()
}

// BenchmarkChangedLockfile changes one of 600 lockfiles in a tree of 30,000 files, and tells what
// its 10,200 packages have: as a plugin does that watches.
func BenchmarkChangedLockfile(b *testing.B) {
	db := everything(b)
	dir := b.TempDir()
	lock := func(n, turn int) []byte {
		var out strings.Builder
		for i := range 17 {
			fmt.Fprintf(&out, "[[package]]\nname = \"c%d-%d\"\nversion = \"1.%d.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n", n, i, turn)
		}
		fmt.Fprintf(&out, "[[package]]\nname = \"time\"\nversion = \"0.1.%d\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n", turn)
		return []byte(out.String())
	}
	for i := range 5000 {
		folder := filepath.Join(dir, fmt.Sprintf("r%02d", i%20), fmt.Sprintf("p%03d", i%500/20), fmt.Sprintf("d%04d", i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			b.Fatal(err)
		}
		for j := range 6 {
			name, text := fmt.Sprintf("f%d.rs", j), []byte(nil)
			if j == 0 && i%25 < 3 {
				name, text = "Cargo.lock", lock(i/25*3+i%25, 0)
			}
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	// What changed less than 50 ms ago is read again.
	later := time.Now().Add(-time.Minute)
	if err := os.Chtimes(dir, later, later); err != nil {
		b.Fatal(err)
	}
	readers, err := extract.Readers()
	if err != nil {
		b.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	scans := recall.Open(b.TempDir())
	var memory match.Memory
	turn, findings, read := 0, 0, int64(0)
	tell := func() {
		v, stats, err := scans.Scan(b.Context(), root, scan.Config{Readers: readers})
		if err != nil {
			b.Fatal(err)
		}
		r, err := memory.Match(b.Context(), db, v.Packages(), match.Options{})
		if err != nil {
			b.Fatal(err)
		}
		findings, read = len(r.Findings), stats.Read
	}
	tell()
	tell()
	lean(b)
	b.ReportAllocs()
	for b.Loop() {
		turn++
		b.StopTimer() // whoever changes the file does not wait for us
		if err := os.WriteFile(filepath.Join(dir, "r00/p000/d0000/Cargo.lock"), lock(0, turn), 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		tell()
	}
	b.ReportMetric(float64(findings), "findings")
	b.ReportMetric(float64(read), "read")
}
