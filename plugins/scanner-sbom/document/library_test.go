package document

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/documenttest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
)

// TestCycloneDXLibrary holds the writer to the library: what it reads from a document
// and writes again is the same, byte by byte.
func TestCycloneDXLibrary(t *testing.T) {
	for _, f := range []Format{CycloneDX15, CycloneDX16, CycloneDX17} {
		for seed := range uint64(rounds) {
			r := rand.New(rand.NewPCG(seed, 3))
			want, err := generated(r, r.IntN(30)).Append(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			var bom cyclonedx.BOM
			if err := cyclonedx.NewBOMDecoder(bytes.NewReader(want), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
				t.Fatalf("got %v for\n%s", err, want)
			}
			var got bytes.Buffer
			if err := cyclonedx.NewBOMEncoder(&got, cyclonedx.BOMFileFormatJSON).SetEscapeHTML(false).Encode(&bom); err != nil {
				t.Fatal(err)
			}
			// Parts that the library has methods for are escaped for HTML all the same.
			plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got.String())
			if plain != string(want) {
				t.Fatalf("%s, seed %d: the library writes\n%s\nwant\n%s", f, seed, plain, want)
			}
		}
	}
}

// TestSPDXLibrary holds that the library reads from a document, and writes again, what
// was written; it has its own order.
func TestSPDXLibrary(t *testing.T) {
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 4))
		content, err := generated(r, r.IntN(30)).Append(nil, SPDX23)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := spdxjson.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatalf("got %v for\n%s", err, content)
		}
		var again bytes.Buffer
		if err := spdxjson.Write(doc, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(anyOf(t, content), anyOf(t, again.Bytes())); diff != "" {
			t.Fatalf("seed %d (-written +by the library):\n%s", seed, diff)
		}
	}
}

func anyOf(t *testing.T, content []byte) any {
	t.Helper()
	var out any
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// moduleDir is where the sources of a module are.
func moduleDir(t testing.TB, module string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil || len(bytes.TrimSpace(dir)) == 0 {
		t.Skipf("the sources of %s are not here: run go mod download: %v", module, err)
	}
	return strings.TrimSpace(string(dir))
}

// TestReadLibraries reads the examples that the libraries of both formats have.
func TestReadLibraries(t *testing.T) {
	read := func(t *testing.T, paths []string, err error, least int) {
		t.Helper()
		if err != nil || len(paths) < least {
			t.Fatalf("got %d examples and %v, want %d", len(paths), err, least)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(bytes.NewReader(content), filepath.Base(path), Limits{})
			if err != nil {
				t.Errorf("got %v", err)
				continue
			}
			// What was read can be written, whatever it is.
			for _, f := range Formats() {
				again, err := (&Document{Packages: got.Packages}).Append(nil, f)
				if err != nil {
					t.Errorf("write %s as %s: got %v", path, f, err)
				}
				documenttest.Validate(t, string(f), again)
			}
		}
	}
	t.Run("cyclonedx", func(t *testing.T) {
		dir := moduleDir(t, documenttest.CycloneDXModule)
		for _, ending := range []string{"json", "xml"} {
			paths, err := filepath.Glob(filepath.Join(dir, "testdata", "valid-*."+ending))
			read(t, paths, err, 30)
		}
	})
	t.Run("spdx", func(t *testing.T) {
		dir := moduleDir(t, "github.com/spdx/tools-golang")
		paths, err := filepath.Glob(filepath.Join(dir, "examples", "sample-docs", "*", "*"))
		paths = slices.DeleteFunc(paths, func(path string) bool { return !slices.Contains([]string{".json", ".spdx", ".tv"}, filepath.Ext(path)) })
		read(t, paths, err, 4)
	})
}

// TestLicenseIDs holds what is written as an identifier to the list in the schema, and
// that list to what is known: an identifier of it is never taken for a name.
func TestLicenseIDs(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(moduleDir(t, documenttest.CycloneDXModule), "schema", "spdx.schema.json"))
	if err != nil {
		t.Skipf("the published list is not here: %v", err)
	}
	var list struct{ Enum []string }
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Enum) < 500 {
		t.Fatalf("got a list of %d identifiers", len(list.Enum))
	}
	for _, id := range list.Enum {
		got := license.Parse(id)
		// The schema's list has the exceptions too, which are no licences.
		if exception := license.Parse("MIT WITH "+id).Kind == license.Expression; exception {
			if got.Kind != license.Name {
				t.Errorf("got %+v for the exception %s", got, id)
			}
		} else if got.Kind != license.ID || got.Text != id {
			t.Errorf("got %+v for %s", got, id)
		}
	}
	for id := range strings.FieldsSeq(settledIDs(t)) {
		if !slices.Contains(list.Enum, id) {
			t.Errorf("%s is written as an identifier, and not in the schema's list", id)
		}
	}
}

func settledIDs(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("license", "settled.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
