package view

import (
	"errors"
	"io"
	"unicode/utf8"
)

// Indenter writes a JSON value of others, which comes in parts, in the form that
// [Shown] and [AppendIndented] give it, and holds none of it. What is not JSON is
// an error as far as it would matter to a terminal; else it goes through. It belongs
// to one goroutine.
type Indenter struct {
	out io.Writer
	buf []byte
	// rest is the begin of a character that the next part ends.
	rest    [utf8.UTFMax]byte
	pending int
	depth   int
	// inText is inside of a string, escaped after its backslash; opened is after a
	// bracket, when it is not yet known whether something is in it.
	inText, escaped, opened bool
	// begun is when there was anything but space.
	begun bool
}

// errNoJSON is told of what has characters where JSON has none, or ends too early.
var errNoJSON = errors.New("it is not JSON")

// NewIndenter returns an Indenter that writes to out.
func NewIndenter(out io.Writer) *Indenter { return &Indenter{out: out} }

// Write implements [io.Writer].
func (d *Indenter) Write(p []byte) (int, error) {
	d.buf = d.buf[:0]
	all := len(p)
	for d.pending > 0 && len(p) > 0 {
		d.rest[d.pending] = p[0]
		d.pending++
		p = p[1:]
		if utf8.FullRune(d.rest[:d.pending]) {
			char := d.rest[:d.pending]
			d.pending = 0
			for len(char) > 0 { // more than one where it is not valid
				n, err := d.next(char)
				if err != nil {
					return 0, err
				}
				char = char[n:]
			}
		}
	}
	for len(p) > 0 {
		if p[0] >= utf8.RuneSelf && !utf8.FullRune(p) {
			d.pending = copy(d.rest[:], p)
			break
		}
		n, err := d.next(p)
		if err != nil {
			return 0, err
		}
		p = p[n:]
	}
	if _, err := d.out.Write(d.buf); err != nil {
		return 0, err
	}
	return all, nil
}

// Close ends the last line. It does not close what is written to.
func (d *Indenter) Close() error {
	if !d.begun || d.depth != 0 || d.inText || d.opened || d.pending > 0 {
		return errNoJSON
	}
	_, err := d.out.Write([]byte{'\n'})
	return err
}

// next takes what p begins with, and returns how long that is.
func (d *Indenter) next(p []byte) (int, error) {
	if d.inText {
		return d.text(p), nil
	}
	c := p[0]
	if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
		return 1, nil
	}
	d.begun = true
	if d.opened {
		d.opened = false
		if c != '}' && c != ']' {
			d.depth++
			d.buf = appendBreak(d.buf, d.depth)
		} else {
			d.buf = append(d.buf, c)
			return 1, nil
		}
	}
	switch c {
	case '"':
		d.inText = true
		d.buf = append(d.buf, c)
	case '{', '[':
		d.opened = true
		d.buf = append(d.buf, c)
	case '}', ']':
		if d.depth--; d.depth < 0 {
			return 0, errNoJSON
		}
		d.buf = append(appendBreak(d.buf, d.depth), c)
	case ',':
		d.buf = appendBreak(append(d.buf, c), d.depth)
	case ':':
		d.buf = append(d.buf, c, ' ')
	default:
		if c < ' ' || c >= 0x7f {
			return 0, errNoJSON
		}
		d.buf = append(d.buf, c)
	}
	return 1, nil
}

// text takes what p begins with, which is in a string: a stretch of plain characters,
// or one other.
func (d *Indenter) text(p []byte) int {
	if d.escaped {
		d.escaped = false
		if ' ' <= p[0] && p[0] < 0x7f {
			d.buf = append(d.buf, p[0])
			return 1
		}
	}
	n := 0
	for n < len(p) && ' ' <= p[n] && p[n] < 0x7f && p[n] != '"' && p[n] != '\\' {
		n++
	}
	if n > 0 {
		d.buf = append(d.buf, p[:n]...)
		return n
	}
	switch c := p[0]; {
	case c == '"':
		d.inText = false
		d.buf = append(d.buf, c)
		return 1
	case c == '\\':
		d.escaped = true
		d.buf = append(d.buf, c)
		return 1
	}
	r, n := utf8.DecodeRune(p)
	if hidden(r) || r == utf8.RuneError && n == 1 {
		d.buf = appendUnit(d.buf, r)
	} else {
		d.buf = append(d.buf, p[:n]...)
	}
	return n
}
