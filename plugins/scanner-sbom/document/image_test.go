package document_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
)

// An image that a registry knows is named by its package URL, in the form that the
// specification of the type "oci" has, and is no package of the document when it is read.
func TestImagePURL(t *testing.T) {
	purl := document.ImagePURL("debian", "sha256:244fd47e07d10", "docker.io/library/debian", "latest", "amd64")
	// The example of purl-spec, with its qualifiers in order; what needs no escape may have one.
	const want = "pkg:oci/debian@sha256:244fd47e07d10?arch=amd64&repository_url=docker.io/library/debian&tag=latest"
	if plain := strings.NewReplacer("%2F", "/", "%3A", ":").Replace(purl); plain != want {
		t.Errorf("got %s, want %s", plain, want)
	}
	for _, format := range document.Formats() {
		d := document.Document{Target: document.Target{Name: "debian:latest", Kind: document.Image, Version: "sha256:1", PURL: purl}}
		text, err := d.Append(nil, format)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("pkg:oci/debian@")) {
			t.Errorf("%s does not say it: %s", format, text)
		}
		read, err := document.Read(bytes.NewReader(text), "a.json", document.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if len(read.Packages) > 0 || read.Target.Name != "debian:latest" || read.Target.Kind != document.Image {
			t.Errorf("%s: read back: %+v, %d packages", format, read.Target, len(read.Packages))
		}
	}
}
