package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
)

// errAbsent is told of the content of a file that was not kept.
var errAbsent = errors.New("its content was not kept when the image was read")

// absent is where the content of a file lies that is not at hand.
const absent = -1

// Keep writes what Recall needs to have the image again without its archive: all names,
// and of the files that content takes over where it put them. content is called in the order
// of names; at is a place in what Recall is given, and ok false when the content is not kept.
func (im *Image) Keep(w *packed.Writer, content func(file string, size int64, body io.Reader) (at int64, ok bool, err error)) error {
	w.Text(im.Name)
	w.Text(im.Digest)
	w.Text(im.OS)
	w.Text(im.Arch)
	w.Number(uint64(len(im.layers)))
	for _, l := range im.layers {
		w.Text(l.digest)
		w.Text(l.diffID)
	}
	problems := im.Problems()
	w.Number(uint64(len(problems)))
	for _, p := range problems {
		w.Text(p.Path)
		w.Text(p.Code)
		w.Text(p.Reason)
	}
	return im.keep(w, "", &im.tree.root, content)
}

func (im *Image) keep(w *packed.Writer, at string, n *node, content func(string, int64, io.Reader) (int64, bool, error)) error {
	w.Number(uint64(n.kind))
	w.Number(uint64(n.mode))
	w.Number(uint64(max(n.layer, 0))) //nolint:gosec // not negative
	switch n.kind {
	case fileKind:
		off, ok := int64(absent), false
		if n.off != absent {
			var err error
			if off, ok, err = content(at, n.size, im.body(n)); err != nil {
				return err
			}
		}
		if !ok {
			off = absent
		}
		w.Signed(n.size)
		w.Signed(off)
	case linkKind:
		w.Text(n.link)
	case dirKind:
		names := n.names()
		w.Number(uint64(len(names)))
		for _, name := range names {
			w.Text(name)
			if err := im.keep(w, path.Join(at, name), n.children[name], content); err != nil {
				return err
			}
		}
	}
	return nil
}

// Recall returns an image that was kept, which has no other files than those it had. Files
// whose content was kept are read from content, which has size bytes and is not closed. Texts
// of the image share the memory of r.
func Recall(r *packed.Reader, content io.ReaderAt, size int64, o Options) (*Image, error) {
	im := New(o)
	im.Name, im.Digest, im.OS, im.Arch = r.Text(), r.Text(), r.Text(), r.Text()
	for range r.Count() {
		im.layers = append(im.layers, &layer{digest: r.Text(), diffID: r.Text(), data: content})
	}
	for range r.Count() {
		im.problems[inventory.Problem{Path: r.Text(), Code: r.Text(), Reason: r.Text()}] = struct{}{}
	}
	im.recall(r, &im.tree.root, 0, size)
	if r.Bad || im.tree.root.kind != dirKind {
		return nil, fmt.Errorf("recall an image: %w", packed.ErrForm)
	}
	return im, nil
}

func (im *Image) recall(r *packed.Reader, n *node, depth int, size int64) {
	n.kind, n.mode = kind(min(r.Number(), uint64(kinds))), fs.FileMode(r.Number())&(fs.ModePerm|fs.ModeType) //nolint:gosec // cut to what it has
	at := r.Number()
	if r.Bad || n.kind == gone || n.kind == hardKind || n.kind >= unknown || depth > im.limits.Depth+1 || (at >= uint64(len(im.layers)) && at > 0) {
		r.Fail()
		return
	}
	n.layer = int32(at) //nolint:gosec // there are fewer layers
	switch n.kind {
	case fileKind:
		n.size, n.off = r.Signed(), r.Signed()
		if n.size < 0 || n.off < absent || (n.off != absent && n.size > size-n.off) || len(im.layers) == 0 {
			r.Fail()
		}
	case linkKind:
		n.link = r.Text()
		n.size = int64(len(n.link))
	case dirKind:
		count := r.Count()
		n.children = make(map[string]*node, count)
		list := make([]node, count)
		for i := range list {
			name := r.Text()
			if r.Bad || name == "" || path.Base(name) != name || name == "." || name == ".." || im.tree.spend(name) != nil {
				r.Fail()
				return
			}
			n.children[name] = &list[i]
			im.recall(r, &list[i], depth+1, size)
		}
	}
}
