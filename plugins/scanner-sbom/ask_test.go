package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
)

// An image has the package URL of its first registry, in full, and none without one.
func TestPURLOf(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		image engine.Image
		want  string
	}{
		"of Docker's own": {
			engine.Image{Digests: []string{"debian@" + digest}, Tags: []string{"debian:12", "mine:1"}, Arch: "amd64"},
			"pkg:oci/debian@" + digest + "?arch=amd64&repository_url=docker.io/library/debian&tag=12",
		},
		"of somebody": {
			engine.Image{Digests: []string{"acme/Web@" + digest}},
			"pkg:oci/web@" + digest + "?repository_url=docker.io/acme/Web",
		},
		"of another registry": {
			engine.Image{Digests: []string{"localhost:5000/team/app@" + digest}, Tags: []string{"localhost:5000/team/app:1.2"}, Arch: "arm64"},
			"pkg:oci/app@" + digest + "?arch=arm64&repository_url=localhost:5000/team/app&tag=1.2",
		},
		"made here": {engine.Image{ID: digest, Tags: []string{"mine:1"}}, ""},
	} {
		got := strings.NewReplacer("%2F", "/", "%3A", ":").Replace(purlOf(&test.image))
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// Without Docker a name is no target, and the error says both.
func TestAskWithoutDocker(t *testing.T) {
	s, _ := made(t)
	s.watching.env.Docker = filepath.Join(t.TempDir(), "none")
	_, err := s.find(t.Context(), "web", "", func(string) {})
	if err == nil || !strings.Contains(err.Error(), "no such path") || !strings.Contains(err.Error(), "start Docker") {
		t.Errorf("got %v", err)
	}
	if _, err := s.find(t.Context(), "./web", "", func(string) {}); err == nil || !strings.Contains(err.Error(), "is no target") {
		t.Errorf("got %v", err)
	}
}
