package inventory_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// random makes a package of few kinds, so that several have one Ref.
func random(r *rand.Rand) *inventory.Package {
	n := r.IntN(120)
	p := &inventory.Package{
		Name: fmt.Sprint("p", n), Version: "1", State: []inventory.State{inventory.Installed, inventory.Locked}[r.IntN(2)],
		Development: r.IntN(2) == 0, Locations: []inventory.Location{{Path: fmt.Sprint("f", r.IntN(50)), By: "r"}},
	}
	if n%10 != 0 {
		p.PURL = fmt.Sprint("pkg:npm/p", n, "@1")
	}
	for range r.IntN(4) {
		p.DependsOn = append(p.DependsOn, fmt.Sprint("pkg:npm/p", r.IntN(120), "@1"))
		p.Licenses = append(p.Licenses, fmt.Sprint("L", r.IntN(3)))
		p.Hashes = append(p.Hashes, fmt.Sprint("sha1:", r.IntN(3)))
	}
	if r.IntN(2) == 0 {
		p.Arrange()
	}
	return p
}

// TestAfter: an inventory that comes after another is what one made of copies of all is, however
// they differ, and nothing that is shared is changed.
func TestAfter(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		lists := map[int][]*inventory.Package{}
		var before *inventory.Merged
		updated := 0
		for turn := range 60 {
			changes := r.IntN(3)
			if turn%15 == 0 {
				changes = 60
			}
			for range changes {
				if n := r.IntN(60); r.IntN(3) == 0 {
					delete(lists, n)
				} else {
					lists[n] = nil
					for range r.IntN(4) {
						lists[n] = append(lists[n], random(r))
					}
				}
			}
			got, want := inventory.After(before), inventory.New()
			var was []inventory.Package
			var of []*inventory.Package
			for _, list := range lists {
				got.Share(list)
				for _, p := range list {
					want.Add(p.Clone())
					was, of = append(was, *p.Clone()), append(of, p)
				}
			}
			for range r.IntN(3) {
				p := random(r)
				got.Add(p.Clone())
				want.Add(p)
			}
			list := got.Packages()
			if diff := cmp.Diff(want.Packages(), list); diff != "" {
				t.Fatalf("seed %d, turn %d: all anew (-) and after another (+) differ:\n%s", seed, turn, diff)
			}
			if got.Len() != want.Len() || got.AtMost() < got.Len() {
				t.Fatalf("got %d packages, at most %d, want %d", got.Len(), got.AtMost(), want.Len())
			}
			for i, p := range of {
				if diff := cmp.Diff(&was[i], p); diff != "" {
					t.Fatalf("seed %d, turn %d: what is shared changed:\n%s", seed, turn, diff)
				}
			}
			if before != nil && before.Len() > 0 && changes < 3 {
				updated++
			}
			if before = got.Merged().Base(); r.IntN(20) == 0 {
				before = nil
			}
			if r.IntN(4) == 0 {
				got.Unshare()
				if diff := cmp.Diff(list, got.Packages()); diff != "" {
					t.Fatalf("seed %d, turn %d: unshared (+) it differs:\n%s", seed, turn, diff)
				}
			}
		}
		if updated == 0 {
			t.Error("nothing came after another: the test shows nothing")
		}
	}
}
