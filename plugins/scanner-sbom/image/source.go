package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// source holds the parts of an image: documents and layers.
type source interface {
	// open returns a part; its error wraps fs.ErrNotExist when there is none.
	open(name string) (*io.SectionReader, error)
	has(name string) bool
	Close() error
}

// openSource opens the archive or the folder at name.
func openSource(ctx context.Context, name string, s *spool, l Limits) (source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		return newFolder(root), nil
	}
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, parts: map[string]*io.SectionReader{}, links: map[string]string{}}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := a.list(ctx, io.NewSectionReader(f, 0, info.Size()), s, l); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// openFile opens a regular file, and nothing else: a pipe would wait for somebody who writes into it.
func openFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0) //nolint:gosec // the target, which the host let the plugin read
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("it is no regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// folder is an OCI layout on disk.
type folder struct {
	root   *os.Root
	view   tree.View
	opened []io.Closer
}

func newFolder(root *os.Root) *folder { return &folder{root: root, view: tree.NewView(root)} }

func (d *folder) open(name string) (*io.SectionReader, error) {
	f, err := d.view.Open(name)
	if err != nil {
		return nil, err
	}
	d.opened = append(d.opened, f)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	body, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("it is no regular file")}
	}
	return io.NewSectionReader(body, 0, info.Size()), nil
}

func (d *folder) has(name string) bool {
	info, err := d.view.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (d *folder) Close() error {
	err := d.root.Close()
	for _, f := range d.opened {
		err = errors.Join(err, f.Close())
	}
	d.opened = nil
	return err
}

// archive is a tar archive of the parts.
type archive struct {
	file  *os.File
	parts map[string]*io.SectionReader
	links map[string]string
}

// maxParts bounds the files of an archive: a layer of old archives has three.
const maxParts = 20_000

// list notes where the parts lie. An archive that is compressed is written out first.
func (a *archive) list(ctx context.Context, whole *io.SectionReader, s *spool, l Limits) error {
	if kindOf(whole) != plain {
		start := s.size
		if err := expand(ctx, whole, s, l); err != nil {
			return fmt.Errorf("the archive: %w", err)
		}
		var err error
		if whole, err = s.section(start); err != nil {
			return err
		}
	}
	r := tar.NewReader(whole)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			return nil // what is missing is told when it is looked for
		case err != nil && n == 0:
			return fmt.Errorf("%w: it is no tar archive", ErrNoImage)
		case err != nil:
			return fmt.Errorf("the archive: %w", err)
		case n >= maxParts:
			return fmt.Errorf("%w: the archive has more than the %d files that one of an image may have", ErrNoImage, maxParts)
		}
		name := path.Clean("/" + h.Name)[1:]
		if len(name) > maxName || len(h.Linkname) > maxName {
			continue // no part of an image has such a name
		}
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := whole.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.parts[name] = io.NewSectionReader(whole, at, min(h.Size, whole.Size()-at))
		case tar.TypeSymlink: // of layers that are there twice, before docker 25
			a.links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)[1:]
		}
	}
}

func (a *archive) open(name string) (*io.SectionReader, error) {
	const maxLinks = 40 // as in path_resolution(7)
	at := path.Clean("/" + name)[1:]
	for range maxLinks {
		if part, ok := a.parts[at]; ok {
			return io.NewSectionReader(part, 0, part.Size()), nil
		}
		to, ok := a.links[at]
		if !ok {
			break
		}
		at = to
	}
	return nil, fmt.Errorf("it is not in the archive: %w", fs.ErrNotExist)
}

func (a *archive) has(name string) bool {
	_, err := a.open(name)
	return err == nil
}

func (a *archive) Close() error {
	if a.file == nil {
		return nil // it lies in the spool
	}
	return a.file.Close()
}

// looksLikeArchive says whether what r begins with is a tar archive, or compressed.
func looksLikeArchive(r *io.SectionReader) bool {
	if kindOf(r) != plain {
		return true
	}
	_, err := tar.NewReader(r).Next()
	return err == nil
}

// document reads a JSON document of the image into to, and returns its digest.
func document(src source, name string, most int64, to any) (string, error) {
	part, err := src.open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", cut(name), err)
	}
	if part.Size() > most {
		return "", fmt.Errorf("%s: it has %d bytes, and may have %d", cut(name), part.Size(), most)
	}
	text, err := io.ReadAll(part)
	if err != nil {
		return "", fmt.Errorf("%s: %w", cut(name), err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return "", fmt.Errorf("%s: %w", cut(name), err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// blob is the name of what has the digest in an OCI layout.
func blob(digest string) (string, error) {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if _, err := hex.DecodeString(hash); !ok || err != nil || len(hash) != hex.EncodedLen(sha256.Size) {
		return "", fmt.Errorf("%q is no digest that is understood: want sha256 and 64 digits", cut(digest))
	}
	return "blobs/sha256/" + hash, nil
}
