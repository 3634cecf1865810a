package tree_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// linked is a tree of links, "name to" in a line each; what has no line is a folder.
type linked map[string]string

func (l linked) Lstat(name string) (fs.FileInfo, error) {
	f := &fstest.MapFile{Mode: fs.ModeDir}
	if _, ok := l[name]; ok {
		f.Mode = fs.ModeSymlink
	}
	return fstest.MapFS{"x": f}.Lstat("x")
}

func (l linked) Readlink(name string) (string, error) {
	to, ok := l[name]
	if !ok {
		return "", fs.ErrInvalid
	}
	return to, nil
}

// Wherever links lead, it is in the tree, and is no link.
func FuzzResolve(f *testing.F) {
	f.Add("a/b", "a ../../..\nb /a")
	f.Add("a", "a b\nb a")
	f.Add("etc/os-release", "etc/os-release ../usr/lib/os-release\nusr /../../x/./y//z")
	f.Add("/../a", ". .\na /")
	f.Add("a/b/c", "a/b /a/b/c\na/b/c ..")
	f.Fuzz(func(t *testing.T, name, links string) {
		l := linked{}
		for line := range strings.Lines(links) {
			if from, to, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && len(l) < 64 && from != "." {
				l[from] = to
			}
		}
		at, err := tree.Resolve(l, name)
		if err != nil {
			return
		}
		if _, link := l[at]; link || !fs.ValidPath(strings.ToValidUTF8(at, "x")) {
			t.Errorf("%q in %q leads to %q", name, l, at)
		}
	})
}
