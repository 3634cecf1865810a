package advisory_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	tests := []struct {
		name, file, text string
		want             advisory.File
	}{
		{
			"OSV", "a.json", `{"schema_version":"1.7.0","id":"A-1","modified":"2026-01-02T00:00:00Z","published":"2026-01-01","withdrawn":null,"aliases":["CVE-2025-0001"],"upstream":["U-1"],
"affected":[{"package":{"ecosystem":"npm","name":"p"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.0"}]}],"versions":["0.9.0"]}],"unheard":{"of":1}}`,
			advisory.File{Record: &advisory.Record{
				SchemaVersion: "1.7.0", ID: "A-1", Modified: day(2), Published: day(1), Aliases: []string{"CVE-2025-0001"}, Upstream: []string{"U-1"},
				Affected: []advisory.Affected{{
					Package: advisory.Package{Ecosystem: "npm", Name: "p"}, Versions: []string{"0.9.0"},
					Ranges: []advisory.Range{{Type: "SEMVER", Events: []advisory.Event{{Introduced: "0"}, {Fixed: "1.0.0"}}}},
				}},
			}},
		},
		{
			"OSV in YAML, numbers that are versions", "a.yaml", "id: A-1\nmodified: 2026-01-02T00:00:00Z\naffected:\n- package: {ecosystem: PyPI, name: p}\n  versions: [1.10, 1, 2020-01-01, yes]\n",
			advisory.File{Record: &advisory.Record{
				ID: "A-1", Modified: day(2),
				Affected: []advisory.Affected{{Package: advisory.Package{Ecosystem: "PyPI", Name: "p"}, Versions: []string{"1.10", "1", "2020-01-01", "yes"}}},
			}},
		},
		{"a time before there were any", "a.json", `{"id":"A-1","modified":"0001-01-01T00:00:00Z"}`, advisory.File{Record: &advisory.Record{ID: "A-1"}}},
		{
			"KEV", "kev.json", `{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2025-0001","dateAdded":"2026-01-01","dueDate":"2026-01-02","knownRansomwareCampaignUse":"Known"}]}`,
			advisory.File{Exploited: []advisory.Exploited{{CVE: "CVE-2025-0001", Added: day(1), Due: day(2), Ransomware: true}}},
		},
		{
			"EPSS", "e.csv", "#model_version:v1,score_date:2026-01-01\ncve,epss,percentile\nCVE-2025-0001,0.5,0.75\r\n\n",
			advisory.File{Likelihoods: []advisory.Likelihood{{CVE: "CVE-2025-0001", Score: 0.5, Percentile: 0.75}}},
		},

		{"licence", "LICENSE", "x", refusal(advisory.CodeNotRecord)},
		{"readme", "README.md", "# x", refusal(advisory.CodeNotRecord)},
		{"a list", "a.json", `[1]`, refusal(advisory.CodeNotRecord)},
		{"an index", "index.json", `{"1":{}}`, refusal(advisory.CodeNotRecord)},
		{"a number for an id", "a.json", `{"id":1}`, refusal(advisory.CodeNotRecord)},
		{"other table", "a.csv", "a,b\n1,2", refusal(advisory.CodeNotRecord)},
		{"YAML that is a list", "a.yaml", "- x", refusal(advisory.CodeNotRecord)},
		{"empty", "a.json", "", refusal(advisory.CodeNotRecord)},
		{"cut", "a.json", `{"id":"A-1"`, refusal(advisory.CodeMalformed)},
		{"no id", "a.json", `{"id":"","modified":"2026-01-02T00:00:00Z"}`, refusal(advisory.CodeMalformed)},
		{"an id with a line end", "a.json", `{"id":"A\n1"}`, refusal(advisory.CodeMalformed)},
		{"a long id", "a.json", `{"id":"` + strings.Repeat("A", 300) + `"}`, refusal(advisory.CodeMalformed)},
		{"no time", "a.json", `{"id":"A-1","modified":"soon"}`, refusal(advisory.CodeMalformed)},
		{"events of another type", "a.json", `{"id":"A-1","affected":[{"package":{"ecosystem":"npm","name":"p"},"ranges":[{"type":"SEMVER","events":["0"]}]}]}`, refusal(advisory.CodeMalformed)},
		{"a package without an ecosystem", "a.json", `{"id":"A-1","affected":[{"package":{"name":"p"}}]}`, refusal(advisory.CodeMalformed)},
		{"KEV without a CVE", "kev.json", `{"catalogVersion":"1","vulnerabilities":[{"cveID":"x"}]}`, refusal(advisory.CodeMalformed)},
		{"a probability of two", "e.csv", "cve,epss,percentile\nCVE-2025-0001,2,0\n", refusal(advisory.CodeMalformed)},
		{"a probability of none", "e.csv", "cve,epss,percentile\nCVE-2025-0001,NaN,0\n", refusal(advisory.CodeMalformed)},
		{"deep", "a.json", `{"id":"A-1","database_specific":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, refusal(advisory.CodeTooDeep)},
		{"deep YAML", "a.yaml", "id: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), refusal(advisory.CodeTooDeep)},
		{"YAML that has itself", "a.yaml", "a: &a {b: *a}", refusal(advisory.CodeTooDeep)},
		{"YAML that grows", "a.yaml", grows(), refusal(advisory.CodeTooLarge)},
		{"broken YAML", "a.yaml", "a: [", refusal(advisory.CodeMalformed)},
	}
	for _, test := range tests {
		got := advisory.Parse(test.file, []byte(test.text), advisory.Limits{})
		if got.Name != test.file {
			t.Errorf("%s: got the name %q", test.name, got.Name)
		}
		if (got.Record != nil) != (got.Raw != nil) {
			t.Errorf("%s: a record and its JSON come together", test.name)
		}
		if want := test.want.Problem; want != nil {
			if got.Problem == nil || got.Problem.Code != want.Code || got.Problem.Reason == "" || got.Record != nil {
				t.Errorf("%s: got %+v, want %s", test.name, got.Problem, want.Code)
			}
			continue
		}
		got.Name, got.Raw = "", nil
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}

func refusal(code string) advisory.File {
	return advisory.File{Problem: &advisory.Problem{Code: code}}
}

// grows is a short text of 10^7 values.
func grows() string {
	var b strings.Builder
	b.WriteString("x0: &x0 [" + strings.Repeat("1,", 10) + "]\n")
	for i := 1; i < 7; i++ {
		fmt.Fprintf(&b, "x%d: &x%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*x%d,", i-1), 10))
	}
	return b.String()
}

// archive writes files into an archive of a kind.
func archive(t *testing.T, kind string, files ...[2]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source."+kind)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	switch kind {
	case "zip":
		z := zip.NewWriter(f)
		for _, file := range files {
			w, err := z.Create(file[0])
			check(err)
			_, err = io.WriteString(w, file[1])
			check(err)
		}
		check(z.Close())
	case "tar", "tar.gz":
		w, flush := io.Writer(f), func() error { return nil }
		if kind == "tar.gz" {
			z := gzip.NewWriter(f)
			w, flush = z, z.Close
		}
		out := tar.NewWriter(w)
		for _, file := range files {
			check(out.WriteHeader(&tar.Header{Name: file[0], Size: int64(len(file[1])), Mode: 0o644, Typeflag: tar.TypeReg}))
			_, err := io.WriteString(out, file[1])
			check(err)
		}
		check(out.WriteHeader(&tar.Header{Name: "link", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}))
		check(out.Close())
		check(flush())
	}
	return path
}

// told reads a source into "name: id" or "name: code".
func told(t *testing.T, path string, limits advisory.Limits) []string {
	t.Helper()
	var out []string
	err := advisory.Read(t.Context(), path, limits, func(f advisory.File) error {
		what := "nothing"
		switch {
		case f.Problem != nil:
			what = f.Problem.Code
		case f.Record != nil:
			what = f.Record.ID
		}
		out = append(out, f.Name+": "+what)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRead(t *testing.T) {
	files := [][2]string{{"b/1.json", `{"id":"A-1"}`}, {"a/2.yaml", "id: A-2"}, {"../LICENSE", "x"}, {"a/3.zip", "PK\x03\x04"}}
	want := []string{"b/1.json: A-1", "a/2.yaml: A-2", "../LICENSE: not_record", "a/3.zip: nested"}
	for _, kind := range []string{"zip", "tar", "tar.gz"} {
		want := want
		if kind != "zip" {
			want = append(want[:4:4], "link: not_regular")
		}
		if d := cmp.Diff(want, told(t, archive(t, kind, files...), advisory.Limits{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"x/1.json": `{"id":"A-1"}`, ".git/config": "x", "y/LICENSE": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(archive(t, "zip", files[0]), filepath.Join(dir, "npm.zip")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	want = []string{".git: not_record", "loop: not_regular", "npm.zip!b/1.json: A-1", "x/1.json: A-1", "y/LICENSE: not_record"}
	if d := cmp.Diff(want, told(t, dir, advisory.Limits{})); d != "" {
		t.Errorf("folder (-want +got):\n%s", d)
	}
}

func TestReadLimits(t *testing.T) {
	long := `{"id":"A-1","details":"` + strings.Repeat("x", 1000) + `"}`
	short := `{"id":"A-2"}`
	for _, kind := range []string{"zip", "tar"} {
		path := archive(t, kind, [2]string{"1.json", long}, [2]string{"2.json", short})
		got := told(t, path, advisory.Limits{FileBytes: 500})
		if d := cmp.Diff([]string{"1.json: too_large", "2.json: A-2"}, got[:2]); d != "" {
			t.Errorf("%s: file bytes (-want +got):\n%s", kind, d)
		}
		got = told(t, path, advisory.Limits{Files: 1})
		if d := cmp.Diff([]string{"1.json: A-1", "2.json: too_many"}, got); d != "" {
			t.Errorf("%s: files (-want +got):\n%s", kind, d)
		}
	}
	path := archive(t, "zip", [2]string{"1.json", long}, [2]string{"2.json", short}, [2]string{"3.json", short})
	if d := cmp.Diff([]string{"1.json: expands"}, told(t, path, advisory.Limits{TotalBytes: 900})); d != "" {
		t.Errorf("total (-want +got):\n%s", d)
	}
	// A bomb: 200 MB of zeros in 200 KB.
	bomb := archive(t, "zip", [2]string{"1.json", short}, [2]string{"2.json", string(make([]byte, 60<<20))}, [2]string{"3.json", string(make([]byte, 60<<20))})
	if d := cmp.Diff([]string{"1.json: A-2", "2.json: not_record", "3.json: expands"}, told(t, bomb, advisory.Limits{Ratio: 1})); d != "" {
		t.Errorf("bomb (-want +got):\n%s", d)
	}
	whole, err := os.ReadFile(archive(t, "tar.gz", [2]string{"1.json", short}, [2]string{"2.json", long}))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.tar.gz")
	if err := os.WriteFile(cut, whole[:len(whole)-40], 0o644); err != nil {
		t.Fatal(err)
	}
	got := told(t, cut, advisory.Limits{})
	if last := got[len(got)-1]; !strings.HasSuffix(last, ": unreadable") {
		t.Errorf("cut archive: got %v, want unreadable at its end", got)
	}
}

func TestReadErrors(t *testing.T) {
	if err := advisory.Read(t.Context(), filepath.Join(t.TempDir(), "none"), advisory.Limits{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no source: got %v", err)
	}
	var files [][2]string
	for i := range 1000 {
		files = append(files, [2]string{fmt.Sprintf("%d.json", i), fmt.Sprintf(`{"id":"A-%d"}`, i)})
	}
	path := archive(t, "zip", files...)
	stop := errors.New("enough")
	n := 0
	if err := advisory.Read(t.Context(), path, advisory.Limits{}, func(advisory.File) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	}); !errors.Is(err, stop) || n != 3 {
		t.Errorf("stopped by the visitor: got %v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := advisory.Read(ctx, path, advisory.Limits{}, func(advisory.File) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	// The order is that of the source.
	for i, line := range told(t, path, advisory.Limits{}) {
		if want := fmt.Sprintf("%d.json: A-%d", i, i); line != want {
			t.Fatalf("got %s, want %s", line, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a.json", []byte(`{"id":"A-1","modified":"2026-01-02T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"p"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`))
	f.Add("a.json", []byte(`{"id":7,"module_name":"p","vulnerable_versions":">=1.2 <2 || 3.x || ~4.1.1 || 1 - 2"}`))
	f.Add("a.json", []byte(`{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2025-0001","dateAdded":"2026-01-01"}]}`))
	f.Add("a.yaml", []byte("id: A-1\nx: &x {a: [1, ~, true]}\ny: *x\n"))
	f.Add("a.md", []byte("```toml\n[advisory]\nid = \"R-1\"\npackage = \"p\"\ndate = 2026-01-02\n[versions]\npatched = [\"^1.2, <1.9\", \">= 2\"]\n```\n# T\n"))
	f.Add("a.csv", []byte("cve,epss,percentile\nCVE-2025-0001,0.1,1e-1\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		got := advisory.Parse(name, data, advisory.Limits{})
		set := 0
		for _, is := range []bool{got.Record != nil, got.Exploited != nil, got.Likelihoods != nil, got.Problem != nil} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Fatalf("got %d of record, catalogue, scores and problem, want one: %+v", set, got)
		}
		if got.Record == nil {
			return
		}
		// What is kept of a record reads as that record.
		again := advisory.Parse("again.json", got.Raw, advisory.Limits{})
		if again.Problem != nil {
			t.Fatalf("its own JSON: %v\n%s", again.Problem, got.Raw)
		}
		if d := cmp.Diff(compact(t, got.Record), compact(t, again.Record)); d != "" {
			t.Errorf("its own JSON is another record:\n%s", d)
		}
	})
}

func compact(t *testing.T, r *advisory.Record) string {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
