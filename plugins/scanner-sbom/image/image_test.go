package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

func open(t testing.TB, path string, o image.Options) *image.Image {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	im, err := image.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := im.Close(); err != nil {
			t.Error(err)
		}
	})
	return im
}

// files are those of the image with their content, sorted.
func files(t testing.TB, im *image.Image) []string {
	t.Helper()
	out := []string{}
	_, err := im.Walk(t.Context(), image.Config{Visit: func(f *image.File) {
		body, err := f.Open()
		if err != nil {
			t.Error(err)
			return
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Errorf("%s: %v", f.Path, err)
		}
		out = append(out, f.Path+"="+string(content))
	}})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func codes(im *image.Image) []string {
	out := []string{}
	for _, p := range im.Problems() {
		out = append(out, p.Path+" "+p.Code)
	}
	slices.Sort(out)
	return out
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// All forms of one image hold the same files, of the same layers.
func TestForms(t *testing.T) {
	layers := [][]byte{
		bundle(dir("etc/"), regular("etc/a", "old"), regular("etc/b", "kept")),
		bundle(regular("./etc/a", "new"), regular("/etc/c", strings.Repeat("long", 100_000))),
	}
	saved := func(s func([]byte) []byte) string { return onDisk(t, pack(savedParts(layers, s))) }
	layout := func(s func([]byte) []byte) string { return onDisk(t, pack(layoutParts(layers, s))) }
	for name, path := range map[string]string{
		"saved":             saved(as),
		"saved, gzip":       saved(squeezed),
		"saved, all gzip":   onDisk(t, squeezed(pack(savedParts(layers, as)))),
		"saved, all zstd":   onDisk(t, zstandard(pack(savedParts(layers, as)))),
		"layout":            layout(as),
		"layout, gzip":      layout(squeezed),
		"layout, zstd":      layout(zstandard),
		"folder":            inFolder(t, layoutParts(layers, as)),
		"folder, gzip":      inFolder(t, layoutParts(layers, squeezed)),
		"layout, gzip zstd": onDisk(t, zstandard(pack(layoutParts(layers, squeezed)))),
	} {
		t.Run(name, func(t *testing.T) {
			if !image.Is(path) {
				t.Error("it does not look like an image")
			}
			spool := t.TempDir()
			im := open(t, path, image.Options{Dir: spool})
			check(t, "files", files(t, im), []string{"etc/a=new", "etc/b=kept", "etc/c=" + strings.Repeat("long", 100_000)})
			check(t, "problems", codes(im), []string{})
			check(t, "name", im.Name, "acme:1")
			wantDigest := digest([]byte(configOf(layers)))
			if !strings.HasPrefix(name, "saved") {
				m, _ := manifestParts(layers, as)
				switch {
				case strings.Contains(name, ", gzip"):
					m, _ = manifestParts(layers, squeezed)
				case strings.Contains(name, ", zstd"):
					m, _ = manifestParts(layers, zstandard)
				}
				wantDigest = digest([]byte(m))
			}
			check(t, "digest", im.Digest, wantDigest)
			_, err := im.Walk(t.Context(), image.Config{Workers: 3, Visit: func(f *image.File) {
				want := digest(layers[1])
				if f.Path == "etc/b" {
					want = digest(layers[0])
				}
				if f.Layer() != want {
					t.Errorf("%s: got layer %s, want %s", f.Path, f.Layer(), want)
				}
			}})
			if err != nil {
				t.Error(err)
			}
			left, err := os.ReadDir(spool)
			if err != nil || (len(left) > 0 && runtime.GOOS != "windows") {
				t.Errorf("the temporary file has a name: %v %v", left, err)
			}
		})
	}
}

// Layers lie over one another as overlayfs has it.
func TestLayers(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]file // the lowest first
		want   []string
		codes  []string
	}{
		"a file is replaced":           {[][]file{{regular("a", "1")}, {regular("a", "2")}}, []string{"a=2"}, nil},
		"a file is removed":            {[][]file{{regular("d/a", "1"), regular("d/b", "1")}, {whiteout("d/.wh.a")}}, []string{"d/b=1"}, nil},
		"a folder is removed":          {[][]file{{regular("d/e/a", "1"), regular("f", "1")}, {whiteout(".wh.d")}}, []string{"f=1"}, nil},
		"removed and made again":       {[][]file{{regular("d/a", "1")}, {whiteout(".wh.d")}, {regular("d/b", "3")}}, []string{"d/b=3"}, nil},
		"removed and made in one":      {[][]file{{regular("d/a", "1")}, {regular("d/b", "2"), whiteout(".wh.d")}}, []string{"d/b=2"}, nil},
		"an opaque folder":             {[][]file{{regular("d/a", "1"), regular("d/e/b", "1")}, {regular("d/c", "2"), whiteout("d/.wh..wh..opq")}}, []string{"d/c=2"}, nil},
		"opaque first":                 {[][]file{{regular("d/a", "1")}, {whiteout("d/.wh..wh..opq"), regular("d/a", "2")}}, []string{"d/a=2"}, nil},
		"the root opaque":              {[][]file{{regular("a", "1")}, {whiteout(".wh..wh..opq"), regular("b", "2")}}, []string{"b=2"}, nil},
		"opaque, and more above":       {[][]file{{regular("d/a", "1")}, {whiteout("d/.wh..wh..opq")}, {regular("d/b", "3")}}, []string{"d/b=3"}, nil},
		"a whiteout hides none above":  {[][]file{{whiteout(".wh.a")}, {regular("a", "2")}}, []string{"a=2"}, nil},
		"a file over a folder":         {[][]file{{regular("d/a", "1")}, {regular("d", "2")}}, []string{"d=2"}, nil},
		"a folder over a file":         {[][]file{{regular("d", "1")}, {regular("d/a", "2")}}, []string{"d/a=2"}, nil},
		"folder, file, folder":         {[][]file{{regular("d/a", "1")}, {regular("d", "2")}, {regular("d/b", "3")}}, []string{"d/b=3"}, nil},
		"a link over a folder":         {[][]file{{regular("d/a", "1"), regular("e/b", "1")}, {symlink("d", "e")}}, []string{"e/b=1"}, nil},
		"folders are merged":           {[][]file{{regular("d/a", "1")}, {dir("d/")}, {regular("d/b", "3")}}, []string{"d/a=1", "d/b=3"}, nil},
		"twice in a layer":             {[][]file{{regular("a", "1"), regular("b", "2"), regular("a", "3")}}, []string{"a=3", "b=2"}, nil},
		"file, then folder, one layer": {[][]file{{regular("d/a", "0")}, {regular("d", "1"), regular("d/b", "1")}}, []string{"d/a=0", "d/b=1"}, nil},
		"folder, then file, one layer": {[][]file{{regular("d/a", "1"), regular("d", "2")}}, []string{"d=2"}, nil},
		"metadata of aufs":             {[][]file{{regular("a", "1")}, {dir(".wh..wh.plnk/"), whiteout(".wh..wh.aufs")}}, []string{"a=1"}, nil},
		"a hard link":                  {[][]file{{regular("a", "1"), hardlink("d/b", "a")}}, []string{"a=1", "d/b=1"}, nil},
		"its file is removed":          {[][]file{{regular("a", "1"), hardlink("b", "/a")}, {whiteout(".wh.a")}}, []string{"b=1"}, nil},
		"its file is replaced":         {[][]file{{regular("a", "1"), hardlink("b", "a")}, {regular("a", "2")}}, []string{"a=2", "b=1"}, nil},
		"its file comes later":         {[][]file{{hardlink("b", "a"), regular("a", "1")}}, []string{"a=1", "b=1"}, nil},
		"its file is below":            {[][]file{{regular("a", "1")}, {hardlink("b", "a")}}, []string{"a=1", "b=1"}, nil},
		"a hard link to nothing":       {[][]file{{hardlink("b", "a"), regular("c", "1")}}, []string{"c=1"}, []string{"b malformed"}},
		"a hard link to itself":        {[][]file{{hardlink("b", "b"), regular("c", "1")}}, []string{"c=1"}, []string{"b malformed"}},
		"a hard link in circles":       {[][]file{{hardlink("a", "b"), hardlink("b", "a")}}, []string{}, []string{"a malformed", "b malformed"}},
		"a hard link out":              {[][]file{{hardlink("b", "../../etc/passwd")}}, []string{}, []string{"b malformed"}},
		"devices":                      {[][]file{{{name: "dev/null", kind: tar.TypeChar}, {name: "p", kind: tar.TypeFifo}}}, []string{}, nil},
		"names that lead out":          {[][]file{{regular("../a", "1"), regular("d/../../b", "1"), regular("/c", "1"), whiteout("d/.wh..")}}, []string{"c=1"}, []string{"../a outside", "d/../../b outside", "d/.wh.. outside"}},
		"through a link that leads out": {
			[][]file{{symlink("d", "/../../.."), regular("d/a", "1")}}, []string{"d/a=1"}, nil,
		},
		"an empty layer": {[][]file{{}, {regular("a", "1")}}, []string{"a=1"}, nil},
		"no layer":       {nil, []string{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, pack(l))
			}
			if c.codes == nil {
				c.codes = []string{}
			}
			for _, squeeze := range []func([]byte) []byte{as, squeezed} {
				im := open(t, onDisk(t, pack(savedParts(layers, squeeze))), image.Options{})
				check(t, "files", files(t, im), c.want)
				check(t, "problems", codes(im), c.codes)
			}
		})
	}
}

