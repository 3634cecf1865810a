package license_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
)

func TestParse(t *testing.T) {
	type l = license.License
	deep := func(n int) string { return strings.Repeat("(", n) + "MIT" + strings.Repeat(")", n) }
	for _, c := range []struct {
		declared string
		want     l
	}{
		{"", l{}},
		{"  ", l{}},
		{"NONE", l{}},
		{"NOASSERTION", l{}},
		{"MIT", l{Kind: license.ID, Text: "MIT"}},
		{" apache-2.0 ", l{Kind: license.ID, Text: "Apache-2.0"}},
		// Out of use, and yet in the list.
		{"gpl-2.0+", l{Kind: license.ID, Text: "GPL-2.0+"}},
		// Younger than the oldest list that validators have.
		{"Unicode-3.0", l{Kind: license.Expression, Text: "Unicode-3.0"}},
		{"Apache-2.0+", l{Kind: license.Expression, Text: "Apache-2.0+"}},
		{"mit or  apache-2.0", l{Kind: license.Expression, Text: "MIT OR Apache-2.0", Compound: true}},
		{"(MIT OR Apache-2.0)AND Unicode-3.0", l{Kind: license.Expression, Text: "(MIT OR Apache-2.0) AND Unicode-3.0", Compound: true}},
		{"(MIT)", l{Kind: license.Expression, Text: "(MIT)"}},
		{"(MIT AND ISC)", l{Kind: license.Expression, Text: "(MIT AND ISC)"}},
		{"GPL-2.0-only with classpath-exception-2.0", l{Kind: license.Expression, Text: "GPL-2.0-only WITH Classpath-exception-2.0"}},
		{"Apache-2.0 WITH LLVM-exception OR MIT", l{Kind: license.Expression, Text: "Apache-2.0 WITH LLVM-exception OR MIT", Compound: true}},
		{"LicenseRef-a.b-1 OR MIT", l{Kind: license.Expression, Text: "LicenseRef-a.b-1 OR MIT", Compound: true, Refs: []string{"LicenseRef-a.b-1"}}},
		{deep(32), l{Kind: license.Expression, Text: deep(32)}},
		{deep(33), l{Kind: license.Name, Text: deep(33)}},
		{strings.Repeat("(", 1<<20), l{Kind: license.Name, Text: strings.Repeat("(", 1<<20)}},
	} {
		if diff := cmp.Diff(c.want, license.Parse(c.declared)); diff != "" {
			t.Errorf("Parse(%.60q) (-want +got):\n%s", c.declared, diff)
		}
	}
	for _, name := range []string{
		"MIT/Apache-2.0", "GPL-2+", "Public Domain", "MIT OR", "OR MIT", "MIT MIT", "MIT OR OR ISC", "(MIT", "MIT)", "()", "MIT WITH MIT", "MIT WITH", "Classpath-exception-2.0",
		"LicenseRef-", "LicenseRef-ä", "DocumentRef-a:LicenseRef-b", "MIT, ISC", "AND", "+", "MIT ++", "MIT++", "WITH", "M\u0130T", "\u017fMLNJ",
	} {
		if got := license.Parse(name); got.Kind != license.Name || got.Text != name {
			t.Errorf("got %+v, want the name %q", got, name)
		}
	}
}

// FuzzParse holds that what was read is canonical: read again, it is the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-2.0-only WITH Classpath-exception-2.0", "LicenseRef-x", "GPL-2.0++", "((", "mit\tand\nisc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, declared string) {
		got := license.Parse(declared)
		switch got.Kind {
		case license.Name:
			if got.Text != declared {
				t.Errorf("got the name %q for %q", got.Text, declared)
			}
		case license.ID, license.Expression:
			if diff := cmp.Diff(got, license.Parse(got.Text)); diff != "" {
				t.Errorf("%q is read as %q, and that (-first +second):\n%s", declared, got.Text, diff)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		license.Parse("(MIT OR Apache-2.0) AND Unicode-3.0")
	}
}
