package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// spool is the temporary file: what was compressed, one layer after the other.
type spool struct {
	dir  string
	f    *os.File
	name string // to be removed; "" when it is already
	size int64
	// waiting are the last of the bytes, which are not written yet: headers come in
	// small pieces.
	waiting []byte
	left    int64 // of the bytes that an image may have
	// reserve is how many bytes of the file system stay free; looked is the size at which that
	// was last looked at.
	reserve, looked int64
}

// spoolReserve is what the temporary file leaves to others: an image may expand to more than
// there is room for.
const spoolReserve = 256 << 20

// errSpool is in errors about the temporary file, which are none of the image's.
var errSpool = errors.New("write the layers to a temporary file")

// Write appends to the file.
func (s *spool) Write(b []byte) (int, error) {
	if s.f == nil {
		if err := s.create(); err != nil {
			return 0, err
		}
	}
	s.size += int64(len(b))
	s.waiting = append(s.waiting, b...)
	const enough = 256 << 10
	if len(s.waiting) < enough {
		return len(b), nil
	}
	return len(b), s.flush()
}

func (s *spool) flush() error {
	const often = 16 << 20
	if s.looked == 0 || s.size-s.looked >= often {
		s.looked = s.size
		if got := free(s.f); got-int64(len(s.waiting)) < s.reserve {
			s.waiting = s.waiting[:0]
			return fmt.Errorf("%w: the file system of %s has %d MB left, and %d stay free", errSpool, s.dir, got>>20, s.reserve>>20)
		}
	}
	_, err := s.f.WriteAt(s.waiting, s.size-int64(len(s.waiting)))
	s.waiting = s.waiting[:0]
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	return nil
}

func (s *spool) create() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	f, err := os.CreateTemp(s.dir, "image-*.tmp")
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	s.f, s.name = f, f.Name()
	if runtime.GOOS == "windows" {
		return nil // an open file has to keep its name
	}
	s.name = ""
	return os.Remove(f.Name())
}

// take counts bytes of a layer that needs no copy.
func (s *spool) take(n int64) error {
	if n > s.left {
		return errBytes
	}
	s.left -= n
	return nil
}

// section is the part of the file from start to its end.
func (s *spool) section(start int64) (*io.SectionReader, error) {
	if s.f == nil {
		return io.NewSectionReader(s, 0, 0), nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	return io.NewSectionReader(s.f, start, s.size-start), nil
}

// ReadAt is that of a file in which nothing was written.
func (s *spool) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// Close removes the file.
func (s *spool) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}
