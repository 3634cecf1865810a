package containers

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// headerSize is the size of the header in front of each piece of the output
	// of a container without a terminal: the stream, three zeros, and the length.
	headerSize = 8
	// maxPiece bounds one piece, in bytes. Docker cuts lines at 16 KiB.
	maxPiece = 1 << 20
	// maxText is how much of a line is kept.
	maxText = event.MaxRecord
)

var errPiece = errors.New("the output is not framed as Docker does it")

// line is one line of a container.
type line struct {
	// at is when Docker read it, in nanoseconds since 1970.
	at     int64
	stderr bool
	// text is the line, at most maxText of it; more tells that there was more.
	text []byte
	more bool
}

// hash tells the line from others of its container.
func (l *line) hash() uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h := uint64(offset)
	var head [9]byte
	binary.LittleEndian.PutUint64(head[:], uint64(l.at))
	if l.stderr {
		head[8] = 1
	}
	for _, b := range head {
		h = (h ^ uint64(b)) * prime
	}
	for _, b := range l.text {
		h = (h ^ uint64(b)) * prime
	}
	return h
}

// output reads lines off the answer to a call for a container's output. One
// goroutine uses it.
type output struct {
	in *bufio.Reader
	// raw says that the container has a terminal, so that nothing is framed.
	raw, known bool
	// piece holds the piece that lines are taken off, of the stream stderr.
	piece  []byte
	buf    []byte
	stderr bool
	// open are the lines of stdout and stderr that are not complete yet.
	open [2]partial
	line line
}

// partial is a line of which some pieces have come.
type partial struct {
	begun bool
	at    int64
	text  []byte
	more  bool
}

func newOutput(src io.Reader) *output { return &output{in: bufio.NewReaderSize(src, 32<<10)} }

// next returns the next line, valid until the next call. At the end it returns
// what of a last line has come, then io.EOF; errPiece, wrapped, for what Docker
// does not write; or the error of the connection.
func (o *output) next() (*line, error) {
	for {
		for len(o.piece) > 0 {
			if o.take() {
				return &o.line, nil
			}
		}
		err := o.fill()
		if errors.Is(err, io.EOF) {
			for i := range o.open {
				if o.open[i].begun {
					o.complete(i)
					return &o.line, nil
				}
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
	}
}

// fill reads the next piece.
func (o *output) fill() error {
	if !o.known {
		first, err := o.in.Peek(1)
		if err != nil {
			return err
		}
		// Every line of a terminal begins with its stamp, every header with the
		// number of the stream.
		o.raw, o.known = first[0] >= '0', true
	}
	if o.raw {
		text, err := o.in.ReadSlice('\n')
		if len(text) > 0 && (err == nil || errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, io.EOF)) {
			o.piece = text
			return nil
		}
		return err
	}
	var header [headerSize]byte
	if _, err := io.ReadFull(o.in, header[:]); err != nil {
		return broken(err)
	}
	size := binary.BigEndian.Uint32(header[4:])
	if header[0] > 2 || header[1] != 0 || header[2] != 0 || header[3] != 0 || size > maxPiece {
		return fmt.Errorf("%w: header %x", errPiece, header)
	}
	if int(size) > cap(o.buf) {
		o.buf = make([]byte, size)
	}
	o.buf = o.buf[:size]
	if _, err := io.ReadFull(o.in, o.buf); err != nil {
		return broken(err)
	}
	o.piece, o.stderr = o.buf, header[0] == 2
	return nil
}

// broken makes the end inside a piece an error of its own.
func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection ended inside a piece: %w", err)
	}
	return err
}

// take moves the text up to the next end of line off the piece; it reports
// whether that completed a line.
func (o *output) take() bool {
	text, rest, ended := o.piece, []byte(nil), false
	if i := bytes.IndexByte(o.piece, '\n'); i >= 0 {
		text, rest, ended = o.piece[:i], o.piece[i+1:], true
	}
	o.piece = rest
	which := 0
	if o.stderr {
		which = 1
	}
	p := &o.open[which]
	// A terminal's output comes in pieces of any length: only the first begins
	// with a stamp. Of others each piece does, and those of one line share it.
	if !p.begun || !o.raw {
		if at, after, ok := cutStamp(text); ok {
			text = after
			if !p.begun {
				p.at = at
			}
		}
	}
	if !p.begun {
		p.begun, p.more, p.text = true, false, p.text[:0]
	}
	keep := min(len(text), maxText-len(p.text))
	p.text = append(p.text, text[:keep]...)
	p.more = p.more || keep < len(text)
	if ended {
		o.complete(which)
	}
	return ended
}

func (o *output) complete(which int) {
	p := &o.open[which]
	p.begun = false
	o.line = line{at: p.at, stderr: which == 1, text: p.text, more: p.more}
	if o.raw && !p.more {
		o.line.text = bytes.TrimSuffix(p.text, []byte{'\r'})
	}
}

// cutStamp takes the stamp off the beginning of a line.
func cutStamp(text []byte) (at int64, rest []byte, ok bool) {
	i := bytes.IndexByte(text[:min(len(text), 40)], ' ')
	if i < 0 {
		return 0, text, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(text[:i]))
	if err != nil {
		return 0, text, false
	}
	return t.UnixNano(), text[i+1:], true
}
