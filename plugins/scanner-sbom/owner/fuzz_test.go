package owner_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// memory is a tree in memory.
type memory struct{ fstest.MapFS }

func (m memory) Readlink(name string) (string, error) { return m.ReadLink(name) }

func (m memory) Sub(dir string) (tree.View, func(), error) { return nil, nil, fs.ErrInvalid }

// FuzzRead has what a tree says of itself be anything.
func FuzzRead(f *testing.F) {
	f.Add([]byte("Package: a\nStatus: install ok installed\nVersion: 1\n\n"), []byte("/.\n/bin\n/bin/a\n"), []byte("/bin/a\n/bin/b\n:\n"), []byte("a/b.so,sha256=x,1\r\n\"c,\"\"d\",,\n"))
	f.Add([]byte("P:a\nV:1\nF:bin\nR:a\n\n"), []byte("../../../etc/x\n//\n/./\n"), []byte("/bin/a\n"), []byte("\"\n,\n\"\"\"\n../\n/\n"))
	f.Add([]byte("Package:\n\n:\n \nPackage: a\nPackage: a\n\nPackage: a"), []byte{0, '\n', 0xff}, []byte("\n\n\n\n"), []byte("%FILES%\nusr/\nusr/x\n%"))
	f.Fuzz(func(t *testing.T, database, list, diversions, record []byte) {
		file := func(b []byte) *fstest.MapFile { return &fstest.MapFile{Data: b, Mode: 0o644} }
		v := memory{fstest.MapFS{
			"var/lib/dpkg/status": file(database), "var/lib/dpkg/info/a.list": file(list), "var/lib/dpkg/diversions": file(diversions),
			"var/lib/dpkg/status.d/a": file(database), "var/lib/dpkg/status.d/a.md5sums": file(list),
			"lib/apk/db/installed": file(database), "x/a.dist-info/RECORD": file(record), "x/b.egg-info/top_level.txt": file(record),
			"x/c.egg-info/installed-files.txt": file(record), "var/lib/pacman/local/a-1/files": file(record),
			"bin": {Data: []byte("usr/bin"), Mode: fs.ModeSymlink | 0o777}, "usr/bin/a": file(nil),
		}}
		packages := []*inventory.Package{
			found("dpkg", "var/lib/dpkg/status", "a", "1", ""), found("apk", "lib/apk/db/installed", "a", "1", ""),
			found("python-package", "x/a.dist-info/METADATA", "a", "1", ""), found("python-package", "x/b.egg-info/PKG-INFO", "b", "1", ""),
			found("python-package", "x/c.egg-info/PKG-INFO", "c", "1", ""), found("pacman", "var/lib/pacman/local/a-1/desc", "p", "1", ""),
			found("gem", string(record), "g", "1", ""), found("java-archive", string(record), "j", "1", ""), found("node-package", string(list), "n", "1", ""),
		}
		x, _ := owner.Read(t.Context(), v, packages, owner.Options{})
		most := bytes.Count(list, []byte("\n"))*2 + bytes.Count(database, []byte("\n")) + bytes.Count(record, []byte("\n"))*5 + 16
		if x.Len() > most {
			t.Fatalf("%d names of at most %d lines", x.Len(), most)
		}
		for _, path := range []string{"", "/", "/bin/a", "/usr/bin/a", string(list), string(record)} {
			if refs, known := x.Owner(path); len(refs) > 0 && !known {
				t.Fatalf("%q is of %q, and of nobody", path, refs)
			}
		}
		again, _ := owner.Read(t.Context(), v, packages, owner.Options{Before: x.Look()})
		if changes := owner.Compare(x.Look(), again.Look()); len(changes) > 0 {
			t.Fatalf("nothing happened, and yet %v", changes)
		}
		for _, d := range x.Look().Databases {
			for _, p := range d.Packages {
				if strings.Contains(p.Name, "\n") || len(p.Samples) > 4 {
					t.Fatalf("%+v is no package", p)
				}
			}
		}
	})
}
