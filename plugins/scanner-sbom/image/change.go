package image

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Change is a name that a container has otherwise than its image.
type Change struct {
	// Path is relative to the root, with slashes.
	Path string
	// Gone says that it was removed, with all that was below it in the image.
	Gone bool
}

// Entry is what lies at a path of a container.
type Entry struct {
	Header *tar.Header
	// Body is the content of a regular file; nil is one that is not wanted.
	Body io.Reader
}

// Fetch returns what lies at a path of a container now, which is read until done is
// called. The error wraps fs.ErrNotExist when there is nothing. It is called by one
// goroutine at a time.
type Fetch func(file string) (e Entry, done func(), err error)

// ErrLeftOut is told of content that is not read, as of a file that is too large.
var ErrLeftOut = errors.New("its content is left out")

// Become makes the image the file system of a container: its own, with changes. What lies
// at a changed path is fetched when it is asked for, once; so is the content of a file that
// was not kept. Become is called once, and before the image is used concurrently.
//
// It returns the changed paths at which there is no folder, and those at which there may be
// none any more though the image has one: Docker lists a folder whose permissions changed as
// it does a file in place of one. [Image.Settle] finds out.
func (im *Image) Become(changes []Change, fetch Fetch) (files, doubtful []string) {
	im.fetch = fetch
	im.layers = append(im.layers, &layer{name: "the container's own"})
	top := int32(len(im.layers)) - 1 //nolint:gosec // there are few, see complete
	im.tree.layer = top
	// What was removed and made again is in the list twice: as removed, and anew.
	for _, c := range changes {
		if c.Gone {
			dir, base := path.Split(c.Path)
			if at := im.tree.root.find(strings.TrimSuffix(dir, "/")); at != nil && base != "" {
				delete(at.children, base)
			}
		}
	}
	for _, c := range changes {
		if c.Gone || c.Path == "" {
			continue
		}
		n, err := im.reach(c.Path)
		if err != nil {
			im.fail(c.Path, err)
			if errors.Is(err, errEntries) {
				break
			}
			continue
		}
		if n.kind != dirKind {
			*n = node{kind: unknown, layer: top, off: absent, mode: fs.ModeIrregular}
		}
	}
	within := map[string]bool{} // folders that have something of the container's own
	for _, c := range changes {
		for at := path.Dir(c.Path); !c.Gone && at != "." && !within[at]; at = path.Dir(at) {
			within[at] = true
		}
	}
	for _, c := range changes {
		n := im.tree.root.find(c.Path)
		switch {
		case c.Gone || n == nil || c.Path == "":
		case n.kind != dirKind:
			files = append(files, c.Path)
		case !within[c.Path]:
			doubtful = append(doubtful, c.Path)
		}
	}
	return files, doubtful
}

// From has the content of files that was not kept fetched when it is asked for. It is
// called before the image is used concurrently.
func (im *Image) From(fetch Fetch) { im.fetch = fetch }

// reach returns the name at a path of the container's own, new if there is none.
func (im *Image) reach(name string) (*node, error) {
	switch {
	case len(name) > maxName:
		return nil, errLong
	case path.Clean("/" + name)[1:] != name:
		return nil, errOutside
	case im.folders(name, false) != "":
		return nil, errDeep
	}
	at := &im.tree.root
	for part := range strings.SplitSeq(name, "/") {
		if at.kind != dirKind { // it has something below it now
			*at = node{kind: dirKind, mode: fs.ModeDir | 0o755, layer: im.tree.layer}
		}
		next := at.children[part]
		if next == nil {
			made, err := im.tree.make(at, part)
			if err != nil {
				return nil, err
			}
			next = made
		}
		at = next
	}
	return at, nil
}

// Put says what lies at a path of a container, as Fetch does: for those who know it before
// they are asked. It returns a digest, as Settle does. An error says that there can be no
// more, since there are too many names, or the temporary file cannot be written.
func (im *Image) Put(name string, e Entry) (string, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if name == "" {
		return "", nil
	}
	n, err := im.reach(name)
	if err != nil {
		im.fail(name, err)
		if errors.Is(err, errEntries) {
			return "", err
		}
		return "", nil
	}
	if n.kind == dirKind && e.Header.Typeflag == tar.TypeDir {
		return "folder", nil
	}
	if e.Header.Typeflag == tar.TypeLink {
		if to := im.tree.root.find(path.Clean("/" + e.Header.Linkname)[1:]); to != nil && to.kind == fileKind && to != n {
			*n = node{kind: fileKind, mode: to.mode, off: to.off, size: to.size, spooled: to.spooled, layer: im.tree.layer}
			if !to.spooled && to.off != absent {
				n.layer = to.layer
			}
			return "link " + e.Header.Linkname, nil
		}
	}
	return im.place(name, n, e)
}

