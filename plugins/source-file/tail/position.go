package tail

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	positionVersion = 2
	// withoutEvents is the version before places inside a region of audit events.
	withoutEvents = 1
	// maxSegments bounds the files of one stream: the current one and those
	// rotated away that may still get late lines.
	maxSegments = 4
	// headLimit is how much of a file's beginning the fingerprint covers.
	headLimit = 1 << 10
	// leadLimit is how many bytes before the offset are compared.
	leadLimit = 64

	prefixSize = 2
	// oldMarkSize is the size of a mark in the version before.
	oldMarkSize = 48
	markSize    = 54
	// maxRegion bounds the bytes of a region. mostEmitted bounds the events of one: its
	// last line may end as many as are unfinished, and its cut as many again.
	maxRegion   = 1 << 17
	mostEmitted = maxEvents + 2*maxUnfinished

	flagSkipping = 1 << 0
)

var errPosition = errors.New("malformed position")

// mark is a place in a file, and what tells that file from others.
type mark struct {
	device, inode uint64
	// head is the fingerprint of the first headLen bytes.
	head    uint64
	headLen uint16
	// offset is where the next record begins.
	offset int64
	// lead is the CRC-32C of the leadLen bytes before offset.
	lead    uint32
	leadLen uint8
	// skipping says that offset lies inside a line whose beginning was emitted.
	skipping bool
	// seen is when the file was last read, in seconds since 1970.
	seen int64
	// emitted is how many events of the region of audit events that begins at
	// offset were emitted. until, if not 0, is how long the region is: it was ended
	// though some of its events may have gone on.
	emitted uint16
	until   uint32
}

// position is the encoded checkpoint of a stream, reused from record to record:
//
//	version uint8, count uint8, then for each file 54 bytes, little-endian:
//	device, inode, head uint64; seen, offset int64; lead uint32;
//	headLen uint16; leadLen, flags uint8; emitted uint16; until uint32
//
// The version before had no emitted and until.
type position struct{ buf []byte }

// set encodes all marks.
func (p *position) set(segments []*segment) {
	p.buf = append(p.buf[:0], positionVersion, byte(len(segments)))
	for _, g := range segments {
		p.buf = appendMark(p.buf, &g.mark)
	}
}

// move encodes what advances with every record of file i.
func (p *position) move(i int, m *mark) {
	b := p.buf[prefixSize+i*markSize:]
	binary.LittleEndian.PutUint64(b[32:], uint64(m.offset))
	binary.LittleEndian.PutUint32(b[40:], m.lead)
	b[46] = m.leadLen
	b[47] = m.flags()
	binary.LittleEndian.PutUint16(b[48:], m.emitted)
	binary.LittleEndian.PutUint32(b[50:], m.until)
}

func (m *mark) flags() byte {
	if m.skipping {
		return flagSkipping
	}
	return 0
}

func appendMark(b []byte, m *mark) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, m.device)
	b = le.AppendUint64(b, m.inode)
	b = le.AppendUint64(b, m.head)
	b = le.AppendUint64(b, uint64(m.seen))
	b = le.AppendUint64(b, uint64(m.offset))
	b = le.AppendUint32(b, m.lead)
	b = le.AppendUint16(b, m.headLen)
	b = append(b, m.leadLen, m.flags())
	b = le.AppendUint16(b, m.emitted)
	return le.AppendUint32(b, m.until)
}

// decodePosition reads a checkpoint. It returns errPosition, wrapped, for
// anything that this package did not write.
func decodePosition(b []byte) ([]mark, error) {
	if len(b) < prefixSize || b[0] != positionVersion && b[0] != withoutEvents {
		return nil, fmt.Errorf("%w: unknown version", errPosition)
	}
	count, size := int(b[1]), markSize
	if b[0] == withoutEvents {
		size = oldMarkSize
	}
	if count == 0 || count > maxSegments || len(b) != prefixSize+count*size {
		return nil, fmt.Errorf("%w: %d files in %d bytes", errPosition, count, len(b))
	}
	le := binary.LittleEndian
	marks := make([]mark, count)
	for i := range marks {
		r := b[prefixSize+i*size:]
		m := mark{
			device: le.Uint64(r), inode: le.Uint64(r[8:]), head: le.Uint64(r[16:]),
			seen: int64(le.Uint64(r[24:])), offset: int64(le.Uint64(r[32:])), lead: le.Uint32(r[40:]),
			headLen: le.Uint16(r[44:]), leadLen: r[46], skipping: r[47]&flagSkipping != 0,
		}
		if b[0] != withoutEvents {
			m.emitted, m.until = le.Uint16(r[48:]), le.Uint32(r[50:])
		}
		if m.until > maxRegion || m.emitted > mostEmitted || m.offset < 0 || m.headLen > headLimit || m.leadLen > leadLimit ||
			int64(m.leadLen) > m.offset || r[47]&^flagSkipping != 0 {
			return nil, fmt.Errorf("%w: file %d out of range", errPosition, i)
		}
		marks[i] = m
	}
	return marks, nil
}
