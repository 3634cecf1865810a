package advisory_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// dataDir holds advisories of public databases; it lies beside the project.
const dataDir = "../../../../shared/data/osv"

// TestPublicDatabases reads every file of the databases and counts, in another way, that
// none is lost: what is named like a record is a record.
func TestPublicDatabases(t *testing.T) {
	tests := []struct {
		archive  string
		record   func(name string) bool
		excluded map[string]string // problems that are expected, by base name
	}{
		{"go-vulndb.tar.gz", ext(".json"), map[string]string{"LICENSE": advisory.CodeNotRecord}},
		{"pypa-advisories.tar.gz", ext(".yaml"), map[string]string{"LICENSE": advisory.CodeNotRecord, ".id-allocator": advisory.CodeNotRecord}},
		{"rustsec-advisories.tar.gz", ext(".md"), map[string]string{"LICENSE.txt": advisory.CodeNotRecord}},
		{"npm-security-wg.tar.gz", ext(".json"), map[string]string{"LICENSE.md": advisory.CodeNotRecord, "index.json": advisory.CodeNotRecord}},
	}
	for _, test := range tests {
		t.Run(test.archive, func(t *testing.T) {
			archive := filepath.Join(dataDir, test.archive)
			names := entries(t, archive)
			seen := map[string]bool{}
			err := advisory.Read(t.Context(), archive, advisory.Limits{}, func(f advisory.File) error {
				if seen[f.Name] {
					t.Errorf("%s: told twice", f.Name)
				}
				seen[f.Name] = true
				want := test.excluded[path.Base(f.Name)]
				switch {
				case f.Problem != nil && f.Problem.Code != want:
					t.Errorf("%s: %v", f.Name, f.Problem)
				case f.Problem == nil && want != "":
					t.Errorf("%s: got a record, want %s", f.Name, want)
				case f.Problem == nil && f.Record == nil:
					t.Errorf("%s: got neither record nor problem", f.Name)
				case f.Record != nil && len(f.Record.Affected) == 0 && f.Record.Withdrawn.IsZero():
					t.Errorf("%s: affects nothing", f.Name)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			records := 0
			for _, name := range names {
				if !seen[path.Clean(name)] {
					t.Errorf("%s: not told", name)
				}
				if test.record(name) && test.excluded[path.Base(name)] == "" {
					records++
				}
			}
			if len(seen) != len(names) {
				t.Errorf("got %d files, want the %d of the archive", len(seen), len(names))
			}
			t.Logf("%d files, %d records", len(seen), records)
		})
	}
}

func TestPublicCatalogue(t *testing.T) {
	archive := filepath.Join(dataDir, "kev.json.gz")
	present(t, archive)
	n := 0
	err := advisory.Read(t.Context(), archive, advisory.Limits{}, func(f advisory.File) error {
		if f.Problem != nil {
			t.Errorf("%s: %v", f.Name, f.Problem)
		}
		n += len(f.Exploited)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(text), `"cveID"`); n != want {
		t.Errorf("got %d entries, want %d", n, want)
	}
}

func ext(suffix string) func(string) bool {
	return func(name string) bool { return strings.HasSuffix(name, suffix) }
}

func present(t testing.TB, file string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Skipf("SKIPPED: the public databases are not here: %v", err)
	}
}

// entries are the names of the files of a tar.
func entries(t *testing.T, archive string) []string {
	t.Helper()
	present(t, archive)
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			names = append(names, h.Name)
		}
	}
}
