package nettest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flood says what SYN flood to send.
type Flood struct {
	// To and Port are the target.
	To   *Namespace
	Port uint16
	// From is the source; the zero Addr means a random one for each packet, of
	// the target's IPv6 network or of all of IPv4.
	From netip.Addr
	// Six sends IPv6 where From does not say.
	Six bool
	// Packets bounds the flood.
	Packets int
}

// Send sends the flood from the namespace, straight to the interface, until it
// is done or ctx is. It returns how many packets went out.
func (n *Namespace) Send(ctx context.Context, flood Flood) (sent int, err error) {
	err = n.Do(func() error {
		sent, err = n.send(ctx, flood)
		return err
	})
	return sent, err
}

func (n *Namespace) send(ctx context.Context, flood Flood) (int, error) {
	// Protocol 0: the socket receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open packet socket: %w", err)
	}
	defer unix.Close(fd)
	l, err := netlink.LinkByName(n.Interface)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", n.Interface, err)
	}
	to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}
	copy(to.Addr[:], flood.To.MAC)
	random := rand.New(rand.NewPCG(1, 2))
	for sent := range flood.Packets {
		if ctx.Err() != nil {
			return sent, nil
		}
		from := flood.From
		if !from.IsValid() {
			from = randomAddr(random, flood)
		}
		err := unix.Sendto(fd, syn(n, flood, from, uint16(random.Uint32())), 0, to)
		// ENOBUFS: the queue is full; what does not fit is not sent.
		if err != nil && err != unix.ENOBUFS {
			return sent, fmt.Errorf("send: %w", err)
		}
	}
	return flood.Packets, nil
}

func randomAddr(random *rand.Rand, flood Flood) netip.Addr {
	if flood.Six {
		a := flood.To.IP6.As16()
		binary.BigEndian.PutUint64(a[8:], random.Uint64())
		return netip.AddrFrom16(a)
	}
	var a [4]byte
	// 1.0.0.0 to 126.255.255.255, so that every address is a possible one.
	binary.BigEndian.PutUint32(a[:], 1<<24+random.Uint32N(126<<24))
	return netip.AddrFrom4(a)
}

// syn returns a frame with a TCP SYN. Its checksums are right.
func syn(n *Namespace, flood Flood, from netip.Addr, port uint16) []byte {
	frame := append(append([]byte(nil), flood.To.MAC...), n.MAC...)
	dst := flood.To.IP4
	if from.Is6() {
		dst = flood.To.IP6
		frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, unix.IPPROTO_TCP, 64)
	} else {
		frame = append(frame, 0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, unix.IPPROTO_TCP, 0, 0)
	}
	frame = append(append(frame, from.AsSlice()...), dst.AsSlice()...)
	if !from.Is6() {
		binary.BigEndian.PutUint16(frame[24:], checksum(0, frame[14:34]))
	}
	tcp := len(frame)
	frame = binary.BigEndian.AppendUint16(frame, port)
	frame = binary.BigEndian.AppendUint16(frame, flood.Port)
	frame = append(frame, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0)
	// The pseudo-header: addresses, protocol and length.
	addrs := tcp - 2*from.BitLen()/8
	sum := checksum(unix.IPPROTO_TCP+20, frame[addrs:])
	binary.BigEndian.PutUint16(frame[tcp+16:], sum)
	return frame
}

// checksum is that of RFC 1071, of b and a start value.
func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
