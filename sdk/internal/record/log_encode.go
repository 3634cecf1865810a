package record

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// LogEncoder encodes the log events of batches. What events have in common - the
// names of fields, hosts and processes, the time of observation - it writes once
// a batch. The zero value is ready for the first batch; it is for one goroutine.
//
// Every event begins with the same members in the same places, see head: neither
// end then has to ask at every byte what comes.
type LogEncoder struct {
	batch    uint64 // counts the batches
	used     uint32 // names of this batch
	observed int64  // of this batch, ns
	names    map[string]*name
	// recent holds names of this batch where their text is quick to find.
	recent [256]recentName
}

// name is a text that was written, or will be, as a name.
type name struct {
	text  string
	batch uint64 // the last batch that has it
	ref   uint32 // its place there
}

// recentName is a name that was used lately, with the ends of its text: they are
// all of one of up to 16 bytes; a longer one is compared.
type recentName struct {
	first, last uint64
	text        string
	batch       uint64
	ref         uint32
}

// Begin begins another batch, whose header says that it was observed then.
func (c *LogEncoder) Begin(observed time.Time) {
	if c.names == nil || len(c.names) >= pb.MaxNames {
		c.names = make(map[string]*name)
		clear(c.recent[:])
	}
	c.batch++
	c.used = 0
	c.observed = Nanos(observed)
}

// Append appends a log event whose sequence is counted from base. The strings of
// the event that lie inside text, which is ASCII or empty, are known to be valid;
// in others, what is no UTF-8 is replaced.
func (c *LogEncoder) Append(b []byte, e *event.LogEvent, base uint64, text []byte) []byte {
	if out, ok := c.append(b, e, e.Sequence-base, text); ok {
		return out
	}
	b, _ = c.append(c.introduce(b, e), e, e.Sequence-base, text)
	return b
}

// append is Append; ok is false when the event has a name that this batch has
// not got yet.
func (c *LogEncoder) append(b []byte, e *event.LogEvent, offset uint64, text []byte) (out []byte, ok bool) {
	host, ok1 := c.ref(e.Host)
	process, ok2 := c.ref(e.Process)
	if !ok1 || !ok2 {
		return nil, false
	}
	message := e.Message
	if _, inside := within(text, message); !inside {
		message = Valid(message)
	}
	b = slices.Grow(b, headRoom+len(message))
	start := len(b) + recordHead
	fits := putHead(b[len(b):start+headSize], e, offset, host, process, len(message))
	b = b[:start+headSize]
	if fits {
		b = append(b, message...)
	} else {
		b = appendHeadRest(b, e, offset, message)
	}
	w, at := b[:cap(b)], len(b) // w[:at] is written
	for i := range e.Fields {
		f := &e.Fields[i]
		ref, ok := c.ref(f.Key)
		if !ok {
			return nil, false
		}
		if len(w)-at < fieldRoom {
			w = slices.Grow(w[:at], fieldRoom)
			w = w[:cap(w)]
		}
		to, n, valid := w[at:at+fieldRoom], len(f.Value), true
		switch from, inside := within(text, f.Value); {
		case ref == 0 || n >= shortValue:
			valid = false
		case !inside:
			valid = copyASCII(to[4:], f.Value) || utf8.ValidString(f.Value)
		case n <= 16 && from+16 <= len(text):
			// With its length fixed, a copy is two instructions and no call; what
			// is too much will be written over.
			*(*[16]byte)(to[4:]) = [16]byte(text[from:])
		default:
			copy(to[4:], f.Value)
		}
		if !valid {
			w = appendRareField(w[:at], f, ref)
			w, at = w[:cap(w)], len(w)
			continue
		}
		// What follows the value is the reference, of one or two bytes.
		size := 6 + n
		if ref < 0x80 {
			binary.LittleEndian.PutUint16(to[4+n:], 3<<3|wireVarint|uint16(ref)<<8)
		} else {
			size++
			to[4+n] = 3<<3 | wireVarint
			binary.LittleEndian.PutUint16(to[5+n:], uint16(padded2(uint64(ref))))
		}
		binary.LittleEndian.PutUint32(to, 10<<3|wireBytes|uint32(size-2)<<8|(2<<3|wireBytes)<<16|uint32(n)<<24)
		at += size
	}
	b = w[:at]
	if at := Nanos(e.ObservedTime); at != c.observed {
		b = appendFixed(b, 3, at)
	}
	if host == 0 {
		b = appendString(b, 6, Valid(e.Host))
	}
	if process == 0 {
		b = appendString(b, 7, Valid(e.Process))
	}
	if len(e.Raw) > 0 || e.Reason != "" {
		b = appendString(b, 11, e.Raw)
		b = appendString(b, 12, Valid(e.Reason))
	}
	return putLength(b, start), true
}

const (
	// tagLog is the tag of a record in a batch.
	tagLog = pb.TagLog<<3&0x7f | wireBytes | 0x80 | pb.TagLog>>4<<8
	// recordHead is what stands before the members of an event: the tag of a
	// record and its length.
	recordHead = 4
	// shortValue is what a value must be below to have lengths of one byte.
	shortValue = 0x80 - 5
	// fieldRoom is what a field with a short value and a reference takes at most.
	fieldRoom = 4 + shortValue + 16
	// headRoom is what an event takes, at most, before its fields and beside its
	// message, and a little more for the fields.
	headRoom = recordHead + headSize + 64 + 4*fieldRoom
)

