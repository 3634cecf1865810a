package respond

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/host/internal/control"
)

// nets is a set of networks, each with a number, in the order of the networks.
// It holds no pointers: eight bytes for an IPv4 network, 24 for an IPv6 one.
// Whoever has it only reads it, unless he made it.
type nets struct {
	v4 []net4
	v6 []net6
}

// net4 is an IPv4 network in one word: from the highest bit down its address, the
// length of its prefix in 8 bits, and its number in 24. So words have the order
// of the networks.
type net4 uint64

// net6 is an IPv6 network: its address, and length and number as in net4.
type net6 struct {
	high, low uint64
	tail      uint32
}

// maxOrigin is the largest number of a network.
const maxOrigin = 1<<24 - 1

func makeNet4(addr uint32, bits uint8, origin uint32) net4 {
	return net4(addr)<<32 | net4(bits)<<24 | net4(origin)
}

func (n net4) bits() int      { return int(n >> 24 & 0xff) }
func (n net4) origin() uint32 { return uint32(n & maxOrigin) }

func (n net4) prefix() netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n>>32))
	return netip.PrefixFrom(netip.AddrFrom4(a), n.bits())
}

func makeNet6(addr [16]byte, bits uint8, origin uint32) net6 {
	return net6{binary.BigEndian.Uint64(addr[:8]), binary.BigEndian.Uint64(addr[8:]), uint32(bits)<<24 | origin}
}

func (n net6) bits() int      { return int(n.tail >> 24) }
func (n net6) origin() uint32 { return n.tail & maxOrigin }

func (n net6) prefix() netip.Prefix {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], n.high)
	binary.BigEndian.PutUint64(a[8:], n.low)
	return netip.PrefixFrom(netip.AddrFrom16(a), n.bits())
}

// compare4 and compare6 compare networks, whatever their numbers.
func compare4(a, b net4) int { return cmp.Compare(a>>24, b>>24) }

func compare6(a, b net6) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low), cmp.Compare(a.tail>>24, b.tail>>24))
}

// unpack returns the networks of an import under one number, sorted and each
// once. Bits past the length are cut off; bad names those that are none, as they
// came.
func unpack(in control.Networks, origin uint32) (s nets, bad []string) {
	s.v4 = make([]net4, 0, len(in.V4)/5)
	for addr, bits := range in.All4() {
		if bits > 32 {
			bad = append(bad, fmt.Sprintf("%08x/%d", addr, bits))
			continue
		}
		s.v4 = append(s.v4, makeNet4(addr&^(1<<(32-bits)-1), bits, origin))
	}
	for addr, bits := range in.All6() {
		p, ok := canonical(netip.PrefixFrom(netip.AddrFrom16(addr), int(bits)))
		switch {
		case !ok:
			bad = append(bad, fmt.Sprintf("%x/%d", addr, bits))
		case p.Addr().Is4():
			a := p.Addr().As4()
			s.v4 = append(s.v4, makeNet4(binary.BigEndian.Uint32(a[:]), uint8(p.Bits()), origin)) //nolint:gosec // at most 32
		default:
			s.v6 = append(s.v6, makeNet6(p.Addr().As16(), uint8(p.Bits()), origin)) //nolint:gosec // at most 128
		}
	}
	slices.Sort(s.v4)
	slices.SortFunc(s.v6, compare6)
	s.v4 = slices.CompactFunc(s.v4, func(a, b net4) bool { return compare4(a, b) == 0 })
	s.v6 = slices.CompactFunc(s.v6, func(a, b net6) bool { return compare6(a, b) == 0 })
	return s, bad
}

func (s nets) len() int { return len(s.v4) + len(s.v6) }

// at returns the network at a place, IPv4 before IPv6, and its number.
func (s nets) at(i int) (netip.Prefix, uint32) {
	if i < len(s.v4) {
		return s.v4[i].prefix(), s.v4[i].origin()
	}
	n := s.v6[i-len(s.v4)]
	return n.prefix(), n.origin()
}

// seek returns the place of the first network that is not before a canonical
// prefix, and whether it is that very one.
func (s nets) seek(p netip.Prefix) (int, bool) {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return slices.BinarySearchFunc(s.v4, makeNet4(binary.BigEndian.Uint32(a[:]), uint8(p.Bits()), 0), compare4) //nolint:gosec // at most 32
	}
	i, found := slices.BinarySearchFunc(s.v6, makeNet6(p.Addr().As16(), uint8(p.Bits()), 0), compare6) //nolint:gosec // at most 128
	return len(s.v4) + i, found
}

// find returns the number of a canonical prefix, and whether it is in the set.
func (s nets) find(p netip.Prefix) (uint32, bool) {
	i, found := s.seek(p)
	if !found {
		return 0, false
	}
	_, origin := s.at(i)
	return origin, true
}

