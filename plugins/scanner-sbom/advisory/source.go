package advisory

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Limits bound what a source may be. Zero fields take the default.
type Limits struct {
	// FileBytes is the most bytes of one file (64 MiB).
	FileBytes int64
	// Depth is the deepest nesting of a record, and of folders (64).
	Depth int
	// Files is the most files of a source (4 million).
	Files int
	// TotalBytes is the most bytes that a source may unpack to (32 GiB).
	TotalBytes int64
	// Ratio is how many times its size an archive may unpack to (400), once that
	// is more than 64 MiB.
	Ratio int64
}

// slack is what an archive may unpack to whatever its ratio, in bytes.
const slack = 64 << 20

func (l Limits) orDefault() Limits {
	d := Limits{FileBytes: 64 << 20, Depth: 64, Files: 4 << 20, TotalBytes: 32 << 30, Ratio: 400}
	if l.FileBytes > 0 {
		d.FileBytes = l.FileBytes
	}
	if l.Depth > 0 {
		d.Depth = l.Depth
	}
	if l.Files > 0 {
		d.Files = l.Files
	}
	if l.TotalBytes > 0 {
		d.TotalBytes = l.TotalBytes
	}
	if l.Ratio > 0 {
		d.Ratio = l.Ratio
	}
	return d
}

// raw is a file that was not parsed yet; problem is why it cannot be.
type raw struct {
	name    string
	data    []byte
	problem *Problem
}

// errFull ends the walk of one archive, after its problem was told.
var errFull = errors.New("the rest is not read")

// walker hands out the files of a source.
type walker struct {
	// stopped returns why nothing more is wanted, nil while it is.
	stopped func() error
	limits  Limits
	emit    func(raw) error
	files   int
	total   int64
}

func (w *walker) fail(name string, err error) error {
	return w.emit(raw{name: name, problem: problem(err)})
}

// top reads a source: a folder, an archive, or a file.
func (w *walker) top(source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	if !info.IsDir() {
		return w.disk(source, filepath.Base(source), true)
	}
	err = filepath.WalkDir(source, func(file string, d fs.DirEntry, err error) error {
		if err := w.stopped(); err != nil {
			return err
		}
		rel, rerr := filepath.Rel(source, file)
		name := filepath.ToSlash(rel)
		switch {
		case err != nil:
			return w.fail(name, err)
		case rerr != nil:
			return w.fail(name, rerr)
		case d.IsDir() && d.Name() == ".git":
			if err := w.fail(name, fail(CodeNotRecord, "the history of a repository")); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir() && strings.Count(name, "/") >= w.limits.Depth:
			if err := w.fail(name, fail(CodeTooDeep, "more than %d folders", w.limits.Depth)); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return w.fail(name, fail(CodeNotRegular, "not a regular file: %s", d.Type()))
		}
		return w.disk(file, name, false)
	})
	if errors.Is(err, errFull) {
		return nil
	}
	return err
}

// disk reads one file of the disk: an archive by what it holds.
func (w *walker) disk(file, name string, alone bool) error {
	f, err := os.Open(file)
	if err != nil {
		if alone {
			return fmt.Errorf("read the source: %w", err)
		}
		return w.fail(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return w.fail(name, err)
	}
	if !info.Mode().IsRegular() {
		return w.fail(name, fail(CodeNotRegular, "not a regular file: %s", info.Mode().Type()))
	}
	prefix := name + "!"
	if alone {
		prefix = ""
	}
	err = w.content(f, info.Size(), name, prefix)
	if alone && errors.Is(err, errFull) {
		return nil
	}
	return err
}

// content reads a file by the magic numbers at its beginning.
func (w *walker) content(f *os.File, size int64, name, prefix string) error {
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return w.fail(name, err)
	}
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return w.zip(f, size, name, prefix)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		r, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
		if err != nil {
			return w.fail(name, fail(CodeUnreadable, "gzip: %v", err))
		}
		return w.unpacked(r, size, name, prefix)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		r, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return w.fail(name, fail(CodeUnreadable, "zstd: %v", err))
		}
		defer r.Close()
		return w.unpacked(r, size, name, prefix)
	}
	return w.unpacked(f, size, name, prefix)
}

