package ironpostv1

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The field numbers of Batch.
const (
	tagStream        = 1
	tagFirstSequence = 2
	tagKind          = 3
	tagCount         = 4
	tagProvenance    = 5
	tagNumber        = 6
	tagAnswers       = 7
	tagObservedTime  = 8
	tagOrigin        = 9
	tagCheckpoint    = 10
	tagSkipBefore    = 11
	tagTruncated     = 12
	tagAck           = 13
	tagControl       = 14
	tagNextSequence  = 15
	firstPayloadTag  = 16
)

// ErrMalformed is wrapped by every error about bytes that are no Batch.
var ErrMalformed = errors.New("malformed batch")

// Header is the decoded header of a Batch; see the comments there.
type Header struct {
	Stream        uint64
	FirstSequence uint64
	Kind          Kind
	Count         uint32
	Provenance    Provenance
	Number        uint64
	Answers       uint64
	ObservedTime  int64
	// Origin is the encoded Origin message. In a received frame it aliases the
	// frame's buffer.
	Origin []byte
	// Checkpoint aliases the frame's buffer in a received frame.
	Checkpoint   []byte
	SkipBefore   uint64
	Truncated    []uint32
	Ack          *Ack
	Control      *LinkControl
	NextSequence uint64
}

// Frame is a Batch whose records are bytes.
//
// A frame that was received, or made with NewFrame, owns a reference to a
// pooled buffer: call Free once when done, and With for each further owner. Until
// then the payload may be read by any number of goroutines; nobody may write it.
// The Frame value itself belongs to one goroutine at a time.
type Frame struct {
	Header
	buffer  mem.Buffer // nil when there are no records
	backing mem.Buffer // what Header's slices alias in a received frame; nil otherwise
}

// NewFrame returns a frame that owns payload: encoded records, all of the
// fields that header.Kind names. The slice goes to pool when the last owner
// frees the frame; pool may be nil.
func NewFrame(header Header, payload *[]byte, pool mem.BufferPool) *Frame {
	f := &Frame{Header: header}
	if payload != nil && len(*payload) > 0 {
		f.buffer = mem.NewBuffer(payload, pool)
	}
	return f
}

// With returns a new frame with another header and the same records, holding a
// reference of its own. The header may alias this frame's buffer, as a copy of
// its own header does.
func (f *Frame) With(header Header) *Frame {
	g := &Frame{Header: header, buffer: f.buffer, backing: f.backing}
	if g.buffer != nil {
		g.buffer.Ref()
	}
	if g.backing != nil {
		g.backing.Ref()
	}
	return g
}

// Payload returns the encoded records. They are valid until Free.
func (f *Frame) Payload() []byte {
	if f.buffer == nil {
		return nil
	}
	return f.buffer.ReadOnlyData()
}

// Size returns the length of the payload in bytes.
func (f *Frame) Size() int {
	if f.buffer == nil {
		return 0
	}
	return f.buffer.Len()
}

// Batch decodes the whole frame into the plain message, for who is not in a
// hurry. The result shares no memory with the frame.
func (f *Frame) Batch() (*Batch, error) {
	b := new(Batch)
	if err := proto.Unmarshal(f.Payload(), b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	b.Stream, b.FirstSequence, b.Kind, b.Count, b.Provenance = f.Stream, f.FirstSequence, f.Kind, f.Count, f.Provenance
	b.ObservedTime = uint64(f.ObservedTime)
	if len(f.Origin) > 0 {
		b.Origin = new(Origin)
		if err := proto.Unmarshal(f.Origin, b.Origin); err != nil {
			return nil, fmt.Errorf("%w: origin: %w", ErrMalformed, err)
		}
	}
	return b, nil
}

// Free gives the frame's reference back. Freeing twice is harmless.
func (f *Frame) Free() {
	if f.buffer != nil {
		f.buffer.Free()
		f.buffer = nil
	}
	if f.backing != nil {
		f.backing.Free()
		f.backing = nil
		f.Origin, f.Checkpoint = nil, nil
	}
}

// marshal returns the wire form. The payload is not copied; the result holds a
// reference of its own.
func (f *Frame) marshal() (mem.BufferSlice, error) {
	header, err := appendHeader(make([]byte, 0, 96+len(f.Origin)+len(f.Checkpoint)), &f.Header)
	if err != nil {
		return nil, err
	}
	out := append(make(mem.BufferSlice, 0, 2), mem.SliceBuffer(header))
	if f.buffer != nil {
		f.buffer.Ref()
		out = append(out, f.buffer)
	}
	return out, nil
}

// unmarshal takes the frame from its wire form, and a reference to the bytes.
func (f *Frame) unmarshal(data mem.BufferSlice, pool mem.BufferPool) error {
	f.Free()
	if n := data.Len(); n > MaxMessageBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, n, MaxMessageBytes)
	}
	whole := data.MaterializeToBuffer(pool)
	bytes := whole.ReadOnlyData()
	f.Header = Header{}
	n, err := parseHeader(bytes, &f.Header)
	if err != nil {
		whole.Free()
		f.Header = Header{}
		return err
	}
	if rest := len(bytes) - n; rest > MaxBatchBytes {
		err = fmt.Errorf("%w: payload of %d bytes, at most %d are allowed", ErrMalformed, rest, MaxBatchBytes)
	} else {
		err = checkPayload(&f.Header, bytes[n:])
	}
	if err != nil {
		whole.Free()
		f.Header = Header{}
		return err
	}
	f.backing = whole
	if n < len(bytes) {
		f.buffer = whole.Slice(n, len(bytes))
	}
	return nil
}

