package document

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// lockfile is a document as a Cargo.lock of n packages gives it: each with its hash,
// its line, and three packages that it needs.
func lockfile(n int) *Document {
	v := inventory.New()
	name := func(i int) string { return fmt.Sprintf("crate-name-%d", i) }
	purl := func(i int) string { return fmt.Sprintf("pkg:cargo/%s@1.%d.0", name(i), i%50) }
	for i := range n {
		p := &inventory.Package{
			Name: name(i), Version: fmt.Sprintf("1.%d.0", i%50), Ecosystem: "crates.io", PURL: purl(i), State: inventory.Locked,
			Hashes:    []string{"sha256:" + strings.Repeat(fmt.Sprintf("%08x", i), 8)},
			Locations: []inventory.Location{{Path: "Cargo.lock", Line: 7 * i, By: "cargo-lock"}},
		}
		for j := 1; j <= 3; j++ {
			p.DependsOn = append(p.DependsOn, purl((i*j+j)%n))
		}
		v.Add(p)
	}
	return &Document{Target: Target{Name: "app", Kind: Directory}, ToolVersion: "1.0.0", Created: time.Unix(1700000000, 0), Packages: v.Packages()}
}

func BenchmarkAppend(b *testing.B) {
	for _, f := range []Format{CycloneDX16, SPDX23} {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				d := lockfile(n)
				content, err := d.Append(nil, f)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					content, err = d.Append(content[:0], f)
				}
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkLibrary is what the library takes to write the document that is read from
// what Append writes: with no costs of making its values.
func BenchmarkLibrary(b *testing.B) {
	content, err := lockfile(100).Append(nil, CycloneDX16)
	if err != nil {
		b.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(content), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).Encode(&bom); err != nil {
			b.Fatal(err)
		}
	}
}
