package tree

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// View is the tree as a file system: what readers look up beside the file that
// they read, such as the release of a distribution. Links are followed
// as a process would see them whose root directory the tree is, and never out of it.
// It is safe for concurrent use.
type View struct{ root *os.Root }

// NewView returns the view of root, which has to stay open.
func NewView(root *os.Root) View { return View{root} }

// Sub returns the view of a folder as a tree of its own.
func (v View) Sub(dir string) (View, func(), error) {
	if dir == "" || dir == "." {
		return v, func() {}, nil
	}
	root, err := v.root.OpenRoot(dir)
	if err != nil {
		return View{}, nil, err
	}
	return View{root}, func() { _ = root.Close() }, nil // it was read only
}

// maxLinks is how many links are followed for one name, as in path_resolution(7).
const maxLinks = 40

// errLinks is told of a name that leads in circles.
var errLinks = errors.New("too many links in one another")

// resolve follows the links of name. os.Root refuses those that begin at the
// root, which are the rule in a root file system.
func (v View) resolve(name string) (string, error) {
	rest, at := strings.Split(path.Clean("/" + name)[1:], "/"), ""
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		info, err := v.root.Lstat(cmp.Or(next, "."))
		if err != nil {
			return "", err
		}
		rest = rest[1:]
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "open", Path: name, Err: errLinks}
		}
		to, err := v.root.Readlink(next)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(to, "/") {
			to = path.Join("/", at, to)
		}
		to = path.Clean(to)[1:]
		at = ""
		if to != "" {
			rest = append(strings.Split(to, "/"), rest...)
		}
	}
	return cmp.Or(at, "."), nil
}

// Open implements [fs.FS].
func (v View) Open(name string) (fs.File, error) {
	to, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	return v.root.OpenFile(to, os.O_RDONLY|nonblock, 0)
}

// Stat implements [fs.StatFS].
func (v View) Stat(name string) (fs.FileInfo, error) {
	to, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	return v.root.Lstat(to)
}

// ReadDir implements [fs.ReadDirFS].
func (v View) ReadDir(name string) ([]fs.DirEntry, error) {
	to, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	dir, err := v.root.Open(to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was read only
	return dir.ReadDir(-1)
}
