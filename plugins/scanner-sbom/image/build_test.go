package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// file is an entry of a layer: a regular one unless kind says otherwise.
type file struct {
	name, text string // text is where a link leads to
	kind       byte
	mode       int64
}

func dir(name string) file            { return file{name: name, kind: tar.TypeDir} }
func symlink(name, to string) file    { return file{name: name, text: to, kind: tar.TypeSymlink} }
func hardlink(name, to string) file   { return file{name: name, text: to, kind: tar.TypeLink} }
func regular(name, text string) file  { return file{name: name, text: text} }
func whiteout(name string) file       { return file{name: name} }
func bundle(files ...file) (l []byte) { return pack(files) }

// pack writes a tar archive.
func pack(files []file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		switch f.kind {
		case 0:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(f.text))
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = f.text
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(f.text)); err != nil {
				panic(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func squeezed(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func zstandard(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func as(b []byte) []byte { return b }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func blobName(b []byte) string { return "blobs/sha256/" + digest(b)[len("sha256:"):] }

type dict = map[string]any

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func configOf(layers [][]byte) string {
	ids := make([]string, len(layers))
	for i, l := range layers {
		ids[i] = digest(l)
	}
	return text(dict{"os": "linux", "rootfs": dict{"type": "layers", "diff_ids": ids}})
}

// savedParts are the files of an archive of docker before 25. The layers come as
// they are without compression; squeeze is applied to them.
func savedParts(layers [][]byte, squeeze func([]byte) []byte) []file {
	config := configOf(layers)
	name := digest([]byte(config))[len("sha256:"):] + ".json"
	var names []string
	parts := []file{regular(name, config)}
	for i, l := range layers {
		names = append(names, string(rune('a'+i))+"/layer.tar")
		parts = append(parts, dir(names[i][:2]), regular(names[i], string(squeeze(l))))
	}
	return append(parts, regular("manifest.json", text([]dict{{"Config": name, "RepoTags": []string{"acme:1"}, "Layers": names}})))
}

// layoutParts are the files of an OCI layout.
func layoutParts(layers [][]byte, squeeze func([]byte) []byte) []file {
	m, parts := manifestParts(layers, squeeze)
	return append(parts, layoutOf(dict{"digest": digest([]byte(m)), "annotations": dict{"io.containerd.image.name": "acme:1"}})...)
}

func layoutOf(manifests ...dict) []file {
	return []file{regular("oci-layout", `{"imageLayoutVersion": "1.0.0"}`), regular("index.json", text(dict{"manifests": manifests}))}
}

// manifestParts are the blobs of an image, and its manifest.
func manifestParts(layers [][]byte, squeeze func([]byte) []byte) (string, []file) {
	config := configOf(layers)
	parts := []file{regular(blobName([]byte(config)), config)}
	list := []dict{}
	for _, l := range layers {
		b := squeeze(l)
		parts = append(parts, regular(blobName(b), string(b)))
		list = append(list, dict{"digest": digest(b)})
	}
	m := text(dict{"config": dict{"digest": digest([]byte(config))}, "layers": list})
	return m, append(parts, regular(blobName([]byte(m)), m))
}

// onDisk writes an archive, or a folder, and returns its path.
func onDisk(t testing.TB, archive []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(name, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func inFolder(t testing.TB, parts []file) string {
	t.Helper()
	top := t.TempDir()
	for _, p := range parts {
		name := filepath.Join(top, filepath.FromSlash(p.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(p.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return top
}
