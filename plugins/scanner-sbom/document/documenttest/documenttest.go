// Package documenttest holds documents to the published schemas of their forms.
package documenttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// spdx is the form that is not CycloneDX.
const spdx = "spdx-2.3"

// Validate fails the test when the content of a document is not as the published schema
// of its form wants it, or is JSON with one name twice in an object. The forms are those
// of package document. Without the schema the test is skipped.
func Validate(t testing.TB, form string, content []byte) {
	t.Helper()
	schema := published(t, form)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("got %v for\n%s", err, content)
	}
	if err := schema.Validate(value); err != nil {
		t.Fatalf("got %v for\n%s", err, content)
	}
	if err := names(json.NewDecoder(bytes.NewReader(content))); err != nil {
		t.Fatalf("got %v for\n%s", err, content)
	}
}

// Closed fails the test when the document refers to what it does not have, has one
// reference twice, or says one relation twice.
func Closed(t testing.TB, form string, content []byte) {
	t.Helper()
	have, edges, used := map[string]bool{}, map[string]bool{}, map[string]bool{}
	add := func(set map[string]bool, what string) {
		t.Helper()
		if what == "" || set[what] {
			t.Fatalf("got %q empty or twice in\n%s", what, content)
		}
		set[what] = true
	}
	if form == spdx {
		var d struct {
			Packages      []struct{ SPDXID, LicenseDeclared string }
			Relationships []struct{ SpdxElementID, RelatedSpdxElement, RelationshipType string }
			Licenses      []struct{ LicenseID string } `json:"hasExtractedLicensingInfos"`
		}
		decode(t, content, &d)
		have["SPDXRef-DOCUMENT"] = true
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

func decode(t testing.TB, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("got %v for\n%s", err, content)
	}
}

// The published schemas come with modules of other projects, in the cache of modules:
// CycloneDX's with the library, SPDX's with Syft, which .ci/schemas fetches.
const (
	// CycloneDXModule is the library for CycloneDX.
	CycloneDXModule = "github.com/CycloneDX/cyclonedx-go"
	// Syft is the folder of Syft in the cache.
	Syft       = "github.com/anchore/syft@v1.57.0"
	spdxSchema = Syft + "/schema/spdx-json/spdx-schema-2.3.json"
)

// published returns the schema of a format, or skips the test and says why.
func published(t testing.TB, f string) *jsonschema.Schema {
	t.Helper()
	schema, err := schemas(f)
	if err != nil {
		t.Skipf("the published schema of %s is not here: run .ci/schemas: %v", f, err)
	}
	return schema
}

var compiled sync.Map // func() (*jsonschema.Schema, error) by form

func schemas(f string) (*jsonschema.Schema, error) {
	once, _ := compiled.LoadOrStore(f, sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(f) }))
	return once.(func() (*jsonschema.Schema, error))()
}

func compile(f string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if f == spdx {
		cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
		if err != nil {
			return nil, err
		}
		if err := resource(c, "spdx.json", filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(spdxSchema))); err != nil {
			return nil, err
		}
		return c.Compile("spdx.json")
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", CycloneDXModule).Output()
	if err != nil {
		return nil, err
	}
	dirname := filepath.Join(strings.TrimSpace(string(dir)), "schema")
	name := "bom-" + strings.TrimPrefix(f, "cyclonedx-") + ".schema.json"
	const base = "http://cyclonedx.org/schema/"
	for url, file := range map[string]string{name: name, "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		if err := resource(c, base+url, filepath.Join(dirname, file)); err != nil {
			return nil, err
		}
	}
	// The one part that the module lacks is about cryptographic assets, which are never
	// written.
	never := map[string]any{"definitions": map[string]any{"algorithmFamiliesEnum": false, "ellipticCurvesEnum": false}}
	if err := c.AddResource(base+"cryptography-defs.schema.json", never); err != nil {
		return nil, err
	}
	return c.Compile(base + name)
}

func resource(c *jsonschema.Compiler, url, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return err
	}
	return c.AddResource(url, doc)
}

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
