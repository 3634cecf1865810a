package document

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// names fails on a name that an object has twice.
func names(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return fmt.Errorf("an object has %q twice", name)
			}
			seen[name.(string)] = true
		}
		if err := names(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

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
			schema := published(t, f)
			for seed := range uint64(rounds) {
				r := rand.New(rand.NewPCG(seed, 1))
				d := generated(r, r.IntN(30))
				content, err := d.Append(nil, f)
				if err != nil {
					t.Fatal(err)
				}
				validate(t, schema, content)
				closed(t, f, content)
			}
		})
	}
}

// closed fails the test when the document refers to what it does not have, has one
// reference twice, or says one relation twice.
func closed(t *testing.T, f Format, content []byte) {
	t.Helper()
	have, edges, used := map[string]bool{}, map[string]bool{}, map[string]bool{}
	add := func(set map[string]bool, what string) {
		t.Helper()
		if what == "" || set[what] {
			t.Fatalf("got %q empty or twice in\n%s", what, content)
		}
		set[what] = true
	}
	if f == SPDX23 {
		var d struct {
			Packages      []struct{ SPDXID, LicenseDeclared string }
			Relationships []struct{ SpdxElementID, RelatedSpdxElement, RelationshipType string }
			Licenses      []struct{ LicenseID string } `json:"hasExtractedLicensingInfos"`
		}
		decode(t, content, &d)
		have[spdxDocument] = true
		for _, l := range d.Licenses {
			add(have, l.LicenseID)
		}
		for _, p := range d.Packages {
			add(have, p.SPDXID)
			if strings.ContainsFunc(p.SPDXID, func(r rune) bool {
				return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-", r)
			}) {
				t.Fatalf("got the identifier %q", p.SPDXID)
			}
			for _, word := range strings.FieldsFunc(p.LicenseDeclared, func(r rune) bool { return strings.ContainsRune(" ()", r) }) {
				if strings.HasPrefix(word, "LicenseRef-") {
					used[word] = true
				}
			}
		}
		for _, r := range d.Relationships {
			used[r.SpdxElementID], used[r.RelatedSpdxElement] = true, true
			add(edges, r.SpdxElementID+" "+r.RelationshipType+" "+r.RelatedSpdxElement)
		}
	} else {
		var d struct {
			Metadata struct {
				Component struct {
					Ref string `json:"bom-ref"`
				}
			}
			Components []struct {
				Ref string `json:"bom-ref"`
			}
			Dependencies []struct {
				Ref       string
				DependsOn []string
			}
			Compositions    []struct{ Assemblies, Dependencies []string }
			Vulnerabilities []struct {
				Ref     string `json:"bom-ref"`
				Affects []struct{ Ref string }
			}
		}
		decode(t, content, &d)
		add(have, d.Metadata.Component.Ref)
		for _, c := range d.Components {
			add(have, c.Ref)
		}
		for _, n := range d.Dependencies {
			add(edges, n.Ref)
			used[n.Ref] = true
			for _, to := range n.DependsOn {
				used[to] = true
				add(edges, n.Ref+" -> "+to)
			}
		}
		for _, c := range d.Compositions {
			for _, ref := range slices.Concat(c.Assemblies, c.Dependencies) {
				used[ref] = true
			}
		}
		for _, v := range d.Vulnerabilities {
			add(have, v.Ref)
			if len(v.Affects) == 0 {
				t.Fatalf("got a vulnerability of nothing in\n%s", content)
			}
			for _, a := range v.Affects {
				used[a.Ref] = true
				add(edges, v.Ref+" affects "+a.Ref)
			}
		}
	}
	for ref := range used {
		if !have[ref] {
			t.Fatalf("got %q, which the document does not have, in\n%s", ref, content)
		}
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("got %v for\n%s", err, content)
	}
}
