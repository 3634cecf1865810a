package extract

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/extractor/filesystem/language/java/archive"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Bounds of an archive with all that are nested in it: the library holds nested ones,
// and their lists of files, in memory, and reads manifests to their end. maxHeld bounds
// those that are held at once, being in one another, maxNestedBytes all of them.
const (
	maxNestedDepth = 8
	maxHeld        = 96 << 20
	maxNestedBytes = 1 << 30
	maxListBytes   = 24 << 20
	// maxDescribing is how many files may describe an archive, and maxDescription how
	// large each may be.
	maxDescribing  = 10_000
	maxDescription = 1 << 20
)

// ExpandsError is of a file that is larger inside than is read.
type ExpandsError string

func (e ExpandsError) Error() string { return "it holds " + string(e) }

// sound has the Reader r read archives only that are within the bounds. The names, in
// lower case, are those of the files in them that it reads.
func sound(r *Reader, names ...string) *Reader {
	read := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		b := budget{names: names, nested: maxNestedBytes, list: maxListBytes, describing: maxDescribing}
		if err := b.check(ctx, in.Body, in.Info.Size(), 0, 1); err != nil {
			return nil, err
		}
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return read(ctx, in)
	}
	return r
}

// budget is what is left for an archive.
type budget struct {
	names        []string
	nested, list int64
	describing   int
}

// check looks through an archive, around which archives of so many bytes are held, and
// those in it. What is no archive, or damaged, is left to the reader to tell.
func (b *budget) check(ctx context.Context, from io.ReaderAt, size, held int64, depth int) error {
	if depth > maxNestedDepth {
		return ExpandsError(fmt.Sprintf("archives in one another more than %d deep", maxNestedDepth))
	}
	listed := &listReader{from: from, left: b.list}
	z, err := zip.NewReader(listed, size)
	b.list = listed.left
	if b.list < 0 {
		return ExpandsError("a list of more files than are read")
	}
	if err != nil {
		return nil //nolint:nilerr // the reader tells
	}
	listed.left = math.MaxInt64 // the list was read; contents are bounded one by one
	for _, f := range z.File {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch base := strings.ToLower(path.Base(f.Name)); {
		case slices.Contains(b.names, base):
			if b.describing--; b.describing < 0 || f.UncompressedSize64 > maxDescription {
				return ExpandsError("more, or larger, manifests than are read")
			}
		case archive.IsArchive(f.Name):
			if f.UncompressedSize64 > uint64(min(b.nested, maxHeld-held)) {
				return ExpandsError(fmt.Sprintf("archives of more than %d bytes in one another, or %d together", maxHeld, maxNestedBytes))
			}
			b.nested -= int64(f.UncompressedSize64) //nolint:gosec // it is at most b.nested
			data, err := unzip(f)
			if err != nil {
				continue // the reader tells
			}
			if err := b.check(ctx, bytes.NewReader(data), int64(len(data)), held+int64(len(data)), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// unzip returns the content of a file, which is at most as large as its archive says.
func unzip(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was read only
	data := bytes.NewBuffer(make([]byte, 0, f.UncompressedSize64+bytes.MinRead))
	_, err = io.Copy(data, io.LimitReader(r, int64(f.UncompressedSize64))) //nolint:gosec // the caller bounds it
	return data.Bytes(), err
}

// listReader bounds how much of an archive is read for its list of files.
type listReader struct {
	from io.ReaderAt
	left int64
}

var errList = errors.New("the list of files is too long")

func (r *listReader) ReadAt(p []byte, at int64) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		return 0, errList
	}
	return r.from.ReadAt(p, at)
}
