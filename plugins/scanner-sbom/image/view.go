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
func (f *File) Info() (fs.FileInfo, error) { return info{path.Base(f.Path), f.node}, nil }

// Open returns the content, which may be read until the image is closed.
func (f *File) Open() (tree.Content, error) { return f.im.body(f.node), nil }

// Config says how to walk an image.
type Config struct {
	// Workers is how many files are visited at once; 0 is one.
	Workers int
	// Skip says which folders are passed over, by path and name.
	Skip func(path, name string) bool
	// Visit is called for each regular file, concurrently.
	Visit func(f *File)
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
		for _, name := range n.names() {
			child, at := n.children[name], path.Join(dir, name)
			stats.Files++
			switch {
			case child.kind == dirKind && c.Skip != nil && c.Skip(at, name):
			case child.kind == dirKind:
				if !walk(at, child) {
					return false
				}
			case child.kind == fileKind:
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

// View returns the merged tree of all layers.
func (im *Image) View() tree.View { return view{im, &im.tree.root} }

// view is the tree below a folder.
type view struct {
	im   *Image
	root *node
}

// Lstat implements [tree.Links].
func (v view) Lstat(name string) (fs.FileInfo, error) {
	n := v.root.find(name)
	if n == nil || n.kind == gone {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return info{path.Base(name), n}, nil
}

// Readlink implements [tree.Links].
func (v view) Readlink(name string) (string, error) {
	if n := v.root.find(name); n != nil && n.kind == linkKind {
		return n.link, nil
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

// resolve returns what lies at name, behind its links.
func (v view) resolve(name string) (*node, error) {
	to, err := tree.Resolve(v, name)
	if err != nil {
		return nil, err
	}
	return v.root.find(to), nil // Resolve asked Lstat for it
}

// Stat implements [fs.StatFS].
func (v view) Stat(name string) (fs.FileInfo, error) {
	n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

// Open implements [fs.FS].
func (v view) Open(name string) (fs.File, error) {
	n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	if n.kind != fileKind && n.kind != dirKind {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("it is no regular file")}
	}
	return opened{v.im.body(n), info{path.Base(name), n}}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (v view) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	if n.kind != dirKind {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("it is no folder")}
	}
	var out []fs.DirEntry
	for _, name := range n.names() {
		out = append(out, fs.FileInfoToDirEntry(info{name, n.children[name]}))
	}
	return out, nil
}

// Sub implements [tree.View].
func (v view) Sub(dir string) (tree.View, func(), error) {
	n, err := v.resolve(dir)
	if err != nil {
		return nil, nil, err
	}
	if n.kind != dirKind {
		return nil, nil, &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is no folder")}
	}
	return view{v.im, n}, func() {}, nil
}

// body is the content of a file; that of a folder is empty.
func (im *Image) body(n *node) content {
	if n.kind != fileKind {
		return content{io.NewSectionReader(im.spool, 0, 0)}
	}
	return content{io.NewSectionReader(im.layers[n.layer].data, n.off, n.size)}
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

// info is a node as a file's description.
type info struct {
	name string
	node *node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.node.size }
func (i info) Mode() fs.FileMode  { return i.node.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.node.kind == dirKind }
func (i info) Sys() any           { return nil }
