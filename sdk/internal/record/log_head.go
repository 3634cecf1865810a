package record

import (
	"encoding/binary"

	"github.com/ironpost/ironpost/sdk/event"
)

// Every event of a LogEncoder begins with a head: members in places that do not
// change. It is plain protobuf; varints are padded to the greatest usual size,
// which protobuf allows, and what is 0 is written all the same.
//
//	byte  0  offset, 3 bytes         16  process_ref, 2 bytes
//	      4  severity, 1 byte        19  time, 8 bytes
//	      6  flags, 1 byte           28  message: its length, 2 bytes,
//	      8  pid, 4 bytes            31  and the text
//	     13  host_ref, 2 bytes
//
// A member that is too large for its place is 0 there and stands behind the
// message again: for protobuf the last one counts.
const headSize = 31

// Where the places of the head end.
const (
	offsetEnd   = 1 << 21
	severityEnd = 1 << 7
	flagsEnd    = 1 << 7
	pidEnd      = 1 << 28
	messageEnd  = 1 << 14
)

// putHead writes the tag and the room of the length of a record, and the head of
// its event. It reports whether all members had their places; if not, what
// appendHeadRest appends follows, else the message.
func putHead(to []byte, e *event.LogEvent, offset uint64, host, process uint32, message int) (fits bool) {
	_ = to[recordHead+headSize-1]
	binary.LittleEndian.PutUint16(to, tagLog)
	to = to[recordHead:]
	severity, flags, pid, size := uint64(e.Severity), uint64(e.Flags), uint64(e.PID), uint64(message)
	fits = offset < offsetEnd && severity < severityEnd && flags < flagsEnd && pid < pidEnd && size < messageEnd
	if !fits {
		offset, severity, flags = below(offset, offsetEnd), below(severity, severityEnd), below(flags, flagsEnd)
		pid, size = below(pid, pidEnd), below(size, messageEnd)
	}
	binary.LittleEndian.PutUint64(to, headBits0|padded3(offset)<<8|severity<<40|flags<<56)
	binary.LittleEndian.PutUint64(to[8:], headBits1|padded4(pid)<<8|padded2(uint64(host))<<48)
	binary.LittleEndian.PutUint32(to[16:], uint32(headBits2|padded2(uint64(process))<<8))
	binary.LittleEndian.PutUint64(to[20:], uint64(Nanos(e.Time)))
	to[28] = headBits3 & 0xff
	binary.LittleEndian.PutUint16(to[29:], uint16(padded2(size)))
	return fits
}

// below returns v, or 0 when it is not below end.
func below(v, end uint64) uint64 {
	if v >= end {
		return 0
	}
	return v
}

// appendHeadRest appends the message and what the head could not hold.
func appendHeadRest(b []byte, e *event.LogEvent, offset uint64, message string) []byte {
	if len(message) < messageEnd {
		b = append(b, message...)
	} else {
		b = appendString(b, 9, message)
	}
	if offset >= offsetEnd {
		b = appendVarint(b, 1, offset)
	}
	if e.Severity >= severityEnd {
		b = appendVarint(b, 4, uint64(e.Severity))
	}
	if e.Flags >= flagsEnd {
		b = appendVarint(b, 5, uint64(e.Flags))
	}
	if e.PID >= pidEnd {
		b = appendVarint(b, 8, uint64(e.PID))
	}
	return b
}

// head is what was read from one.
type head struct {
	offset        uint64
	time          int64
	severity      event.Severity
	flags         event.Flags
	pid           uint32
	host, process uint32
	message       int
}

// What the bytes of a head must be, as its three first words, and where they may
// be anything.
const (
	headBits0 = 1<<3 | wireVarint | 0x8080<<8 | (4<<3|wireVarint)<<32 | (5<<3|wireVarint)<<48
	headMask0 = 0x80ff_80ff_8080_80ff
	headBits1 = 8<<3 | wireVarint | 0x808080<<8 | (14<<3|wireVarint)<<40 | 0x80<<48
	headMask1 = 0x8080_ff80_8080_80ff
	headBits2 = 15<<3 | wireVarint | 0x80<<8 | (2<<3|wireFixed64)<<24
	headMask2 = 0xff80_80ff
	headBits3 = 9<<3 | wireBytes | 0x80<<8
	headMask3 = 0x0080_80ff
)

// take reads a head and reports whether body begins with one and holds its
// message.
func (h *head) take(body []byte) bool {
	if len(body) < headSize+1 {
		return false
	}
	w0, w1 := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])
	w2, w3 := uint64(binary.LittleEndian.Uint32(body[16:])), uint64(binary.LittleEndian.Uint32(body[28:]))
	if w0&headMask0 != headBits0 || w1&headMask1 != headBits1 || w2&headMask2 != headBits2 || w3&headMask3 != headBits3 {
		return false
	}
	h.offset = w0>>8&0x7f | w0>>9&0x3f80 | w0>>10&0x1fc000
	h.severity = event.Severity(w0 >> 40)
	h.flags = event.Flags(w0 >> 56)
	h.pid = uint32(w1>>8&0x7f | w1>>9&0x3f80 | w1>>10&0x1fc000 | w1>>11&0xfe00000)
	h.host = uint32(w1>>48&0x7f | w1>>49&0x3f80)
	h.process = uint32(w2>>8&0x7f | w2>>9&0x3f80)
	h.time = int64(binary.LittleEndian.Uint64(body[20:]))
	h.message = int(w3>>8&0x7f | w3>>9&0x3f80)
	return h.message <= len(body)-headSize
}

// padded2, padded3 and padded4 are v as a varint of so many bytes.

func padded2(v uint64) uint64 { return v&0x7f | v&0x3f80<<1 | 0x80 }

func padded3(v uint64) uint64 { return v&0x7f | v&0x3f80<<1 | v&0x1fc000<<2 | 0x8080 }

func padded4(v uint64) uint64 {
	return v&0x7f | v&0x3f80<<1 | v&0x1fc000<<2 | v&0xfe00000<<3 | 0x808080
}
