package symbol

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Errors of programs.
var (
	// ErrNoTable says that a file has no table of Go functions: it is no Go program, or packed.
	ErrNoTable = errors.New("no table of Go functions")
	// ErrOld says that the program was built by a Go before 1.16, whose table has its names
	// in another form.
	ErrOld = errors.New("built by a Go before 1.16")
	// ErrTooLarge says that a table is beyond the limits.
	ErrTooLarge = errors.New("the table of functions is too large")
)

// Words that a table begins with, by the version of Go that has it; the two bytes after are
// zero. See internal/abi.PCLnTabMagic of Go.
const (
	magic12  = 0xfffffffb
	magic116 = 0xfffffffa
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1
)

// header is the beginning of a table.
const headerSize = 8 + 5*8

// names is where the names of a table are.
type names struct{ at, length int64 }

// parse reads the header of a table that lies at base in a file. ok is false when what is
// there is none.
func parse(head []byte, base, size int64) (n names, ok bool, err error) {
	if len(head) < 8 || head[4] != 0 || head[5] != 0 {
		return n, false, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	magic := order.Uint32(head)
	if magic < magic118 {
		order = binary.BigEndian
		magic = order.Uint32(head)
	}
	switch head[6] { // the unit of instructions
	case 1, 2, 4:
	default:
		return n, false, nil
	}
	word := int(head[7])
	if word != 4 && word != 8 {
		return n, false, nil
	}
	first := 2 // the offset of the names, in words: after the numbers of functions and files
	switch magic {
	case magic12:
		return n, true, ErrOld
	case magic116:
	case magic118, magic120:
		first = 3 // and the start of the text
	default:
		return n, false, nil
	}
	if len(head) < 8+(first+2)*word {
		return n, false, nil
	}
	at := func(i int) uint64 {
		if word == 4 {
			return uint64(order.Uint32(head[8+4*i:]))
		}
		return order.Uint64(head[8+8*i:])
	}
	functions, from, to := at(0), at(first), at(first+1)
	room := uint64(size - base)
	// Each function has its names before those of the files, and at least a byte of it.
	if functions == 0 || functions > room || from < uint64(8+(first+2)*word) || from >= to || to > room {
		return n, false, nil
	}
	return names{base + int64(from), int64(to - from)}, true, nil //nolint:gosec // both are below size
}

// search looks for a table in a part of a file, a piece after another.
func search(ctx context.Context, r io.ReaderAt, from, to, size int64) (names, error) {
	const piece = 1 << 20
	buf := make([]byte, piece+headerSize)
	for at := from; at < to; at += piece {
		if ctx.Err() != nil {
			return names{}, context.Cause(ctx)
		}
		got, err := r.ReadAt(buf[:min(piece+headerSize, size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return names{}, fmt.Errorf("search for the table: %w", err)
		}
		text := buf[:got]
		for i := 0; i < min(piece, len(text)); {
			// Either order of bytes has three of 0xff in a row.
			next := bytes.Index(text[i:], []byte{0xff, 0xff, 0xff})
			if next < 0 {
				break
			}
			i += next
			for _, begin := range []int{i - 1, i} {
				if begin < 0 || begin >= piece {
					continue
				}
				n, ok, err := parse(text[begin:], at+int64(begin), size)
				if ok {
					return n, err
				}
			}
			i++
		}
	}
	return names{}, ErrNoTable
}
