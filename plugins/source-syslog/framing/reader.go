package framing

import (
	"bytes"
	"errors"
	"io"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// Limit is the longest part of a message that is handed over: one byte more
	// than a record may have, so that the cut is seen and counted.
	Limit = event.MaxRecord + 1
	// MaxLength is the greatest length that a frame may announce.
	MaxLength = 1 << 20

	maxDigits  = 7
	baseBuffer = 8 << 10
)

// ErrLength says that a frame announces a length that no message has.
var ErrLength = errors.New("frame length out of range")

// Reader yields the messages of one connection.
type Reader struct {
	src io.Reader
	// buf[r:w] is unread.
	buf  []byte
	r, w int
	// skip is how many bytes of a long counted frame are still to be passed
	// over; discard says the same of a line, up to its end.
	skip    int
	discard bool
	err     error
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, baseBuffer)}
}

// Pending reports whether a frame has begun and not ended.
func (r *Reader) Pending() bool { return r.w > r.r || r.skip > 0 || r.discard }

// Next returns the next message, which is valid until the next call. At the end
// of the connection it returns what a line without end holds, then io.EOF;
// io.ErrUnexpectedEOF when a counted frame is incomplete; ErrLength; or the
// error of the connection. After an error it returns the same again.
func (r *Reader) Next() ([]byte, error) {
	for {
		frame, ok, err := r.scan()
		if err != nil {
			r.err = err
			return nil, err
		}
		if ok {
			if frame = trim(frame); len(frame) > 0 {
				return frame, nil
			}
			continue
		}
		if r.err != nil {
			return r.end()
		}
		r.fill()
	}
}

// scan looks for a frame in what is buffered.
func (r *Reader) scan() (frame []byte, ok bool, err error) {
	if r.skip > 0 {
		n := min(r.skip, r.w-r.r)
		r.r, r.skip = r.r+n, r.skip-n
	}
	if r.discard {
		i := endOfLine(r.buf[r.r:r.w])
		if i < 0 {
			r.r = r.w
			return nil, false, nil
		}
		r.r, r.discard = r.r+i+1, false
	}
	for r.r < r.w && (r.buf[r.r] == '\n' || r.buf[r.r] == 0) {
		r.r++
	}
	rest := r.buf[r.r:r.w]
	if len(rest) == 0 {
		return nil, false, nil
	}
	if '1' <= rest[0] && rest[0] <= '9' {
		length, digits := 0, 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			if digits == maxDigits {
				return nil, false, ErrLength
			}
			length = length*10 + int(rest[digits]-'0')
			digits++
		}
		switch {
		case digits == len(rest):
			if r.err == nil {
				return nil, false, nil
			}
		case rest[digits] == ' ':
			return r.counted(rest[digits+1:], digits+1, length)
		}
	}
	return r.line(rest)
}

// counted takes a frame of length bytes, whose body begins in rest behind
// prefix bytes.
func (r *Reader) counted(rest []byte, prefix, length int) ([]byte, bool, error) {
	if length > MaxLength {
		return nil, false, ErrLength
	}
	n := min(length, Limit)
	if len(rest) < n {
		return nil, false, nil
	}
	r.r += prefix + n
	r.skip = length - n
	return rest[:n], true, nil
}

// line takes a frame that ends with LF or NUL.
func (r *Reader) line(rest []byte) ([]byte, bool, error) {
	i := endOfLine(rest)
	switch {
	case i < 0 && len(rest) < Limit:
		return nil, false, nil
	case i < 0 || i > Limit:
		r.r += Limit
		r.discard = true
		return rest[:Limit], true, nil
	}
	r.r += i + 1
	return rest[:i], true, nil
}

// fill reads once, making room first.
func (r *Reader) fill() {
	switch {
	case r.r == r.w:
		r.r, r.w = 0, 0
		if len(r.buf) > baseBuffer {
			r.buf = make([]byte, baseBuffer)
		}
	case r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) {
		// A prefix and a whole message fit.
		grown := make([]byte, min(2*len(r.buf), Limit+maxDigits+1))
		copy(grown, r.buf[:r.w])
		r.buf = grown
	}
	var n int
	n, r.err = r.src.Read(r.buf[r.w:])
	r.w += n
}

// end says what is left when the connection has ended.
func (r *Reader) end() ([]byte, error) {
	if !errors.Is(r.err, io.EOF) {
		return nil, r.err
	}
	rest := r.buf[r.r:r.w]
	r.r = r.w
	if r.skip > 0 || startsCounted(rest) {
		r.skip = 0
		r.err = io.ErrUnexpectedEOF
		return nil, r.err
	}
	if rest = trim(rest); len(rest) > 0 {
		return rest, nil
	}
	return nil, io.EOF
}

func startsCounted(b []byte) bool {
	digits := 0
	for digits < len(b) && '0' <= b[digits] && b[digits] <= '9' {
		digits++
	}
	return digits > 0 && b[0] != '0' && digits < len(b) && b[digits] == ' '
}

func endOfLine(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if nul := bytes.IndexByte(b, 0); nul >= 0 {
		return nul
	}
	return lf
}

func trim(b []byte) []byte { return bytes.TrimRight(b, "\r\n\x00") }
