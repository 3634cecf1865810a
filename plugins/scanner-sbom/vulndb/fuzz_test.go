package vulndb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// FuzzGroup reads groups of any bytes: checksums tell damage, not intent.
func FuzzGroup(f *testing.F) {
	var e encoder
	r := advisory.Record{
		ID: "A-1", Aliases: []string{"CVE-2025-0001"}, Summary: "s", Severity: []advisory.Severity{{Score: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"}},
		Affected: []advisory.Affected{{
			Package: advisory.Package{Ecosystem: "Debian:12", Name: "p"}, Versions: []string{"1", "2"},
			Ranges: []advisory.Range{{Type: advisory.Ecosystem, Events: []advisory.Event{{Introduced: "0"}, {Fixed: "3"}}}},
		}},
	}
	e.number(1)
	e.entry(&r, []*advisory.Affected{&r.Affected[0]}, 0, 7)
	f.Add(e.buf)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	db := DB{sources: []string{"one"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := db.entries(&decoder{rest: string(data)}, &Room{})
		if err != nil {
			return
		}
		for _, e := range entries {
			e.Head()
			for i := range e.Affected {
				e.Affected[i].Listed("1")
			}
		}
	})
}

// TestEntry reads back what was written.
func TestEntry(t *testing.T) {
	r := advisory.Record{ID: "A-1", Affected: []advisory.Affected{{
		Package:  advisory.Package{Ecosystem: "Debian:12", Name: "p"},
		Versions: []string{"1", "2", "10", "1.1", "7"},
	}}}
	var e encoder
	e.number(1)
	e.entry(&r, []*advisory.Affected{&r.Affected[0]}, 0, 7)
	db := DB{sources: []string{"one"}}
	entries, err := db.entries(&decoder{rest: string(e.buf)}, &Room{})
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	a := &entries[0].Affected[0]
	for _, v := range r.Affected[0].Versions {
		if !a.Listed(v) {
			t.Errorf("%s is not listed", v)
		}
	}
	for _, v := range []string{"", "3", "1.0"} {
		if a.Listed(v) {
			t.Errorf("%s is listed", v)
		}
	}
	if a.Versions() != 5 || a.Release != "12" || entries[0].Head().Hash != 7 || entries[0].Head().Source != "one" {
		t.Errorf("got %+v", entries[0])
	}
}

// FuzzOpen opens files of any bytes.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "vulndb")
	record := filepath.Join(dir, "1.json")
	if err := os.WriteFile(record, []byte(`{"id":"A-1","affected":[{"package":{"ecosystem":"npm","name":"p"}}]}`), 0o644); err != nil {
		f.Fatal(err)
	}
	if _, err := Import(f.Context(), path, []Source{{Name: "one", Path: record}}, Options{}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(magic + trailer))
	file := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		db, err := Open(file)
		if err != nil {
			return
		}
		defer db.done()
		_ = db.Check(t.Context())
		_, _ = db.Lookup("npm", "p", nil)
		_, _ = db.Find("A-1")
	})
}
