package ironpostv1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The plain form of the event streams, for a plugin whose description says
// frames: the same Batches as over gRPC, without HTTP/2 around them. The host
// connects to the plugin's socket once more and writes a preface of PrefaceBytes
// that names the kind of the stream; an HTTP/2 client writes another one of the
// same length. Then both sides send frames: the length of a Batch, four bytes in
// little-endian order, and the Batch. The plugin ends the stream with a frame
// whose length has its highest bit set: the rest of it is the length of a text
// that says why, empty for no error.
const (
	// PrefaceBytes is the length of the preface.
	PrefaceBytes  = 24
	prefaceStart  = "IRONPOST/1 "
	prefaceEnd    = "\n"
	endOfStream   = 1 << 31
	maxEndText    = 16 << 10
	lengthBytes   = 4
	smallestPiece = 1 << 10 // a pool does not take smaller slices back
)

// Preface returns the preface of a stream of a kind, as "parser".
func Preface(kind string) []byte {
	return []byte(prefaceStart + kind + strings.Repeat(" ", PrefaceBytes-len(prefaceStart)-len(prefaceEnd)-len(kind)) + prefaceEnd)
}

// ParsePreface returns the kind that a preface names; false when it is none.
func ParsePreface(b []byte) (kind string, ok bool) {
	if len(b) != PrefaceBytes {
		return "", false
	}
	rest, ok := strings.CutPrefix(string(b), prefaceStart)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, prefaceEnd)
	return strings.TrimRight(rest, " "), ok
}

// EndError is why the other side ended a stream.
type EndError string

func (e EndError) Error() string { return string(e) }

// FrameConn sends and receives frames on a connection. One goroutine may send and
// another receive.
type FrameConn struct {
	// Keeper, when set, may keep the ends of frames out of memory.
	Keeper Keeper

	conn net.Conn
	pool mem.BufferPool

	header []byte   // of the frame that is being sent
	pieces [][]byte // likewise

	ahead    []byte // what was read beyond the last frame is ahead[from:to]
	from, to int
}

// NewFrameConn returns a FrameConn whose buffers come from pool.
func NewFrameConn(conn net.Conn, pool mem.BufferPool) *FrameConn {
	return &FrameConn{conn: conn, pool: pool, ahead: make([]byte, ReadBufferBytes)}
}

// Send sends a frame, which stays the caller's.
func (c *FrameConn) Send(f *Frame) error {
	b := append(c.header[:0], 0, 0, 0, 0)
	b, err := appendHeader(b, &f.Header)
	if err != nil {
		return err
	}
	total := len(b) - lengthBytes
	if f.payload != nil {
		b = protowire.AppendTag(b, tagPayload, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(f.payload.size))
		total = len(b) - lengthBytes + f.payload.size
	}
	if total > MaxMessageBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, total, MaxMessageBytes)
	}
	binary.LittleEndian.PutUint32(b, uint32(total)) //nolint:gosec // at most MaxMessageBytes
	c.header = b
	if cap(c.header) > smallestPiece*64 {
		c.header = nil // one with a large state; the next has none
	}
	if f.payload == nil {
		_, err = c.conn.Write(b)
		return err
	}
	var pieces mem.BufferSlice
	var parcel Parcel
	if c.Keeper != nil {
		pieces, parcel = f.payload.shared()
	} else {
		pieces = f.payload.inMemory()
	}
	defer pieces.Free()
	c.pieces = append(c.pieces[:0], b)
	for _, p := range pieces {
		c.pieces = append(c.pieces, p.ReadOnlyData())
	}
	v := net.Buffers(c.pieces)
	_, err = v.WriteTo(c.conn)
	clear(c.pieces)
	if parcel != nil {
		if err == nil {
			err = c.Keeper.Pass(parcel)
		}
		parcel.Free()
	}
	return err
}

// End ends the stream; err is what the other side is told, nil for no error.
func (c *FrameConn) End(err error) error {
	text := ""
	if err != nil {
		text = strings.ToValidUTF8(err.Error(), "\uFFFD")
		text = text[:min(len(text), maxEndText)]
	}
	b := binary.LittleEndian.AppendUint32(nil, endOfStream|uint32(len(text))) //nolint:gosec // at most maxEndText
	_, err = c.conn.Write(append(b, text...))
	return err
}

// Recv receives the next frame into f. io.EOF is an end without an error, an
// EndError one with an error; io.ErrUnexpectedEOF says that the connection ended
// without either.
func (c *FrameConn) Recv(f *Frame) error {
	for c.to-c.from < lengthBytes {
		copy(c.ahead, c.ahead[c.from:c.to])
		c.from, c.to = 0, c.to-c.from
		n, err := c.conn.Read(c.ahead[c.to:])
		if c.to += n; n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	n := binary.LittleEndian.Uint32(c.ahead[c.from:])
	c.from += lengthBytes
	if n&endOfStream != 0 {
		return c.end(int(n &^ endOfStream))
	}
	if n > MaxMessageBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, n, MaxMessageBytes)
	}
	size := int(n) // in memory
	var parcel Parcel
	if ahead := min(size, c.to-c.from); c.Keeper != nil && size-ahead > 0 {
		var err error
		if parcel, err = c.Keeper.Keep(size - ahead); err != nil {
			return err
		}
		if parcel != nil {
			size = ahead
		}
	}
	var data mem.Buffer
	var bytes []byte
	if size <= smallestPiece {
		bytes = make([]byte, size)
		data = mem.SliceBuffer(bytes)
	} else {
		b := c.pool.Get(size)
		bytes, data = *b, mem.NewBuffer(b, c.pool)
	}
	defer data.Free()
	if err := c.read(bytes); err != nil {
		if parcel != nil {
			parcel.Free()
		}
		return err
	}
	return f.unmarshal(mem.BufferSlice{data}, parcel, int(n), c.pool)
}

// end reads why the stream ended.
func (c *FrameConn) end(n int) error {
	if n == 0 {
		return io.EOF
	}
	text := make([]byte, min(n, maxEndText))
	if err := c.read(text); err != nil {
		return err
	}
	return EndError(strings.ToValidUTF8(string(text), "\uFFFD"))
}

// read fills b.
func (c *FrameConn) read(b []byte) error {
	n := copy(b, c.ahead[c.from:c.to])
	c.from += n
	if n == len(b) {
		return nil
	}
	_, err := io.ReadFull(c.conn, b[n:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
