package tree

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// View is a tree as a file system: what readers look up beside the file that
// they read, such as the release of a distribution. Links are followed
// as a process would see them whose root directory the tree is, and never out of it.
// It is safe for concurrent use.
type View interface {
	fs.StatFS
	fs.ReadDirFS
	// Sub returns the view of a folder as a tree of its own, which the function closes.
	Sub(dir string) (View, func(), error)
}

// Content is an open file.
type Content interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// NewView returns the view of root, which has to stay open.
func NewView(root Root) View { return view{root: root} }

// view is a View of a folder.
type view struct {
	root Root
	// at is where root lies in the tree that trace is about.
	at    string
	trace *Trace
}

func (v view) Sub(dir string) (View, func(), error) {
	if dir == "" || dir == "." {
		return v, func() {}, nil
	}
	root, err := v.root.OpenRoot(dir + anyFolder)
	if err != nil {
		return nil, nil, err
	}
	return view{root, path.Join(v.at, dir), v.trace}, func() { _ = root.Close() }, nil // it was read only
}

// anyFolder behind a name has it opened as a folder alone: a pipe that took its place would wait for
// somebody who writes into it.
const anyFolder = "/."

// Links is a tree whose links can be read; names are relative to its root.
type Links interface {
	// Lstat returns what name itself is, not what it leads to.
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
}

// Lstat implements [Links].
func (v view) Lstat(name string) (fs.FileInfo, error) {
	info, err := v.root.Lstat(name)
	v.trace.note(Look{Path: v.within(name), Info: info}, err)
	return info, err
}

// Readlink implements [Links].
func (v view) Readlink(name string) (string, error) {
	to, err := v.root.Readlink(name)
	if err != nil {
		v.trace.refused()
	}
	return to, err
}

// within is where a name of the view lies in the tree that is traced.
func (v view) within(name string) string { return path.Join(v.at, name) }

// maxLinks is how many links are followed for one name, as in path_resolution(7).
const maxLinks = 40

var (
	// errLinks is told of a name that leads in circles.
	errLinks = errors.New("too many links in one another")
	// errNoFolder is told of what is listed and is none.
	errNoFolder = errors.New("it is no folder")
	// errSpecial is told of pipes and devices.
	errSpecial = errors.New("it is neither a file nor a folder")
)

// Resolve returns where the links of name lead in the tree, whose root is theirs: one
// that leads above it stays there. os.Root refuses links that begin at the root,
// which are the rule in a root file system.
func Resolve(in Links, name string) (string, error) {
	rest, at := strings.Split(path.Clean("/" + name)[1:], "/"), ""
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		info, err := in.Lstat(cmp.Or(next, "."))
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
		to, err := in.Readlink(next)
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
func (v view) Open(name string) (fs.File, error) {
	to, err := Resolve(v, name)
	if err != nil {
		return nil, err
	}
	// To open a device may do something: rewind a tape, start a watchdog.
	if info, err := v.root.Lstat(to); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		v.trace.refused()
		return nil, &fs.PathError{Op: "open", Path: name, Err: errSpecial}
	}
	f, err := v.root.OpenFile(to, os.O_RDONLY|nonblock, 0)
	if v.trace != nil {
		v.trace.opened(v.within(to), f, err)
	}
	return f, err
}

// Stat implements [fs.StatFS].
func (v view) Stat(name string) (fs.FileInfo, error) {
	to, err := Resolve(v, name)
	if err != nil {
		return nil, err
	}
	return v.Lstat(to)
}

// ReadDir implements [fs.ReadDirFS].
func (v view) ReadDir(name string) ([]fs.DirEntry, error) {
	to, err := Resolve(v, name)
	if err != nil {
		return nil, err
	}
	// To open a pipe would wait for somebody who writes into it.
	if info, err := v.root.Lstat(to); err == nil && !info.IsDir() {
		v.trace.refused()
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNoFolder}
	}
	dir, err := v.root.OpenFile(to, os.O_RDONLY|nonblock, 0)
	if v.trace != nil {
		v.trace.opened(v.within(to), dir, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was read only
	var out []fs.DirEntry
	for {
		entries, err := dir.ReadDir(entriesAtOnce)
		if out = append(out, entries...); len(out) > MaxEntries {
			out, err = out[:MaxEntries], &fs.PathError{Op: "readdir", Path: name, Err: ErrFiles}
		}
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			v.trace.refused()
			return out, err
		}
	}
}

// MaxEntries is how many entries of a folder a [View] lists. Where there are more it returns as
// many, in no order, and an error that wraps [ErrFiles].
const MaxEntries = 256 << 10
