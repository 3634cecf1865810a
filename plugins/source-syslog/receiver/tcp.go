package receiver

import (
	"context"
	"crypto/tls"
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
	tls      bool

	mu      sync.Mutex
	senders map[origin]*shared
}

// origin is who sends: an address, and the name of its certificate.
type origin struct {
	address netip.Addr
	name    string
}

// shared is the stream of one origin, which its connections share.
type shared struct {
	stream sdk.Stream
	pace   *pace
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
	t.senders = make(map[origin]*shared)
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
			_ = evicted.raw.Close()
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
	defer context.AfterFunc(ctx, func() { _ = c.raw.Close() })()
	from := origin{address: c.address}
	if t.tls {
		name, ok := t.encrypt(ctx, c)
		if !ok {
			return nil
		}
		from.name = name
	}
	sender, err := t.join(from)
	if err != nil {
		return err
	}
	defer t.part(from, sender)
	for {
		frame, err := c.frames.Next()
		if err != nil {
			if ctx.Err() == nil {
				t.refuse(c, err)
			}
			return nil
		}
		c.begun = time.Time{}
		if !t.wait(ctx, sender.pace.delay(len(frame), time.Now())) {
			return nil
		}
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

// encrypt completes TLS and returns the name in the client's certificate.
func (t *tcp) encrypt(ctx context.Context, c *client) (name string, ok bool) {
	config, err := t.source.secrets.server()
	if err != nil {
		t.source.counter("tls_not_ready", 1)
		return "", false
	}
	conn := tls.Server(c.raw, config)
	name, err = handshake(ctx, conn, t.source.config.FrameTimeout)
	if err != nil {
		if ctx.Err() == nil {
			t.source.counter("tls_handshakes_failed", 1)
			t.source.log.Debug("a TLS handshake failed", "peer", c.address.String(), "error", err)
		}
		return "", false
	}
	c.conn = conn
	return name, true
}

// wait holds a connection back that sends faster than it may; it reports false
// when ctx ends first.
func (t *tcp) wait(ctx context.Context, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	t.source.counter("tcp_messages_delayed", 1)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
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

// join returns the stream of an origin, opened by the first of its connections.
func (t *tcp) join(from origin) (*shared, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.senders[from]
	if s == nil {
		stream, err := t.source.open(t.out, t.address, from.address, from.name)
		if err != nil {
			return nil, err
		}
		s = &shared{stream: stream, pace: newPace(t.source.config), turn: make(chan struct{}, 1)}
		s.turn <- struct{}{}
		t.senders[from] = s
	}
	s.refs++
	return s, nil
}

// part closes the stream with the last connection.
func (t *tcp) part(from origin, s *shared) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	delete(t.senders, from)
	if err := s.stream.Close(); err != nil {
		t.source.log.Warn("the stream of a sender could not be closed", "peer", from.address.String(), "error", err)
	}
}
