package tree

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Root is a tree of files on the disk: an [os.Root], or [Parts] of one.
type Root interface {
	// Name is what it was opened as.
	Name() string
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	Open(name string) (*os.File, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	OpenRoot(name string) (*os.Root, error)
}

// Parts is a tree of which only some folders are there, each at its place: what a
// process may see of a file system whose root it may not read. The folders above
// them cannot be listed. It is safe for concurrent use.
type Parts struct {
	// above is the root.
	above string
	name  string
	parts []part // by place
}

type part struct {
	// at is relative to the root, with slashes.
	at   string
	root *os.Root
}

// OpenParts opens the folders, which are absolute, of the tree below root. One that does not
// exist, or lies in another, is left out; an error is of none being there, or of one
// that cannot be opened.
func OpenParts(root string, folders []string) (_ *Parts, err error) {
	p := &Parts{above: root}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	var names []string
	for _, folder := range slices.Sorted(slices.Values(folders)) {
		folder = path.Clean(filepath.ToSlash(folder))
		if slices.ContainsFunc(names, func(above string) bool { return folder == above || strings.HasPrefix(folder, above+"/") }) {
			continue
		}
		rel, ok := strings.CutPrefix(folder, strings.TrimSuffix(path.Clean(filepath.ToSlash(root)), "/")+"/")
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: folder, Err: errOutside}
		}
		r, err := os.OpenRoot(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		names = append(names, folder)
		p.parts = append(p.parts, part{rel, r})
	}
	if len(p.parts) == 0 {
		return nil, &fs.PathError{Op: "open", Path: strings.Join(folders, ", "), Err: fs.ErrNotExist}
	}
	p.name = strings.Join(names, ":")
	return p, nil
}

// errOutside is told of a part that is none.
var errOutside = errors.New("it does not lie in the tree")

// Close closes the folders.
func (p *Parts) Close() (err error) {
	for _, one := range p.parts {
		err = errors.Join(err, one.root.Close())
	}
	return err
}

// Name returns the folders, with colons between them.
func (p *Parts) Name() string { return p.name }

// find returns the folder that a name lies in, and the name in it. above says that folders
// lie below the name.
func (p *Parts) find(name string) (root *os.Root, rest string, above bool) {
	name = path.Clean(name)
	for _, one := range p.parts {
		switch {
		case name == one.at:
			return one.root, ".", false
		case strings.HasPrefix(name, one.at+"/"):
			return one.root, name[len(one.at)+1:], false
		case name == ".", strings.HasPrefix(one.at, name+"/"):
			above = true
		}
	}
	return nil, "", above
}

// at returns the folder that a name lies in, or an error.
func (p *Parts) at(op, name string) (*os.Root, string, error) {
	root, rest, above := p.find(name)
	switch {
	case root != nil:
		return root, rest, nil
	case above:
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
	}
	return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Lstat implements [Root]. What is above the parts is a folder, also where a link is on the
// way to them. Links and folders beside them, as /bin to usr/bin, are there too.
func (p *Parts) Lstat(name string) (fs.FileInfo, error) {
	root, rest, above := p.find(name)
	switch {
	case root != nil:
		return root.Lstat(rest)
	case above:
		return os.Stat(filepath.Join(p.above, filepath.FromSlash(name)))
	}
	return p.beside("lstat", name)
}

// Readlink implements [Root].
func (p *Parts) Readlink(name string) (string, error) {
	if root, rest, _ := p.find(name); root != nil {
		return root.Readlink(rest)
	}
	if _, err := p.beside("readlink", name); err != nil {
		return "", err
	}
	return os.Readlink(filepath.Join(p.above, filepath.FromSlash(name)))
}

// beside looks at a link or a folder that lies in a folder above the parts. What is in the
// folder is not there, and neither is anything else beside them.
func (p *Parts) beside(op, name string) (fs.FileInfo, error) {
	if _, _, above := p.find(path.Dir(path.Clean(name))); above {
		info, err := os.Lstat(filepath.Join(p.above, filepath.FromSlash(name)))
		if err == nil && (info.IsDir() || info.Mode()&fs.ModeSymlink != 0) {
			return info, nil
		}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Open implements [Root].
func (p *Parts) Open(name string) (*os.File, error) {
	root, rest, err := p.at("open", name)
	if err != nil {
		return nil, err
	}
	return root.Open(rest)
}

// OpenFile implements [Root].
func (p *Parts) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	root, rest, err := p.at("open", name)
	if err != nil {
		return nil, err
	}
	return root.OpenFile(rest, flag, perm)
}

// OpenRoot implements [Root].
func (p *Parts) OpenRoot(name string) (*os.Root, error) {
	root, rest, err := p.at("open", name)
	if err != nil {
		return nil, err
	}
	return root.OpenRoot(rest + anyFolder)
}

// tops are the folders at which a walk begins, open.
func tops(root Root) ([]waiting, error) {
	list := []part{{"", nil}}
	if p, ok := root.(*Parts); ok {
		list = p.parts
	}
	var out []waiting
	for _, one := range list {
		d, err := top(root, cmp.Or(one.at, "."))
		if err != nil {
			for _, w := range out {
				w.parent.release()
			}
			return nil, err
		}
		out = append(out, waiting{parent: newFolder(d), path: one.at, depth: strings.Count(one.at, "/")})
	}
	return out, nil
}

func top(root Root, at string) (dir, error) {
	r, err := root.OpenRoot(at + anyFolder)
	if err != nil {
		return dir{}, err
	}
	defer func() { _ = r.Close() }() // it was read only
	return openTop(r)
}
