package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestScanDocker scans an image and a container of Docker by their names, without a host:
// the scanner in its sandbox reaches Docker through the proxy, and no further.
func TestScanDocker(t *testing.T) {
	t.Parallel()
	d := guardDocker(t)
	d.Call(nil, http.MethodPost, "/images/create?fromSrc=-&repo=shop&tag=1", debian(t, "acme"), "application/x-tar")
	var made struct{ ID string }
	d.Call(&made, http.MethodPost, "/containers/create?name=web", strings.NewReader(
		`{"Image":"shop:1","Cmd":["/busybox","sleep","1000"],"HostConfig":{"Binds":["data:/data"]}}`), "application/json")
	t.Cleanup(func() { d.Call(nil, http.MethodDelete, "/containers/web?force=1", http.NoBody, "") })
	var own bytes.Buffer
	w := tar.NewWriter(&own)
	lock := "version = 4\n\n[[package]]\nname = \"time\"\nversion = \"0.1.42\"\n"
	if err := w.WriteHeader(&tar.Header{Name: "srv/Cargo.lock", Mode: 0o644, Size: int64(len(lock))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(lock)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d.Call(nil, http.MethodPut, "/containers/web/archive?path=/", &own, "application/x-tar")

	dir := writeFiles(t, nil)
	config := func(socket string) string {
		name := filepath.Join(dir, filepath.Base(filepath.Dir(socket))+".toml")
		appendTo(t, name, fmt.Sprintf("[general]\ndata_dir = %q\n[plugins]\ndocker_socket = %q\n", filepath.Join(dir, "data"), socket))
		return name
	}
	here, away := config(d.Socket), config(filepath.Join(dir, "nowhere", "docker.sock"))
	scan := func(config string, code int, args ...string) result {
		t.Helper()
		got := run(t, ironpost(t, append([]string{"--config", config, "scan"}, args...)...))
		if got.code != code {
			t.Fatalf("scan %s: got exit code %d, want %d\n%s", strings.Join(args, " "), got.code, code, got.stderr)
		}
		return got
	}
	for target, want := range map[string][]string{
		"web": {"pkg:cargo/time@0.1.42", "pkg:deb/debian/acme@1.0-1"}, "shop:1": {"pkg:deb/debian/acme@1.0-1"},
	} {
		var r struct {
			scanned
			Kind, Name, ID, Image string
		}
		if err := json.Unmarshal([]byte(scan(here, 0, target, "-o", "json").stdout), &r); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range r.Packages {
			purl, _, _ := strings.Cut(p.PURL, "?")
			got = append(got, purl)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got the packages %q, want %q", target, got, want)
		}
		switch isContainer := target == "web"; {
		case r.Name != target || isContainer != (r.Kind == "container") || isContainer != (r.ID == made.ID) || isContainer != (r.Image == "shop:1"):
			t.Errorf("%s: got kind %q, name %q, id %q, image %q", target, r.Kind, r.Name, r.ID, r.Image)
		case isContainer && (len(r.Problems) != 1 || r.Problems[0].Path != "data" || r.Problems[0].Code != "mounted"):
			t.Errorf("the volume is not told: %v", r.Problems)
		}
	}
	if out := scan(here, 0, "image:shop:1", "--sbom", "cyclonedx").stdout; !strings.Contains(out, `"name":"shop:1"`) {
		t.Errorf("the document is not about the image: %.300s", out)
	}
	for _, test := range []struct{ config, target, want string }{
		{here, "shopp", "no container and no image"}, {away, "shop:1", "Docker does not answer on"}, {away, "shop:1", "no such path"},
	} {
		if got := scan(test.config, 1, test.target).stderr; !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q in it", test.target, got, test.want)
		}
	}
}