// Settle fetches what lies at a changed path, and returns a digest of what it is: the same
// as long as that is the same. A path that does not exist any more has the digest "".
func (im *Image) Settle(name string) (string, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	n := im.tree.root.find(name)
	if n == nil || (n.kind != unknown && n.kind != dirKind) {
		return "", nil
	}
	return im.settle(name, n)
}

// IsFolder says whether a folder lies at a path, as far as that is known: no link to one.
func (im *Image) IsFolder(name string) bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	n := im.tree.root.find(name)
	return n != nil && n.kind == dirKind
}

// settle has im.mu.
func (im *Image) settle(name string, n *node) (string, error) {
	e, done, err := im.fetch(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.kind = gone
		return "", nil
	case err != nil:
		n.kind = other
		im.fail(name, err)
		return "", err
	}
	defer done()
	if n.kind == dirKind && e.Header.Typeflag == tar.TypeDir {
		return "folder", nil
	}
	return im.place(name, n, e)
}

// place makes n what e is. A content that cannot be had is absent, and a problem. It has
// im.mu.
func (im *Image) place(name string, n *node, e Entry) (string, error) {
	h := e.Header
	*n = node{kind: other, layer: im.tree.layer, off: absent, mode: fs.FileMode(h.Mode) & fs.ModePerm, size: h.Size} //nolint:gosec // the mask leaves nothing of what is lost
	sum := sha256.New()
	for _, text := range []string{string(h.Typeflag), n.mode.String(), h.Linkname, h.ModTime.UTC().String(), strconv.FormatInt(h.Size, 10)} {
		_, _ = io.WriteString(sum, text+"\x00") // a hash takes everything
	}
	switch h.Typeflag {
	case tar.TypeDir:
		n.kind, n.mode = dirKind, n.mode|fs.ModeDir
	case tar.TypeSymlink:
		if len(h.Linkname) > maxName {
			im.fail(name, errLong)
			return "", nil
		}
		n.kind, n.link, n.size, n.mode = linkKind, strings.Clone(h.Linkname), int64(len(h.Linkname)), n.mode|fs.ModeSymlink
	case tar.TypeReg:
		if sparse(h) {
			im.fail(name, errSparse)
			return "", nil
		}
		n.kind = fileKind
		if e.Body != nil {
			if err := im.take(n, e.Body, sum); err != nil {
				im.fail(name, err)
				n.off = absent
				if errors.Is(err, errSpool) {
					return "", err
				}
			}
		}
	default:
		n.mode |= fs.ModeIrregular
	}
	return string(sum.Sum(nil)), nil
}

// take copies the content of a file to the spool.
func (im *Image) take(n *node, body io.Reader, sum hash.Hash) error {
	if err := im.spool.take(n.size); err != nil {
		return err
	}
	start := im.spool.size
	got, err := io.Copy(io.MultiWriter(im.spool, sum), io.LimitReader(body, n.size))
	if err != nil {
		return err
	}
	if got != n.size {
		return io.ErrUnexpectedEOF
	}
	if got == 0 {
		n.off, n.spooled = 0, true
		return nil
	}
	if err := im.spool.flush(); err != nil {
		return err
	}
	n.off, n.spooled = start, true
	return nil
}

// has makes sure that the content of a file is at hand. It has im.mu.
func (im *Image) has(name string, n *node) error {
	if n.kind != fileKind || n.off != absent {
		return nil
	}
	if im.fetch == nil {
		return nil // reading it fails
	}
	e, done, err := im.fetch(name)
	if err != nil {
		return err
	}
	defer done()
	if e.Header.Typeflag != tar.TypeReg {
		return &fs.PathError{Op: "open", Path: name, Err: ErrLeftOut}
	}
	// It is what the layer brought, unless the container changed it after it was listed.
	n.size = e.Header.Size
	if e.Body == nil {
		return nil // reading it fails
	}
	if err := im.take(n, e.Body, sha256.New()); err != nil {
		n.off = absent
		return err
	}
	return nil
}

// Traced returns the view with what is looked up in it noted by t.
func (v view) Traced(t *tree.Trace) tree.View {
	v.trace = t
	return v
}

// Fail notes something that could not be read of the image or container.
func (im *Image) Fail(name, code, reason string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if len(im.problems) < maxProblems {
		im.problems[inventory.Problem{Path: cut(name), Code: code, Reason: cut(reason)}] = struct{}{}
	} else {
		im.untold++
	}
}