func appendHeader(b []byte, h *Header) ([]byte, error) {
	fixed := func(tag protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, tag, protowire.Fixed64Type)
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	varint := func(tag protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, tag, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	blob := func(tag protowire.Number, v []byte) {
		if len(v) != 0 {
			b = protowire.AppendTag(b, tag, protowire.BytesType)
			b = protowire.AppendBytes(b, v)
		}
	}
	fixed(tagStream, h.Stream)
	fixed(tagFirstSequence, h.FirstSequence)
	varint(tagKind, uint64(h.Kind))
	varint(tagCount, uint64(h.Count))
	varint(tagProvenance, uint64(h.Provenance))
	varint(tagNumber, h.Number)
	varint(tagAnswers, h.Answers)
	fixed(tagObservedTime, uint64(h.ObservedTime))
	blob(tagOrigin, h.Origin)
	blob(tagCheckpoint, h.Checkpoint)
	fixed(tagSkipBefore, h.SkipBefore)
	if len(h.Truncated) > 0 {
		var packed []byte
		for _, i := range h.Truncated {
			packed = protowire.AppendVarint(packed, uint64(i))
		}
		blob(tagTruncated, packed)
	}
	if h.Ack != nil {
		ack, err := proto.Marshal(h.Ack)
		if err != nil {
			return nil, fmt.Errorf("encode acknowledgement: %w", err)
		}
		b = protowire.AppendTag(b, tagAck, protowire.BytesType)
		b = protowire.AppendBytes(b, ack)
	}
	if h.Control != nil {
		control, err := proto.Marshal(h.Control)
		if err != nil {
			return nil, fmt.Errorf("encode control data: %w", err)
		}
		b = protowire.AppendTag(b, tagControl, protowire.BytesType)
		b = protowire.AppendBytes(b, control)
	}
	fixed(tagNextSequence, h.NextSequence)
	return b, nil
}

// checkPayload checks that nothing but records of the header's kind follows the
// header, as many as it counts: a header field cannot hide behind the records,
// where a reader of the plain message would take it for the header, and sequence
// numbers that follow from the count are right.
func checkPayload(h *Header, payload []byte) error {
	n := 0
	for at := 0; at < len(payload); n++ {
		_, end, err := nextRecord(h.Kind, payload, at)
		if err != nil {
			return err
		}
		at = end
	}
	if n != int(h.Count) {
		return fmt.Errorf("%w: %d records, and the header counts %d", ErrMalformed, n, h.Count)
	}
	return nil
}

// parseHeader decodes the header and returns the offset of the first payload
// field.
func parseHeader(b []byte, h *Header) (int, error) {
	at := 0
	for at < len(b) {
		tag, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return 0, fmt.Errorf("%w: tag at byte %d: %w", ErrMalformed, at, protowire.ParseError(n))
		}
		if tag >= firstPayloadTag {
			break
		}
		at += n
		n, err := parseField(b[at:], tag, typ, h)
		if err != nil {
			return 0, fmt.Errorf("%w: header field %d: %w", ErrMalformed, tag, err)
		}
		at += n
	}
	return at, nil
}

