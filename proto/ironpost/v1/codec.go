package ironpostv1

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Codec is the gRPC codec of both ends. It moves *Frame without touching its
// records and leaves every other message, go-plugin's own among them, to
// standard protobuf. It is safe for concurrent use.
type Codec struct {
	Pool mem.BufferPool
}

var _ encoding.CodecV2 = Codec{}

// Name returns "proto": what is on the wire is protobuf, whoever encoded it.
func (Codec) Name() string { return "proto" }

// Marshal encodes a *Frame or a proto.Message.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Frame:
		return m.marshal(c.Pool)
	case proto.Message:
		b, err := proto.Marshal(m)
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return nil, fmt.Errorf("encode %T: not a protobuf message", v)
}

// Unmarshal decodes into a *Frame, which takes a reference to the bytes, or
// into a proto.Message.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *Frame:
		return m.unmarshal(data, nil, data.Len(), c.Pool)
	case proto.Message:
		buf := data.MaterializeToBuffer(c.Pool)
		defer buf.Free()
		return proto.Unmarshal(buf.ReadOnlyData(), m)
	}
	return fmt.Errorf("decode into %T: not a protobuf message", v)
}

// Pool is a buffer pool in powers of two from 1 KiB to 4 MiB that does not
// clear what it hands out. (The default pool of gRPC clears the whole buffer of
// its size class at every Get.) The zero value is ready to use.
type Pool struct {
	classes [poolClasses]sync.Pool
}

const (
	minPoolShift = 10
	poolClasses  = 13 // 1 KiB << 12 = 4 MiB
)

var _ mem.BufferPool = (*Pool)(nil)

// Get returns a slice of the given length with arbitrary contents.
func (p *Pool) Get(length int) *[]byte {
	c := classOf(length)
	if c >= poolClasses {
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.classes[c].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<(minPoolShift+c))
	return &b
}

// Put takes a slice back. Slices that did not come from Get may be given.
func (p *Pool) Put(b *[]byte) {
	c := classOf(cap(*b))
	if c < poolClasses && cap(*b) == 1<<(minPoolShift+c) {
		p.classes[c].Put(b)
	}
}

// classOf returns the smallest class whose buffers hold length bytes.
func classOf(length int) int {
	c := 0
	for c < poolClasses && 1<<(minPoolShift+c) < length {
		c++
	}
	return c
}