// appendRareField appends a field of any form: the name is the text of the key
// when ref is 0.
func appendRareField(b []byte, f *event.Field, ref uint32) []byte {
	value := Valid(f.Value)
	if ref == 0 {
		return appendField(b, 10, event.Field{Key: Valid(f.Key), Value: value})
	}
	b = appendTag(b, 10, wireBytes)
	b = binary.AppendUvarint(b, uint64(sizeBytes(len(value))+sizeVarint(uint64(ref))))
	b = appendString(b, 2, value)
	return appendVarint(b, 3, uint64(ref))
}

// introduce writes the names of an event that this batch has not got yet.
func (c *LogEncoder) introduce(b []byte, e *event.LogEvent) []byte {
	b = c.introduceName(b, e.Host)
	b = c.introduceName(b, e.Process)
	for i := range e.Fields {
		b = c.introduceName(b, e.Fields[i].Key)
	}
	return b
}

func (c *LogEncoder) introduceName(b []byte, text string) []byte {
	n := c.name(text)
	if n == nil || n.batch == c.batch {
		return b
	}
	c.used++
	n.batch, n.ref = c.batch, c.used
	b = append(b, tag2(pb.TagNames)...)
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// name returns the name for a text, nil for a text that has none.
func (c *LogEncoder) name(text string) *name {
	if text == "" || len(text) > pb.MaxNameBytes {
		return nil
	}
	n := c.names[text]
	if n == nil && len(c.names) < pb.MaxNames && utf8.ValidString(text) {
		n = &name{text: strings.Clone(text)}
		c.names[n.text] = n
	}
	return n
}

// ref returns the place of a text among the names of this batch, 0 for a text
// that has no name. ok is false when the name must be written first.
func (c *LogEncoder) ref(text string) (ref uint32, ok bool) {
	first, last := ends(text)
	// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4).
	r := &c.recent[(first^bits.RotateLeft64(last, 23)+uint64(len(text)))*0x9e3779b97f4a7c15>>56]
	if r.first == first && r.last == last && len(r.text) == len(text) && r.batch == c.batch && (len(text) <= 16 || r.text == text) {
		return r.ref, true
	}
	return c.refRare(r, text)
}

func (c *LogEncoder) refRare(r *recentName, text string) (ref uint32, ok bool) {
	n := c.name(text)
	if n == nil {
		return 0, true
	}
	if n.batch != c.batch {
		return 0, false
	}
	first, last := ends(text)
	*r = recentName{first, last, n.text, n.batch, n.ref}
	return n.ref, true
}

// Cut takes back the event that was appended last, at an offset of b, but for its
// names.
func (c *LogEncoder) Cut(b []byte, start int) []byte {
	for len(b)-start > 1 && b[start] == pb.TagNames<<3&0x7f|wireBytes|0x80 && b[start+1] == pb.TagNames>>4 {
		n, m := binary.Uvarint(b[start+2:])
		start += 2 + m + int(n)
	}
	return b[:start]
}

// AppendLog appends a log event whose sequence is counted from base, with all
// its texts in place.
func AppendLog(b []byte, e *event.LogEvent, base uint64) []byte {
	b = append(b, tag2(pb.TagLog)...)
	b = append(b, 0, 0)
	start := len(b)
	return putLength(appendLogBody(b, e, e.Sequence-base), start)
}

func appendLogBody(b []byte, e *event.LogEvent, offset uint64) []byte {
	b = appendVarint(b, 1, offset)
	b = appendTime(b, 2, e.Time)
	b = appendTime(b, 3, e.ObservedTime)
	b = appendVarint(b, 4, uint64(e.Severity))
	b = appendVarint(b, 5, uint64(e.Flags))
	b = appendString(b, 6, Valid(e.Host))
	b = appendString(b, 7, Valid(e.Process))
	b = appendVarint(b, 8, uint64(e.PID))
	b = appendString(b, 9, Valid(e.Message))
	b = appendFields(b, 10, e.Fields)
	b = appendString(b, 11, e.Raw)
	return appendString(b, 12, Valid(e.Reason))
}

// putLength writes the length of the message that begins at start into the two
// bytes before it, and makes room when that is too little. A varint may have
// more bytes than it needs.
func putLength(b []byte, start int) []byte {
	n := len(b) - start
	if n < 1<<14 {
		binary.LittleEndian.PutUint16(b[start-2:], uint16(padded2(uint64(n))))
		return b
	}
	length := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(n))
	return append(b[:start-2], append(length, b[start:]...)...)
}

// within reports whether s lies inside text, and where.
func within(text []byte, s string) (at int, ok bool) {
	offset := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(text)))
	return int(offset), offset <= uintptr(len(text)) && uintptr(len(s)) <= uintptr(len(text))-offset
}

// ends returns the first and the last eight bytes of a text; of a shorter one, all
// of it.
func ends(s string) (first, last uint64) {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	switch n := len(s); {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<8, uint64(b[n-1])
	}
	return 0, 0
}

// copyASCII copies s to the beginning of to and reports whether all of it is
// ASCII. It copies in steps of eight bytes, of which the last may overlap the one
// before.
func copyASCII(to []byte, s string) bool {
	const high = 0x8080808080808080
	b, n := unsafe.Slice(unsafe.StringData(s), len(s)), len(s)
	var set uint64
	switch {
	case n >= 8:
		for i := 0; i < n-8; i += 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			binary.LittleEndian.PutUint64(to[i:], w)
			set |= w
		}
		w := binary.LittleEndian.Uint64(b[n-8:])
		binary.LittleEndian.PutUint64(to[n-8:], w)
		set |= w
	default:
		for i := range n {
			to[i] = b[i]
			set |= uint64(b[i])
		}
	}
	return set&high == 0
}
