package delta_test

import (
	"encoding/json"
	"slices"
	"strings"
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
	const text = `+ npm new 0.1.0
- "x\ny" no version
- npm left 1.0.0
~ Debian:13 bash 5.2.15-2 -> 5.2.37-2
~ npm many 1.0.0 -> 3.0.0, 4.0.0
~ npm up 1.0.0 -> 1.1.0
~ npm free 1.0.0 licence: MIT -> BUSL-1.1, MIT
`
	for range 2 { // whatever the order of the packages
		r := delta.Compare(before, after)
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, b.String()); diff != "" {
			t.Errorf("text (-want +got):\n%s", diff)
		}
		slices.Reverse(before)
		slices.Reverse(after)
	}
	if r := delta.Compare(before, before); !r.Empty() {
		t.Errorf("got %+v for an inventory and itself", r)
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
