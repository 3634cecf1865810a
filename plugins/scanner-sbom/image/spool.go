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
	left int64 // of the bytes that an image may have
}

// Write appends to the file.
func (s *spool) Write(b []byte) (int, error) {
	if s.f == nil {
		if err := s.create(); err != nil {
			return 0, err
		}
	}
	n, err := s.f.WriteAt(b, s.size)
	s.size += int64(n)
	return n, err
}

func (s *spool) create() error {
	f, err := os.CreateTemp(s.dir, "image-*.tmp")
	if err != nil {
		return fmt.Errorf("create the temporary file for the layers: %w", err)
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
func (s *spool) section(start int64) *io.SectionReader {
	if s.f == nil {
		return io.NewSectionReader(s, 0, 0)
	}
	return io.NewSectionReader(s.f, start, s.size-start)
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