// The view follows links within the image alone.
func TestView(t *testing.T) {
	im := open(t, onDisk(t, pack(savedParts([][]byte{
		bundle(symlink("etc/os-release", "../usr/lib/os-release"), regular("usr/lib/os-release", "ID=old")),
		bundle(regular("usr/lib/os-release", "ID=new"), symlink("lib", "/usr/lib"), symlink("out", "/../../../etc/os-release"), symlink("loop", "loop"), symlink("dead", "nowhere"), whiteout("usr/.wh.gone")),
	}, squeezed))), image.Options{})
	v := im.View()
	for name, want := range map[string]string{
		"etc/os-release": "ID=new", "lib/os-release": "ID=new", "out": "ID=new", "../../etc/os-release": "ID=new",
	} {
		got, err := fs.ReadFile(v, name)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"loop", "dead", "usr/gone", "none", "etc/os-release/x"} {
		if f, err := v.Open(name); err == nil {
			t.Errorf("%s opens: %v", name, f)
		}
	}
	entries, err := v.ReadDir("lib")
	if err != nil || len(entries) != 1 || entries[0].Name() != "os-release" {
		t.Errorf("ReadDir: %v, %v", entries, err)
	}
	if entries, err := v.ReadDir("usr"); err != nil || len(entries) != 1 {
		t.Errorf("what is hidden is listed: %v, %v", entries, err)
	}
	sub, done, err := v.Sub("usr")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if got, err := fs.ReadFile(sub, "lib/os-release"); err != nil || string(got) != "ID=new" {
		t.Errorf("below usr: %q, %v", got, err)
	}
	if _, err := sub.Stat("../etc/os-release"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("out of usr: %v", err)
	}
	if _, _, err := v.Sub("usr/lib/os-release"); err == nil {
		t.Error("a file is a tree")
	}
}

