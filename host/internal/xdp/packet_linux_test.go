//go:build amd64 || arm64

package xdp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// frame builds an Ethernet frame with VLAN tags of the given types around a
// payload.
func frame(etherType uint16, payload []byte, tags ...uint16) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint16(b, tag)
		b = append(b, 0, 7)
	}
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

// ip4 builds an IPv4 packet whose header has words 32-bit words.
func ip4(src string, words, protocol int, fragment uint16, payload []byte) []byte {
	b := make([]byte, max(words*4, 20))
	b[0], b[8], b[9] = byte(0x40|words), 64, byte(protocol)
	binary.BigEndian.PutUint16(b[2:], uint16(words*4+len(payload)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], netip.MustParseAddr(src).AsSlice())
	copy(b[16:], netip.MustParseAddr(victim4).AsSlice())
	return append(b, payload...)
}

// ip6 builds an IPv6 packet.
func ip6(src string, next int, payload []byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, byte(next), 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], netip.MustParseAddr(src).AsSlice())
	copy(b[24:], netip.MustParseAddr(victim6).AsSlice())
	return append(b, payload...)
}

func tcp(port uint16, flags byte) []byte {
	b := make([]byte, 20)
	b[0] = 0x9c
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13] = 0x50, flags
	return b
}

// udp builds a datagram to port 53 with data bytes.
func udp(data int) []byte {
	b := make([]byte, 8+data)
	b[0] = 0x9c
	binary.BigEndian.PutUint16(b[2:], 53)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

// extension builds an IPv6 extension header of 8 * (1 + more) bytes.
func extension(next, more int) []byte {
	b := make([]byte, 8*(1+more))
	b[0], b[1] = byte(next), byte(more)
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

const (
	attacker4 = "203.0.113.7"
	victim4   = "192.0.2.1"
	attacker6 = "2001:db8:1:2::7"
	victim6   = "2001:db8:ffff::1"
)

func syn4(src string) []byte { return frame(0x0800, ip4(src, 5, 6, 0, tcp(22, 2))) }

func syn6(src string) []byte { return frame(0x86dd, ip6(src, 6, tcp(22, 2))) }

func syn(src netip.Addr) []byte {
	if src.Is4() {
		return syn4(src.String())
	}
	return syn6(src.String())
}
