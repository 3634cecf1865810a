package vulndb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a small advisory for npm.
func record(id, pkg, fixed string, more ...string) string {
	return fmt.Sprintf(`{"id":%q,"modified":"2026-01-02T03:04:05Z","summary":"about %s","affected":[{"package":{"ecosystem":"npm","name":%q},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":%q}]}]}]%s}`, id, pkg, pkg, fixed, strings.Join(more, ""))
}

// source writes files into a folder.
func source(t *testing.T, name string, files map[string]string) vulndb.Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for file, text := range files {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return vulndb.Source{Name: name, Path: dir}
}

func load(t *testing.T, path string, o vulndb.Options, sources ...vulndb.Source) vulndb.Report {
	t.Helper()
	report, err := vulndb.Import(t.Context(), path, sources, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func opened(t *testing.T, path string) *vulndb.DB {
	t.Helper()
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

func ids(t *testing.T, db *vulndb.DB, ecosystem, name string) []string {
	t.Helper()
	entries, err := db.Lookup(ecosystem, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

func TestImport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	src := source(t, "first", map[string]string{
		"a/GHSA-1.json": record("GHSA-1", "left-pad", "1.2.0", `,"aliases":["CVE-2025-0001"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]`),
		"a/GHSA-2.json": record("GHSA-2", "left-pad", "1.3.0", `,"withdrawn":"2026-01-03T00:00:00Z"`),
		"a/GIT-1.json":  `{"id":"GIT-1","modified":"2026-01-02T03:04:05Z","affected":[{"ranges":[{"type":"GIT","repo":"https://example.invalid","events":[{"introduced":"0"}]}]}]}`,
		"LICENSE":       "text",
		"a/bad.json":    `{"id":`,
		"a/twice.json":  record("GHSA-1", "left-pad", "9.9.9"),
	})
	report := load(t, path, vulndb.Options{Now: now}, src)
	got := report.Sources[0]
	if got.Records != 3 || got.Withdrawn != 1 || got.Unmatchable != 1 || got.Added != 3 || got.Files != 6 {
		t.Errorf("got %+v, want 6 files, 3 records, 1 withdrawn, 1 unmatchable", got)
	}
	codes := map[string]int{advisory.CodeNotRecord: 1, advisory.CodeMalformed: 1, vulndb.CodeRepeated: 1}
	if d := cmp.Diff(codes, got.Codes); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	db := opened(t, path)
	if d := cmp.Diff([]string{"GHSA-1"}, ids(t, db, "npm", "left-pad")); d != "" {
		t.Errorf("left-pad (-want +got):\n%s", d)
	}
	if got := ids(t, db, "PyPI", "left-pad"); got != nil {
		t.Errorf("of another ecosystem: got %v", got)
	}
	entries, err := db.Lookup("npm", "left-pad", nil)
	if err != nil {
		t.Fatal(err)
	}
	head := entries[0].Head()
	head.Hash = 0
	want := vulndb.Head{
		Aliases: []string{"CVE-2025-0001"}, Summary: "about left-pad", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
		Modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: "first",
	}
	if d := cmp.Diff(want, head); d != "" {
		t.Errorf("head (-want +got):\n%s", d)
	}
	if a := entries[0].Affected[0]; a.Score != 9.8 || a.Level != advisory.Critical || a.By != "cvss" {
		t.Errorf("got %v %v by %s, want critical 9.8 by cvss", a.Level, a.Score, a.By)
	}
	for _, id := range []string{"GHSA-1", "GHSA-2", "GIT-1"} {
		if r, err := db.Record(id); err != nil || r.ID != id {
			t.Errorf("record %s: got %v, %v", id, r, err)
		}
	}
	if _, err := db.Record("GHSA-3"); !errors.Is(err, vulndb.ErrNoRecord) {
		t.Errorf("a record that is not there: got %v", err)
	}
	if all, err := db.Find("CVE-2025-0001"); err != nil || len(all) != 1 || all[0].ID != "GHSA-1" {
		t.Errorf("by alias: got %v, %v", all, err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(path + "?*"); err != nil || len(left) != 1 || left[0] != path+".lock" {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	load(t, path, vulndb.Options{},
		source(t, "first", map[string]string{"1.json": record("A-1", "one", "1.0.0"), "2.json": record("A-2", "two", "1.0.0"), "3.json": record("A-3", "three", "1.0.0")}),
		source(t, "second", map[string]string{"1.json": record("B-1", "one", "1.0.0")}),
		source(t, "kev", map[string]string{"kev.json": `{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2025-0001","dateAdded":"2025-08-25"}]}`}),
		source(t, "epss", map[string]string{"epss.csv": "#model_version:v2025\ncve,epss,percentile\nCVE-2025-0001,0.91234,0.99876\nCVE-2025-0002,0.00043,0.1\n"}))
	before := opened(t, path)
	report := load(t, path, vulndb.Options{}, source(t, "first", map[string]string{
		"1.json": record("A-1", "one", "1.0.0"), "2.json": record("A-2", "two", "2.0.0"), "4.json": record("A-4", "four", "1.0.0"),
	}))
	if r := report.Sources[0]; r.Added != 1 || r.Changed != 1 || r.Removed != 1 {
		t.Errorf("got %d added, %d changed, %d removed, want 1, 1, 1", r.Added, r.Changed, r.Removed)
	}
	after := opened(t, path)
	for name, want := range map[string][]string{"one": {"A-1", "B-1"}, "two": {"A-2"}, "three": nil, "four": {"A-4"}} {
		got := ids(t, after, "npm", name)
		if len(got) == 2 && got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got := ids(t, before, "npm", "three"); len(got) != 1 {
		t.Errorf("a reader of the old file: got %v, want A-3", got)
	}
	names, err := vulndb.Diff(before, after)
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]bool{}
	for _, n := range names {
		changed[n.Ecosystem+"/"+n.Name] = true
	}
	if d := cmp.Diff(map[string]bool{"npm/two": true, "npm/three": true, "npm/four": true}, changed); d != "" {
		t.Errorf("changed names (-want +got):\n%s", d)
	}
	if names, err := vulndb.Diff(nil, after); err != nil || len(names) != after.Names() {
		t.Errorf("compared with nothing: got %d names, %v, want all %d", len(names), err, after.Names())
	}
	e, ok := after.KEV("CVE-2025-0001")
	if want := time.Date(2025, 8, 25, 0, 0, 0, 0, time.UTC); !ok || !e.Added.Equal(want) {
		t.Errorf("the catalogue after an update of another source: got %v, %v", e, ok)
	}
	l, ok, err := after.EPSS("CVE-2025-0001")
	if want := (advisory.Likelihood{CVE: "CVE-2025-0001", Score: 0.91234, Percentile: 0.99876}); err != nil || !ok || l != want {
		t.Errorf("EPSS: got %v, %v, %v", l, ok, err)
	}
	if _, ok, err := after.EPSS("CVE-2025-0003"); ok || err != nil {
		t.Errorf("EPSS of an unknown CVE: got %v, %v", ok, err)
	}
	load(t, path, vulndb.Options{Remove: []string{"second", "kev", "epss"}}, source(t, "third", map[string]string{"1.json": record("C-1", "one", "1.0.0")}))
	last := opened(t, path)
	if got := ids(t, last, "npm", "one"); len(got) != 2 || got[0] == "B-1" || got[1] == "B-1" {
		t.Errorf("after a source was removed: got %v, want A-1 and C-1", got)
	}
	if _, ok := last.KEV("CVE-2025-0001"); ok {
		t.Error("the catalogue stayed after its source was removed")
	}
	if _, ok, _ := last.EPSS("CVE-2025-0001"); ok {
		t.Error("the scores stayed after their source was removed")
	}
}

// TestNewest shows that of copies of a record the newest counts, and that an older one comes
// back when that is gone.
func TestNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	old := source(t, "old", map[string]string{"1.json": record("A-1", "one", "1.0.0")})
	load(t, path, vulndb.Options{}, old,
		source(t, "new", map[string]string{"1.json": strings.Replace(record("A-1", "other", "1.0.0"), "2026-01-02", "2026-01-03", 1)}))
	db := opened(t, path)
	if got, other := ids(t, db, "npm", "one"), ids(t, db, "npm", "other"); got != nil || len(other) != 1 {
		t.Errorf("got %v and %v, want the newer alone", got, other)
	}
	if r, err := db.Find("A-1"); err != nil || len(r) != 1 || r[0].Affected[0].Package.Name != "other" {
		t.Errorf("by id: got %v, %v", r, err)
	}
	load(t, path, vulndb.Options{Remove: []string{"new"}}, old)
	if got := ids(t, opened(t, path), "npm", "one"); len(got) != 1 {
		t.Errorf("after the newer is gone: got %v, want A-1", got)
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ ecosystem, advisory, pkg string }{
		{"PyPI", "Foo.Bar__baz", "foo-bar-baz"},
		{"PyPI", "foo-bar", "FOO_-_bar"},
		{"crates.io", "serde_json", "serde-json"},
		{"NuGet", "Newtonsoft.Json", "newtonsoft.json"},
		{"Packagist", "Monolog/Monolog", "monolog/monolog"},
		{"SwiftURL", "https://github.com/Apple/swift-nio.git", "github.com/apple/swift-nio"},
		{"Go", "github.com/a/b", "github.com/a/b"},
	} {
		if a, p := vulndb.Normal(test.ecosystem, test.advisory), vulndb.Normal(test.ecosystem, test.pkg); a != p {
			t.Errorf("%s: %s is %s, %s is %s: want the same", test.ecosystem, test.advisory, a, test.pkg, p)
		}
	}
	for _, test := range []struct{ ecosystem, a, b string }{
		{"npm", "JSONStream", "jsonstream"},
		{"Go", "github.com/BurntSushi/toml", "github.com/burntsushi/toml"},
		{"PyPI", "foo-bar", "foobar"},
	} {
		if vulndb.Normal(test.ecosystem, test.a) == vulndb.Normal(test.ecosystem, test.b) {
			t.Errorf("%s: %s and %s are different packages", test.ecosystem, test.a, test.b)
		}
	}
}

// TestPublicDatabases imports all of them and reads each record back.
func TestPublicDatabases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	sources := publicSources(t)
	report := load(t, path, vulndb.Options{}, sources...)
	db := opened(t, path)
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	records, problems := 0, 0
	for _, s := range report.Sources {
		records += s.Records
		problems += s.Refused
	}
	want := 0
	for i, src := range sources {
		files, found := 0, 0
		err := advisory.Read(t.Context(), src.Path, advisory.Limits{}, func(f advisory.File) error {
			files++
			if f.Record == nil {
				return nil
			}
			found++
			r, err := db.Record(f.Record.ID)
			if err != nil {
				return err
			}
			a, _ := json.Marshal(r)
			b, _ := json.Marshal(f.Record)
			if string(a) != string(b) {
				t.Errorf("%s: is not as it was read:\n%s\n%s", f.Record.ID, a, b)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want += found
		if r := report.Sources[i]; r.Files != files || r.Records != found {
			t.Errorf("%s: got %d files and %d records, want %d and %d", src.Name, r.Files, r.Records, files, found)
		}
	}
	if records != want || db.Records() != want {
		t.Errorf("got %d records reported, %d kept, want %d", records, db.Records(), want)
	}
	t.Logf("%d records of %d packages, %d files that are none, %d bytes", db.Records(), db.Names(), problems, report.Bytes)
}
