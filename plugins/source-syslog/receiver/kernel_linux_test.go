package receiver

import (
	"net"
	"testing"
	"time"
)

// TestKernelDrops fills the socket's buffer before anything is read.
func TestKernelDrops(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	in := newBatch(conn)
	out := dial(t, "udp", conn.LocalAddr().String())
	const sent = 500
	for range sent {
		send(t, out, "<1>a message")
	}
	received, lost := 0, uint64(0)
	read := func() {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, err := in.read()
			if err != nil {
				return
			}
			received += n
			lost += in.lost()
		}
	}
	read()
	if lost += in.overflow(conn); received+int(lost) != sent {
		t.Errorf("received %d and lost %d of %d, before another datagram", received, lost, sent)
	}
	// The counter comes with the next datagram that finds room.
	send(t, out, "<1>the last")
	read()
	if received == sent+1 {
		t.Skip("the kernel dropped nothing: its smallest buffer holds everything")
	}
	if received+int(lost) != sent+1 {
		t.Errorf("received %d and lost %d, want %d together", received, lost, sent+1)
	}
}
