package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/source-syslog/framing"
	"github.com/ironpost/ironpost/sdk"
)

// acceptPause is the pause after the system refused a connection, for lack of
// file descriptors as a rule.
const acceptPause = 100 * time.Millisecond

// tcp accepts connections on one socket.
type tcp struct {
	source   *Source
	address  string
	listener net.Listener
	out      sdk.Emitter
	clients  *limiter

	mu      sync.Mutex
	senders map[netip.Addr]*shared
}

// shared is the stream of one address, which its connections share.
type shared struct {
	stream sdk.Stream
	refs   int
	// turn holds a token while nobody uses the stream.
	turn chan struct{}
}

func (t *tcp) run(ctx context.Context) error {
	// A client that fails for the stream's sake ends the whole source.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { _ = t.listener.Close() })()
	defer t.listener.Close()
	t.senders = make(map[netip.Addr]*shared)
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel(nil)
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return t.cause(ctx)
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on %s: %w", t.address, err)
			}
			t.source.counter("tcp_accept_errors", 1)
			select {
			case <-ctx.Done():
				return t.cause(ctx)
			case <-time.After(acceptPause):
			}
			continue
		}
		c := newClient(conn, t.source.config)
		evicted, ok := t.clients.enter(c)
		if evicted != nil {
			t.source.counter("tcp_clients_evicted", 1)
			_ = evicted.conn.Close()
		}
		if !ok {
			t.source.counter("tcp_clients_refused", 1)
			_ = conn.Close()
			continue
		}
		clients.Go(func() {
			defer t.clients.leave(c)
			defer conn.Close()
			if err := t.serve(ctx, c); err != nil {
				cancel(err)
			}
		})
	}
}

// cause returns the error of a client that ended the listener, nil when the end
// came from outside.
func (t *tcp) cause(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve reads one connection to its end. It returns only errors of the stream.
func (t *tcp) serve(ctx context.Context, c *client) error {
	defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })()
	sender, err := t.join(c.address)
	if err != nil {
		return err
	}
	defer t.part(c.address, sender)
	for {
		frame, err := c.frames.Next()
		if err != nil {
			if ctx.Err() == nil {
				t.refuse(c, err)
			}
			return nil
		}
		c.begun = time.Time{}
		select {
		case <-sender.turn:
		case <-ctx.Done():
			return nil
		}
		err = sender.stream.Emit(ctx, frame, nil)
		sender.turn <- struct{}{}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("emit messages of %s: %w", c.address, err)
		}
	}
}

// refuse counts why a connection ended, when it did not end well.
func (t *tcp) refuse(c *client, err error) {
	var reason string
	switch {
	case errors.Is(err, io.EOF):
		return
	case errors.Is(err, framing.ErrLength):
		reason = "bad_framing"
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.frames.Pending():
		t.source.counter("tcp_clients_idle", 1)
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason = "frame_timeout"
	case errors.Is(err, io.ErrUnexpectedEOF) || c.frames.Pending():
		reason = "incomplete_frame"
	default:
		t.source.counter("tcp_connections_broken", 1)
		return
	}
	t.out.Drop(reason, 1)
	t.source.log.Debug("a connection was closed", "peer", c.address.String(), "reason", reason)
}

// join returns the stream of an address, opened by the first of its
// connections.
func (t *tcp) join(address netip.Addr) (*shared, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.senders[address]
	if s == nil {
		stream, err := t.source.open(t.out, t.address, address)
		if err != nil {
			return nil, err
		}
		s = &shared{stream: stream, turn: make(chan struct{}, 1)}
		s.turn <- struct{}{}
		t.senders[address] = s
	}
	s.refs++
	return s, nil
}

// part closes the stream with the last connection.
func (t *tcp) part(address netip.Addr, s *shared) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	delete(t.senders, address)
	if err := s.stream.Close(); err != nil {
		t.source.log.Warn("the stream of a sender could not be closed", "peer", address.String(), "error", err)
	}
}
