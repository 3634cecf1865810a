package receiver

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/source-syslog/framing"
)

// client is one connection, read with the deadlines of the configuration.
type client struct {
	// conn is read; raw, which is closed, is what lies below TLS.
	conn    net.Conn
	raw     net.Conn
	address netip.Addr
	config  *Config
	frames  *framing.Reader
	// begun is when the frame began that is being waited for.
	begun time.Time
	// heard is when bytes last came, in nanoseconds since 1970.
	heard atomic.Int64
}

func newClient(conn net.Conn, config *Config) *client {
	c := &client{conn: conn, raw: conn, config: config}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.address = a.AddrPort().Addr().Unmap()
	}
	c.frames = framing.NewReader(c)
	c.heard.Store(time.Now().UnixNano())
	return c
}

// Read reads from the connection.
func (c *client) Read(p []byte) (int, error) {
	now := time.Now()
	deadline := now.Add(c.config.IdleTimeout)
	if c.frames.Pending() {
		if c.begun.IsZero() {
			c.begun = now
		}
		deadline = c.begun.Add(c.config.FrameTimeout)
	}
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.conn.Read(p)
	c.heard.Store(time.Now().UnixNano())
	return n, err
}

// limiter bounds connections, all together and of one address. It is safe for
// concurrent use.
type limiter struct {
	total, each int

	mu      sync.Mutex
	clients map[*client]struct{}
	perAddr map[netip.Addr]int
}

func newLimiter(total, each int) *limiter {
	return &limiter{
		total: total, each: each,
		clients: make(map[*client]struct{}), perAddr: make(map[netip.Addr]int),
	}
}

// enter admits c. Where there is no room, the connection that was silent longest
// makes it, if it was silent for evictAfter: the caller closes it. Closing
// silent connections only when it must be spares senders that would lose the
// next message with the connection.
func (l *limiter) enter(c *client) (evicted *client, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	crowded := l.perAddr[c.address] >= l.each
	if crowded || len(l.clients) >= l.total {
		evicted = l.silent(c.address, crowded)
		if evicted == nil {
			return nil, false
		}
		l.remove(evicted)
	}
	l.clients[c] = struct{}{}
	l.perAddr[c.address]++
	return evicted, true
}

// silent returns the connection that was silent longest, of the address or of
// all; nil when all have spoken of late.
func (l *limiter) silent(address netip.Addr, own bool) *client {
	var found *client
	oldest := time.Now().Add(-evictAfter).UnixNano()
	for c := range l.clients {
		if heard := c.heard.Load(); heard < oldest && (!own || c.address == address) {
			found, oldest = c, heard
		}
	}
	return found
}

// leave gives back the place of c; once is enough, more does no harm.
func (l *limiter) leave(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

func (l *limiter) remove(c *client) {
	if _, ok := l.clients[c]; !ok {
		return
	}
	delete(l.clients, c)
	if l.perAddr[c.address]--; l.perAddr[c.address] == 0 {
		delete(l.perAddr, c.address)
	}
}