func parseField(b []byte, tag protowire.Number, typ protowire.Type, h *Header) (int, error) {
	switch typ {
	case protowire.Fixed64Type:
		v, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		switch tag {
		case tagStream:
			h.Stream = v
		case tagFirstSequence:
			h.FirstSequence = v
		case tagObservedTime:
			h.ObservedTime = int64(v)
		case tagSkipBefore:
			h.SkipBefore = v
		case tagNextSequence:
			h.NextSequence = v
		}
		return n, nil
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		switch tag {
		case tagKind:
			// What is not known here must not become something else in a
			// narrower type.
			if v > uint64(Kind_KIND_COVERAGE_GAP) {
				return 0, fmt.Errorf("kind %d is unknown", v)
			}
			h.Kind = Kind(v)
		case tagCount:
			if v > MaxBatchBytes {
				return 0, fmt.Errorf("%d records in a batch", v)
			}
			h.Count = uint32(v)
		case tagProvenance:
			if v > uint64(Provenance_PROVENANCE_NETWORK) {
				return 0, fmt.Errorf("provenance %d is unknown", v)
			}
			h.Provenance = Provenance(v)
		case tagNumber:
			h.Number = v
		case tagAnswers:
			h.Answers = v
		case tagTruncated:
			return n, appendTruncated(h, v)
		}
		return n, nil
	case protowire.BytesType:
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		return n, parseBytes(v, tag, h)
	default:
		n := protowire.ConsumeFieldValue(tag, typ, b)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		return n, nil
	}
}

func parseBytes(v []byte, tag protowire.Number, h *Header) error {
	switch tag {
	case tagOrigin:
		h.Origin = v
	case tagCheckpoint:
		if len(v) > MaxCheckpointBytes {
			return fmt.Errorf("checkpoint of %d bytes, at most %d are allowed", len(v), MaxCheckpointBytes)
		}
		h.Checkpoint = v
	case tagTruncated:
		for len(v) > 0 {
			i, n := protowire.ConsumeVarint(v)
			if n < 0 {
				return protowire.ParseError(n)
			}
			if err := appendTruncated(h, i); err != nil {
				return err
			}
			v = v[n:]
		}
	case tagAck:
		ack, err := parseAck(v)
		h.Ack = ack
		return err
	case tagControl:
		h.Control = new(LinkControl)
		return proto.Unmarshal(v, h.Control)
	}
	return nil
}

// appendTruncated keeps the list ascending, and so no longer than the batch.
func appendTruncated(h *Header, i uint64) error {
	if n := len(h.Truncated); i >= MaxBatchBytes || n > 0 && uint64(h.Truncated[n-1]) >= i {
		return errors.New("indices of cut records are not ascending")
	}
	h.Truncated = append(h.Truncated, uint32(i))
	return nil
}

// PayloadTag returns the field number that holds records of a kind in Batch, 0
// for a kind that has none.
func PayloadTag(kind Kind) protowire.Number {
	switch kind {
	case Kind_KIND_RAW:
		return 16
	case Kind_KIND_LOG:
		return 17
	case Kind_KIND_PACKET:
		return 18
	case Kind_KIND_ALERT:
		return 19
	case Kind_KIND_ACTION:
		return 20
	}
	return 0
}

// Records calls yield with each record of the payload, in order, until it
// returns false. The slices alias payload. A payload that holds anything but
// records of this kind is malformed.
func Records(kind Kind, payload []byte, yield func(record []byte) bool) error {
	for at := 0; at < len(payload); {
		start, end, err := nextRecord(kind, payload, at)
		if err != nil {
			return err
		}
		if at = end; !yield(payload[start:end:end]) {
			return nil
		}
	}
	return nil
}

// nextRecord returns the bounds of the record whose tag is at a byte offset.
func nextRecord(kind Kind, payload []byte, at int) (start, end int, err error) {
	want := PayloadTag(kind)
	b := payload[at:]
	// The usual record: a tag of two bytes and a length of one or two.
	if len(b) > 4 && b[0] == byte(want)<<3|byte(protowire.BytesType)|0x80 && b[1] == byte(want>>4) && want != 0 {
		if n := int(b[2]); n < 0x80 && n <= len(b)-3 {
			return at + 3, at + 3 + n, nil
		} else if n = n&0x7f | int(b[3])<<7; b[2] >= 0x80 && b[3] < 0x80 && n <= len(b)-4 {
			return at + 4, at + 4 + n, nil
		}
	}
	tag, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, 0, fmt.Errorf("%w: tag at payload byte %d: %w", ErrMalformed, at, protowire.ParseError(n))
	}
	if tag != want || typ != protowire.BytesType {
		return 0, 0, fmt.Errorf("%w: field %d among records of kind %v", ErrMalformed, tag, kind)
	}
	record, m := protowire.ConsumeBytes(b[n:])
	if m < 0 {
		return 0, 0, fmt.Errorf("%w: record at payload byte %d: %w", ErrMalformed, at, protowire.ParseError(m))
	}
	end = at + n + m
	return end - len(record), end, nil
}
