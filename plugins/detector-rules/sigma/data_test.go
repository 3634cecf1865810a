package sigma_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// open opens a file of the public collections, which lie beside the repository or
// where IRONPOST_TEST_DATA says.
func open(t testing.TB, name string) *os.File {
	t.Helper()
	root := os.Getenv("IRONPOST_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not there: put the public collections into ../shared/data beside the repository, or name their folder in IRONPOST_TEST_DATA", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// archive reads a .tar.gz of the public collections.
func archive(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	f := open(t, name)
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.ToSlash(filepath.Clean(header.Name))] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
}

// corpus returns the files of SigmaHQ's rules, and what becomes of them.
func corpus(t testing.TB) (fstest.MapFS, *sigma.Result) {
	t.Helper()
	files := archive(t, "sigma-rules.tar.gz")
	return files, collect(t, files, sigma.Options{})
}

// collect reads the documents of a tree.
func collect(t testing.TB, files fs.FS, options sigma.Options) *sigma.Result {
	t.Helper()
	c := sigma.NewCollector(options, nil)
	document.Walk(files, len(files.(fstest.MapFS)), func(name string, data []byte) bool {
		for root, err := range document.All(data) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			c.Document(name, root)
		}
		return true
	}, func(name string, err error) { t.Fatalf("%s: %v", name, err) })
	return c.Finish(nil)
}
