package ironpostv1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestPreface(t *testing.T) {
	for _, kind := range []string{"source", "parser", "detector", "enforcer", "sink"} {
		b := Preface(kind)
		if got, ok := ParsePreface(b); len(b) != PrefaceBytes || !ok || got != kind {
			t.Errorf("%s: %d bytes, read as %q, %v", kind, len(b), got, ok)
		}
	}
	// What an HTTP/2 client sends first (RFC 9113, 3.4), as long as ours.
	const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for _, other := range []string{http2, "", strings.Repeat("x", PrefaceBytes), string(Preface("sink"))[:PrefaceBytes-1], string(Preface("sink")) + " "} {
		if kind, ok := ParsePreface([]byte(other)); ok {
			t.Errorf("%q is read as the preface of a %q", other, kind)
		}
	}
	if len(http2) != PrefaceBytes {
		t.Errorf("an HTTP/2 client sends %d bytes", len(http2))
	}
}

// conns returns the two ends of a connection.
func conns(t *testing.T, pool *trackingPool) (a, b *FrameConn, raw net.Conn) {
	t.Helper()
	x, y := net.Pipe()
	t.Cleanup(func() { _ = x.Close(); _ = y.Close() })
	return NewFrameConn(x, pool), NewFrameConn(y, pool), x
}

func TestFrameConn(t *testing.T) {
	pool := new(trackingPool)
	var sent []*Frame
	for _, n := range []int{0, 1, 100, 2000, ReadBufferBytes, 200_000, MaxBatchBytes} {
		records := bytes.Repeat([]byte{'r'}, n)
		sent = append(sent, NewFrame(Header{Stream: uint64(n), Kind: Kind_KIND_RAW, Number: 1, Origin: bytes.Repeat([]byte("o"), n%5000)}, &records, nil))
	}
	sent = append(sent, &Frame{Header: Header{Ack: &Ack{Accepted: 7}}}, received(t, pool, fullBatch()))
	a, b, _ := conns(t, pool)
	ended := make(chan error, 1)
	go func() {
		for range 3 {
			for _, f := range sent {
				if err := a.Send(f); err != nil {
					ended <- err
					return
				}
			}
		}
		ended <- a.End(errors.New("enough \xff"))
	}()
	for range 3 {
		for _, want := range sent {
			var got Frame
			if err := b.Recv(&got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(encode(t, &got), encode(t, want)) {
				t.Errorf("another frame than that of %d bytes: %+v", want.Size(), got.Header)
			}
			got.Free()
		}
	}
	var end EndError
	if err := b.Recv(new(Frame)); !errors.As(err, &end) || end != "enough \uFFFD" {
		t.Errorf("at the end: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, f := range sent {
		f.Free()
	}
	if pool.out != 0 {
		t.Errorf("%d buffers did not come back", pool.out)
	}
}

// TestFrameConnEnds ends a connection after every byte of a frame.
func TestFrameConnEnds(t *testing.T) {
	data := wire(t, fullBatch())
	whole := append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...)
	for n := range whole {
		pool := new(trackingPool)
		_, b, raw := conns(t, pool)
		go func() {
			_, _ = raw.Write(whole[:n])
			_ = raw.Close()
		}()
		if err := b.Recv(new(Frame)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("ended after %d of %d bytes: %v", n, len(whole), err)
		}
		if pool.out != 0 {
			t.Fatalf("ended after %d bytes: %d buffers did not come back", n, pool.out)
		}
	}
}

func TestFrameConnRefuses(t *testing.T) {
	long := binary.LittleEndian.AppendUint32(nil, MaxMessageBytes+1)
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"a frame that is too long": {long, ErrMalformed},
		"a frame that is none":     {[]byte{2, 0, 0, 0, 0xff, 0xff}, ErrMalformed},
		"an end without an error":  {[]byte{0, 0, 0, 0x80}, io.EOF},
	} {
		_, b, raw := conns(t, new(trackingPool))
		go func() { _, _ = raw.Write(c.bytes) }()
		if err := b.Recv(new(Frame)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	// Of an endless reason no more is read than its bound.
	_, b, raw := conns(t, new(trackingPool))
	go func() {
		_, _ = raw.Write([]byte{0xff, 0xff, 0xff, 0xff})
		for {
			if _, err := raw.Write(bytes.Repeat([]byte("e"), 4096)); err != nil {
				return
			}
		}
	}()
	var end EndError
	if err := b.Recv(new(Frame)); !errors.As(err, &end) || len(end) != maxEndText {
		t.Errorf("an endless reason: %d bytes of it, %v", len(end), errors.As(err, &end))
	}
	a, _, _ := conns(t, new(trackingPool))
	if err := a.Send(&Frame{Header: Header{Ack: &Ack{Changes: []*StateEntry{{Value: make([]byte, MaxMessageBytes)}}}}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("sending a frame that is too long: %v", err)
	}
}

func FuzzFrameConn(f *testing.F) {
	data, err := proto.Marshal(&Batch{Stream: 1, Kind: Kind_KIND_RAW, Count: 1, Payload: []byte{0x8a, 1, 1, 'x'}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...))
	f.Add([]byte{3, 0, 0, 0x80, 'b', 'a', 'd'})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := NewFrameConn(readOnly{said: bytes.NewReader(stream)}, new(Pool))
		for {
			var frame Frame
			if err := c.Recv(&frame); err != nil {
				return
			}
			_ = frame.Payload()
			frame.Free()
		}
	})
}

// readOnly is a connection on which the other side has said everything.
type readOnly struct {
	net.Conn
	said io.Reader
}

func (r readOnly) Read(b []byte) (int, error) { return r.said.Read(b) }
