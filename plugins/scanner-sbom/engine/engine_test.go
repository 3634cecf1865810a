package engine_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

func TestMain(m *testing.M) {
	extract.Log(hclog.NewNullLogger())
	goleak.VerifyTestMain(m)
}

// file is a file of a test's image; mode 0 is that of a text.
type file struct {
	name, text string
	mode       int64
}

// packed writes a tar archive.
func packed(t testing.TB, files ...file) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}
		if f.mode != 0 {
			h.Mode = f.mode
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func crate(name, version string) string {
	return fmt.Sprintf("version = 4\n\n[[package]]\nname = %q\nversion = %q\n", name, version)
}

// purls are the packages, without where they are.
func purls(list []*inventory.Package) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, p.Ref())
	}
	return out
}

// added and removed are what a container has otherwise than its image.
func differs(r *engine.Result) (added, removed []string) {
	now := purls(r.Packages)
	before := purls(r.FromImage)
	for _, p := range now {
		if !slices.Contains(before, p) {
			added = append(added, p)
		}
	}
	for _, p := range before {
		if !slices.Contains(now, p) {
			removed = append(removed, p)
		}
	}
	return added, removed
}

func want(t *testing.T, r *engine.Result, added, removed []string) {
	t.Helper()
	gotAdded, gotRemoved := differs(r)
	if diff := cmp.Diff(added, gotAdded); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(removed, gotRemoved); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	for _, p := range gotAdded {
		if r.InImage(p) {
			t.Errorf("%s is said to be of the image", p)
		}
	}
}