// inside returns the places from and to between which networks begin in a
// canonical prefix: those that lie in it, and wider ones that begin with it.
func (s nets) inside(p netip.Prefix) (from, to int) {
	from, _ = s.seek(netip.PrefixFrom(p.Addr(), 0))
	if p.Addr().Is4() {
		to, _ = slices.BinarySearchFunc(s.v4, last(p), func(n net4, a netip.Addr) int { return n.prefix().Addr().Compare(a) })
		for to < len(s.v4) && p.Contains(s.v4[to].prefix().Addr()) {
			to++
		}
		return from, to
	}
	to, _ = slices.BinarySearchFunc(s.v6, last(p), func(n net6, a netip.Addr) int { return n.prefix().Addr().Compare(a) })
	for to < len(s.v6) && p.Contains(s.v6[to].prefix().Addr()) {
		to++
	}
	return from, len(s.v4) + to
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// keep returns the networks that f keeps, each under the number that f gives it.
func (s nets) keep(f func(i int, origin uint32) (uint32, bool)) nets {
	var out nets
	for i, n := range s.v4 {
		if origin, ok := f(i, n.origin()); ok {
			out.v4 = append(out.v4, n&^maxOrigin|net4(origin))
		}
	}
	for i, n := range s.v6 {
		if origin, ok := f(len(s.v4)+i, n.origin()); ok {
			n.tail = n.tail&^maxOrigin | origin
			out.v6 = append(out.v6, n)
		}
	}
	return out
}

// over returns s with what t holds besides; of what both hold, as t has it.
func (s nets) over(t nets) nets {
	return nets{union(s.v4, t.v4, compare4), union(s.v6, t.v6, compare6)}
}

// common returns how many networks are in both.
func (s nets) common(t nets) int {
	return shared(s.v4, t.v4, compare4) + shared(s.v6, t.v6, compare6)
}

// without returns the networks of s that are not in t.
func (s nets) without(t nets) nets {
	return nets{difference(s.v4, t.v4, compare4), difference(s.v6, t.v6, compare6)}
}

// clip gives memory back that is reserved for nothing.
func (s nets) clip() nets { return nets{slices.Clip(s.v4), slices.Clip(s.v6)} }

func union[N any](s, t []N, compare func(N, N) int) []N {
	out := make([]N, 0, len(s)+len(t))
	for len(s) > 0 && len(t) > 0 {
		switch c := compare(s[0], t[0]); {
		case c < 0:
			out, s = append(out, s[0]), s[1:]
		case c > 0:
			out, t = append(out, t[0]), t[1:]
		default:
			out, s, t = append(out, t[0]), s[1:], t[1:]
		}
	}
	return append(append(out, s...), t...)
}

func difference[N any](s, t []N, compare func(N, N) int) []N {
	var out []N
	for len(s) > 0 && len(t) > 0 {
		switch c := compare(s[0], t[0]); {
		case c < 0:
			out, s = append(out, s[0]), s[1:]
		case c > 0:
			t = t[1:]
		default:
			s, t = s[1:], t[1:]
		}
	}
	return append(out, s...)
}

func shared[N any](s, t []N, compare func(N, N) int) int {
	n := 0
	for len(s) > 0 && len(t) > 0 {
		switch c := compare(s[0], t[0]); {
		case c < 0:
			s = s[1:]
		case c > 0:
			t = t[1:]
		default:
			n, s, t = n+1, s[1:], t[1:]
		}
	}
	return n
}

// netsMagic begins a set on the disk. Another layout gets another one.
const netsMagic = "ironpost nets 1\n"

// Bytes of a network on the disk.
const (
	stored4 = 8
	stored6 = 20
)

// write writes the set: the magic, the numbers of IPv4 and of IPv6 networks, and
// the networks as they are in memory, little-endian.
func (s nets) write(out io.Writer) error {
	w := bufio.NewWriterSize(out, 1<<16)
	head := binary.LittleEndian.AppendUint64([]byte(netsMagic), uint64(len(s.v4)))
	_, _ = w.Write(binary.LittleEndian.AppendUint64(head, uint64(len(s.v6)))) // an error stays in w
	var b [stored6]byte
	for _, n := range s.v4 {
		_, _ = w.Write(binary.LittleEndian.AppendUint64(b[:0], uint64(n)))
	}
	for _, n := range s.v6 {
		raw := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b[:0], n.high), n.low)
		_, _ = w.Write(binary.LittleEndian.AppendUint32(raw, n.tail))
	}
	return w.Flush()
}

// readNets reads what write wrote. Every network's number is below origins.
func readNets(raw []byte, origins int) (nets, error) {
	wrong := errors.New("it holds no networks, or of another version")
	if len(raw) < len(netsMagic)+16 || string(raw[:len(netsMagic)]) != netsMagic {
		return nets{}, wrong
	}
	raw = raw[len(netsMagic):]
	n4, n6 := binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])
	raw = raw[16:]
	if n4 > uint64(len(raw)) || n6 > uint64(len(raw)) || n4*stored4+n6*stored6 != uint64(len(raw)) {
		return nets{}, wrong
	}
	s := nets{make([]net4, n4), make([]net6, n6)}
	for i := range s.v4 {
		s.v4[i] = net4(binary.LittleEndian.Uint64(raw[i*stored4:]))
		if n := s.v4[i]; n.bits() > 32 || n.origin() >= uint32(origins) || i > 0 && compare4(s.v4[i-1], n) >= 0 { //nolint:gosec // at most maxOrigins
			return nets{}, wrong
		}
	}
	raw = raw[n4*stored4:]
	for i := range s.v6 {
		b := raw[i*stored6:]
		s.v6[i] = net6{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint32(b[16:])}
		if n := s.v6[i]; n.bits() > 128 || n.origin() >= uint32(origins) || i > 0 && compare6(s.v6[i-1], n) >= 0 { //nolint:gosec // at most maxOrigins
			return nets{}, wrong
		}
	}
	return s, nil
}
