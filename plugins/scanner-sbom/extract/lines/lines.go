// Package lines reads text that nobody vouches for line by line, with bounded memory.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Max is how long a line may be. Of a longer one the rest is passed over.
const Max = 1 << 20

// Reader reads lines. It belongs to one goroutine.
type Reader struct {
	from   *bufio.Reader
	long   []byte
	number int
}

// New returns a Reader of from.
func New(from io.Reader) *Reader { return &Reader{from: bufio.NewReaderSize(from, 1<<15)} }

// Number is that of the line that Next returned; the first is 1.
func (r *Reader) Number() int { return r.number }

// Next returns the next line without its end, which is valid until the next call; cut is
// true when it is longer than Max, and line what it begins with. The error is io.EOF
// after the last line, or the source's.
func (r *Reader) Next() (line []byte, cut bool, err error) {
	line, err = r.from.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.from.ReadSlice('\n')
			room := Max + 1 - len(r.long) // one byte more than a line may have tells
			r.long = append(r.long, line[:min(len(line), max(room, 0))]...)
		}
		line = r.long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, false, err
	}
	r.number++
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > Max {
		return line[:Max], true, nil
	}
	return line, false, nil
}
