package record

import (
	"encoding/binary"
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
type LogEncoder struct {
	batch uint64 // counts the batches
	used  uint32 // names of this batch
	names map[string]*name
	// recent holds names where their text is quick to find; see slot.
	recent [256]*name
	common common
}

// common is what an event need not write itself; the zero value is nothing.
type common struct {
	observed      int64 // ns
	host, process *name // nil for one that is written in place
	keys          []*name
	text          []byte // ASCII, inside which strings are known to be valid
}

// name is a text that was written, or will be, as a name.
type name struct {
	text  string
	batch uint64 // the last batch that has it
	ref   uint32 // its place there
}

// Begin begins another batch, whose header says that it was observed then.
func (c *LogEncoder) Begin(observed time.Time) {
	if c.names == nil || len(c.names) >= pb.MaxNames {
		c.names = make(map[string]*name)
		clear(c.recent[:])
	}
	c.batch++
	c.used = 0
	c.common.observed = Nanos(observed)
}

// Append appends a log event whose sequence is counted from base. The strings of
// the event that lie inside text, which is ASCII or empty, are known to be valid;
// in others, what is no UTF-8 is replaced.
func (c *LogEncoder) Append(b []byte, e *event.LogEvent, base uint64, text []byte) []byte {
	b, c.common.host = c.name(b, e.Host)
	b, c.common.process = c.name(b, e.Process)
	c.common.keys = c.common.keys[:0]
	for i := range e.Fields {
		var key *name
		b, key = c.name(b, e.Fields[i].Key)
		c.common.keys = append(c.common.keys, key)
	}
	c.common.text = text
	b = append(b, tag2(pb.TagLog)...)
	return appendLog(b, e, e.Sequence-base, &c.common)
}

// AppendLog appends a log event whose sequence is counted from base, with all
// its texts in place.
func AppendLog(b []byte, e *event.LogEvent, base uint64) []byte {
	return appendLog(append(b, tag2(pb.TagLog)...), e, e.Sequence-base, &common{})
}

// appendLog appends the length of a LogEvent and its body.
func appendLog(b []byte, e *event.LogEvent, offset uint64, c *common) []byte {
	b = append(b, 0, 0)
	start := len(b)
	return putLength(appendLogBody(b, e, offset, c), start)
}

func appendLogBody(b []byte, e *event.LogEvent, offset uint64, c *common) []byte {
	message, reason := within(c.text, e.Message), e.Reason
	if reason != "" {
		reason = Valid(reason)
	}
	// Each bad byte becomes three.
	size := logOverhead + len(message) + len(e.Raw) + len(reason) + 3*(len(e.Host)+len(e.Process))
	for i := range e.Fields {
		size += 3*(len(e.Fields[i].Key)+len(e.Fields[i].Value)) + fieldOverhead
	}
	b = slices.Grow(b, size)
	w := writer{b: b[:cap(b)], at: len(b)}
	w.varint(1, offset)
	w.fixed(2, Nanos(e.Time))
	if at := Nanos(e.ObservedTime); at != c.observed {
		w.fixed(3, at)
	}
	w.varint(4, uint64(e.Severity))
	w.varint(5, uint64(e.Flags))
	if c.host == nil {
		w.string(6, Valid(e.Host))
	}
	if c.process == nil {
		w.string(7, Valid(e.Process))
	}
	w.varint(8, uint64(e.PID))
	w.string(9, message)
	for i := range e.Fields {
		value := within(c.text, e.Fields[i].Value)
		var key *name
		if i < len(c.keys) {
			key = c.keys[i]
		}
		if key == nil {
			w.field(10, Valid(e.Fields[i].Key), value)
			continue
		}
		if n := len(value); key.ref < 0x80 && n < 0x80-4 && n > 0 {
			// The usual field: every number is one byte.
			to := w.b[w.at : w.at+n+6]
			to[0], to[1], to[2], to[3] = 10<<3|wireBytes, byte(n+4), 2<<3|wireBytes, byte(n)
			copy(to[4:], value)
			to[n+4], to[n+5] = 3<<3|wireVarint, byte(key.ref)
			w.at += n + 6
			continue
		}
		w.b[w.at] = 10<<3 | wireBytes
		w.at++
		w.uvarint(uint64(sizeBytes(len(value)) + sizeVarint(uint64(key.ref))))
		w.string(2, value)
		w.varint(3, uint64(key.ref))
	}
	if len(e.Raw) > 0 {
		w.string(11, alias(e.Raw))
	}
	w.string(12, reason)
	if c.host != nil {
		w.varint(14, uint64(c.host.ref))
	}
	if c.process != nil {
		w.varint(15, uint64(c.process.ref))
	}
	return w.b[:w.at]
}

// writer writes fields with numbers below 16 into room that suffices.
type writer struct {
	b  []byte
	at int
}

func (w *writer) uvarint(v uint64) {
	for v >= 0x80 {
		w.b[w.at] = byte(v) | 0x80
		w.at++
		v >>= 7
	}
	w.b[w.at] = byte(v)
	w.at++
}

func (w *writer) varint(number byte, v uint64) {
	if v != 0 {
		w.b[w.at] = number<<3 | wireVarint
		w.at++
		w.uvarint(v)
	}
}

func (w *writer) fixed(number byte, v int64) {
	if v != 0 {
		w.b[w.at] = number<<3 | wireFixed64
		binary.LittleEndian.PutUint64(w.b[w.at+1:], uint64(v))
		w.at += 9
	}
}

func (w *writer) string(number byte, s string) {
	if s != "" {
		w.b[w.at] = number<<3 | wireBytes
		w.at++
		w.uvarint(uint64(len(s)))
		w.at += copy(w.b[w.at:], s)
	}
}

func (w *writer) field(number byte, key, value string) {
	w.b[w.at] = number<<3 | wireBytes
	w.at++
	w.uvarint(uint64(sizeBytes(len(key)) + sizeBytes(len(value))))
	w.string(1, key)
	w.string(2, value)
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

// What an event takes beside its texts, at most: its head and numbers, and for
// each field its head, length and reference.
const (
	logOverhead   = 128
	fieldOverhead = 24
)

// putLength writes the length of the message that begins at start into the two
// bytes before it, and makes room when that is too little. A varint may have
// more bytes than it needs.
func putLength(b []byte, start int) []byte {
	n := len(b) - start
	if n < 1<<14 {
		b[start-2], b[start-1] = byte(n)|0x80, byte(n>>7)
		return b
	}
	length := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(n))
	return append(b[:start-2], append(length, b[start:]...)...)
}

// name returns the name for a text, nil for a text that has none, and writes it
// if this batch has not got it yet.
func (c *LogEncoder) name(b []byte, text string) ([]byte, *name) {
	size := len(text)
	if size == 0 || size > pb.MaxNameBytes {
		return b, nil
	}
	slot := &c.recent[byte(int(text[0])+int(text[size/2])<<2+int(text[size-1])<<4+size)]
	n := *slot
	if n == nil || n.text != text {
		if n = c.names[text]; n == nil {
			if len(c.names) >= pb.MaxNames || !utf8.ValidString(text) {
				return b, nil
			}
			n = &name{text: strings.Clone(text)}
			c.names[n.text] = n
		}
		*slot = n
	}
	if n.batch != c.batch {
		c.used++
		n.batch, n.ref = c.batch, c.used
		b = append(b, tag2(pb.TagNames)...)
		b = binary.AppendUvarint(b, uint64(size))
		b = append(b, text...)
	}
	return b, n
}

// within returns s as valid UTF-8, which it is when it lies inside text.
func within(text []byte, s string) string {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(unsafe.SliceData(text)))
	if at <= uintptr(len(text)) && uintptr(len(s)) <= uintptr(len(text))-at {
		return s
	}
	if len(s) <= 32 && isASCII(s) {
		return s // one of the plugin's own words
	}
	return Valid(s)
}

func isASCII(s string) bool {
	var set byte
	for i := range len(s) {
		set |= s[i]
	}
	return set < utf8.RuneSelf
}
