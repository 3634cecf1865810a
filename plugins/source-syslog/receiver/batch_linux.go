package receiver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams one system call takes. The pages of a buffer
// that no long datagram ever filled are never touched.
const batchSize = 32

// batch reads datagrams, several at a time, and how many the kernel dropped.
type batch struct {
	conn *ipv4.PacketConn
	msgs []ipv4.Message
	n    int
	// drops is the kernel's counter of the socket; known says that it was read.
	drops uint32
	known bool
}

func newBatch(conn net.PacketConn) *batch {
	b := &batch{conn: ipv4.NewPacketConn(conn), msgs: make([]ipv4.Message, batchSize)}
	for i := range b.msgs {
		b.msgs[i].Buffers = [][]byte{make([]byte, datagramSize)}
		b.msgs[i].OOB = make([]byte, unix.CmsgSpace(4))
	}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			// Without it the kernel's drops stay unseen, and nothing else.
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
			})
		}
	}
	return b
}

// read waits for datagrams and returns how many there are.
func (b *batch) read() (int, error) {
	n, err := b.conn.ReadBatch(b.msgs, 0)
	if err != nil {
		return 0, err
	}
	b.n = n
	return n, nil
}

// at returns datagram i of the last read, valid until the next.
func (b *batch) at(i int) ([]byte, netip.Addr) {
	m := &b.msgs[i]
	var from netip.Addr
	if a, ok := m.Addr.(*net.UDPAddr); ok {
		from = a.AddrPort().Addr().Unmap()
	}
	return m.Buffers[0][:m.N], from
}

// lost returns how many datagrams the kernel dropped since the last call. The
// kernel attaches its counter once it is above zero. A counter that the first
// datagram brings is from before this process.
func (b *batch) lost() uint64 {
	var lost uint64
	for i := range b.n {
		drops, ok := rxqDrops(b.msgs[i].OOB[:b.msgs[i].NN])
		if ok && b.known {
			lost += uint64(drops - b.drops) // the counter wraps
		}
		if ok {
			b.drops = drops
		}
		b.known = true
	}
	return lost
}

// meminfoDrops is the place of the counter among the numbers of SO_MEMINFO
// (SK_MEMINFO_DROPS in linux/sock_diag.h), of which there are meminfoVars.
const (
	meminfoDrops = 8
	meminfoVars  = 9
)

// overflow is lost without a datagram that brings the counter: it asks the
// socket, so that the end of a flood is counted too.
func (b *batch) overflow(conn net.PacketConn) uint64 {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var lost uint64
	_ = raw.Control(func(fd uintptr) {
		var info [meminfoVars]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 || size < uint32(unsafe.Sizeof(info)) {
			return
		}
		if b.known {
			lost = uint64(info[meminfoDrops] - b.drops) // the counter wraps
		}
		b.drops, b.known = info[meminfoDrops], true
	})
	return lost
}

// rxqDrops finds the counter of SO_RXQ_OVFL among control messages.
func rxqDrops(oob []byte) (uint32, bool) {
	for len(oob) >= unix.CmsgLen(4) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0, false
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SO_RXQ_OVFL && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data), true
		}
		oob = rest
	}
	return 0, false
}
