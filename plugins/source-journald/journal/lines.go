package journal

import (
	"bytes"
	"io"
)

const (
	baseLine = 64 << 10
	// maxLine bounds how much of an entry is kept to find its cursor in.
	maxLine = 1 << 20
	// maxCursor bounds a cursor; journald writes about 150 bytes.
	maxCursor = 1 << 10
)

// lines cuts output into lines. One goroutine uses it.
type lines struct {
	src  io.Reader
	buf  []byte
	r, w int
	err  error
	// discard says that the rest of a long line is to be passed over.
	discard bool
}

func newLines(src io.Reader) *lines { return &lines{src: src, buf: make([]byte, baseLine)} }

// next returns a line without its end, at most maxLine bytes of it, valid until
// the next call. What has no end when the output ends is not an entry and is
// left out. At the end it returns the error of the output.
func (l *lines) next() ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(l.buf[l.r+scanned:l.w], '\n'); i >= 0 {
			line := l.buf[l.r : l.r+scanned+i]
			l.r += scanned + i + 1
			scanned = 0
			if l.discard {
				l.discard = false
				continue
			}
			return line, nil
		}
		scanned = l.w - l.r
		if l.discard {
			l.r, scanned = l.w, 0
		} else if scanned >= maxLine {
			line := l.buf[l.r:l.w]
			l.r, l.discard = l.w, true
			return line, nil
		}
		if l.err != nil {
			return nil, l.err
		}
		l.fill()
	}
}

func (l *lines) fill() {
	if l.r == l.w {
		l.r, l.w = 0, 0
		if len(l.buf) > baseLine {
			l.buf = make([]byte, baseLine)
		}
	} else if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	if l.w == len(l.buf) {
		grown := make([]byte, min(2*len(l.buf), maxLine))
		copy(grown, l.buf[:l.w])
		l.buf = grown
	}
	var n int
	n, l.err = l.src.Read(l.buf[l.w:])
	l.w += n
}

// cursor finds the value of __CURSOR in an entry; nil when there is none. No
// other part of an entry can look like it: inside a string every quote is
// escaped, and the names of fields are capital letters, digits and underscores.
func cursor(entry []byte) []byte {
	const key = `"__CURSOR"`
	for {
		i := bytes.Index(entry, []byte(key))
		if i < 0 {
			return nil
		}
		entry = entry[i+len(key):]
		rest := bytes.TrimLeft(entry, " \t")
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \t")
		if len(rest) == 0 || rest[0] != '"' {
			continue
		}
		rest = rest[1:]
		end := bytes.IndexByte(rest, '"')
		if end <= 0 || end > maxCursor || bytes.IndexByte(rest[:end], '\\') >= 0 {
			return nil
		}
		return rest[:end]
	}
}
