package rpmdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrForm is told of what is no database of rpm, or a damaged one.
var ErrForm = errors.New("it is no sound database of rpm")

// malformed says what is wrong.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForm, fmt.Sprintf(format, args...))
}

// maxBlob is how large the header of a package may be: those of the largest packages of
// distributions have some MiB.
const maxBlob = 32 << 20

// Read calls f with each package, which is valid until f returns, in no order. An error is
// of the database, wrapping [ErrForm] where it makes no sense, of ctx or of f; packages
// before it count.
func Read(ctx context.Context, from io.ReaderAt, size int64, f func(*Package) error) error {
	s := &source{ctx: ctx, from: from, size: size, left: 4*size + 1<<20, rows: size}
	var head [64]byte
	if err := s.read(head[:min(size, int64(len(head)))], 0); err != nil {
		return err
	}
	blob := func(b []byte) error {
		p, err := parse(b)
		if err != nil {
			return err
		}
		return f(p)
	}
	switch {
	case string(head[:len(sqliteMagic)]) == sqliteMagic:
		return s.sqlite(blob)
	case string(head[:4]) == "RpmP":
		return s.ndb(blob)
	case binary.LittleEndian.Uint32(head[12:]) == hashMagic:
		return s.hash(binary.LittleEndian, blob)
	case binary.BigEndian.Uint32(head[12:]) == hashMagic:
		return s.hash(binary.BigEndian, blob)
	}
	return malformed("it begins as none")
}

// source is a database that is being read.
type source struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one call
	from io.ReaderAt
	size int64
	// left is how many bytes may be read still.
	left int64
	// rows is how many bytes may be in packages still that lie within pages: of an honest database
	// no two overlap.
	rows int64
	blob []byte
}

// read fills b from the place at.
func (s *source) read(b []byte, at int64) error {
	if err := s.ctx.Err(); err != nil {
		return context.Cause(s.ctx)
	}
	if at < 0 || at > s.size || int64(len(b)) > s.size-at {
		return malformed("it ends before byte %d", at+int64(len(b)))
	}
	if s.left -= int64(len(b)); s.left < 0 {
		return malformed("it leads in circles")
	}
	if n, err := s.from.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("read the database of rpm: %w", err)
	}
	return nil
}

// within counts the bytes of a package, or a part of one, in a page that was read.
func (s *source) within(n int64) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if s.rows -= n; s.rows < 0 {
		return malformed("packages lie in one another")
	}
	return nil
}

// room returns a buffer for a package, which is the same one each time.
func (s *source) room(n uint64) ([]byte, error) {
	if n > maxBlob || n > uint64(s.size) { //nolint:gosec // a size is not negative
		return nil, malformed("a package has %d bytes", n)
	}
	if uint64(cap(s.blob)) < n {
		s.blob = make([]byte, n)
	}
	return s.blob[:n], nil
}
