package match_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// world is a set of advisories that random edits change.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	path    string
	dir     string
	at      time.Time
	records map[string]string // by file
	next    int
}

func newWorld(t *testing.T, seed uint64) *world {
	dir := t.TempDir()
	return &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), path: filepath.Join(dir, "vulndb"), dir: dir, at: now, records: map[string]string{}}
}

// advisory makes up a record about one of few packages, so that several are about each, under
// ids that others may have as aliases.
func (w *world) advisory() string {
	n := w.rand.IntN(60)
	id := []string{"GHSA-%04d", "CVE-2025-%04d", "X-%04d"}[w.rand.IntN(3)]
	events := fmt.Sprintf("introduced 0, fixed %d.0.0", 1+w.rand.IntN(4))
	more := fmt.Sprintf(`,"summary":"number %d"`, w.rand.IntN(3))
	if w.rand.IntN(2) == 0 {
		more += fmt.Sprintf(`,"aliases":["CVE-2025-%04d"]`, w.rand.IntN(60))
	}
	if w.rand.IntN(4) == 0 {
		more += fmt.Sprintf(`,"upstream":["CVE-2025-%04d"]`, w.rand.IntN(60))
	}
	if w.rand.IntN(10) == 0 {
		more += `,"withdrawn":"2026-01-02T00:00:00Z"`
	}
	ecosystem := []string{"npm", "crates.io", "Debian:12", "Debian:13", "Debian", "Alpine:v3.20"}[w.rand.IntN(6)]
	return record(fmt.Sprintf(id, n), ecosystem, fmt.Sprintf("p%d", w.rand.IntN(12)), events, more)
}

// edit adds, changes and removes records, and sometimes what is known of attacks.
func (w *world) edit() {
	for range w.rand.IntN(6) {
		w.next++
		w.records[fmt.Sprintf("%d.json", w.next)] = w.advisory()
	}
	for _, file := range slices.Sorted(maps.Keys(w.records)) {
		switch {
		case file == "kev.json" || len(w.records) < 4:
		case w.rand.IntN(12) == 0:
			delete(w.records, file)
		case w.rand.IntN(12) == 0:
			w.records[file] = w.advisory()
		}
	}
	if w.rand.IntN(2) == 0 {
		w.records["kev.json"] = fmt.Sprintf(`{"title":"CISA Catalog of Known Exploited Vulnerabilities","catalogVersion":"1","vulnerabilities":[
{"cveID":"CVE-2025-%04d","dateAdded":"2025-02-03","dueDate":"2025-02-28","knownRansomwareCampaignUse":"Known"},
{"cveID":"CVE-2025-%04d","dateAdded":"2025-02-04","dueDate":"2025-02-28","knownRansomwareCampaignUse":"Unknown"}]}`, w.rand.IntN(60), w.rand.IntN(60))
	}
}