// A layer that is broken is named, and the rest is read.
func TestBroken(t *testing.T) {
	base := bundle(regular("base", "1"))
	top := bundle(regular("first", "2"), regular("second", strings.Repeat("random?", 20_000)))
	for name, c := range map[string]struct {
		layer []byte
		want  []string
		code  string
	}{
		"cut":              {top[:3000], []string{"base=1", "first=2"}, inventory.CodeMalformed},
		"cut, gzip":        {squeezed(top)[:200], []string{"base=1", "first=2"}, inventory.CodeMalformed},
		"no tar":           {bytes.Repeat([]byte("x"), 2000), []string{"base=1"}, inventory.CodeMalformed},
		"no gzip":          {[]byte("\x1f\x8bxxxxxxxxxxxxxxxxxx"), []string{"base=1"}, inventory.CodeMalformed},
		"no zstd":          {[]byte("\x28\xb5\x2f\xfdxxxxxxxxxxxxxxxxxx"), []string{"base=1"}, inventory.CodeMalformed},
		"another":          {bundle(regular("other", "3")), []string{"base=1", "other=3"}, inventory.CodeMalformed},
		"garbage after":    {append(squeezed(bundle(regular("other", "3"))), "garbage"...), []string{"base=1", "other=3"}, inventory.CodeMalformed},
		"another, gzip":    {squeezed(bundle(regular("other", "3"))), []string{"base=1", "other=3"}, inventory.CodeMalformed},
		"it is not there":  {nil, []string{"base=1"}, inventory.CodeIncomplete},
		"more than it may": {squeezed(bundle(regular("zeros", strings.Repeat("\x00", 4<<20)))), []string{"base=1"}, inventory.CodeExpands},
		// What was written until then counts, and leaves nothing for those below.
		"larger, gzip": {squeezed(bundle(regular("large", random(3<<20)))), []string{}, inventory.CodeTooLarge},
		"larger":       {bundle(regular("large", random(3<<20))), []string{"base=1"}, inventory.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			parts := savedParts([][]byte{base, top}, as)
			at := slices.IndexFunc(parts, func(f file) bool { return f.name == "b/layer.tar" })
			parts[at].text = string(c.layer)
			if c.layer == nil {
				parts = slices.Delete(parts, at, at+1)
			}
			im := open(t, onDisk(t, pack(parts)), image.Options{Limits: image.Limits{Bytes: 2 << 20, Ratio: 100, RatioFrom: 1 << 20}})
			check(t, "files", files(t, im), c.want)
			want := []string{"b/layer.tar " + c.code}
			if len(c.want) == 0 {
				want = append([]string{"a/layer.tar " + c.code}, want...)
			}
			check(t, "problems", codes(im), want)
		})
	}
}

