package document

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/documenttest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Words of which names, versions and paths are made: those that are usual, and those
// that break writers.
var words = []string{
	"serde", "@babel/core", "org.apache:commons", "a", "lib c", "..", "-", "", "ünïcödé", "日本", "\x00", "\x1f\x7f", "\"quoted\"", `back\slash`,
	"\u2028", "😀", "<script>&amp;", "per%cent%zz", "#", "?x=y&z", "urn:cdx:x", "ironpost:target", "a\tb\nc", "%00", strings.Repeat("long", 300), "\ufffd", "e\u0301",
}

var declaredLicenses = []string{
	"MIT", "mit", "Apache-2.0", "MIT OR Apache-2.0", "(MIT)", "MIT AND (BSD-3-Clause OR ISC)", "GPL-2.0+", "GPL-2.0-or-later WITH Classpath-exception-2.0",
	"Unicode-3.0", "GPL-2+", "Public Domain", "", "NOASSERTION", "NONE", "LicenseRef-scancode-x", "DocumentRef-a:LicenseRef-b", "MIT/Apache-2.0", "(((", "AND", "MIT AND",
	"see \"LICENSE\"\n\x01", "Classpath-exception-2.0", "KiCad-libraries-exception", "LicenseRef-Public-Domain-x", "日本", strings.Repeat("All rights reserved. ", 500),
}

var declaredHashes = []string{
	"sha256:" + strings.Repeat("0a", 32), "sha512:" + strings.Repeat("0B", 64), "sha1:" + strings.Repeat("ff", 20), "md5:" + strings.Repeat("1", 32),
	"sha224:" + strings.Repeat("1", 56), "sha256:short", "sha256:" + strings.Repeat("xy", 32), "h1:abc=", "nothing", "", "blake2b-256:" + strings.Repeat("9", 64),
}

var homes = []struct{ ecosystem, purl string }{
	{"npm", "pkg:npm/"},
	{"crates.io", "pkg:cargo/"},
	{"Maven", "pkg:maven/"},
	{"Debian:12", "pkg:deb/debian/"},
	{"Ubuntu:22.04:LTS", "pkg:deb/ubuntu/"},
	{"", "pkg:generic/"},
	{"", ""},
	{"Go", "pkg:golang/"},
	{"Alpine:v3.19", "pkg:apk/alpine/"},
	{"", "pkg:cargo/"},
	{"npm", ""},
	{"Packagist", ""},
	{"x\x00y", "not a purl "},
}

// rounds is how many inventories are generated for each format.
const rounds = 40

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func some(r *rand.Rand, from []string) []string {
	var out []string
	for range r.IntN(4) {
		out = append(out, pick(r, from))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// generated makes an inventory in which everything odd happens: cycles, relations to
// itself and to nothing, packages without anything.
func generated(r *rand.Rand, n int) *Document {
	v := inventory.New()
	var refs []string
	for range n {
		home := pick(r, homes)
		p := &inventory.Package{
			Name: pick(r, words) + pick(r, words), Version: pick(r, []string{"", "1.0", "2:1.0-1+b1", pick(r, words)}), Ecosystem: home.ecosystem,
			State: pick(r, []inventory.State{inventory.Installed, inventory.Built, inventory.Locked, inventory.Declared}), Development: r.IntN(4) == 0,
			Licenses: some(r, declaredLicenses), Hashes: some(r, declaredHashes),
		}
		if home.purl != "" {
			p.PURL = home.purl + fmt.Sprintf("%q@%s", p.Name, p.Version)
		}
		if r.IntN(3) == 0 {
			p.Arch, p.SourceName, p.SourceVersion = pick(r, words), pick(r, words), pick(r, words)
		}
		for range r.IntN(4) {
			p.Locations = append(p.Locations, inventory.Location{
				Path: pick(r, words) + "/x", Line: r.IntN(3) * r.IntN(1000), By: pick(r, []string{"dpkg", "cargo-lock", pick(r, words)}), Layer: pick(r, []string{"", "", "sha256:1", pick(r, words)}),
			})
		}
		for range r.IntN(5) {
			if len(refs) > 0 {
				p.DependsOn = append(p.DependsOn, pick(r, refs))
			}
			p.DependsOn = append(p.DependsOn, pick(r, []string{p.Ref(), "nothing", ""}))
		}
		refs = append(refs, p.Ref())
		v.Add(p)
		if len(refs) > 1 && r.IntN(3) == 0 {
			back := *p
			back.Name, back.PURL, back.Locations, back.DependsOn = "back", "", nil, slices.Clone(refs)
			v.Add(&back)
		}
	}
	d := &Document{
		Target:      Target{Name: pick(r, words), Kind: pick(r, []Kind{Directory, RootFS, Archive, Image, Container, ""}), Version: pick(r, []string{"", "sha256:1", pick(r, words)})},
		ToolVersion: pick(r, words), Created: time.Unix(r.Int64N(1<<33), 5), Packages: v.Packages(),
	}
	if r.IntN(3) == 0 {
		d.Target.Distribution = Distribution{ID: pick(r, words), Version: pick(r, words), Name: pick(r, words)}
	}
	for range r.IntN(3) {
		v.Fail(inventory.Problem{Path: pick(r, words), Code: inventory.CodeMalformed, Reason: pick(r, words)})
	}
	d.Problems = v.Problems()
	for range r.IntN(6) {
		if len(d.Packages) == 0 {
			break
		}
		d.Findings = append(d.Findings, Finding{
			Ref: pick(r, d.Packages).Ref(), ID: pick(r, []string{"CVE-2024-1", "GHSA-x", pick(r, words)}), Aliases: []string{pick(r, words), "CVE-2024-1", "CVE-2024-1"}, Source: pick(r, []string{"OSV", "", pick(r, words)}),
			URL: pick(r, []string{"https://osv.dev/x", "", pick(r, words), "https://x/" + pick(r, words), "http://[::1", "https://x/%zz", "https://x y", "http://[x]:y/"}), Severity: pick(r, []string{"high", "", "none", "terrible"}), Score: pick(r, []float64{0, 9.8, -1, 1e300}),
			Vector: pick(r, []string{"", "CVSS:3.1/AV:N", pick(r, words)}), Method: pick(r, []string{"CVSSv31", "", "mine"}), Fix: pick(r, []string{"", "1.1", pick(r, words)}),
			State: pick(r, []string{"", "affected", "not_affected", "fixed", "under_investigation", "else"}), Justification: pick(r, []string{"", "component_not_present", "x"}), Detail: pick(r, words), Summary: pick(r, words),
		})
	}
	return d
}

// TestGenerated holds every document of generated inventories to the published schema,
// and to what a schema cannot say: no reference dangles or is said twice.
func TestGenerated(t *testing.T) {
	for _, f := range Formats() {
		t.Run(string(f), func(t *testing.T) {
			for seed := range uint64(rounds) {
				r := rand.New(rand.NewPCG(seed, 1))
				d := generated(r, r.IntN(30))
				content, err := d.Append(nil, f)
				if err != nil {
					t.Fatal(err)
				}
				documenttest.Validate(t, string(f), content)
				documenttest.Closed(t, string(f), content)
			}
		})
	}
}
