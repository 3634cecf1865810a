package image

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// File is a regular file of the image.
type File struct {
	// Path is relative to the root, with slashes.
	Path string

	im   *Image
	node *node
}

// Layer is the digest of the layer that brought the file, as it is without
// compression, which is the one that docker shows.
func (f *File) Layer() string {
	l := f.im.layers[f.node.layer]
	return cmp.Or(l.diffID, l.digest)
}

// Info returns what the layer says about the file.
func (f *File) Info() (fs.FileInfo, error) {
	f.im.mu.Lock()
	defer f.im.mu.Unlock()
	return describe(path.Base(f.Path), f.node), nil
}

// Open returns the content, which may be read until the image is closed.
func (f *File) Open() (tree.Content, error) {
	f.im.mu.Lock()
	defer f.im.mu.Unlock()
	if err := f.im.has(f.Path, f.node); err != nil {
		return nil, err
	}
	return f.im.body(f.node), nil
}

// Config says how to walk an image.
type Config struct {
	// Workers is how many files are visited at once; 0 is one.
	Workers int
	// Skip says which folders are passed over, by path and name.
	Skip func(path, name string) bool
	// Visit is called for each regular file, concurrently.
	Visit func(f *File)
	// Special, if any, is called for each pipe and device.
	Special func(path string)
}

// Walk visits the files. It ends early when ctx does.
func (im *Image) Walk(ctx context.Context, c Config) (tree.Stats, error) {
	var stats tree.Stats
	files := make(chan *File)
	var workers sync.WaitGroup
	for range max(1, c.Workers) {
		workers.Go(func() {
			for f := range files {
				c.Visit(f)
			}
		})
	}
	var walk func(dir string, n *node) bool
	walk = func(dir string, n *node) bool {
		stats.Folders++
		for _, one := range im.list(n) {
			child, at := one.node, path.Join(dir, one.name)
			stats.Files++
			switch {
			case one.kind == dirKind && c.Skip != nil && c.Skip(at, one.name):
			case one.kind == dirKind:
				if !walk(at, child) {
					return false
				}
			case one.kind == other && c.Special != nil:
				c.Special(at)
			case one.kind == fileKind:
				select {
				case files <- &File{Path: at, im: im, node: child}:
				case <-ctx.Done():
					return false
				}
			}
		}
		return true
	}
	walk("", &im.tree.root)
	close(files)
	workers.Wait()
	return stats, ctx.Err()
}

// listed is a name in a folder.
type listed struct {
	name string
	node *node
	kind kind
}

// list returns what is in a folder, by name.
func (im *Image) list(n *node) []listed {
	im.mu.Lock()
	defer im.mu.Unlock()
	var out []listed
	for _, name := range n.names() {
		child := n.children[name]
		out = append(out, listed{name, child, child.kind})
	}
	return out
}

// View returns the merged tree of all layers.
func (im *Image) View() tree.View { return view{im: im, root: &im.tree.root} }

// view is the tree below a folder.
type view struct {
	im   *Image
	root *node
	// at is where root lies in the image.
	at    string
	trace *tree.Trace
}

// look returns what lies at a name, with no link followed, and nil for nothing. What is not
// known yet is fetched. It has im.mu.
func (v view) look(name string) (*node, error) {
	n := v.root.find(name)
	if n != nil && n.kind == unknown {
		if _, err := v.im.settle(path.Join(v.at, name), n); err != nil {
			return nil, err
		}
	}
	if n == nil || n.kind == gone {
		return nil, nil
	}
	return n, nil
}

// Lstat implements [tree.Links].
func (v view) Lstat(name string) (fs.FileInfo, error) {
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	n, err := v.look(name)
	if err == nil && n == nil {
		err = &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		v.trace.Note(tree.Look{Path: path.Join(v.at, name)}, err)
		return nil, err
	}
	i := describe(path.Base(name), n)
	v.trace.Note(tree.Look{Path: path.Join(v.at, name), Info: i}, nil)
	return i, nil
}

// Readlink implements [tree.Links].
func (v view) Readlink(name string) (string, error) {
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	if n := v.root.find(name); n != nil && n.kind == linkKind {
		return n.link, nil
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

// resolve returns where the links of name lead, and what lies there.
func (v view) resolve(name string) (string, *node, error) {
	to, err := tree.Resolve(v, name)
	if err != nil {
		return "", nil, err
	}
	return to, v.root.find(to), nil // Resolve asked Lstat for it
}

// Stat implements [fs.StatFS].
func (v view) Stat(name string) (fs.FileInfo, error) {
	_, n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	return describe(path.Base(name), n), nil
}

// Open implements [fs.FS].
func (v view) Open(name string) (fs.File, error) {
	to, n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	if n.kind != fileKind && n.kind != dirKind {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("it is no regular file")}
	}
	if err := v.im.has(path.Join(v.at, to), n); err != nil {
		v.trace.Note(tree.Look{}, err)
		return nil, err
	}
	return opened{v.im.body(n), describe(path.Base(name), n)}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (v view) ReadDir(name string) ([]fs.DirEntry, error) {
	to, n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	if n.kind != dirKind {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("it is no folder")}
	}
	v.trace.Note(tree.Look{Path: path.Join(v.at, to), Info: describe(path.Base(to), n), Listed: true}, nil)
	var out []fs.DirEntry
	for _, name := range n.names() {
		out = append(out, fs.FileInfoToDirEntry(describe(name, n.children[name])))
	}
	return out, nil
}

// Sub implements [tree.View].
func (v view) Sub(dir string) (tree.View, func(), error) {
	to, n, err := v.resolve(dir)
	if err != nil {
		return nil, nil, err
	}
	v.im.mu.Lock()
	defer v.im.mu.Unlock()
	if n.kind != dirKind {
		return nil, nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is no folder")}
	}
	return view{v.im, n, path.Join(v.at, to), v.trace}, func() {}, nil
}

// body is the content of a file; that of a folder is empty.
func (im *Image) body(n *node) content {
	switch {
	case n.kind != fileKind, n.spooled && n.size == 0:
		return content{io.NewSectionReader(im.spool, 0, 0)}
	case n.off == absent:
		return content{io.NewSectionReader(leftOut{im.fetch != nil}, 0, n.size)}
	case n.spooled:
		return content{io.NewSectionReader(im.spool.f, n.off, n.size)}
	}
	return content{io.NewSectionReader(im.layers[n.layer].data, n.off, n.size)}
}

// leftOut is the content of a file that is not at hand.
type leftOut struct{ fetched bool }

func (l leftOut) ReadAt([]byte, int64) (int, error) {
	if l.fetched {
		return 0, ErrLeftOut
	}
	return 0, errAbsent
}

// content is a part of a layer. The image closes what it lies in.
type content struct{ *io.SectionReader }

func (content) Close() error { return nil }

// opened is a file of a view.
type opened struct {
	content
	info fs.FileInfo
}

func (o opened) Stat() (fs.FileInfo, error) { return o.info, nil }

// info is a node as a file's description, as it was when somebody asked.
type info struct {
	name string
	size int64
	mode fs.FileMode
	dir  bool
}

// describe has im.mu.
func describe(name string, n *node) info { return info{name, n.size, n.mode, n.kind == dirKind} }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
