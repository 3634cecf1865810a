package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/sdk"
)

// TestRematch: a new advisory finds its package among all that are known, and no other is
// asked about; what the operator says of findings has all of them matched again.
func TestRematch(t *testing.T) {
	s, _ := made(t)
	crate := func(name string) *inventory.Package {
		return &inventory.Package{Name: name, Version: "1.0.0", Ecosystem: "crates.io", PURL: "pkg:cargo/" + name + "@1.0.0", State: inventory.Locked}
	}
	packages := []*inventory.Package{crate("acme"), crate("other")}
	r := rematcher{scanner: s}
	defer r.close()
	dir := t.TempDir()
	rematch := func(wantAll bool, want map[string][]string) {
		t.Helper()
		changed, all, err := r.rematch(t.Context(), func() []*inventory.Package { return packages })
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for p, list := range changed {
			got[p.Name] = []string{}
			for _, f := range list {
				got[p.Name] = append(got[p.Name], f.ID)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || all != wantAll {
			t.Errorf("all is %v, want %v; changed (-want +got):\n%s", all, wantAll, diff)
		}
	}
	learn := func(records ...string) {
		t.Helper()
		for _, id := range records {
			name := map[string]string{"CVE-2026-1": "acme", "CVE-2026-2": "other", "CVE-2026-3": "third"}[id]
			write(t, filepath.Join(dir, id+".json"), fmt.Sprintf(
				`{"schema_version": "1.6.0", "id": %q, "modified": %q, "affected": [{"package": {"ecosystem": "crates.io", "name": %q},
				"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}]}]}`, id, time.Now().UTC().Format(time.RFC3339), name))
		}
		var out bytes.Buffer
		if err := s.ImportAdvisories(t.Context(), []sdk.AdvisorySource{{Path: dir}}, func(string) {}, &out); err != nil {
			t.Fatal(err)
		}
	}
	none := map[string][]string{}
	rematch(false, none) // nothing was matched, so that nothing can have changed
	learn("CVE-2026-3")
	rematch(true, none) // there was no database
	rematch(false, none)
	learn("CVE-2026-1")
	rematch(false, map[string][]string{"acme": {"CVE-2026-1"}})
	rematch(false, none)
	learn("CVE-2026-2")
	rematch(false, map[string][]string{"other": {"CVE-2026-2"}})
	load(t, s, ignoreBundle, "a.yaml", "- id: CVE-2026-1\n  reason: not ours\n  expires: 2199-01-01\n")
	rematch(true, none)
	rematch(false, none)
}
