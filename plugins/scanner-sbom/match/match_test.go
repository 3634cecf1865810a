package match_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is a day after the records of these tests were changed.
var now = time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)

// database imports records, each a JSON object, or a file of another kind by its name.
func database(t testing.TB, at time.Time, records ...string) *vulndb.DB {
	t.Helper()
	dir := t.TempDir()
	for i, r := range records {
		name := string(rune('a'+i/26)) + string(rune('a'+i%26)) + ".json"
		if strings.HasPrefix(r, "cve,") {
			name += ".csv"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(r), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "vulndb")
	report, err := vulndb.Import(t.Context(), path, []vulndb.Source{{Name: "test", Path: dir}}, vulndb.Options{Now: at})
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Sources[0].Problems; len(p) > 0 {
		t.Fatal(p)
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

// record is an advisory about one package; events is "introduced 1, fixed 2", more is
// other members of the record.
func record(id, ecosystem, pkg, events, more string) string {
	a := advisory.Affected{Package: advisory.Package{Ecosystem: ecosystem, Name: pkg}}
	kind := advisory.Ecosystem
	if base, _ := vulndb.Split(ecosystem); base == "npm" || base == "crates.io" || base == "Go" {
		kind = advisory.SemVer
	}
	r := advisory.Range{Type: kind}
	for e := range strings.SplitSeq(events, ", ") {
		word, v, _ := strings.Cut(e, " ")
		switch word {
		case "introduced":
			r.Events = append(r.Events, advisory.Event{Introduced: v})
		case "fixed":
			r.Events = append(r.Events, advisory.Event{Fixed: v})
		case "last":
			r.Events = append(r.Events, advisory.Event{LastAffected: v})
		case "limit":
			r.Events = append(r.Events, advisory.Event{Limit: v})
		case "version":
			a.Versions = append(a.Versions, v)
		}
	}
	if r.Events != nil {
		a.Ranges = []advisory.Range{r}
	}
	raw, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return `{"id":"` + id + `","modified":"2026-01-02T00:00:00Z","affected":[` + string(raw) + `]` + more + `}`
}

func run(t testing.TB, db *vulndb.DB, o match.Options, packages ...*inventory.Package) *match.Result {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now
	}
	r, err := match.Match(t.Context(), db, packages, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pkg(ecosystem, name, version string) *inventory.Package {
	return &inventory.Package{Ecosystem: ecosystem, Name: name, Version: version}
}

func TestRanges(t *testing.T) {
	tests := []struct {
		ecosystem, events, version string
		want                       bool
		fixed                      string
	}{
		{"npm", "introduced 0, fixed 1.2.3", "1.2.2", true, "1.2.3"},
		{"npm", "introduced 0, fixed 1.2.3", "1.2.3", false, ""},
		{"npm", "introduced 0, fixed 1.2.3", "1.2.3-rc.1", true, "1.2.3"},
		{"npm", "introduced 0", "99.0.0", true, ""},
		{"npm", "introduced 1.0.0, fixed 1.5.0, introduced 2.0.0, fixed 2.1.0", "0.9.0", false, ""},
		{"npm", "introduced 1.0.0, fixed 1.5.0, introduced 2.0.0, fixed 2.1.0", "1.4.0", true, "1.5.0 2.1.0"},
		{"npm", "introduced 1.0.0, fixed 1.5.0, introduced 2.0.0, fixed 2.1.0", "1.6.0", false, ""},
		{"npm", "introduced 1.0.0, fixed 1.5.0, introduced 2.0.0, fixed 2.1.0", "2.0.0", true, "2.1.0"},
		{"npm", "fixed 2.1.0, introduced 2.0.0, fixed 1.5.0, introduced 1.0.0", "1.4.0", true, "1.5.0 2.1.0"},
		{"npm", "introduced 1.0.0, last 1.4.0", "1.4.0", true, ""},
		{"npm", "introduced 1.0.0, last 1.4.0", "1.4.1", false, ""},
		{"npm", "introduced 1.0.0, last 1.0.0", "1.0.0", true, ""},
		{"npm", "introduced 1.0.0, fixed 1.0.0", "1.0.0", false, ""},
		{"npm", "introduced 0, limit 2.0.0", "1.9.0", true, ""},
		{"npm", "introduced 0, limit 2.0.0", "2.0.0", false, ""},
		{"npm", "introduced 0, limit *", "2.0.0", true, ""},
		{"npm", "version 1.0.0, version 1.1.0", "1.1.0", true, ""},
		{"npm", "version 1.0.0, version 1.1.0", "1.2.0", false, ""},
		{"npm", "introduced 2.0.0, fixed 2.1.0, version 1.1.0", "1.1.0", true, "2.1.0"},
		{"Go", "introduced 0, fixed 1.20.5", "go1.20.4", true, "1.20.5"},
		{"Go", "introduced 0, fixed 1.2.3", "v1.2.2", true, "1.2.3"},
		{"PyPI", "introduced 0, fixed 2.0", "2.0rc1", true, "2.0"},
		{"PyPI", "introduced 0, fixed 2.0", "2.0.post1", false, ""},
		{"Debian:12", "introduced 0, fixed 1:2.36-9+deb12u7", "1:2.36-9+deb12u4", true, "1:2.36-9+deb12u7"},
		{"Debian:12", "introduced 0, fixed 2.36-9", "1:1.0-1", false, ""},
		{"Alpine:v3.18", "introduced 0, fixed 1.2.3-r10", "1.2.3-r4", true, "1.2.3-r10"},
		{"Rocky Linux:9", "introduced 0, fixed 0:1.2-12.el9", "1.2-3.el9", true, "0:1.2-12.el9"},
		{"Maven", "introduced 0, fixed 2.0", "2.0-beta-1", true, "2.0"},
		{"RubyGems", "introduced 0, fixed 1.10.0", "1.9.3", true, "1.10.0"},
	}
	for _, test := range tests {
		db := database(t, now, record("A-1", test.ecosystem, "p", test.events, ""))
		r := run(t, db, match.Options{}, pkg(test.ecosystem, "p", test.version))
		if got := len(r.Findings) == 1; got != test.want {
			t.Errorf("%s: %s in %q: got %v, want %v (%v)", test.ecosystem, test.version, test.events, got, test.want, r.Skipped)
			continue
		}
		if test.want {
			if got := strings.Join(r.Findings[0].Fixed, " "); got != test.fixed {
				t.Errorf("%s: %s in %q: got fixes %q, want %q", test.ecosystem, test.version, test.events, got, test.fixed)
			}
		}
	}
}

func TestReleases(t *testing.T) {
	tests := []struct {
		advisory, pkg string
		want          bool
	}{
		{"Debian:12", "Debian:12", true},
		{"Debian:12", "Debian:12.5", true},
		{"Debian:11", "Debian:12", false},
		{"Debian", "Debian:12", true},
		{"Debian:12", "Debian", true}, // approximate
		{"Ubuntu:22.04:LTS", "Ubuntu:22.04", true},
		{"Ubuntu:22.04:LTS", "Ubuntu:22.04:LTS", true},
		{"Ubuntu:22.04:LTS", "Ubuntu:24.04:LTS", false},
		{"Ubuntu:Pro:18.04:LTS", "Ubuntu:18.04:LTS", false},
		{"Ubuntu:Pro:18.04:LTS", "Ubuntu:Pro:18.04:LTS", true},
		{"Alpine:v3.18", "Alpine:v3.18", true},
		{"Alpine:v3.18", "Alpine:3.18.4", true},
		{"Alpine:v3.1", "Alpine:v3.18", false},
		{"Rocky Linux:8", "Rocky Linux:8.9", true},
		{"Rocky Linux:8", "Rocky Linux:9", false},
		{"AlmaLinux:9", "AlmaLinux:9", true},
		{"Red Hat:enterprise_linux:9::appstream", "Red Hat:enterprise_linux:9::baseos", true},
		{"Red Hat:enterprise_linux:9::appstream", "Red Hat:enterprise_linux:8::baseos", false},
		{"Red Hat:rhel_eus:9.2::baseos", "Red Hat:enterprise_linux:9::baseos", false},
		{"openSUSE:Leap 15.4", "openSUSE:Leap 15.4", true},
		{"openSUSE:Leap 15.4", "openSUSE:Leap 15.5", false},
		{"Maven:https://repo.example.invalid", "Maven", true},
		{"Debian:12", "Ubuntu:12", false},
		{"npm", "PyPI", false},
	}
	for _, test := range tests {
		db := database(t, now, record("A-1", test.advisory, "p", "introduced 0", ""))
		r := run(t, db, match.Options{}, pkg(test.pkg, "p", "1.0"))
		if got := len(r.Findings) == 1; got != test.want {
			t.Errorf("advisory for %s, package of %s: got %v, want %v", test.advisory, test.pkg, got, test.want)
			continue
		}
		if test.want {
			if got, want := r.Findings[0].Approximate, test.pkg == "Debian"; got != want {
				t.Errorf("advisory for %s, package of %s: got approximate %v, want %v", test.advisory, test.pkg, got, want)
			}
		}
	}
}

func TestSourcePackages(t *testing.T) {
	db := database(t, now,
		record("DEBIAN-1", "Debian:12", "openssl", "introduced 0, fixed 3.0.11-1", ""),
		record("ALPINE-1", "Alpine:v3.18", "openssl", "introduced 0, fixed 3.1.2-r0", ""),
		record("RLSA-1", "Rocky Linux:9", "openssl-libs", "introduced 0, fixed 3.0.7-20.el9", ""),
		record("SUSE-1", "SUSE:15", "openssl-3", "introduced 0, fixed 3.0.8-2", ""))
	of := func(ecosystem, name, version, source, sourceVersion string) *inventory.Package {
		return &inventory.Package{Ecosystem: ecosystem, Name: name, Version: version, SourceName: source, SourceVersion: sourceVersion}
	}
	for _, test := range []struct {
		p    *inventory.Package
		want string
	}{
		{of("Debian:12", "libssl3", "3.0.9-1", "openssl", ""), "DEBIAN-1"},
		{of("Debian:12", "libssl3", "4.0-1", "openssl", "3.0.9-1"), "DEBIAN-1"},
		{of("Debian:12", "libssl3", "3.0.9-1", "openssl", "3.0.11-1"), ""},
		{of("Debian:12", "openssl", "3.0.9-1", "other", ""), ""},
		{of("Debian:12", "openssl", "3.0.9-1", "", ""), "DEBIAN-1"},
		{of("Alpine:v3.18", "libcrypto3", "3.1.1-r0", "openssl", ""), "ALPINE-1"},
		{of("Rocky Linux:9", "openssl-libs", "3.0.7-19.el9", "openssl", ""), "RLSA-1"},
		{of("SUSE:15", "libopenssl3", "3.0.8-1", "openssl-3", ""), "SUSE-1"},
	} {
		r := run(t, db, match.Options{}, test.p)
		got := ""
		if len(r.Findings) > 0 {
			got = r.Findings[0].ID
		}
		if got != test.want {
			t.Errorf("%s %s of %s: got %q, want %q", test.p.Name, test.p.Version, test.p.SourceName, got, test.want)
		}
	}
}

func TestMerge(t *testing.T) {
	db := database(t, now,
		record("GHSA-1", "PyPI", "p", "introduced 0, fixed 2.0", `,"aliases":["CVE-2025-0002","CVE-2025-0001"],"summary":"by GitHub","database_specific":{"severity":"HIGH"}`),
		record("PYSEC-1", "PyPI", "P", "introduced 1.0, fixed 1.9", `,"aliases":["CVE-2025-0002"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"}]`),
		record("GHSA-2", "PyPI", "p", "introduced 0, fixed 1.6", ""),
		`{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2025-0002","dateAdded":"2025-08-25"}]}`,
		"cve,epss,percentile\nCVE-2025-0001,0.5,0.6\nCVE-2025-0002,0.1,0.2\n")
	p := pkg("PyPI", "p", "1.5")
	p.PURL = "pkg:pypi/p@1.5"
	got := run(t, db, match.Options{}, p).Findings
	want := []*match.Finding{
		{
			Package: p, Ref: "pkg:pypi/p@1.5", ID: "CVE-2025-0001", Advisories: []string{"PYSEC-1", "GHSA-1"}, Aliases: []string{"CVE-2025-0002"},
			Summary: "by GitHub", Fixed: []string{"1.9"}, Range: "introduced 1.0, fixed 1.9", Name: "p", Version: "1.5", Modified: now.AddDate(0, 0, -1), Sources: []string{"test"},
			Severity:   advisory.Rating{Level: advisory.Medium, Score: 5.3, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", By: "cvss"},
			Exploited:  &advisory.Exploited{CVE: "CVE-2025-0002", Added: time.Date(2025, 8, 25, 0, 0, 0, 0, time.UTC)},
			Likelihood: &advisory.Likelihood{CVE: "CVE-2025-0001", Score: 0.5, Percentile: 0.6},
		},
		{
			Package: p, Ref: "pkg:pypi/p@1.5", ID: "GHSA-2", Advisories: []string{"GHSA-2"}, Fixed: []string{"1.6"},
			Range: "introduced 0, fixed 1.6", Name: "p", Version: "1.5", Modified: now.AddDate(0, 0, -1), Sources: []string{"test"},
		},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(match.Finding{}, "Package")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	disputed := run(t, db, match.Options{}, pkg("PyPI", "p", "1.95")).Findings
	if len(disputed) != 1 || disputed[0].ID != "CVE-2025-0001" || !slices.Equal(disputed[0].Disputed, []string{"PYSEC-1"}) {
		t.Errorf("a version that the ecosystem's own advisory does not have: got %+v, want it disputed by PYSEC-1", disputed)
	}
}

func TestUpstream(t *testing.T) {
	db := database(t, now,
		record("DEBIAN-CVE-2025-0001", "Debian:12", "p", "introduced 0", `,"upstream":["CVE-2025-0001"]`),
		record("DSA-1", "Debian:12", "p", "introduced 0, fixed 2", `,"upstream":["CVE-2025-0001","CVE-2025-0002"]`))
	var got []string
	for _, f := range run(t, db, match.Options{}, pkg("Debian:12", "p", "1")).Findings {
		got = append(got, f.ID)
	}
	if d := cmp.Diff([]string{"CVE-2025-0001", "DSA-1"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCoverage(t *testing.T) {
	db := database(t, now,
		record("A-1", "npm", "p", "introduced 0", ""), record("A-2", "Debian:11", "p", "introduced 0", ""),
		record("A-3", "Atlantis", "p", "version 1.0", ""))
	packages := []*inventory.Package{
		pkg("npm", "a", "1.0.0"), pkg("npm", "b", ""), pkg("Go", "c", "1.0.0"), pkg("", "d", "1"), pkg("Debian:12", "e", "1"), pkg("Debian:11", "p", "1"),
		pkg("Atlantis", "p", "1.0"),
	}
	type row struct {
		Ecosystem             string
		State                 match.State
		Packages, Unversioned int
		Reason                bool
	}
	rows := func(r *match.Result) (out []row) {
		for _, c := range r.Coverage {
			out = append(out, row{c.Ecosystem, c.State, c.Packages, c.Unversioned, c.Reason != ""})
		}
		return out
	}
	r := run(t, db, match.Options{}, packages...)
	want := []row{
		{"", match.Unchecked, 1, 0, true},
		{"Atlantis", match.Checked, 1, 0, true},
		{"Debian:11", match.Checked, 1, 0, false},
		{"Debian:12", match.Unchecked, 1, 0, true},
		{"Go", match.Unchecked, 1, 0, true},
		{"npm", match.Checked, 2, 1, false},
	}
	if d := cmp.Diff(want, rows(r)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(r.Findings) != 2 {
		t.Errorf("got %d findings, want those of Debian:11 and Atlantis: what is unchecked stops nothing", len(r.Findings))
	}
	for _, old := range []struct {
		name string
		o    match.Options
	}{
		{"imported long ago", match.Options{Now: now.AddDate(0, 0, 8)}},
		{"an old snapshot", match.Options{Now: now.AddDate(0, 0, 100), MaxAge: 1000 * 24 * time.Hour}},
	} {
		for _, c := range run(t, db, old.o, pkg("npm", "p", "1.0.0")).Coverage {
			if c.State != match.Stale || c.Reason == "" {
				t.Errorf("%s: got %s because %q, want stale", old.name, c.State, c.Reason)
			}
		}
	}
	for _, c := range run(t, nil, match.Options{}, packages...).Coverage {
		if c.State != match.Unchecked || c.Reason == "" {
			t.Errorf("no database: %s: got %s because %q, want unchecked", c.Ecosystem, c.State, c.Reason)
		}
	}
	var status []string
	for _, c := range match.Status(db, match.Options{Now: now}) {
		status = append(status, c.Ecosystem+" "+string(c.State))
	}
	if d := cmp.Diff([]string{"Atlantis checked", "Debian checked", "Debian:11 checked", "npm checked"}, status); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
}

func TestSkipped(t *testing.T) {
	db := database(t, now, record("A-1", "Debian:12", "p", "introduced 0, fixed x:1", ""), record("A-2", "Debian:12", "p", "introduced 0, fixed 9", ""))
	r := run(t, db, match.Options{}, pkg("Debian:12", "p", "1"))
	if len(r.Findings) != 1 || r.Findings[0].ID != "A-2" {
		t.Errorf("got %v, want A-2 alone", r.Findings)
	}
	if len(r.Skipped) != 1 || r.Skipped[0].Advisory != "A-1" {
		t.Errorf("skipped: got %v, want A-1", r.Skipped)
	}
}

func TestWithdrawn(t *testing.T) {
	db := database(t, now, record("A-1", "npm", "p", "introduced 0", `,"withdrawn":"2026-01-02T00:00:00Z"`), record("A-2", "npm", "q", "introduced 0", ""))
	if r := run(t, db, match.Options{}, pkg("npm", "p", "1.0.0")); len(r.Findings) > 0 {
		t.Errorf("got %v, want nothing of a withdrawn advisory", r.Findings)
	}
}

func TestDelta(t *testing.T) {
	before := database(t, now, record("A-1", "npm", "p", "introduced 0", ""))
	after := database(t, now, record("A-1", "npm", "p", "introduced 0", ""), record("A-2", "PyPI", "Foo_Bar", "introduced 0", ""), record("A-3", "Debian:12", "openssl", "introduced 0", ""))
	libssl := &inventory.Package{Ecosystem: "Debian:12", Name: "libssl3", Version: "3", SourceName: "openssl"}
	foo := pkg("PyPI", "foo.bar", "1.0")
	x := match.NewIndex([]*inventory.Package{pkg("npm", "p", "1.0.0"), foo, libssl, pkg("PyPI", "other", "1.0")})
	names, err := vulndb.Diff(before, after)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*inventory.Package{libssl, foo}, x.Packages(names)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSymbols(t *testing.T) {
	db := database(t, now, strings.Replace(record("GO-1", "Go", "example.invalid/m", "introduced 0", ""),
		`"package":`, `"ecosystem_specific":{"imports":[{"path":"example.invalid/m/x","symbols":["Parse","T.Read"]}]},"package":`, 1))
	f := run(t, db, match.Options{}, pkg("Go", "example.invalid/m", "1.0.0")).Findings
	if len(f) != 1 || !f[0].Symbolic {
		t.Fatalf("got %v, want one finding with symbols", f)
	}
	got, err := match.Symbols(db, f[0])
	want := []advisory.Import{{Path: "example.invalid/m/x", Symbols: []string{"Parse", "T.Read"}}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}
