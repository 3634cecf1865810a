package containers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// disorder is how far the stamps of lines may be out of order: stdout and stderr
// are stamped by two, who then wait for each other to write.
const disorder = 2 * time.Second

const (
	positionVersion = 1
	positionSize    = 1 + 4*8
)

var errPosition = errors.New("malformed position")

// position is a place in the output of a container: behind count lines of those
// that are stamped at anchor or later, the last of which has the hash last. No
// line that comes now is stamped before the anchor: it is older than the newest
// by disorder.
type position struct {
	anchor, newest int64
	count, last    uint64

	// next is the anchor to come, behind which ahead lines were read. It is not
	// stored.
	next  int64
	ahead uint64
}

// from is the position before all lines that are stamped at a time or later.
func from(at int64) position { return position{anchor: at, newest: at, next: at + 1} }

// pass moves behind a line.
func (p *position) pass(l *line) {
	if l.at >= p.anchor {
		p.count++
	}
	if l.at >= p.next {
		p.ahead++
	}
	p.newest = max(p.newest, l.at)
	p.last = l.hash()
	if p.newest-p.next >= int64(disorder) {
		p.anchor, p.count = p.next, p.ahead
		p.next, p.ahead = p.newest+1, 0
	}
}

// append encodes the position:
//
//	version uint8; anchor, newest int64, count, last uint64, little-endian
func (p *position) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, positionVersion)
	b = le.AppendUint64(b, uint64(p.anchor))
	b = le.AppendUint64(b, uint64(p.newest))
	b = le.AppendUint64(b, p.count)
	return le.AppendUint64(b, p.last)
}

// decodePosition reads a checkpoint. It returns errPosition, wrapped, for
// anything that this package did not write.
func decodePosition(b []byte) (position, error) {
	if len(b) != positionSize || b[0] != positionVersion {
		return position{}, fmt.Errorf("%w: %d bytes", errPosition, len(b))
	}
	le := binary.LittleEndian
	p := position{
		anchor: int64(le.Uint64(b[1:])), newest: int64(le.Uint64(b[9:])),
		count: le.Uint64(b[17:]), last: le.Uint64(b[25:]),
	}
	if p.anchor < 0 || p.newest < p.anchor || p.newest == math.MaxInt64 {
		return position{}, fmt.Errorf("%w: out of range", errPosition)
	}
	p.next = p.newest + 1
	return p, nil
}
