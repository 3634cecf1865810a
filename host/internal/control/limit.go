package control

import (
	"net"
	"sync"
)

// limitedListener accepts so many connections at a time and lets the others
// wait in the kernel's queue. Its connections stay Unix sockets, which can be
// asked for their peer.
type limitedListener struct {
	*net.UnixListener
	slots chan struct{}
	quit  <-chan struct{}
}

func limited(l *net.UnixListener, n int, quit <-chan struct{}) *limitedListener {
	return &limitedListener{UnixListener: l, slots: make(chan struct{}, n), quit: quit}
}

// Accept waits for a connection and for a slot.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.quit:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{UnixConn: conn, slots: l.slots}, nil
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	*net.UnixConn
	slots chan struct{}
	once  sync.Once
}

func (c *limitedConn) Close() error {
	err := c.UnixConn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}
