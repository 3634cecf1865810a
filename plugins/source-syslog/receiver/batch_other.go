//go:build !linux

package receiver

import (
	"net"
	"net/netip"
)

// batch reads one datagram at a time where the system reads no more.
type batch struct {
	conn net.PacketConn
	buf  []byte
	n    int
	from netip.Addr
}

func newBatch(conn net.PacketConn) *batch {
	return &batch{conn: conn, buf: make([]byte, datagramSize)}
}

func (b *batch) read() (int, error) {
	n, from, err := b.conn.ReadFrom(b.buf)
	if err != nil {
		return 0, err
	}
	b.n, b.from = n, netip.Addr{}
	if a, ok := from.(*net.UDPAddr); ok {
		b.from = a.AddrPort().Addr().Unmap()
	}
	return 1, nil
}

func (b *batch) at(int) ([]byte, netip.Addr) { return b.buf[:b.n], b.from }

// lost is not known outside Linux.
func (b *batch) lost() uint64 { return 0 }

// overflow is not known either.
func (b *batch) overflow(net.PacketConn) uint64 { return 0 }
