package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// windowBytes is how much of an answer may be under way.
const windowBytes = 1 << 20

// dialTimeout bounds connecting to the socket.
const dialTimeout = 5 * time.Second

// Client is the other end of the control socket. Its calls return the errors of
// this package: match them with errors.Is.
type Client struct {
	ironpostv1.ControlClient
	// Store names the sink that queries and changes of alerts go to; "" leaves that to
	// the host.
	Store string

	conn  *grpc.ClientConn
	first *firstConn
}

// Dial connects to the host behind a socket. When there is no host the error
// wraps ErrNotRunning; when the socket may not be opened, ErrDenied. Close the
// client when done.
func Dial(ctx context.Context, socket string) (*Client, error) {
	if err := checkPath(socket); err != nil {
		return nil, err
	}
	first := &firstConn{socket: socket}
	conn, err := first.dial(ctx)
	if err != nil {
		return nil, dialError(socket, err)
	}
	first.conn = conn
	cc, err := grpc.NewClient("passthrough:///ironpost",
		grpc.WithTransportCredentials(peerCredentials{}),
		grpc.WithContextDialer(first.take),
		grpc.WithDisableRetry(),
		// Larger than gRPC's own, and fixed: it need not find out how large.
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxResponseBytes)),
		grpc.WithChainUnaryInterceptor(unaryErrors),
		grpc.WithChainStreamInterceptor(streamErrors),
	)
	if err != nil {
		_ = first.close()
		return nil, fmt.Errorf("connect to %s: %w", socket, err)
	}
	return &Client{ControlClient: ironpostv1.NewControlClient(cc), conn: cc, first: first}, nil
}

// Query asks the sink that Store names.
func (c *Client) Query(ctx context.Context, req *ironpostv1.QueryRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[ironpostv1.Batch], error) {
	if c.Store != "" {
		req = proto.CloneOf(req)
		req.Store = c.Store
	}
	return c.ControlClient.Query(ctx, req, opts...)
}

// UpdateAlert changes an alert in the sink that Store names.
func (c *Client) UpdateAlert(ctx context.Context, req *ironpostv1.UpdateRequest, opts ...grpc.CallOption) (*ironpostv1.UpdateResponse, error) {
	if c.Store != "" {
		req = proto.CloneOf(req)
		req.Store = c.Store
	}
	return c.ControlClient.UpdateAlert(ctx, req, opts...)
}

// Close ends every call in flight.
func (c *Client) Close() error { return errors.Join(c.conn.Close(), c.first.close()) }

func dialError(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: nobody answers on %s", ErrNotRunning, socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the control socket %s may not be opened", ErrDenied, socket)
	}
	return fmt.Errorf("connect to the control socket %s: %w", socket, err)
}

// firstConn hands the connection that Dial made to gRPC, so that there is one
// and not two, and dials for it again after that.
type firstConn struct {
	socket string
	mu     sync.Mutex
	conn   net.Conn
}

func (f *firstConn) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", f.socket)
}

func (f *firstConn) take(ctx context.Context, _ string) (net.Conn, error) {
	f.mu.Lock()
	conn := f.conn
	f.conn = nil
	f.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	return f.dial(ctx)
}

func (f *firstConn) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return nil
	}
	conn := f.conn
	f.conn = nil
	return conn.Close()
}

func unaryErrors(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return fromStatus(invoke(ctx, method, req, reply, cc, opts...))
}

func streamErrors(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, fromStatus(err)
	}
	return &errorStream{stream}, nil
}

// errorStream turns the statuses of a stream into the errors of this package.
type errorStream struct{ grpc.ClientStream }

func (s *errorStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fromStatus(err)
}

func (s *errorStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	if errors.Is(err, io.EOF) {
		return io.EOF // the status comes from RecvMsg
	}
	return fromStatus(err)
}
