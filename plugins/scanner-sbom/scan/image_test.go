package scan_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// archive writes a tar archive of files in the order of their names; a text that
// begins with "->" is a link.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		text := files[name]
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}
		if to, ok := strings.CutPrefix(text, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, to, 0, ""
		}
		put(t, w, h, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func put(t *testing.T, w *tar.Writer, h *tar.Header, text string) {
	t.Helper()
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// imageOf makes an image of layers, the lowest first, and returns their digests.
func imageOf(t *testing.T, layers ...[]byte) (im *image.Image, digests []string) {
	t.Helper()
	parts := map[string]string{}
	var names []string
	for i, l := range layers {
		sum := sha256.Sum256(l)
		digests = append(digests, "sha256:"+hex.EncodeToString(sum[:]))
		names = append(names, fmt.Sprintf("%d.tar", i))
		parts[names[i]] = string(l)
	}
	config, err := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": digests}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal([]map[string]any{{"Config": "config.json", "Layers": names}})
	if err != nil {
		t.Fatal(err)
	}
	parts["config.json"], parts["manifest.json"] = string(config), string(list)
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, archive(t, parts), 0o600); err != nil {
		t.Fatal(err)
	}
	im, err = image.Open(t.Context(), path, image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = im.Close() })
	return im, digests
}

func paragraph(name, version string) string {
	return fmt.Sprintf("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n\n", name, version)
}