// database imports what there is.
func (w *world) database() *vulndb.DB {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "records")
	if err != nil {
		w.t.Fatal(err)
	}
	for file, text := range w.records {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	report, err := vulndb.Import(w.t.Context(), w.path, []vulndb.Source{{Name: "test", Path: dir}}, vulndb.Options{Now: w.at})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range report.Sources[0].Problems {
		if p.Code != vulndb.CodeRepeated {
			w.t.Fatal(p)
		}
	}
	db, err := vulndb.Open(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return db
}

// packages are of several targets: some have one Ref.
func (w *world) packages() (out []*inventory.Package) {
	for i := range 80 {
		p := &inventory.Package{
			Ecosystem: []string{"npm", "crates.io", "Debian:12", "Debian:13", "Debian:11", "Alpine:v3.20", "PyPI", ""}[w.rand.IntN(8)],
			Name:      fmt.Sprintf("p%d", w.rand.IntN(14)), Version: fmt.Sprintf("%d.%d.0", w.rand.IntN(4), w.rand.IntN(2)),
		}
		if i%3 == 0 {
			p.SourceName, p.Name = p.Name, p.Name+"-bin"
		}
		out = append(out, p)
	}
	return out
}

// all matches everything anew, and returns the findings of each package.
func all(t *testing.T, db *vulndb.DB, packages []*inventory.Package) map[*inventory.Package][]*match.Finding {
	t.Helper()
	r, err := match.Match(t.Context(), db, packages, match.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	out := map[*inventory.Package][]*match.Finding{}
	for _, f := range r.Findings {
		out[f.Package] = append(out[f.Package], f)
	}
	return out
}

// TestChanges holds what Changes tells against two matches of everything, after random
// edits of the advisories.
func TestChanges(t *testing.T) {
	told := 0
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		for range 15 {
			w.edit()
		}
		packages := w.packages()
		index := match.NewIndex(packages)
		before := w.database()
		for range 4 {
			w.edit()
			after := w.database()
			got, err := index.Changes(t.Context(), before, after, match.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			changes := map[*inventory.Package]match.Change{}
			for _, c := range got {
				changes[c.Package] = c
			}
			was, is := all(t, before, packages), all(t, after, packages)
			for _, p := range packages {
				c, told := changes[p]
				changed := !cmp.Equal(was[p], is[p])
				switch {
				case changed != told:
					t.Errorf("seed %d: %s: told %v, want %v:\n%s", seed, p.Ref(), told, changed, cmp.Diff(was[p], is[p]))
				case told && (!cmp.Equal(c.Before, was[p]) || !cmp.Equal(c.After, is[p])):
					t.Errorf("seed %d: %s: what was told is another (-want +got):\n%s%s", seed, p.Ref(), cmp.Diff(was[p], c.Before), cmp.Diff(is[p], c.After))
				}
			}
			told += len(got)
			before = after
		}
	}
	if told < 200 {
		t.Errorf("%d changes in all are too few to tell anything", told)
	}
}

// TestChangesOfNoDatabase: the first database changes everything that it finds.
func TestChangesOfNoDatabase(t *testing.T) {
	db := database(t, now, record("A-1", "npm", "one", "introduced 0", ""))
	p := &inventory.Package{Ecosystem: "npm", Name: "one", Version: "1.0.0"}
	x := match.NewIndex([]*inventory.Package{p, {Ecosystem: "npm", Name: "two", Version: "1.0.0"}})
	for name, sides := range map[string][2]*vulndb.DB{"the first": {nil, db}, "it went": {db, nil}} {
		got, err := x.Changes(t.Context(), sides[0], sides[1], match.Options{Now: now})
		if err != nil || len(got) != 1 || got[0].Package != p || len(got[0].Before)+len(got[0].After) != 1 {
			t.Errorf("%s: got %+v, %v, want one change of one", name, got, err)
		}
	}
}

// TestMemory holds a Memory against a match of everything, while packages and advisories change.
func TestMemory(t *testing.T) {
	rule := match.Rule{ID: "CVE-2025-0007", Reason: "a test", Expires: now.AddDate(1, 0, 0)}
	o := match.Options{Now: now, Rules: []match.Rule{rule}}
	for seed := range uint64(5) {
		w := newWorld(t, seed)
		for range 15 {
			w.edit()
		}
		var memory match.Memory
		db := w.database()
		for turn := range 10 {
			if turn%4 == 3 {
				w.edit()
				db = w.database()
			}
			if turn == 8 {
				db = nil
			}
			packages := w.packages()
			w.rand = rand.New(rand.NewPCG(seed, uint64(turn/2))) // the same packages, other objects, every second time
			want, err := match.Match(t.Context(), db, packages, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := memory.Match(t.Context(), db, packages, o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("seed %d, turn %d (-want +got):\n%s", seed, turn, d)
			}
			for i, f := range got.Findings {
				if f.Package != want.Findings[i].Package {
					t.Fatalf("seed %d, turn %d: finding %s is about a package of an earlier match", seed, turn, f.ID)
				}
			}
		}
	}
}
