package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// frames is an event stream in the plain form: see the comment in the package of
// the wire. It behaves as one of gRPC does.
type frames struct {
	*pb.FrameConn
	conn net.Conn
	ctx  context.Context
	stop func() bool // forgets ctx
}

// openFrames connects to the plugin once more.
func (c *Conn) openFrames(ctx context.Context, kind string) (Stream, error) {
	conn, err := c.target.dial(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("open the %s stream: %w", kind, err)
	}
	if _, err := conn.Write(pb.Preface(kind)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open the %s stream: %w", kind, err)
	}
	f := &frames{FrameConn: pb.NewFrameConn(conn, c.pool), conn: conn, ctx: ctx}
	f.Keeper = c.pipes.keeper(conn.(*net.UnixConn))
	f.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return f, nil
}

// Send returns io.EOF when the stream has ended: Recv tells why.
func (f *frames) Send(frame *pb.Frame) error {
	err := f.FrameConn.Send(frame)
	if err == nil || errors.Is(err, pb.ErrMalformed) {
		return err
	}
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return io.EOF
}

// Recv returns io.EOF at the end; it frees the connection at every end.
func (f *frames) Recv() (*pb.Frame, error) {
	frame := new(pb.Frame)
	err := f.FrameConn.Recv(frame)
	if err == nil {
		return frame, nil
	}
	f.stop()
	_ = f.conn.Close()
	var end pb.EndError
	switch {
	case f.ctx.Err() != nil:
		return nil, context.Cause(f.ctx)
	case errors.Is(err, io.EOF), errors.Is(err, pb.ErrMalformed):
		return nil, err
	case errors.As(err, &end):
		return nil, status.Error(codes.Aborted, end.Error())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return nil, status.Error(codes.Unavailable, "the connection ended")
	}
	return nil, err
}
