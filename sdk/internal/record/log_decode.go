package record

import (
	"encoding/binary"
	"time"
	"unsafe"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Names are the names of a batch at hand. Their texts outlive the batch: the same
// text is the same string in every batch, which makes comparing it cheap. The
// zero value is ready; it is for one goroutine.
type Names struct {
	list  []string // the first is "", which a reference of 0 stands for
	texts map[string]string
	// time is the one of nanos, which events often share with those before them.
	nanos int64
	time  time.Time
}

// Reset begins another batch.
func (n *Names) Reset() {
	n.list = append(n.list[:0], "")
	if n.texts == nil || len(n.texts) >= pb.MaxNames {
		n.texts = make(map[string]string)
	}
}

// Add takes the next name of the batch. What is beyond the bounds stands for "".
func (n *Names) Add(text []byte) {
	if len(n.list) == 0 {
		n.Reset()
	}
	if len(n.list) > pb.MaxNames {
		return
	}
	if len(text) > pb.MaxNameBytes {
		text = nil
	}
	s, ok := n.texts[string(text)]
	if !ok {
		s = string(text)
		if len(n.texts) < 2*pb.MaxNames {
			n.texts[s] = s
		}
	}
	n.list = append(n.list, s)
}

// at returns a name by its reference.
func (n *Names) at(ref uint64) (string, error) {
	if n == nil || ref >= uint64(len(n.list)) {
		return "", ErrMalformed
	}
	return n.list[ref], nil
}

// DecodeLog is [Names.DecodeLog] for an event that refers to no names.
func DecodeLog(body []byte, base uint64, e *event.LogEvent) error {
	return (*Names)(nil).DecodeLog(body, base, e)
}

// DecodeLog fills e from the body of a LogEvent, whatever e held before. Strings
// alias body or are names. Stream and ObservedTime are left alone unless the
// record carries its own; the capacity of Fields is used again, and what lies
// beyond their length may be left from earlier events.
func (n *Names) DecodeLog(body []byte, base uint64, e *event.LogEvent) error {
	at := n.decodeUsual(body, base, e)
	if at == len(body) && at > 0 {
		return nil
	}
	if at == 0 {
		e.Sequence, e.Time, e.Severity, e.Flags = base, time.Time{}, 0, 0
		e.Host, e.Process, e.PID, e.Message = "", "", 0, ""
		e.Fields = e.Fields[:0]
	}
	return n.decodeRest(body[at:], base, e)
}

// decodeUsual reads as much of an event as has the form that LogEncoder gives to
// the usual ones, and returns how long that is.
func (n *Names) decodeUsual(body []byte, base uint64, e *event.LogEvent) int {
	e.Raw, e.Reason = nil, ""
	var h head
	if n == nil || !h.take(body) {
		return 0
	}
	// Index 0 of names is "", as for every 0 of protobuf.
	names := n.list
	if uint64(h.host) >= uint64(len(names)) || uint64(h.process) >= uint64(len(names)) {
		return 0
	}
	if h.time != n.nanos {
		n.nanos, n.time = h.time, Time(h.time)
	}
	e.Sequence, e.Time, e.Severity, e.Flags, e.PID = base+h.offset, n.time, h.severity, h.flags, h.pid
	e.Host, e.Process, e.Message = names[h.host], names[h.process], alias(body[headSize:headSize+h.message])

	at := headSize + h.message
	fields := e.Fields[:0]
	for len(body)-at >= 6 && len(fields) < MaxFields {
		// A field, its length, a value, its length.
		w := binary.LittleEndian.Uint32(body[at:])
		size := int(w >> 24)
		extra := int(w>>8&0xff) - size
		end := at + 4 + size
		if w&0x80ff_80ff != (2<<3|wireBytes)<<16|10<<3|wireBytes || end+2 > len(body) || body[end] != 3<<3|wireVarint {
			break
		}
		ref := uint(body[end+1])
		switch {
		case extra == 4 && ref < 0x80:
			end += 2
		case extra == 5 && ref >= 0x80 && end+3 <= len(body) && body[end+2] < 0x80:
			ref = ref&0x7f | uint(body[end+2])<<7
			end += 3
		default:
			ref = uint(len(names)) // of another form
		}
		if ref >= uint(len(names)) {
			break
		}
		fields = append(fields, event.Field{Key: names[ref], Value: alias(body[at+4 : at+4+size])})
		at = end
	}
	e.Fields = fields
	return at
}

// decodeRest adds what the members in b say, in any form and order.
func (n *Names) decodeRest(b []byte, base uint64, e *event.LogEvent) error {
	for len(b) > 1 {
		// The usual forms at first: a tag of one byte, then a number below 16384,
		// eight bytes, or a length below 16384 and as many bytes.
		tag, size, value := b[0], 0, uint64(0)
		switch {
		case tag >= 0x80 || tag < 1<<3:
		case tag&7 == wireFixed64:
			if len(b) >= 9 {
				size, value = 9, binary.LittleEndian.Uint64(b[1:])
			}
		case b[1] < 0x80:
			size, value = 2, uint64(b[1])
		case len(b) > 2 && b[2] < 0x80:
			size, value = 3, uint64(b[1]&0x7f)|uint64(b[2])<<7
		}
		var text []byte
		if tag&7 == wireBytes && size > 0 {
			if value > uint64(len(b)-size) {
				return ErrMalformed
			}
			end := size + int(value)
			text, size = b[size:end:end], end
		}
		if wire := tag & 7; size == 0 || wire > wireBytes {
			r := reader{b: b}
			if !r.nextRare() {
				return r.err
			}
			if err := n.member(&r, base, e); err != nil {
				return err
			}
			b = r.b
			continue
		}
		b = b[size:]
		switch tag {
		case 1<<3 | wireVarint:
			e.Sequence = base + uint64(uint32(value))
		case 2<<3 | wireFixed64:
			e.Time = Time(int64(value))
		case 4<<3 | wireVarint:
			e.Severity = event.Severity(min(value, 255))
		case 5<<3 | wireVarint:
			e.Flags = event.Flags(value)
		case 8<<3 | wireVarint:
			e.PID = uint32(value)
		case 9<<3 | wireBytes:
			e.Message = alias(text)
		case 10<<3 | wireBytes:
			if len(e.Fields) >= MaxFields {
				return ErrMalformed
			}
			f, err := n.field(text)
			if err != nil {
				return err
			}
			e.Fields = append(e.Fields, f)
		default:
			r := reader{number: int(tag >> 3), wire: int(tag & 7), value: value, bytes: text}
			if r.wire == wireBytes {
				r.value = 0
			}
			if err := n.member(&r, base, e); err != nil {
				return err
			}
		}
	}
	if len(b) > 0 {
		return ErrMalformed
	}
	return nil
}

// member takes the field at hand.
func (n *Names) member(r *reader, base uint64, e *event.LogEvent) error {
	switch r.number {
	case 1:
		e.Sequence = base + uint64(uint32(r.value))
	case 2:
		e.Time = Time(int64(r.value))
	case 3:
		if r.value != 0 {
			e.ObservedTime = Time(int64(r.value))
		}
	case 4:
		e.Severity = event.Severity(min(r.value, 255))
	case 5:
		e.Flags = event.Flags(r.value)
	case 6:
		e.Host = r.string()
	case 7:
		e.Process = r.string()
	case 8:
		e.PID = uint32(r.value)
	case 9:
		e.Message = r.string()
	case 10:
		if len(e.Fields) >= MaxFields {
			return ErrMalformed
		}
		f, err := n.field(r.bytes)
		if err != nil {
			return err
		}
		e.Fields = append(e.Fields, f)
	case 11:
		e.Raw = r.bytes
	case 12:
		e.Reason = r.string()
	case 13:
		id, err := decodeID(r.bytes)
		if err != nil {
			return err
		}
		e.Stream, e.Sequence = &event.Stream{ID: id.Stream}, id.Sequence
	case 14, 15:
		if r.value == 0 {
			return nil
		}
		text, err := n.at(r.value)
		if err != nil {
			return err
		}
		if r.number == 14 {
			e.Host = text
		} else {
			e.Process = text
		}
	}
	return nil
}

// alias returns the bytes as a string that aliases them.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// field decodes a field whose key may be a name.
func (n *Names) field(b []byte) (event.Field, error) {
	// The usual form: a short value, then a reference of one byte.
	if size := len(b) - 4; size >= 0 && b[0] == 2<<3|wireBytes && int(b[1]) == size && size < 0x80 &&
		b[len(b)-2] == 3<<3|wireVarint && b[len(b)-1]-1 < 0x7f {
		key, err := n.at(uint64(b[len(b)-1]))
		return event.Field{Key: key, Value: alias(b[2 : 2+size])}, err
	}
	r := reader{b: b}
	var f event.Field
	var err error
	for r.next() {
		switch r.number {
		case 1:
			f.Key = r.string()
		case 2:
			f.Value = r.string()
		case 3:
			if r.value == 0 {
				continue
			}
			if f.Key, err = n.at(r.value); err != nil {
				return f, err
			}
		}
	}
	return f, r.err
}