// Of an image of Debian that later layers upgrade and clean, what the topmost database
// lists is installed, with the release that a link in another layer leads to.
func TestImage(t *testing.T) {
	im, digests := imageOf(t,
		archive(t, map[string]string{
			"etc/os-release":      "->../usr/lib/os-release",
			"usr/lib/os-release":  "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
			"var/lib/dpkg/status": paragraph("libc6", "2.36-9") + paragraph("removed", "1.0"),
			"srv/old/Cargo.lock":  fmt.Sprintf(crate, "hidden"),
			"opt/a/Cargo.lock":    fmt.Sprintf(crate, "opaque"),
			"srv/app/Cargo.lock":  fmt.Sprintf(crate, "kept"),
			"proc/1/Cargo.lock":   fmt.Sprintf(crate, "pseudo"),
			"bad/Cargo.lock":      "[[package]",
		}),
		archive(t, map[string]string{
			"var/lib/dpkg/status": paragraph("libc6", "2.36-9+deb12u1"),
			"srv/.wh.old":         "", "opt/.wh..wh..opq": "",
			"opt/b/Cargo.lock":                 fmt.Sprintf(crate, "above"),
			"srv/node/package-lock.json":       `{"lockfileVersion": 3, "packages": {"node_modules/x": {"version": "1.0.0"}}}`,
			"srv/root/var/lib/dpkg/status":     paragraph("nested", "7"),
			"srv/root/etc/os-release":          "ID=debian\nVERSION_ID=\"11\"\nVERSION_CODENAME=bullseye\n",
			"usr/share/doc/x/requirements.txt": "jinja2==3.0.0\n",
		}),
		// What npm shrank to is in a layer above the lockfile that it stands for.
		archive(t, map[string]string{
			"srv/node/npm-shrinkwrap.json": `{"lockfileVersion": 3, "packages": {"node_modules/y": {"version": "2.0.0"}}}`,
		}),
	)
	v, stats, err := scan.Image(t.Context(), im, scan.Config{Readers: readers(t)})
	if err != nil {
		t.Fatal(err)
	}
	documents(t, v.Packages(), v.Problems())
	var got []string
	for _, p := range v.Packages() {
		at := p.Locations[0]
		got = append(got, fmt.Sprint(p.Ref(), " ", at.Path, " ", slices.Index(digests, at.Layer)))
	}
	if diff := cmp.Diff([]string{
		"pkg:cargo/above@1.0.0 opt/b/Cargo.lock 1",
		"pkg:cargo/kept@1.0.0 srv/app/Cargo.lock 0",
		"pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=bookworm var/lib/dpkg/status 1",
		"pkg:deb/debian/nested@7?arch=amd64&distro=bullseye srv/root/var/lib/dpkg/status 1",
		"pkg:npm/y@2.0.0 srv/node/npm-shrinkwrap.json 2",
		"pkg:pypi/jinja2@3.0.0 usr/share/doc/x/requirements.txt 1",
	}, got); diff != "" {
		t.Error(diff)
	}
	if _, problems := lines(v); !slices.Equal(problems, []string{"bad/Cargo.lock malformed"}) {
		t.Errorf("problems %v", problems)
	}
	if stats.Packages != 6 || stats.Problems != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func pom(inside string) string {
	return `<project><modelVersion>4.0.0</modelVersion>` + inside + `</project>`
}

// A folder, and an image with the same files in one layer, have the same inventory.
func TestImageLikeDir(t *testing.T) {
	root := grow(t, map[string]string{
		"Cargo.lock":                  fmt.Sprintf(crate, "top"),
		"link.lock":                   "->Cargo.lock",
		"folder":                      "->usr",
		"usr/lib/os-release":          "ID=alpine\nVERSION_ID=3.20.1\n",
		"etc/os-release":              "->/usr/lib/os-release",
		"lib/apk/db/installed":        "P:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nL:MIT\n\n",
		"sys/Cargo.lock":              fmt.Sprintf(crate, "pseudo"),
		"x/yarn.lock":                 "# yarn lockfile v1\n\na@^1:\n  version \"1.0.1\"\n",
		"x/broken/Pipfile.lock":       "{",
		"x/go.mod":                    "module x\n\ngo 1.24\n\nrequire github.com/a/b v1.2.3\n",
		"x/y/z/package-lock.json":     `{"lockfileVersion": 3, "packages": {"node_modules/q": {"version": "1.0.0"}}}`,
		"x/.git/Cargo.lock":           fmt.Sprintf(crate, "skipped"),
		"deep/1/2/3/4/5/6/Cargo.lock": fmt.Sprintf(crate, "deep"),
		"site/a-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1\n",
		"empty/requirements.txt":      "",
		"large/composer.lock":         `{"packages": [` + strings.Repeat(" ", 5000) + `]}`,
		"var/lib/dpkg/status":         paragraph("libc6", "2.36-9"),
		"srv/pom/app/pom.xml":         pom("<parent><groupId>g</groupId><artifactId>up</artifactId><version>1</version></parent><artifactId>app</artifactId><dependencies><dependency><groupId>g</groupId><artifactId>lib</artifactId><version>${lib}</version></dependency></dependencies>"),
		"srv/pom/pom.xml":             pom("<groupId>g</groupId><artifactId>up</artifactId><version>1</version><properties><lib>3.1</lib></properties>"),
	})
	self, err := os.Executable() // a program of Go
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile("program", program, 0o755); err != nil { //nolint:gosec // a program has to be one
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var text []byte
		to := ""
		switch {
		case info.Mode().IsRegular():
			text, err = root.ReadFile(name)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err = root.Readlink(name)
		}
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, to)
		if err != nil {
			return err
		}
		h.Name = name
		put(t, w, h, string(text))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	im, digests := imageOf(t, layer.Bytes())
	c := scan.Config{Readers: readers(t), Skip: []string{".git"}, Limits: scan.Limits{FileBytes: 4000}}
	want, wantStats, err := scan.Dir(t.Context(), root, c)
	if err != nil {
		t.Fatal(err)
	}
	got, gotStats, err := scan.Image(t.Context(), im, c)
	if err != nil {
		t.Fatal(err)
	}
	packages := func(v *inventory.Inventory) []inventory.Package {
		var out []inventory.Package
		for _, p := range v.Packages() {
			for i := range p.Locations {
				if layer := p.Locations[i].Layer; layer != "" && layer != digests[0] {
					t.Errorf("%s: layer %s", p.Name, layer)
				}
				p.Locations[i].Layer = ""
			}
			out = append(out, *p)
		}
		return out
	}
	if diff := cmp.Diff(packages(want), packages(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Problems(), got.Problems()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantStats, gotStats); diff != "" {
		t.Error(diff)
	}
	if wantStats.Packages < 10 {
		t.Errorf("only %d packages", wantStats.Packages)
	}
}
