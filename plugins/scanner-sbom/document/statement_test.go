package document_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// written is a document as JSON of the most general kind.
func written(t *testing.T, d *document.Document, f document.Format) map[string]any {
	t.Helper()
	content, err := d.Append(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLicenses holds what is said of the licences of one package.
func TestLicenses(t *testing.T) {
	for _, c := range []struct {
		name     string
		declared []string // sorted, as an inventory has them
		v16      string   // and 1.5
		v17      string
		spdx     string
	}{
		{"none", nil, `null`, `null`, "NOASSERTION"},
		{"that nothing is known", []string{"NOASSERTION", "NONE"}, `null`, `null`, "NOASSERTION"},
		{"an identifier", []string{"mit"}, `[{"license":{"id":"MIT"}}]`, `[{"license":{"id":"MIT"}}]`, "MIT"},
		{"one in two spellings", []string{"MIT", "mit"}, `[{"license":{"id":"MIT"}}]`, `[{"license":{"id":"MIT"}}]`, "MIT"},
		{"a young identifier", []string{"Unicode-3.0"}, `[{"expression":"Unicode-3.0"}]`, `[{"expression":"Unicode-3.0"}]`, "Unicode-3.0"},
		{"an expression", []string{"MIT OR ISC"}, `[{"expression":"MIT OR ISC"}]`, `[{"expression":"MIT OR ISC"}]`, "MIT OR ISC"},
		{
			"an expression and an identifier",
			[]string{"MIT OR ISC", "Zlib"},
			`[{"license":{"name":"MIT OR ISC"}},{"license":{"id":"Zlib"}}]`, `[{"expression":"MIT OR ISC"},{"license":{"id":"Zlib"}}]`, "(MIT OR ISC) AND Zlib",
		},
		{
			"an identifier and an expression",
			[]string{"0BSD", "MIT OR ISC"},
			`[{"license":{"id":"0BSD"}},{"license":{"name":"MIT OR ISC"}}]`, `[{"license":{"id":"0BSD"}},{"expression":"MIT OR ISC"}]`, "0BSD AND (MIT OR ISC)",
		},
		{"a name", []string{"Acme, all rights"}, `[{"license":{"name":"Acme, all rights"}}]`, `[{"license":{"name":"Acme, all rights"}}]`, "LicenseRef-Acme-all-rights-HASH"},
		{"a name of no letters", []string{"日本"}, `[{"license":{"name":"日本"}}]`, `[{"license":{"name":"日本"}}]`, "LicenseRef-HASH"},
		{"a reference", []string{"LicenseRef-acme"}, `[{"expression":"LicenseRef-acme"}]`, `[{"expression":"LicenseRef-acme"}]`, "LicenseRef-acme"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &document.Document{Packages: []*inventory.Package{{Name: "a", Version: "1", Licenses: c.declared}}}
			for f, want := range map[document.Format]string{document.CycloneDX15: c.v16, document.CycloneDX16: c.v16, document.CycloneDX17: c.v17} {
				got, err := json.Marshal(written(t, d, f)["components"].([]any)[0].(map[string]any)["licenses"])
				if err != nil || string(got) != want {
					t.Errorf("%s: got %s and %v, want %s", f, got, err, want)
				}
			}
			spdx := written(t, d, document.SPDX23)
			got := spdx["packages"].([]any)[1].(map[string]any)["licenseDeclared"].(string)
			if open := regexp.MustCompile(`[0-9a-f]{20}`).ReplaceAllString(got, "HASH"); open != c.spdx {
				t.Errorf("got the expression %q, want %q", open, c.spdx)
			}
			if strings.Contains(got, "LicenseRef-") != (spdx["hasExtractedLicensingInfos"] != nil) {
				t.Errorf("got %q, and said of it %v", got, spdx["hasExtractedLicensingInfos"])
			}
		})
	}
}

// TestRelations holds the graph of packages that an inventory did not put in order: in a
// circle, to themselves, to nothing.
func TestRelations(t *testing.T) {
	d := &document.Document{Packages: []*inventory.Package{
		{Name: "a", PURL: "pkg:npm/a@1", Ecosystem: "npm", DependsOn: []string{"pkg:npm/a@1", "pkg:npm/b@1", "pkg:npm/gone@1"}},
		{Name: "b", PURL: "pkg:npm/b@1", Ecosystem: "npm", DependsOn: []string{"pkg:npm/c@1"}},
		{Name: "c", PURL: "pkg:npm/c@1", Ecosystem: "npm", DependsOn: []string{"pkg:npm/b@1"}},
		{Name: "d", PURL: "pkg:npm/d@1", Ecosystem: "npm"},
		{Name: "e", PURL: "pkg:pypi/e@1", Ecosystem: "PyPI"},
	}}
	on := func(refs ...any) any { return refs }
	want := []any{
		map[string]any{"ref": "ironpost:target", "dependsOn": on("pkg:npm/a@1", "pkg:npm/d@1", "pkg:pypi/e@1")},
		map[string]any{"ref": "pkg:npm/a@1", "dependsOn": on("pkg:npm/b@1")},
		map[string]any{"ref": "pkg:npm/b@1", "dependsOn": on("pkg:npm/c@1")},
		map[string]any{"ref": "pkg:npm/c@1", "dependsOn": on("pkg:npm/b@1")},
		map[string]any{"ref": "pkg:npm/d@1"},
	}
	if diff := cmp.Diff(any(want), written(t, d, document.CycloneDX16)["dependencies"]); diff != "" {
		t.Errorf("CycloneDX (-want +got):\n%s", diff)
	}
	var got []string
	for _, r := range written(t, d, document.SPDX23)["relationships"].([]any) {
		r := r.(map[string]any)
		short := func(id string) string { return strings.Split(r[id].(string), "-")[2] }
		if r["relationshipType"] == "DEPENDS_ON" {
			got = append(got, short("spdxElementId")+" "+short("relatedSpdxElement"))
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"a b", "b c", "c b"}, got); diff != "" {
		t.Errorf("SPDX (-want +got):\n%s", diff)
	}
}
