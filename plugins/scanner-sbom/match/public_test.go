package match_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"

	"github.com/google/osv-scalibr/semantic"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// affects is the evaluation of the OSV schema as its pseudo-code has it, over a whole
// record and with the library's comparisons.
func affects(t *testing.T, a *advisory.Affected, version string) bool {
	t.Helper()
	if slices.Contains(a.Versions, version) {
		return true
	}
	for _, r := range a.Ranges {
		ecosystem := a.Package.Ecosystem
		switch r.Type {
		case advisory.SemVer:
			ecosystem = "npm"
		case advisory.Git:
			continue
		}
		less := func(a, b string) bool {
			if a == "0" || b == "0" {
				return a == "0" && b != "0"
			}
			va, err := semantic.Parse(a, ecosystem)
			if err != nil {
				t.Fatal(err)
			}
			n, err := va.CompareStr(b)
			if err != nil {
				t.Fatal(err)
			}
			return n < 0
		}
		type event struct {
			kind    int
			version string
		}
		var events []event
		for _, e := range r.Events {
			for kind, v := range []string{e.Introduced, e.LastAffected, e.Fixed} {
				if v != "" {
					events = append(events, event{kind, v})
				}
			}
		}
		slices.SortStableFunc(events, func(a, b event) int {
			switch {
			case less(a.version, b.version):
				return -1
			case less(b.version, a.version):
				return 1
			}
			return a.kind - b.kind
		})
		vulnerable := false
		for _, e := range events {
			switch {
			case e.kind == 0 && !less(version, e.version):
				vulnerable = true
			case e.kind == 1 && less(e.version, version):
				vulnerable = false
			case e.kind == 2 && !less(version, e.version):
				vulnerable = false
			}
		}
		if vulnerable {
			return true
		}
	}
	return false
}

// every is how many packages of the public databases there are to one that is asked about:
// all take minutes. Set it to 1 after a change of the evaluation.
const every = 31

// TestPublicDatabases asks, for packages of the public databases, about every version at which
// something begins or ends, and about versions between, and compares the answer with
// that of the schema's pseudo-code.
func TestPublicDatabases(t *testing.T) {
	sources := publicSources(t)
	db := imported(t, sources...)
	type key struct{ ecosystem, name string }
	records := map[key][]*advisory.Record{}
	versions := map[key]map[string]bool{}
	for _, s := range sources {
		err := advisory.Read(t.Context(), s.Path, advisory.Limits{}, func(f advisory.File) error {
			if f.Record == nil || !f.Record.Withdrawn.IsZero() {
				return nil
			}
			for i := range f.Record.Affected {
				a := &f.Record.Affected[i]
				k := key{a.Package.Ecosystem, a.Package.Name}
				if !slices.Contains(records[k], f.Record) {
					records[k] = append(records[k], f.Record)
				}
				if versions[k] == nil {
					versions[k] = map[string]bool{"0.0.1": true, "9999.0.0": true}
				}
				for _, r := range a.Ranges {
					for _, e := range r.Events {
						for _, v := range []string{e.Introduced, e.Fixed, e.LastAffected} {
							if v != "" && v != "0" {
								versions[k][v] = true
								versions[k][v+".1"] = true
							}
						}
					}
				}
				if n := len(a.Versions); n > 0 {
					versions[k][a.Versions[0]], versions[k][a.Versions[n/2]], versions[k][a.Versions[n-1]] = true, true, true
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	asked, hits := 0, 0
	for k, all := range records {
		h := fnv.New32a()
		fmt.Fprint(h, k)
		if k.ecosystem == "Rust" || h.Sum32()%every != 0 {
			continue
		}
		var packages []*inventory.Package
		for v := range versions[k] {
			packages = append(packages, &inventory.Package{Ecosystem: k.ecosystem, Name: k.name, Version: v, PURL: v})
		}
		r := run(t, db, match.Options{}, packages...)
		got := map[string]bool{}
		for _, f := range r.Findings {
			for _, id := range f.Advisories {
				got[f.Ref+" "+id] = true
			}
		}
		for _, p := range packages {
			for _, rec := range all {
				want := false
				for i := range rec.Affected {
					if a := &rec.Affected[i]; a.Package.Name == k.name && a.Package.Ecosystem == k.ecosystem && !want {
						want = affects(t, a, p.Version)
					}
				}
				asked++
				if want {
					hits++
				}
				if got := got[p.Version+" "+rec.ID]; got != want {
					t.Errorf("%v %s: %s: got %v, want %v", k, p.Version, rec.ID, got, want)
				}
			}
		}
	}
	t.Logf("%d questions, %d of them affected", asked, hits)
}
