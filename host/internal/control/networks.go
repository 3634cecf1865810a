package control

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
)

// Sizes of a packed network: its address and the length of its prefix.
const (
	packed4 = 4 + 1
	packed6 = 16 + 1
)

// Networks are networks in the form of the wire: the address, the highest byte
// first, and the length of the prefix in one byte; one after the other. The zero
// value holds none.
type Networks struct{ V4, V6 []byte }

// Add appends a network; an IPv4 address in IPv6 form stays IPv6.
func (n *Networks) Add(p netip.Prefix) {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		n.V4 = append(append(n.V4, a[:]...), byte(p.Bits()))
		return
	}
	a := p.Addr().As16()
	n.V6 = append(append(n.V6, a[:]...), byte(p.Bits()))
}

// Len is how many there are.
func (n Networks) Len() int { return len(n.V4)/packed4 + len(n.V6)/packed6 }

// Cut returns the first ones, in about size bytes, and what is left.
func (n Networks) Cut(size int) (v4, v6 []byte, rest Networks) {
	end4 := min(size/packed4*packed4, len(n.V4))
	end6 := min((size-end4)/packed6*packed6, len(n.V6))
	return n.V4[:end4], n.V6[:end6], Networks{n.V4[end4:], n.V6[end6:]}
}

// append takes over a part of an import.
func (n *Networks) append(v4, v6 []byte) error {
	if len(v4)%packed4 != 0 || len(v6)%packed6 != 0 {
		return fmt.Errorf("%w: %d bytes of IPv4 and %d of IPv6 are no whole networks", ErrInvalid, len(v4), len(v6))
	}
	n.V4, n.V6 = append(n.V4, v4...), append(n.V6, v6...)
	if n.Len() > MaxImport {
		return fmt.Errorf("%w: more than %d networks in one import; split it into lists", ErrInvalid, MaxImport)
	}
	return nil
}

// All4 returns the IPv4 networks as they were given: the bits past the length,
// which may be more than 32, are not cut off.
func (n Networks) All4() iter.Seq2[uint32, uint8] {
	return func(yield func(uint32, uint8) bool) {
		for b := n.V4; len(b) >= packed4; b = b[packed4:] {
			if !yield(binary.BigEndian.Uint32(b), b[4]) {
				return
			}
		}
	}
}

// All6 returns the IPv6 networks, as All4 does.
func (n Networks) All6() iter.Seq2[[16]byte, uint8] {
	return func(yield func([16]byte, uint8) bool) {
		for b := n.V6; len(b) >= packed6; b = b[packed6:] {
			if !yield([16]byte(b), b[16]) {
				return
			}
		}
	}
}
