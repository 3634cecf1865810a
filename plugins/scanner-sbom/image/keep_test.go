package image_test

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
)

// kept keeps an image, with the content of files whose names end with .txt.
func kept(t testing.TB, im *image.Image) (text, content string) {
	t.Helper()
	var w packed.Writer
	var body bytes.Buffer
	err := im.Keep(&w, func(file string, _ int64, r io.Reader) (int64, bool, error) {
		if !strings.HasSuffix(file, ".txt") {
			return 0, false, nil
		}
		at := int64(body.Len())
		_, err := io.Copy(&body, r)
		return at, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(w.Out), body.String()
}

func recalled(t testing.TB, text, content string) *image.Image {
	t.Helper()
	r := &packed.Reader{In: text}
	im, err := image.Recall(r, strings.NewReader(content), int64(len(content)), image.Options{Dir: t.TempDir()})
	if err != nil || r.In != "" {
		t.Fatalf("%v, and %d bytes are left", err, len(r.In))
	}
	t.Cleanup(func() { _ = im.Close() })
	return im
}

func layered(t testing.TB) *image.Image {
	t.Helper()
	below := bundle(dir("a/"), regular("a/one.txt", "one"), regular("a/two.txt", "two"), regular("a/prog", "program"), symlink("link", "a"), hardlink("hard.txt", "a/one.txt"))
	above := bundle(whiteout("a/.wh.two.txt"), regular("b/three.txt", "three"))
	im, err := image.Open(t.Context(), onDisk(t, pack(savedParts([][]byte{below, above}, squeezed))), image.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = im.Close() })
	return im
}

// An image that was kept has the same names, of the same layers, and the content that was
// kept. What was not is told when it is read.
func TestRecall(t *testing.T) {
	im := layered(t)
	again := recalled(t, first(kept(t, im)), second(kept(t, im)))
	names := func(im *image.Image) (out []string) {
		if _, err := im.Walk(t.Context(), image.Config{Visit: func(f *image.File) { out = append(out, f.Path+" "+f.Layer()) }}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if diff := cmp.Diff(names(im), names(again)); diff != "" {
		t.Errorf("names (-kept +recalled):\n%s", diff)
	}
	if again.Name != im.Name || again.Digest != im.Digest || again.OS != im.OS {
		t.Errorf("%q %q %q", again.Name, again.Digest, again.OS)
	}
	for name, want := range map[string]string{"link/one.txt": "one", "hard.txt": "one", "b/three.txt": "three"} {
		if got, err := fs.ReadFile(again.View(), name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := fs.ReadFile(again.View(), "a/prog"); err == nil {
		t.Errorf("what was not kept is read as %q", got)
	}
	if _, err := again.View().Stat("a/two.txt"); err == nil {
		t.Error("what a layer removed is there")
	}
	if info, err := again.View().Stat("a/prog"); err != nil || info.Size() != int64(len("program")) {
		t.Errorf("a program: %v, %v", info, err)
	}
}

func first(a, _ string) string  { return a }
func second(_, b string) string { return b }

// What a container has otherwise lies over its image: names that went, that came, and that
// were made anew where something else was.
func TestBecome(t *testing.T) {
	there := map[string]image.Entry{
		"a/one.txt": {Header: &tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, Size: 5}, Body: strings.NewReader("other")},
		"a/prog":    {Header: &tar.Header{Typeflag: tar.TypeReg, Mode: 0o755, Size: 7}, Body: strings.NewReader("program")},
		"c/d/new":   {Header: &tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, Size: 3}, Body: strings.NewReader("new")},
		"b":         {Header: &tar.Header{Typeflag: tar.TypeSymlink, Linkname: "c/d"}},
		"e":         {Header: &tar.Header{Typeflag: tar.TypeDir}},
	}
	asked := map[string]int{}
	im := recalled(t, first(kept(t, layered(t))), second(kept(t, layered(t))))
	files, doubtful := im.Become([]image.Change{
		{Path: "a"}, {Path: "a/one.txt"}, {Path: "b"}, {Path: "c"}, {Path: "c/d"}, {Path: "c/d/new"}, {Path: "c/d/gone"}, {Path: "e"}, {Path: "hard.txt", Gone: true}, {Path: "../x"}, {Path: strings.Repeat("d/", 200) + "deep"},
	}, func(file string) (image.Entry, func(), error) {
		asked[file]++
		e, ok := there[file]
		if !ok {
			return e, nil, fs.ErrNotExist
		}
		return e, func() {}, nil
	})
	if diff := cmp.Diff([]string{"a/one.txt", "c/d/new", "c/d/gone", "e"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b"}, doubtful); diff != "" {
		t.Errorf("doubtful (-want +got):\n%s", diff)
	}
	if len(asked) > 0 {
		t.Errorf("asked before anybody wanted to know: %v", asked)
	}
	before, err := im.Settle("b")
	if err != nil || before == "" {
		t.Errorf("settle b: %q, %v", before, err)
	}
	for name, want := range map[string]string{"a/one.txt": "other", "b/new": "new", "c/d/new": "new", "a/prog": "program"} {
		if got, err := fs.ReadFile(im.View(), name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"hard.txt", "b/three.txt", "c/d/gone"} {
		if _, err := im.View().Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if info, err := im.View().Stat("e"); err != nil || !info.IsDir() {
		t.Errorf("a new folder: %v, %v", info, err)
	}
	if diff := cmp.Diff(map[string]int{"a/one.txt": 1, "a/prog": 1, "b": 1, "c/d/new": 1, "c/d/gone": 1, "e": 1}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"../x outside", strings.Repeat("d/", 150) + "... too_deep"}, codes(im)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// Bytes that nobody wrote are an error, and what they say is bounded by their number.
func FuzzRecall(f *testing.F) {
	text, content := kept(f, layered(f))
	f.Add(text, content)
	f.Add(text, "")
	f.Add("\x00\x00\x00\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff\x0f", "")
	f.Fuzz(func(t *testing.T, text, content string) {
		im, err := image.Recall(&packed.Reader{In: text}, strings.NewReader(content), int64(len(content)), image.Options{})
		if err != nil {
			return
		}
		defer func() { _ = im.Close() }()
		_, err = im.Walk(t.Context(), image.Config{Visit: func(f *image.File) {
			body, err := f.Open()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, body)
			_ = f.Layer()
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
}
