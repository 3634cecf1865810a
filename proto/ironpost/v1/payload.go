package ironpostv1

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Records calls yield with each record of the payload, in order, until it
// returns false; it passes over names. The slices alias payload. A payload that
// holds anything else is malformed.
func Records(kind Kind, payload []byte, yield func(record []byte) bool) error {
	r := NewReader(kind, payload)
	for r.Next() {
		if !r.IsName && !yield(r.Item) {
			return nil
		}
	}
	return r.Err
}

// NamedRecords is Records; name is called with each name where it stands among
// the records.
func NamedRecords(kind Kind, payload []byte, name func(text []byte), yield func(record []byte) bool) error {
	r := NewReader(kind, payload)
	for r.Next() {
		if r.IsName {
			name(r.Item)
		} else if !yield(r.Item) {
			return nil
		}
	}
	return r.Err
}

// Reader walks over the records and names of a payload:
//
//	for r := NewReader(kind, payload); r.Next(); {
//		... r.Item, r.IsName
//	}
type Reader struct {
	// Item is the record or the name at hand; it aliases the payload.
	Item   []byte
	IsName bool
	// Err is ErrMalformed when the payload holds anything else; Next is false then.
	Err error

	rest          []byte
	kind          Kind
	first, second byte // the tag of a record
}

// NewReader returns a Reader of a payload with records of a kind.
func NewReader(kind Kind, payload []byte) Reader {
	tag := PayloadTag(kind)
	r := Reader{rest: payload, kind: kind, first: byte(tag)<<3 | byte(protowire.BytesType) | 0x80, second: byte(tag >> 4)}
	if tag == 0 {
		r.first = 0 // no record begins with it
	}
	return r
}

// Next advances to the next item; false at the end and at the first error.
func (r *Reader) Next() bool {
	// The usual record: a tag of two bytes and a length of one or two.
	if b := r.rest; len(b) >= 4 && b[0] == r.first && b[1] == r.second && b[2]&b[3] < 0x80 {
		head, n := 3, int(b[2])
		if n >= 0x80 {
			head, n = 4, n&0x7f|int(b[3])<<7
		}
		if end := head + n; end <= len(b) {
			r.Item, r.IsName, r.rest = b[head:end:end], false, b[end:]
			return true
		}
	}
	return r.rare()
}

// rare is Next for every form of an item.
func (r *Reader) rare() bool {
	if len(r.rest) == 0 || r.Err != nil {
		return false
	}
	tag, body, n, err := consume(r.rest)
	switch {
	case err != nil:
		r.Err = fmt.Errorf("%w: a record: %w", ErrMalformed, err)
		return false
	case tag == PayloadTag(r.kind):
		r.IsName = false
	case tag == TagNames && r.kind == Kind_KIND_LOG:
		r.IsName = true
	default:
		r.Err = fmt.Errorf("%w: field %d among records of kind %v", ErrMalformed, tag, r.kind)
		return false
	}
	r.Item, r.rest = body, r.rest[n:]
	return true
}

// consume reads one length-delimited field and returns its number, its body and
// how many bytes it takes.
func consume(b []byte) (tag protowire.Number, body []byte, n int, err error) {
	tag, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, 0, protowire.ParseError(n)
	}
	if typ != protowire.BytesType {
		return 0, nil, 0, fmt.Errorf("field %d is of wire type %d", tag, typ)
	}
	body, m := protowire.ConsumeBytes(b[n:])
	if m < 0 {
		return 0, nil, 0, protowire.ParseError(m)
	}
	return tag, slices.Clip(body), n + m, nil
}

// The field numbers of Batch inside a payload.
const (
	TagNames     = 16
	TagRaw       = 17
	TagLog       = 18
	TagPacket    = 19
	TagAlert     = 20
	TagAction    = 21
	TagInventory = 23
)

// PayloadTag returns the field number that holds records of a kind in Batch, 0
// for a kind that has none.
func PayloadTag(kind Kind) protowire.Number {
	switch kind {
	case Kind_KIND_RAW:
		return TagRaw
	case Kind_KIND_LOG:
		return TagLog
	case Kind_KIND_PACKET:
		return TagPacket
	case Kind_KIND_ALERT:
		return TagAlert
	case Kind_KIND_ACTION:
		return TagAction
	case Kind_KIND_INVENTORY:
		return TagInventory
	}
	return 0
}

// Batch decodes the whole frame into the plain message, unpacked, for who is not
// in a hurry. The result shares no memory with the frame.
func (f *Frame) Batch() (*Batch, error) {
	b := &Batch{
		Stream: f.Stream, FirstSequence: f.FirstSequence, Kind: f.Kind, Count: f.Count, Provenance: f.Provenance,
		ObservedTime: uint64(f.ObservedTime), Payload: f.Payload(),
	}
	if len(f.Origin) > 0 {
		b.Origin = new(Origin)
		if err := proto.Unmarshal(f.Origin, b.Origin); err != nil {
			return nil, fmt.Errorf("%w: origin: %w", ErrMalformed, err)
		}
	}
	return b, b.Unpack()
}

// Unpack moves the records from the payload into the lists, and replaces what log
// events leave to the batch by the texts and the time. Count becomes the number
// of records that are there.
func (b *Batch) Unpack() error {
	if len(b.Payload) == 0 {
		return nil
	}
	var records Batch
	if err := proto.Unmarshal(b.Payload, &records); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	b.Payload, b.Names = nil, records.Names
	n := 0
	switch b.Kind {
	case Kind_KIND_RAW:
		b.Raw, n = records.Raw, len(records.Raw)
	case Kind_KIND_LOG:
		b.Logs, n = records.Logs, len(records.Logs)
	case Kind_KIND_PACKET:
		b.Packets, n = records.Packets, len(records.Packets)
	case Kind_KIND_ALERT:
		b.Alerts, n = records.Alerts, len(records.Alerts)
	case Kind_KIND_ACTION:
		b.Actions, n = records.Actions, len(records.Actions)
	case Kind_KIND_INVENTORY:
		b.Inventory, n = records.Inventory, len(records.Inventory)
	}
	b.Count = uint32(n)
	return b.resolve()
}

// resolve replaces what log events leave to the batch by the texts and the time.
func (b *Batch) resolve() error {
	text := func(s *string, ref *uint32) error {
		if *ref == 0 {
			return nil
		}
		if int64(*ref) > int64(len(b.Names)) {
			return fmt.Errorf("%w: name %d of %d", ErrMalformed, *ref, len(b.Names))
		}
		*s, *ref = b.Names[*ref-1], 0
		return nil
	}
	for _, e := range b.Logs {
		if e.ObservedTime == 0 {
			e.ObservedTime = b.ObservedTime
		}
		if err := text(&e.Host, &e.HostRef); err != nil {
			return err
		}
		if err := text(&e.Process, &e.ProcessRef); err != nil {
			return err
		}
		for _, f := range e.Fields {
			if err := text(&f.Key, &f.KeyRef); err != nil {
				return err
			}
		}
	}
	b.Names = nil
	return nil
}
