package npm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/npm"
)

const sample = `{
  "name": "app", "lockfileVersion": 3,
  "packages": {
    "": {"name": "app", "version": "1.0.0", "dependencies": {"a": "^1.0.0", "tool": "1"}},
    "node_modules/@s/c": {"version": "2.0.0+b", "license": "MIT"},
    "node_modules/a": {
      "version": "1.1.0",
      "integrity": "sha1-AAECAwQFBgcICQoLDA0ODxAREhM= sha512-short",
      "dependencies": {"b": "*", "@s/c": "*", "absent": "*"}
    },
    "node_modules/a/node_modules/b": {"version": "0.1.0", "dev": true, "dependencies": {"@s/c": "*"}},
    "node_modules/alias": {"name": "real", "version": "3.0.0", "license": {"type": "ISC"}},
    "node_modules/b": {"version": "0.2.0", "licenses": "odd", "license": ["MIT", {"type": "BSD-3-Clause"}]},
    "node_modules/tool": {"resolved": "packages/tool", "link": true},
    "packages/tool": {"version": "5.0.0", "dependencies": {"b": "*", "alias": "*"}}
  }
}`

func TestParse(t *testing.T) {
	got, ok, err := npm.Parse(sample)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var have []string
	for _, p := range got {
		have = append(have, fmt.Sprint(p.Name, " ", p.Version, " ", p.PURL, " line ", p.Locations[0].Line, " ", p.Development, p.Licenses, p.Hashes, p.DependsOn))
	}
	want := []string{
		"@s/c 2.0.0+b pkg:npm/%40s/c@2.0.0%2Bb line 5 false [MIT] [] []",
		"a 1.1.0 pkg:npm/a@1.1.0 line 6 false [] [sha1:000102030405060708090a0b0c0d0e0f10111213] [pkg:npm/b@0.1.0 pkg:npm/%40s/c@2.0.0%2Bb]",
		"b 0.1.0 pkg:npm/b@0.1.0 line 11 true [] [] [pkg:npm/%40s/c@2.0.0%2Bb]",
		"real 3.0.0 pkg:npm/real@3.0.0 line 12 false [ISC] [] []",
		"b 0.2.0 pkg:npm/b@0.2.0 line 13 false [MIT BSD-3-Clause] [] []",
		"tool 5.0.0 pkg:npm/tool@5.0.0 line 15 false [] [] [pkg:npm/b@0.2.0 pkg:npm/real@3.0.0]",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestOtherForms(t *testing.T) {
	for text, want := range map[string]string{
		`{"lockfileVersion": 1, "dependencies": {}}`: "false <nil>",
		`{"packages": {}`:                     "false it is not JSON",
		`{"packages": {"node_modules/a": 1}}`: "true <nil>",
		``:                                    "false it is not JSON",
	} {
		packages, ok, err := npm.Parse(text)
		if got := fmt.Sprint(ok, " ", err); got != want || len(packages) != 0 {
			t.Errorf("%s: got %s and %d packages, want %s", text, got, len(packages), want)
		}
	}
}

// Each name is looked for in every folder above: a long path with many names would
// take hours.
func TestDeepFolders(t *testing.T) {
	needs := strings.TrimSuffix(strings.Repeat(`"n":"1",`, 20_000), ",")
	text := `{"packages":{"` + strings.Repeat("a/", 1<<16) + `node_modules/x":{"version":"1","dependencies":{` + needs + `}}}}`
	if _, ok, err := npm.Parse(text); !ok || !errors.Is(err, npm.ErrWork) {
		t.Errorf("got %t and error %v, want %v", ok, err, npm.ErrWork)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(`{"packages":{"node_modules/a":{"link":true,"resolved":"node_modules/a"},"b":{"dependencies":{"a":""}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		packages, _, err := npm.Parse(text)
		if err != nil && len(packages) > 0 {
			t.Error("packages beside an error")
		}
		for _, p := range packages {
			if p.Name == "" || !strings.HasPrefix(p.PURL, "pkg:npm/") || p.Locations[0].Line < 1 {
				t.Errorf("package %+v", p)
			}
		}
	})
}

func BenchmarkParse1000(b *testing.B) {
	var text strings.Builder
	text.WriteString("{\"packages\":{\"\":{}")
	for i := range 1000 {
		fmt.Fprintf(&text, ",\n    \"node_modules/package-%d\": {\n      \"version\": \"1.%d.0\",\n      \"resolved\": \"https://registry.npmjs.org/package-%d/-/package-%d-1.%d.0.tgz\",\n"+
			"      \"integrity\": \"sha512-%s\",\n      \"license\": \"MIT\",\n      \"dependencies\": {\n        \"package-%d\": \"^1.0.0\"\n      }\n    }", i, i, i, i, i, strings.Repeat("A", 86)+"==", i/2)
	}
	text.WriteString("}}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if got, _, err := npm.Parse(text.String()); err != nil || len(got) != 1000 {
			b.Fatal(len(got), err)
		}
	}
}
