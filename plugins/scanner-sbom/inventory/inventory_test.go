package inventory_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// TestAdd: what several files say of one package is one package, with all of it.
func TestAdd(t *testing.T) {
	v := inventory.New()
	for _, p := range []inventory.Package{
		{
			Name: "a", Version: "1", PURL: "pkg:npm/a@1", Ecosystem: "npm", State: inventory.Declared, Development: true,
			Locations: []inventory.Location{{Path: "y", By: "npm"}}, DependsOn: []string{"pkg:npm/b@1", "pkg:npm/gone@1", "pkg:npm/a@1"},
		},
		{
			Name: "a", Version: "1", PURL: "pkg:npm/a@1", State: inventory.Installed, Licenses: []string{"MIT"},
			Locations: []inventory.Location{{Path: "x", By: "npm"}, {Path: "y", By: "npm"}}, DependsOn: []string{"pkg:npm/b@1"},
		},
		{Name: "b", Version: "1", PURL: "pkg:npm/b@1", State: inventory.Locked, Development: true},
		{Name: "c", Version: "1", State: inventory.Built},
	} {
		v.Add(&p)
	}
	want := []*inventory.Package{
		{Name: "c", Version: "1", State: inventory.Built},
		{
			Name: "a", Version: "1", PURL: "pkg:npm/a@1", Ecosystem: "npm", State: inventory.Installed, Licenses: []string{"MIT"},
			Locations: []inventory.Location{{Path: "x", By: "npm"}, {Path: "y", By: "npm"}}, DependsOn: []string{"pkg:npm/b@1"},
		},
		{Name: "b", Version: "1", PURL: "pkg:npm/b@1", State: inventory.Locked, Development: true},
	}
	if diff := cmp.Diff(want, v.Packages()); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

// TestProblems: a tree of nothing but problems names the first, whatever the order in
// which they come, and counts the others.
func TestProblems(t *testing.T) {
	const more = 25_000
	var all []inventory.Problem
	for i := range inventory.MaxProblems + more {
		all = append(all, inventory.Problem{Path: fmt.Sprintf("f%06d", i), Code: inventory.CodeMalformed})
	}
	want := append(all[:inventory.MaxProblems:inventory.MaxProblems],
		inventory.Problem{Path: ".", Code: inventory.CodeTooMany, Reason: fmt.Sprintf("%d more problems are not named", more)})
	for seed := range uint64(3) {
		v := inventory.New()
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(all)) {
			v.Fail(all[i])
		}
		if diff := cmp.Diff(want, v.Problems()); diff != "" {
			t.Errorf("seed %d (-want +got):\n%s", seed, diff)
		}
		if diff := cmp.Diff(want, v.Problems()); diff != "" {
			t.Errorf("seed %d, asked again (-want +got):\n%s", seed, diff)
		}
	}
	v := inventory.New()
	v.Fail(all[1])
	v.Fail(all[0])
	v.Fail(all[1])
	if diff := cmp.Diff(all[:2], v.Problems()); diff != "" {
		t.Errorf("few (-want +got):\n%s", diff)
	}
}
