package delta_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/delta"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

func pkg(ecosystem, name, version string, licenses ...string) *inventory.Package {
	return &inventory.Package{Ecosystem: ecosystem, Name: name, Version: version, Licenses: licenses}
}

func TestCompare(t *testing.T) {
	before := []*inventory.Package{
		pkg("npm", "left", "1.0.0"), pkg("npm", "same", "2.0.0", "mit"), pkg("npm", "up", "1.0.0"), pkg("npm", "many", "1.0.0"), pkg("npm", "many", "2.0.0"),
		pkg("crates.io", "up", "1.0.0"), pkg("npm", "free", "1.0.0", "MIT"), pkg("Debian:12", "bash", "5.2.15-2"), pkg("", "x\ny", ""),
	}
	after := []*inventory.Package{
		pkg("npm", "same", "2.0.0", "MIT"), pkg("npm", "up", "1.1.0"), pkg("npm", "many", "2.0.0"), pkg("npm", "many", "3.0.0"), pkg("npm", "many", "4.0.0"),
		pkg("crates.io", "up", "1.0.0"), pkg("npm", "free", "1.0.0", "BUSL-1.1", "MIT"), pkg("Debian:13", "bash", "5.2.37-2"), pkg("npm", "new", "0.1.0"),
	}
	want := &delta.Report{
		Added:   []delta.Package{{Ecosystem: "npm", Name: "new", Version: "0.1.0"}},
		Removed: []delta.Package{{Name: "x\ny"}, {Ecosystem: "npm", Name: "left", Version: "1.0.0"}},
		Changed: []delta.Change{
			{Ecosystem: "Debian:13", Name: "bash", From: []string{"5.2.15-2"}, To: []string{"5.2.37-2"}},
			{Ecosystem: "npm", Name: "many", From: []string{"1.0.0"}, To: []string{"3.0.0", "4.0.0"}},
			{Ecosystem: "npm", Name: "up", From: []string{"1.0.0"}, To: []string{"1.1.0"}},
		},
		Relicensed: []delta.Change{{Ecosystem: "npm", Name: "free", Version: "1.0.0", From: []string{"MIT"}, To: []string{"BUSL-1.1", "MIT"}}},
	}
	for range 2 { // whatever the order of the packages
		if diff := cmp.Diff(want, delta.Compare(before, after)); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		slices.Reverse(before)
		slices.Reverse(after)
	}
	same := &delta.Report{Added: []delta.Package{}, Removed: []delta.Package{}, Changed: []delta.Change{}, Relicensed: []delta.Change{}}
	if diff := cmp.Diff(same, delta.Compare(before, before)); diff != "" {
		t.Errorf("an inventory and itself (-want +got):\n%s", diff)
	}
}

func TestReportJSON(t *testing.T) {
	got, err := json.Marshal(delta.Compare(nil, []*inventory.Package{{Ecosystem: "npm", Name: "a", Version: "1", PURL: "pkg:npm/a@1"}}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"added":[{"ecosystem":"npm","name":"a","version":"1","purl":"pkg:npm/a@1"}],"removed":[],"changed":[],"relicensed":[]}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
