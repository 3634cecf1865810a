package document

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// canonical are packages with their licences as SPDX writes them, sorted, which is all
// that a document may change of them.
func canonical(packages []*inventory.Package) []*inventory.Package {
	var out []*inventory.Package
	for _, p := range packages {
		own := *p
		own.Licenses = nil
		for _, s := range p.Licenses {
			if l := license.Parse(s); l.Kind != license.None {
				own.Licenses = append(own.Licenses, l.Text)
			}
		}
		slices.Sort(own.Licenses)
		own.Licenses = slices.Compact(own.Licenses)
		own.Hashes = slices.Sorted(slices.Values(own.Hashes))
		out = append(out, &own)
	}
	return out
}

// TestRoundTrip holds that what was written is read again, whatever it is.
func TestRoundTrip(t *testing.T) {
	for _, f := range Formats() {
		t.Run(string(f), func(t *testing.T) {
			for seed := range uint64(rounds) {
				r := rand.New(rand.NewPCG(seed, 2))
				d := generated(r, r.IntN(30))
				content, err := d.Append(nil, f)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Read(bytes.NewReader(content), "sbom.json", Limits{})
				if err != nil {
					t.Fatalf("got %v for\n%s", err, content)
				}
				if diff := cmp.Diff(canonical(d.Packages), canonical(got.Packages), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d: written and read differ:\n%s\n%s", seed, diff, content)
				}
				if diff := cmp.Diff(d.Problems, got.Problems, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("problems written and read differ:\n%s", diff)
				}
				if !got.Created.Equal(d.created()) {
					t.Errorf("got created %v, want %v", got.Created, d.created())
				}
				want := Target{Name: d.Target.Name, Kind: d.Target.Kind, Version: d.Target.Version}
				if f == SPDX23 && want.Name == "" {
					want.Name = firstOf(string(want.Kind), "inventory")
				}
				want.Version = capped(want.Version)
				got.Target.Distribution = Distribution{}
				if f == SPDX23 {
					want.Version = d.Target.Version
				}
				if got.Target != want {
					t.Errorf("got target %q, want %q", got.Target, want)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, f := range []Format{CycloneDX16, SPDX23} {
		b.Run(fmt.Sprint(f), func(b *testing.B) {
			content, err := lockfile(10_000).Append(nil, f)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Read(bytes.NewReader(content), "x", Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