// unpacked reads what is a tar or one file; packed is its size on the disk.
func (w *walker) unpacked(r io.Reader, packed int64, name, prefix string) error {
	in := &metered{r: r, left: min(max(packed*w.limits.Ratio, slack), w.limits.TotalBytes)}
	b := bufio.NewReaderSize(in, 1<<16)
	head, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return w.fail(name, readable(err))
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return w.tar(b, name, prefix)
	}
	for _, ext := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, ext)
	}
	return w.one(b, name)
}

func (w *walker) tar(r io.Reader, name, prefix string) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.fail(name, readable(err)) // nothing after it can be found
		}
		inner := prefix + path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			continue
		case tar.TypeReg:
			err = w.one(t, inner)
		case tar.TypeXGlobalHeader:
			continue
		default:
			err = w.fail(inner, fail(CodeNotRegular, "neither file nor folder"))
		}
		if err != nil {
			return err
		}
	}
}

func (w *walker) zip(f *os.File, size int64, name, prefix string) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return w.fail(name, fail(CodeUnreadable, "zip: %v", err))
	}
	// Entries are read one after another: one decompressor does.
	inflate := flate.NewReader(nil)
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser {
		if reset, ok := inflate.(flate.Resetter); !ok || reset.Reset(r, nil) != nil {
			return flate.NewReader(r)
		}
		return io.NopCloser(inflate)
	})
	meter := &metered{left: min(max(size*w.limits.Ratio, slack), w.limits.TotalBytes)}
	for i, entry := range z.File {
		z.File[i] = nil // of some 100,000 that are read once
		inner := prefix + path.Clean(strings.ReplaceAll(entry.Name, `\`, "/"))
		if entry.FileInfo().IsDir() {
			continue
		}
		if !entry.Mode().IsRegular() {
			err = w.fail(inner, fail(CodeNotRegular, "neither file nor folder"))
		} else {
			err = w.zipped(entry, meter, inner)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) zipped(entry *zip.File, meter *metered, name string) error {
	r, err := entry.Open()
	if err != nil {
		return w.fail(name, fail(CodeUnreadable, "zip: %v", err))
	}
	defer r.Close()
	meter.r = r
	return w.one(meter, name)
}

// one reads a single file, whose records are one or none.
func (w *walker) one(r io.Reader, name string) error {
	if err := w.stopped(); err != nil {
		return err
	}
	if w.files++; w.files > w.limits.Files {
		if err := w.fail(name, fail(CodeTooMany, "more than %d files: the rest was not read", w.limits.Files)); err != nil {
			return err
		}
		return errFull
	}
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, w.limits.FileBytes+1))
	w.total += n
	switch {
	case errors.Is(err, errExpands) || w.total > w.limits.TotalBytes:
		if err := w.fail(name, readable(errExpands)); err != nil {
			return err
		}
		return errFull
	case err != nil:
		return w.fail(name, readable(err))
	case n > w.limits.FileBytes:
		return w.fail(name, fail(CodeTooLarge, "more than %d bytes", w.limits.FileBytes))
	case bytes.HasPrefix(buf.Bytes(), []byte("PK\x03\x04")) || bytes.HasPrefix(buf.Bytes(), []byte("\x1f\x8b")):
		return w.fail(name, fail(CodeNested, "an archive in an archive"))
	}
	return w.emit(raw{name: name, data: buf.Bytes()})
}

// errExpands is what reading an archive ends with that unpacks to more than it may.
var errExpands = errors.New("it unpacks to more than it may")

// metered ends a stream that goes on for too long.
type metered struct {
	r    io.Reader
	left int64
}

func (m *metered) Read(p []byte) (int, error) {
	if m.left <= 0 {
		// A stream that ends exactly here is whole.
		n, err := m.r.Read(p[:min(len(p), 1)])
		if n == 0 {
			return 0, err
		}
		return 0, errExpands
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// readable says why an archive ends before its end.
func readable(err error) error {
	if errors.Is(err, errExpands) {
		return fail(CodeExpands, "%v: the rest was not read", errExpands)
	}
	return fail(CodeUnreadable, "%v", err)
}
