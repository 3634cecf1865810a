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
	tagPayload       = 22
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
// A frame that was received, or made with NewFrame, owns a reference to pooled
// buffers: call Free once when done, and With for each further owner. Until then
// the payload may be read by any number of goroutines; nobody may write it. The
// Frame value itself belongs to one goroutine at a time.
type Frame struct {
	Header
	payload *payload   // nil when there are no records
	backing mem.Buffer // what Header's slices alias in a received frame; nil otherwise
}

// NewFrame returns a frame that owns records: encoded, all of the fields that
// header.Kind names. The slice goes to pool when the last owner frees the frame;
// pool may be nil.
func NewFrame(header Header, records *[]byte, pool mem.BufferPool) *Frame {
	f := &Frame{Header: header}
	if records != nil && len(*records) > 0 {
		f.payload = newPayload(mem.BufferSlice{mem.NewBuffer(records, pool)}, nil, len(*records), nil)
	}
	return f
}

// With returns a new frame with another header and the same records, holding a
// reference of its own. The header may alias this frame's buffer, as a copy of
// its own header does.
func (f *Frame) With(header Header) *Frame {
	g := &Frame{Header: header, payload: f.payload, backing: f.backing}
	if g.payload != nil {
		g.payload.refs.Add(1)
	}
	if g.backing != nil {
		g.backing.Ref()
	}
	return g
}

// Payload returns the encoded records. They are valid until Free.
func (f *Frame) Payload() []byte {
	if f.payload == nil {
		return nil
	}
	return f.payload.bytes()
}

// Size returns the length of the payload in bytes.
func (f *Frame) Size() int {
	if f.payload == nil {
		return 0
	}
	return f.payload.size
}

// Free gives the frame's reference back. Freeing twice is harmless.
func (f *Frame) Free() {
	if f.payload != nil {
		f.payload.free()
		f.payload = nil
	}
	if f.backing != nil {
		f.backing.Free()
		f.backing = nil
		f.Origin, f.Checkpoint = nil, nil
	}
}

// marshal returns the wire form. The payload is not copied; the result holds a
// reference of its own. The header's bytes come from pool, which may be nil.
func (f *Frame) marshal(pool mem.BufferPool) (mem.BufferSlice, error) {
	var header *[]byte
	// Smaller slices do not come back to a pool (mem.IsBelowBufferPoolingThreshold).
	if size := max(2<<10, 128+len(f.Origin)+len(f.Checkpoint)); pool != nil {
		header = pool.Get(size)
		*header = (*header)[:0]
	} else {
		b := make([]byte, 0, size)
		header = &b
	}
	b, err := appendHeader(*header, &f.Header)
	if err != nil {
		return nil, err
	}
	var pieces mem.BufferSlice
	if f.payload != nil {
		pieces = f.payload.inMemory()
		b = protowire.AppendTag(b, tagPayload, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(f.payload.size))
	}
	*header = b
	return append(append(make(mem.BufferSlice, 0, 1+len(pieces)), mem.NewBuffer(header, pool)), pieces...), nil
}

// unmarshal takes the frame from its wire form of total bytes: pieces, to which
// it takes references, and a parcel that follows them, which becomes its own.
// parcel may be nil.
func (f *Frame) unmarshal(data mem.BufferSlice, parcel Parcel, total int, pool mem.BufferPool) error {
	f.Free()
	f.Header = Header{}
	if total > MaxMessageBytes || total == 0 {
		if parcel != nil {
			parcel.Free()
		}
		if total == 0 {
			return nil
		}
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, total, MaxMessageBytes)
	}
	first, rest := data[0], data[1:]
	n, size, err := parseHeader(first.ReadOnlyData(), &f.Header)
	if (len(rest) > 0 || parcel != nil) && (err != nil || n == first.Len()) {
		// The header goes on in the next piece.
		data.Ref()
		whole := newPayload(data, parcel, total, pool)
		whole.bytes()
		first, rest, parcel = whole.pieces[0], nil, nil
		first.Ref()
		whole.free()
		f.Header = Header{}
		n, size, err = parseHeader(first.ReadOnlyData(), &f.Header)
	} else {
		first.Ref()
	}
	switch {
	case err != nil:
	case size > MaxBatchBytes:
		err = fmt.Errorf("%w: payload of %d bytes, at most %d are allowed", ErrMalformed, size, MaxBatchBytes)
	case size != uint64(total-n):
		err = fmt.Errorf("%w: payload of %d bytes, and %d follow the header", ErrMalformed, size, total-n)
	case size == 0 && f.Count > 0:
		err = fmt.Errorf("%w: no payload, and the header counts %d records", ErrMalformed, f.Count)
	case uint64(f.Count) > size:
		err = fmt.Errorf("%w: %d records in %d bytes", ErrMalformed, f.Count, size)
	}
	if err != nil {
		first.Free()
		if parcel != nil {
			parcel.Free()
		}
		f.Header = Header{}
		return err
	}
	if size > 0 {
		pieces := append(make(mem.BufferSlice, 0, 1+len(rest)), first.Slice(n, first.Len()))
		rest.Ref()
		f.payload = newPayload(append(pieces, rest...), parcel, int(size), pool)
	}
	f.backing = first
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
		b = protowire.AppendTag(b, tagAck, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(proto.Size(h.Ack)))
		var err error
		if b, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, h.Ack); err != nil {
			return nil, fmt.Errorf("encode acknowledgement: %w", err)
		}
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

// parseHeader decodes the header and returns the offset of the payload's bytes and
// how many there are to be; 0 when there is none.
func parseHeader(b []byte, h *Header) (at int, size uint64, err error) {
	for at < len(b) {
		tag, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return 0, 0, fmt.Errorf("%w: tag at byte %d: %w", ErrMalformed, at, protowire.ParseError(n))
		}
		at += n
		if tag == tagPayload && typ == protowire.BytesType {
			size, n := protowire.ConsumeVarint(b[at:])
			if n < 0 {
				return 0, 0, fmt.Errorf("%w: length of the payload: %w", ErrMalformed, protowire.ParseError(n))
			}
			return at + n, size, nil
		}
		if tag >= TagNames {
			return 0, 0, fmt.Errorf("%w: field %d, where records are in the payload", ErrMalformed, tag)
		}
		n, err := parseField(b[at:], tag, typ, h)
		if err != nil {
			return 0, 0, fmt.Errorf("%w: header field %d: %w", ErrMalformed, tag, err)
		}
		at += n
	}
	return at, 0, nil
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
