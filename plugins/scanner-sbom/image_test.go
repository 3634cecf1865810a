package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
)

// tarOf writes an archive of names and texts in turn.
func tarOf(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A file that is an archive of an image is read as one, and named by its tag.
func TestFindImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.tar")
	layer := tarOf(t, "srv/Cargo.lock", "version = 4\n\n[[package]]\nname = \"time\"\nversion = \"0.1.42\"\n")
	archive := tarOf(t, "l.tar", layer, "c.json", "{}", "manifest.json", `[{"Config": "c.json", "RepoTags": ["acme:1"], "Layers": ["l.tar"]}]`)
	if err := os.WriteFile(path, []byte(archive), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	cfg.DatabaseDir = filepath.Join(t.TempDir(), "made")
	s := &scanner{cfg: &cfg}
	var err error
	if s.readers, err = extract.Readers(); err != nil {
		t.Fatal(err)
	}
	var told []string
	got, err := s.find(t.Context(), path, "", func(text string) { told = append(told, text) })
	if err != nil {
		t.Fatal(err)
	}
	// The digest of "{}", as sha256sum has it.
	want := document.Target{Name: "acme:1", Kind: document.Image, Version: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
	if diff := cmp.Diff(want, got.target); diff != "" {
		t.Error(diff)
	}
	if len(got.packages) != 1 || got.packages[0].PURL != "pkg:cargo/time@0.1.42" || got.packages[0].Locations[0].Layer == "" {
		t.Errorf("packages %+v", got.packages)
	}
	// The configuration does not say which layers there are.
	if len(got.problems) != 1 || got.problems[0].Path != "c.json" {
		t.Errorf("problems %+v", got.problems)
	}
	if diff := cmp.Diff([]string{"layer 1 of 1"}, told); diff != "" {
		t.Error(diff)
	}
}
