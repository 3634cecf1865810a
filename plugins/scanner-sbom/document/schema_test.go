package document

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The published schemas come with modules of other projects, in the cache of modules:
// CycloneDX's with the library, SPDX's with Syft, which .ci/schemas fetches.
const (
	cycloneDXModule = "github.com/CycloneDX/cyclonedx-go"
	spdxSchema      = "github.com/anchore/syft@v1.57.0/schema/spdx-json/spdx-schema-2.3.json"
)

// published returns the schema of a format, or skips the test and says why.
func published(t testing.TB, f Format) *jsonschema.Schema {
	t.Helper()
	schema, err := schemas(f)
	if err != nil {
		t.Skipf("the published schema of %s is not here: run .ci/schemas: %v", f, err)
	}
	return schema
}

var compiled sync.Map // func() (*jsonschema.Schema, error) by Format

func schemas(f Format) (*jsonschema.Schema, error) {
	once, _ := compiled.LoadOrStore(f, sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(f) }))
	return once.(func() (*jsonschema.Schema, error))()
}

func compile(f Format) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if f == SPDX23 {
		cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
		if err != nil {
			return nil, err
		}
		if err := resource(c, "spdx.json", filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(spdxSchema))); err != nil {
			return nil, err
		}
		return c.Compile("spdx.json")
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", cycloneDXModule).Output()
	if err != nil {
		return nil, err
	}
	dirname := filepath.Join(strings.TrimSpace(string(dir)), "schema")
	name := "bom-" + strings.TrimPrefix(string(f), "cyclonedx-") + ".schema.json"
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

// validate fails the test when content is not as the schema wants it, or is JSON
// with one name twice in an object, or refers to what it does not hold.
func validate(t testing.TB, schema *jsonschema.Schema, content []byte) {
	t.Helper()
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
