package logfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Why a file is not read.
var (
	errEmpty  = errors.New("it is empty")
	errBinary = errors.New("it holds no text")
	errNoFile = errors.New("it is no file any more")
	// ErrCompressed is wrapped for files that are compressed otherwise than by gzip.
	ErrCompressed = errors.New("its compression is not read; decompress it first")
)

// headBytes is how much of a file tells what it is.
const headBytes = 512

// magics are how compressed files begin.
var magics = []struct{ begin, name string }{
	{"\x1f\x8b", "gzip"},
	{"\xfd7zXZ\x00", "xz"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"BZh", "bzip2"},
	{"\x04\x22\x4d\x18", "lz4"},
	{"PK\x03\x04", "zip"},
}

// compression returns how content that begins with head is compressed, "" when it
// is not.
func compression(head []byte) string {
	for _, m := range magics {
		if strings.HasPrefix(string(head), m.begin) {
			return m.name
		}
	}
	return ""
}

// plain returns the content of in, decompressed, and whether it was compressed.
func plain(in io.Reader) (*bufio.Reader, bool, error) {
	r := bufio.NewReaderSize(in, 64<<10)
	head, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch name := compression(head); name {
	case "":
		return r, false, nil
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, true, fmt.Errorf("decompress: %w", err)
		}
		return bufio.NewReaderSize(z, 64<<10), true, nil
	default:
		return nil, true, fmt.Errorf("%s: %w", name, ErrCompressed)
	}
}

// readable returns why a file that nobody named is not read.
func readable(path string) error {
	f, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, _, err := plain(f)
	if err != nil {
		return err
	}
	head, err := r.Peek(headBytes)
	switch {
	case len(head) == 0 && (err == nil || errors.Is(err, io.EOF)):
		return errEmpty
	case len(head) == 0:
		return fmt.Errorf("decompress: %w", err)
	case binary(head):
		return errBinary
	}
	return nil
}

// binary reports whether a file that begins with head holds no text: more than a
// tenth are control characters that texts do not have, besides NUL at the start,
// which a log has that was emptied while it was written to. Less is what an
// attacker gets into a log by a name he logs in with; that must not hide the log.
func binary(head []byte) bool {
	text := bytes.TrimLeft(head, "\x00")
	odd := 0
	for _, c := range text {
		if c == 0x7f || c < ' ' && (c < '\t' || c > '\r') && c != 0x1b {
			odd++
		}
	}
	return len(text) == 0 || odd*10 > len(text)
}

// open opens a file that was found in a directory. Who may write there may have put
// something else in its place by now: a link is not followed, a named pipe is not
// waited for, and nothing but a file is read.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|foundFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Reader reads the files of a stream one after the other, as one text in which
// each ends with a line. It is not safe for concurrent use.
type Reader struct {
	files []string
	found bool
	stdin io.Reader

	in     *bufio.Reader
	gz     bool
	path   string
	file   io.Closer
	last   byte
	failed []Problem
}

// Open returns a Reader of s. stdin is what "-" stands for. The first file is
// opened: the error is about that one.
func (s Stream) Open(stdin io.Reader) (*Reader, error) {
	r := &Reader{files: s.Files, found: s.found, stdin: stdin}
	if err := r.next(); err != nil && !errors.Is(err, io.EOF) {
		_ = r.Close()
		return nil, Problem{r.path, bare(err)}
	}
	return r, nil
}

// next begins the next file. It returns io.EOF behind the last one.
func (r *Reader) next() error {
	if err := r.Close(); err != nil {
		return err
	}
	if len(r.files) == 0 {
		return io.EOF
	}
	r.path, r.files = r.files[0], r.files[1:]
	content := r.stdin
	if r.path != "-" {
		from := os.Open // what was named may be a pipe
		if r.found {
			from = open
		}
		f, err := from(r.path)
		if err != nil {
			return err
		}
		content, r.file = f, f
	}
	in, gz, err := plain(content)
	if err != nil {
		return err
	}
	r.in, r.gz, r.last = in, gz, '\n'
	return nil
}

// Read implements io.Reader. Of a compressed file that is damaged it gives what
// can be decompressed, see Damaged; other errors are those of the file system.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.in == nil {
			err := r.next()
			switch {
			case errors.Is(err, io.EOF):
				return 0, io.EOF
			case err != nil:
				r.failed = append(r.failed, Problem{r.path, bare(err)})
				continue
			}
		}
		n, err := r.in.Read(p)
		if n > 0 {
			r.last = p[n-1]
			return n, nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			if !r.gz {
				return 0, err
			}
			r.failed = append(r.failed, Problem{r.path, fmt.Errorf("read as far as it goes: decompress: %w", err)})
		}
		r.in = nil
		if r.last != '\n' && len(r.files) > 0 {
			p[0], r.last = '\n', '\n'
			return 1, nil
		}
	}
}

// Damaged returns the files that could not be read, or not to their end.
func (r *Reader) Damaged() []Problem { return r.failed }

// Close closes the file that is open. It may be called more than once.
func (r *Reader) Close() error {
	f := r.file
	r.file, r.in = nil, nil
	if f == nil {
		return nil
	}
	return f.Close()
}
