package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"sync/atomic"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
)

// Files are fetched one by one up to a number: for each Docker starts a process that enters the
// container's files, which takes 50 to 90 ms (BenchmarkDocker, Docker 20.10). An export takes
// that once, and then reads all bytes, some 200 MB a second.
const (
	leastFetched, mostFetched = 8, 256
	bytesEach                 = 16 << 20
)

// fetched is how many files of a container are fetched one by one.
func fetched(imageBytes int64) int {
	return int(min(max(imageBytes/bytesEach, leastFetched), mostFetched))
}

// maxQuery is what the host's proxy admits of a path that is encoded, and more.
const maxQuery = 7 << 10

// errMounted is told of a file in another file system.
var errMounted = errors.New("another file system is mounted there")

// fetcher fetches single files of a container.
type fetcher struct {
	container *Container
	route     *extract.Route
	fileBytes int64
	// ended is why nothing can be fetched any more, as the container is gone.
	ended atomic.Pointer[error]
}

func newFetcher(c *Container, how Options) *fetcher {
	f := &fetcher{container: c, route: extract.NewRoute(how.Scan.Readers), fileBytes: how.Scan.Limits.FileBytes}
	if f.fileBytes <= 0 {
		f.fileBytes = defaultFileBytes
	}
	return f
}

// defaultFileBytes is the limit of package scan.
const defaultFileBytes = 64 << 20

// err is why nothing can be fetched any more; nil is that it can.
func (f *fetcher) err() error {
	if err := f.ended.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fetcher) end(err error) error {
	f.ended.CompareAndSwap(nil, &err)
	return err
}

// from returns the image.Fetch of a container, for as long as ctx lasts.
func (f *fetcher) from(ctx context.Context, e *Engine) image.Fetch {
	return func(file string) (image.Entry, func(), error) { return f.one(ctx, e, file) }
}

func (f *fetcher) one(ctx context.Context, e *Engine, file string) (image.Entry, func(), error) {
	if err := f.err(); err != nil {
		return image.Entry{}, nil, err
	}
	if f.mounted(file) {
		return image.Entry{}, nil, &fs.PathError{Op: "read", Path: file, Err: errMounted}
	}
	query := url.Values{"path": {"/" + file}}
	if len(query.Encode()) > maxQuery {
		return image.Entry{}, nil, &fs.PathError{Op: "read", Path: file, Err: errors.New("its name is too long to be asked for")}
	}
	s, err := e.stream(ctx, "/containers/"+f.container.ID+"/archive", query, nil)
	if err != nil {
		return image.Entry{}, nil, f.refused(ctx, file, err)
	}
	done := func() { _ = s.Close() } // it was read only
	archive := tar.NewReader(s)
	h, err := archive.Next()
	if err != nil {
		done()
		if ctx.Err() != nil || errors.Is(err, ErrUnreachable) {
			return image.Entry{}, nil, f.end(wrap("read the files of the container "+f.container.Name, err))
		}
		return image.Entry{}, nil, &fs.PathError{Op: "read", Path: file, Err: err}
	}
	return f.entry(file, h, archive), done, nil
}

// refused tells a file that is not there from a container that is not.
func (f *fetcher) refused(ctx context.Context, file string, err error) error {
	status, ok := errors.AsType[*docker.StatusError](err)
	switch {
	case ctx.Err() != nil, !ok, errors.Is(err, ErrUnreachable):
		return f.end(wrap("read the files of the container "+f.container.Name, err))
	case docker.NotFound(err) && !strings.Contains(strings.ToLower(status.Message), "could not find the file"):
		return f.end(fmt.Errorf("read the files of the container %s: %w: it was removed meanwhile", f.container.Name, ErrNotFound))
	case docker.NotFound(err):
		return &fs.PathError{Op: "read", Path: file, Err: fs.ErrNotExist}
	}
	return &fs.PathError{Op: "read", Path: file, Err: err}
}

// mounted says whether a path lies in another file system.
func (f *fetcher) mounted(file string) bool {
	for _, m := range f.container.Mounts {
		if file == m.Path || strings.HasPrefix(file, m.Path+"/") {
			return true
		}
	}
	return false
}

// Beyond head bytes a file that may be a program is read only if it begins like one.
const head = 64 << 10

// entry is what a header and what follows it say, with the content if it is wanted: that
// of a file which no reader would read to its end is not.
func (f *fetcher) entry(file string, h *tar.Header, content io.Reader) image.Entry {
	e := image.Entry{Header: h}
	if h.Typeflag != tar.TypeReg {
		return e
	}
	var buf [4]*extract.Reader
	readers := f.route.Find(file, func() bool { return h.Mode&0o111 != 0 }, buf[:0])
	limit, programs := f.fileBytes, len(readers) > 0
	for _, r := range readers {
		limit = max(limit, r.MaxBytes)
		programs = programs && r.Programs
	}
	if h.Size > limit || (len(readers) == 0 && h.Size > f.fileBytes) {
		return e
	}
	e.Body = content
	if programs && h.Size > head {
		var begin [4]byte
		n, err := io.ReadFull(content, begin[:])
		if err == nil && !isProgram(begin) {
			short := *h
			short.Size = int64(n)
			return image.Entry{Header: &short, Body: bytes.NewReader(begin[:n])}
		}
		e.Body = io.MultiReader(bytes.NewReader(begin[:n]), content)
	}
	return e
}

// isProgram says whether a file begins as one of ELF, PE or Mach-O does.
func isProgram(begin [4]byte) bool {
	switch begin {
	case [4]byte{0x7f, 'E', 'L', 'F'},
		[4]byte{0xfe, 0xed, 0xfa, 0xce}, [4]byte{0xfe, 0xed, 0xfa, 0xcf}, [4]byte{0xce, 0xfa, 0xed, 0xfe}, [4]byte{0xcf, 0xfa, 0xed, 0xfe},
		[4]byte{0xca, 0xfe, 0xba, 0xbe}:
		return true
	}
	return begin[0] == 'M' && begin[1] == 'Z'
}

// export puts the files of a container into im, those of only or, when that is nil, all,
// and tells sum of each. imageBytes is what of them is the image's. It returns whether it saw
// the end.
func (e *Engine) export(ctx context.Context, f *fetcher, im *image.Image, imageBytes int64, only map[string]bool, how Options, sum io.Writer) (whole bool, err error) {
	what := "read the files of the container " + f.container.Name
	s, err := e.stream(ctx, "/containers/"+f.container.ID+"/export", nil, func(n int64) {
		how.tell(fmt.Sprintf("reading the container %s: %s", f.container.Name, megabytes(n)))
	})
	if err != nil {
		return false, wrap(what, err)
	}
	defer func() { _ = s.Close() }() // it was read only
	limited := &io.LimitedReader{R: s, N: imageBytes + e.config.Own}
	archive := tar.NewReader(limited)
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil && limited.N <= 0:
			return false, nil
		case err != nil:
			return false, wrap(what, err)
		}
		file := path.Clean("/" + h.Name)[1:]
		if h.Typeflag == tar.TypeXGlobalHeader || (only != nil && !only[file]) || f.mounted(file) {
			continue
		}
		digest, err := im.Put(file, f.entry(file, h, archive))
		if err != nil {
			return false, wrap(what, err)
		}
		_, _ = io.WriteString(sum, file+"\x00"+digest) // a hash takes everything
	}
}
