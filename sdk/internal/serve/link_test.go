package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a stream in memory. Like gRPC's it passes bytes, and RecvMsg returns
// when the stream's context ends and not before.
type pipe struct {
	ctx  context.Context
	in   chan []byte // closed by the host: no more to come
	out  chan []byte
	pool *pb.Pool
}

func newPipe(ctx context.Context) *pipe {
	return &pipe{ctx: ctx, in: make(chan []byte, 256), out: make(chan []byte, 4096), pool: new(pb.Pool)}
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) SendMsg(m any) error {
	b, err := pb.Codec{}.Marshal(m)
	if err != nil {
		return err
	}
	defer b.Free()
	select {
	case p.out <- b.Materialize():
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) RecvMsg(m any) error {
	select {
	case b, ok := <-p.in:
		if !ok {
			return io.EOF
		}
		return pb.Codec{Pool: p.pool}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// host is the test's end of a pipe.
type host struct {
	t testing.TB
	p *pipe
}

func (h host) send(header pb.Header, records ...string) {
	h.t.Helper()
	f := frame(header, records...)
	b, err := pb.Codec{}.Marshal(f)
	if err != nil {
		h.t.Fatal(err)
	}
	h.p.in <- b.Materialize()
	f.Free()
}

// frame makes a frame of raw records.
func frame(header pb.Header, records ...string) *pb.Frame {
	var payload []byte
	for _, r := range records {
		payload = append(payload, 0x8a, 0x01, byte(len(r)))
		payload = append(payload, r...)
	}
	if len(records) > 0 {
		header.Kind, header.Count = pb.Kind_KIND_RAW, uint32(len(records))
	}
	return pb.NewFrame(header, &payload, nil)
}

// next returns the next frame that the plugin sent, nil when there is none.
func (h host) next() *pb.Frame {
	h.t.Helper()
	select {
	case b := <-h.p.out:
		f := new(pb.Frame)
		if err := (pb.Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, f); err != nil {
			h.t.Fatalf("the plugin sent no frame: %v", err)
		}
		return f
	default:
		return nil
	}
}

func (h host) all() []*pb.Frame {
	var out []*pb.Frame
	for f := h.next(); f != nil; f = h.next() {
		out = append(out, f)
	}
	return out
}

func lines(f *pb.Frame) []string {
	var out []string
	if err := pb.Records(f.Kind, f.Payload(), func(r []byte) bool { out = append(out, string(r)); return true }); err != nil {
		return []string{err.Error()}
	}
	return out
}

func acks(frames []*pb.Frame) []string {
	var out []string
	for _, f := range frames {
		if f.Ack != nil {
			out = append(out, fmt.Sprintf("accepted %d durable %d changes %d", f.Ack.Accepted, f.Ack.Durable, len(f.Ack.Changes)))
		}
	}
	return out
}

var errTest = errors.New("the test says so")
