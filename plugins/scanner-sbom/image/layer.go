package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing is how a layer is compressed.
type packing int

const (
	plain packing = iota
	gzipped
	zstandard
)

// kindOf looks at the first bytes (RFC 1952, RFC 8878): what the media type says is
// sometimes wrong, and old archives have none.
func kindOf(r io.ReaderAt) packing {
	var magic [4]byte
	n, _ := r.ReadAt(magic[:], 0) // less of it is neither
	switch {
	case bytes.HasPrefix(magic[:n], []byte{0x1f, 0x8b}):
		return gzipped
	case bytes.HasPrefix(magic[:n], []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstandard
	}
	return plain
}

// maxWindow bounds the memory of a decompressor: zstd --long has windows of 128 MiB.
const maxWindow = 128 << 20

func decompressor(kind packing, r io.Reader) (io.Reader, func(), error) {
	if kind == gzipped {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}

// expanding reads what was compressed, keeps it in the spool, and holds it to the
// limits.
type expanding struct {
	live   func() error // the reason to stop
	from   io.Reader
	to     *spool
	sum    hash.Hash
	limits Limits
	packed int64 // bytes of the compressed form
	n      int64 // bytes read
}

func (e *expanding) Read(b []byte) (int, error) {
	if err := e.live(); err != nil {
		return 0, err
	}
	n, err := e.from.Read(b)
	if n > 0 {
		e.n += int64(n)
		if e.n > e.limits.RatioFrom && e.n/max(1, e.packed) >= e.limits.Ratio {
			return 0, errExpands
		}
		if err := e.to.take(int64(n)); err != nil {
			return 0, err
		}
		if _, err := e.to.Write(b[:n]); err != nil {
			return 0, err
		}
		_, _ = e.sum.Write(b[:n]) // a hash takes everything
	}
	return n, err
}

// expand writes all of what is compressed to the spool.
func expand(ctx context.Context, from *io.SectionReader, to *spool, l Limits) error {
	z, done, err := decompressor(kindOf(from), from)
	if err != nil {
		return err
	}
	defer done()
	e := &expanding{live: ctx.Err, from: z, to: to, sum: sha256.New(), limits: l, packed: from.Size()}
	_, err = io.Copy(io.Discard, e)
	return err
}

// read indexes a layer. What was read of it before an error counts.
func (im *Image) read(ctx context.Context, number int32, l *layer) error {
	part, err := im.src.open(l.name)
	if err != nil {
		return err
	}
	kind := kindOf(part)
	if kind == plain {
		return im.readPlain(ctx, number, l, part)
	}
	start, packed := im.spool.size, sha256.New()
	in := io.TeeReader(part, packed)
	z, done, err := decompressor(kind, in)
	if err != nil {
		return err
	}
	defer done()
	e := &expanding{live: ctx.Err, from: z, to: im.spool, sum: sha256.New(), limits: im.limits, packed: part.Size()}
	err = im.index(ctx, number, e, func() (int64, error) { return e.n, nil })
	if err == nil {
		_, err = io.Copy(io.Discard, e) // what follows the archive is part of the digest
	}
	data, broken := im.spool.section(start)
	if broken != nil {
		return broken
	}
	l.data = data
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	return l.verify(packed, e.sum)
}

// readPlain indexes a layer that is read where it lies.
func (im *Image) readPlain(ctx context.Context, number int32, l *layer, part *io.SectionReader) error {
	l.data = part
	if err := im.spool.take(part.Size()); err != nil {
		return err
	}
	err := im.index(ctx, number, part, func() (int64, error) { return part.Seek(0, io.SeekCurrent) })
	if err != nil {
		return err
	}
	sum := sha256.New()
	all := io.NewSectionReader(part, 0, part.Size())
	for ctx.Err() == nil {
		if _, err := io.CopyN(sum, all, 64<<20); errors.Is(err, io.EOF) {
			return l.verify(sum, sum)
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// verify compares the digests of what was read with those that the image states.
func (l *layer) verify(packed, content hash.Hash) error {
	for _, one := range []struct {
		want string
		is   hash.Hash
	}{{l.digest, packed}, {l.diffID, content}} {
		is := "sha256:" + hex.EncodeToString(one.is.Sum(nil))
		if one.want != "" && one.want != is {
			return fmt.Errorf("it has the digest %s, and the image states %s", is, cut(one.want))
		}
	}
	if l.diffID == "" {
		l.diffID = "sha256:" + hex.EncodeToString(content.Sum(nil))
	}
	return nil
}

// maxName bounds names and what links lead to (PATH_MAX of Linux).
const maxName = 4096

// index takes the entries of a layer into the tree. at tells how much of r was read.
func (im *Image) index(ctx context.Context, number int32, r io.Reader, at func() (int64, error)) error {
	archive := tar.NewReader(r)
	im.tree.begin(number)
	var waiting *entry // until all of its content was seen
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := archive.Next()
		if waiting != nil && (err == nil || errors.Is(err, io.EOF)) {
			if err := im.tree.add(waiting.name, waiting.node); err != nil {
				return err
			}
		}
		waiting = nil
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		start, err := at()
		if err != nil {
			return err
		}
		waiting, err = im.entry(h, start)
		switch {
		case errors.Is(err, errEntries):
			return err
		case err != nil:
			im.fail(h.Name, err)
		}
	}
}

// entry is a file of a layer.
type entry struct {
	name string
	node node
}

// entry judges one header. It returns nil for what is no file, as whiteouts are.
func (im *Image) entry(h *tar.Header, start int64) (*entry, error) {
	switch {
	case len(h.Name) > maxName, len(h.Linkname) > maxName:
		return nil, errLong
	case h.Name == "..", strings.HasPrefix(h.Name, "../"), strings.Contains(h.Name, "/../"), strings.HasSuffix(h.Name, "/.."):
		return nil, errOutside
	}
	name := path.Clean("/" + h.Name)[1:]
	if folders := im.folders(name, h.Typeflag == tar.TypeDir); folders != "" {
		im.fail(folders, errDeep)
		return nil, nil
	}
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		switch {
		case base == opaque:
			return nil, im.tree.opaque(dir)
		case strings.HasPrefix(hidden, whiteout):
			return nil, nil // metadata of aufs
		case hidden == "", hidden == ".", hidden == "..":
			return nil, errOutside
		}
		return nil, im.tree.hide(dir, hidden)
	}
	n := node{kind: other, mode: fs.FileMode(h.Mode) & fs.ModePerm} //nolint:gosec // the mask leaves nothing of what is lost
	switch h.Typeflag {
	case tar.TypeDir:
		n.kind, n.mode = dirKind, n.mode|fs.ModeDir
	case tar.TypeSymlink:
		n.kind, n.link, n.size = linkKind, h.Linkname, int64(len(h.Linkname))
		n.mode |= fs.ModeSymlink
	case tar.TypeLink:
		n.kind, n.link = hardKind, path.Clean("/" + h.Linkname)[1:]
	case tar.TypeReg:
		n.kind, n.off, n.size = fileKind, start, h.Size
		if sparse(h) {
			return nil, errSparse
		}
	case tar.TypeGNUSparse:
		return nil, errSparse
	default:
		n.mode |= fs.ModeIrregular
	}
	return &entry{name, n}, nil
}

// folders returns the first folder on the way to name that is too deep, "" for none.
func (im *Image) folders(name string, folder bool) string {
	if folder {
		name += "/"
	}
	depth := 0
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if depth++; depth > im.limits.Depth {
			return name[:i]
		}
	}
	return ""
}

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// sparse says whether the content has holes that the archive left out (GNU tar,
// "Sparse Formats").
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