// random is text that does not compress well.
func random(n int) string {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

// A blob is what its digest says, or the image is not read.
func TestDigests(t *testing.T) {
	layers := [][]byte{bundle(regular("a", "1"))}
	for name, c := range map[string]struct {
		change func(f *file, m string) bool
		want   string
	}{
		"manifest": {func(f *file, m string) bool { return f.text == m }, "has the digest"},
		"config":   {func(f *file, _ string) bool { return f.text == configOf(layers) }, "has the digest"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := manifestParts(layers, as)
			parts := layoutParts(layers, as)
			for i := range parts {
				if c.change(&parts[i], m) {
					parts[i].text += " "
				}
			}
			_, err := image.Open(t.Context(), onDisk(t, pack(parts)), image.Options{Dir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Of several platforms the wanted one is read, wherever it lies.
func TestPlatforms(t *testing.T) {
	one := func(arch string) (dict, []file) {
		m, parts := manifestParts([][]byte{bundle(regular("arch", arch))}, as)
		return dict{"digest": digest([]byte(m)), "platform": dict{"os": "linux", "architecture": arch}}, parts
	}
	amd, amdParts := one("amd64")
	arm, armParts := one("arm64")
	note := dict{"digest": digest([]byte("attestation")), "platform": dict{"os": "unknown", "architecture": "unknown"}}
	nested := text(dict{"manifests": []dict{arm, amd, note}})
	all := slices.Concat(amdParts, armParts, []file{regular(blobName([]byte(nested)), nested)})
	nestedRef := dict{"digest": digest([]byte(nested)), "annotations": dict{"io.containerd.image.name": "acme:2"}}
	bare := dict{"digest": amd["digest"]}
	for name, c := range map[string]struct {
		parts []file
		arch  string
		want  string
		err   string
	}{
		"the first":           {append(layoutOf(amd, arm), all...), "amd64", "arch=amd64", ""},
		"the second":          {append(layoutOf(amd, arm), all...), "arm64", "arch=arm64", ""},
		"nested":              {append(layoutOf(nestedRef), all...), "amd64", "arch=amd64", ""},
		"the only one":        {append(layoutOf(amd), all...), "s390x", "arch=amd64", ""},
		"the only one there":  {append(layoutOf(amd, arm), armParts...), "amd64", "arch=arm64", ""},
		"none fits":           {append(layoutOf(amd, arm), all...), "s390x", "", "it holds 2"},
		"listed twice":        {append(layoutOf(amd, bare, amd), all...), "amd64", "arch=amd64", ""},
		"none":                {layoutOf(), "amd64", "", "no image"},
		"no digest":           {layoutOf(dict{"digest": "sha256:../../../etc/passwd"}), "amd64", "", "no digest"},
		"another digest":      {layoutOf(dict{"digest": "md5:00"}), "amd64", "", "no digest"},
		"broken":              {[]file{regular("oci-layout", "{}"), regular("index.json", "{")}, "amd64", "", "index.json"},
		"index and manifest":  {both(), "amd64", "", "at once"},
		"indexes all the way": {turtles(), "amd64", "", "in one another"},
	} {
		t.Run(name, func(t *testing.T) {
			im, err := image.Open(t.Context(), onDisk(t, pack(c.parts)), image.Options{Dir: t.TempDir(), OS: "linux", Arch: c.arch})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, "files", files(t, im), []string{c.want})
			if name == "nested" {
				check(t, "name", im.Name, "acme:2")
			}
			if err := im.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func both() []file {
	m := text(dict{"manifests": []dict{}, "config": dict{}, "layers": []dict{}})
	return append(layoutOf(dict{"digest": digest([]byte(m))}), regular(blobName([]byte(m)), m))
}

func turtles() []file {
	m := text(dict{"manifests": []dict{}})
	var parts []file
	for range 10 {
		parts = append(parts, regular(blobName([]byte(m)), m))
		m = text(dict{"manifests": []dict{{"digest": digest([]byte(m))}}})
	}
	return append(parts, regular("oci-layout", "{}"), regular("index.json", m))
}

// Old archives have a link in place of a layer that is there twice.
func TestLinkedLayer(t *testing.T) {
	l := bundle(regular("a", "1"))
	parts := savedParts([][]byte{l, l}, as)
	at := slices.IndexFunc(parts, func(f file) bool { return f.name == "b/layer.tar" })
	parts[at] = symlink("b/layer.tar", "../a/layer.tar")
	im := open(t, onDisk(t, pack(parts)), image.Options{})
	check(t, "files", files(t, im), []string{"a=1"})
	check(t, "problems", codes(im), []string{})
}

func TestNoImage(t *testing.T) {
	layers := [][]byte{bundle(regular("a", "1"))}
	two := savedParts(layers, as)
	two[len(two)-1].text = `[{"Config":"x","RepoTags":["a:1"]},{"Config":"y","RepoTags":["b:1"]}]`
	for name, c := range map[string]struct {
		archive []byte
		is      bool
		want    string
	}{
		"some archive": {bundle(regular("src/main.c", "")), true, "no image"},
		"gzip":         {squeezed([]byte("text")), true, "no image"},
		"JSON":         {[]byte(`{"bomFormat": "CycloneDX"}`), false, "no image"},
		"empty":        {nil, false, "no image"},
		"two images":   {pack(two), true, "a:1; b:1"},
		"large list":   {bundle(regular("manifest.json", strings.Repeat(" ", 5<<20))), true, "may have"},
		"a link to itself": {
			bundle(symlink("manifest.json", "manifest.json")), true, "no image",
		},
		"many layers": {pack(savedParts(slices.Repeat(layers, 600), as)), true, "600 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			path := onDisk(t, c.archive)
			if got := image.Is(path); got != c.is {
				t.Errorf("Is: got %v, want %v", got, c.is)
			}
			if _, err := image.Open(t.Context(), path, image.Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if image.Is(t.TempDir()) {
		t.Error("an empty folder is an image")
	}
}

// Entries, folders in one another and long names are bounded.
func TestBounds(t *testing.T) {
	var many []file
	for i := range 200 {
		many = append(many, regular(fmt.Sprintf("f%03d", i), "x"))
	}
	im := open(t, onDisk(t, pack(savedParts([][]byte{bundle(regular("below", "1")), pack(many)}, as))), image.Options{Limits: image.Limits{Entries: 50}})
	if got := len(files(t, im)); got != 50 {
		t.Errorf("got %d files, want 50", got)
	}
	check(t, "problems", codes(im), []string{"b/layer.tar too_many"})

	deep := strings.Repeat("d/", 20)
	im = open(t, onDisk(t, pack(savedParts([][]byte{bundle(regular(deep+"a", "1"), regular(deep+"b", "1"), regular("d/d/d/ok", "1"),
		regular(strings.Repeat("n", 5000), ""), symlink("l", strings.Repeat("n", 5000)))}, as))), image.Options{Limits: image.Limits{Depth: 3}})
	check(t, "files", files(t, im), []string{"d/d/d/ok=1"})
	check(t, "problems", codes(im), []string{"d/d/d/d too_deep", "l too_large", strings.Repeat("n", 300) + "... too_large"})

	var out []file
	for i := range 1500 {
		out = append(out, regular(fmt.Sprintf("../%d", i), ""))
	}
	im = open(t, onDisk(t, pack(savedParts([][]byte{pack(out)}, as))), image.Options{})
	if got := len(im.Problems()); got != 1001 {
		t.Errorf("got %d problems, want 1000 and one that tells of the rest", got)
	}
}

// FuzzOpen holds that no archive breaks the reader, and that every file that it lists
// can be read as long as it says.
func FuzzOpen(f *testing.F) {
	layers := [][]byte{bundle(regular("d/a", "1"), hardlink("b", "d/a"), symlink("l", "/d")), bundle(whiteout("d/.wh.a"), dir("e/"), whiteout("e/.wh..wh..opq"))}
	f.Add(pack(savedParts(layers, as)))
	f.Add(pack(savedParts(layers, squeezed)))
	f.Add(pack(layoutParts(layers, zstandard)))
	f.Add(squeezed(pack(layoutParts(layers, as))))
	f.Fuzz(func(t *testing.T, archive []byte) {
		o := image.Options{Dir: t.TempDir(), Limits: image.Limits{Bytes: 1 << 20, Entries: 1000, Layers: 10, Depth: 8, Document: 1 << 16}}
		im, err := image.Open(t.Context(), onDisk(t, archive), o)
		if err != nil {
			return
		}
		defer func() { _ = im.Close() }()
		_, err = im.Walk(t.Context(), image.Config{Visit: func(f *image.File) {
			if !fs.ValidPath(f.Path) && !strings.ContainsRune(f.Path, '\uFFFD') {
				t.Logf("path %q", f.Path)
			}
			info, _ := f.Info()
			body, _ := f.Open()
			if n, err := io.Copy(io.Discard, body); err != nil || n != info.Size() {
				t.Errorf("%q: read %d of %d: %v", f.Path, n, info.Size(), err)
			}
			if got, err := im.View().Stat(f.Path); err != nil || got.Size() != info.Size() {
				t.Errorf("%q: the view has %v, %v", f.Path, got, err)
			}
		}})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzLayers holds that a layer that is compressed or not gives the same tree.
func FuzzLayers(f *testing.F) {
	f.Add(bundle(regular("d/a", "1"), regular("d/b", "2")), bundle(whiteout("d/.wh.a"), regular("d", "3")))
	f.Add(bundle(regular("a", "1"), hardlink("b", "a")), bundle(whiteout(".wh..wh..opq"), symlink("b", "..")))
	f.Fuzz(func(t *testing.T, low, high []byte) {
		var trees [2][]string
		for i, squeeze := range []func([]byte) []byte{as, squeezed} {
			o := image.Options{Dir: t.TempDir(), Limits: image.Limits{Bytes: 1 << 20, Entries: 1000}}
			im, err := image.Open(t.Context(), onDisk(t, pack(savedParts([][]byte{low, high}, squeeze))), o)
			if err != nil {
				t.Fatal(err)
			}
			trees[i] = files(t, im)
			if err := im.Close(); err != nil {
				t.Error(err)
			}
		}
		if looks := [2]bool{bytes.HasPrefix(low, []byte{0x1f, 0x8b}), bytes.HasPrefix(high, []byte{0x28, 0xb5})}; looks[0] || looks[1] {
			return // compressed twice is no layer
		}
		if diff := cmp.Diff(trees[0], trees[1]); diff != "" {
			t.Error(diff)
		}
	})
}
