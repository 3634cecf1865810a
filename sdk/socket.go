package sdk

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// socketBuffer is asked for on the link's socket, as the host does on its end: a
// batch that fits is written in one call, without the two processes waking each
// other for every part of it.
const socketBuffer = 4 << 20

// prefaceTime is how long a connection may take to say what it is.
const prefaceTime = 5 * time.Second

// doorman shows the server every connection before gRPC uses it. It is no
// security: who may connect is a matter of the socket's directory.
type doorman struct {
	credentials.TransportCredentials
	server *server
}

func newDoorman(s *server) credentials.TransportCredentials {
	return doorman{insecure.NewCredentials(), s}
}

// ServerHandshake asks for large buffers, of which smaller ones cost speed alone,
// and takes the connections that carry an event stream in the plain form.
func (d doorman) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if s, ok := c.(*net.UnixConn); ok {
		_ = s.SetReadBuffer(socketBuffer)
		_ = s.SetWriteBuffer(socketBuffer)
		if kind, ok := peekPreface(s); ok {
			go d.server.serveFrames(s, kind)
			return nil, nil, credentials.ErrConnDispatched
		}
	}
	return d.TransportCredentials.ServerHandshake(c)
}

// Clone implements credentials.TransportCredentials.
func (d doorman) Clone() credentials.TransportCredentials {
	return doorman{d.TransportCredentials.Clone(), d.server}
}

// serveFrames runs the event stream of a connection, behind whose preface it is.
func (s *server) serveFrames(conn *net.UnixConn, kind string) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := &frames{FrameConn: pb.NewFrameConn(conn, s.pool), ctx: ctx, cancel: cancel}
	err := s.events(f, kind)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		err = errors.New(status.Convert(err).Message())
	}
	_ = f.End(err) // the host may be gone
}

// events runs the event stream of a kind, whatever carries it.
func (s *server) events(stream serve.Stream, kind string) error {
	var run func(serve.Stream, *serve.Drainer) error
	switch p := &s.plugin; {
	case kind == "source" && p.Source != nil:
		run = s.emit
	case kind == "parser" && p.Parser != nil:
		run = s.parse
	case kind == "detector" && p.Detector != nil:
		run = s.detect
	case kind == "enforcer" && p.Enforcer != nil:
		run = s.decide
	case kind == "sink" && p.Sink != nil:
		run = s.write
	default:
		return errors.New("the plugin is no " + record.Valid(kind))
	}
	return s.link(stream.Context(), kind, func(drain *serve.Drainer) error { return run(stream, drain) })
}

// frames is the stream of a link in the plain form.
type frames struct {
	*pb.FrameConn
	ctx    context.Context
	cancel context.CancelFunc
}

// Context ends when the connection is broken.
func (f *frames) Context() context.Context { return f.ctx }

// SendMsg sends a *pb.Frame.
func (f *frames) SendMsg(m any) error {
	err := f.Send(m.(*pb.Frame))
	if err != nil && !errors.Is(err, pb.ErrMalformed) {
		f.cancel()
	}
	return err
}

// RecvMsg receives into a *pb.Frame. io.EOF says that the host has no more; it
// may still listen.
func (f *frames) RecvMsg(m any) error {
	err := f.Recv(m.(*pb.Frame))
	switch {
	case err == nil, errors.Is(err, pb.ErrMalformed):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF): // how a host ends its side
		return io.EOF
	}
	f.cancel()
	return err
}
