//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"github.com/ironpost/ironpost/bpf"
)

// filters are the tables that spare most packets a look into the lists. A mark
// that nothing needs costs time, a missing one hides an entry: marks are set
// when an entry is stored and taken back only by building the tables anew.
//
// The tables may lie in the kernel's memory or be a copy in the making.
type filters struct {
	wide4 []uint64            // a bit for each /16
	nets4 []bpf.XDPFilterLine // two bits for each /24
	nets6 []bpf.XDPFilter6Line
	any6  bool // there is an IPv6 entry
	wide6 bool // there is one shorter than /32
	seed  uint64
}

// blank returns empty tables of the same size.
func (t *filters) blank() *filters {
	return &filters{
		wide4: make([]uint64, len(t.wide4)),
		nets4: make([]bpf.XDPFilterLine, len(t.nets4)),
		nets6: make([]bpf.XDPFilter6Line, len(t.nets6)),
		seed:  t.seed,
	}
}

// mark says that the list holds prefix, which is canonical.
func (t *filters) mark(prefix netip.Prefix) {
	if prefix.Addr().Is4() {
		t.mark4(prefix)
	} else {
		t.mark6(prefix)
	}
}

func (t *filters) mark4(prefix netip.Prefix) {
	a := prefix.Addr().As4()
	first := binary.BigEndian.Uint32(a[:])
	kind := uint64(bpf.XDPFilterFILTER_NET)
	if prefix.Bits() == 32 {
		kind = uint64(bpf.XDPFilterFILTER_HOST)
	}
	if prefix.Bits() > 16 {
		// Some /24s of one /16, or a part of one /24.
		count := uint32(1)
		if prefix.Bits() < 24 {
			count = 1 << (24 - prefix.Bits())
		}
		line := &t.nets4[first>>16]
		for i := first >> 8 & 255; count > 0; i, count = i+1, count-1 {
			atomic.OrUint64(&line.Words[i>>5], kind<<(i&31*2))
		}
		t.markWide4(first >> 16)
		return
	}
	// Whole /16s: the same two bits throughout each line.
	for i, n := first>>16, 1<<(16-prefix.Bits()); n > 0; i, n = i+1, n-1 {
		for w := range t.nets4[i].Words {
			atomic.OrUint64(&t.nets4[i].Words[w], kind*0x5555555555555555)
		}
		t.markWide4(i)
	}
}

// markWide4 comes after the marks of the /24s, so that nobody sees the one
// without the other.
func (t *filters) markWide4(net16 uint32) {
	atomic.OrUint64(&t.wide4[net16>>6], 1<<(net16&63))
}

func (t *filters) mark6(prefix netip.Prefix) {
	a := prefix.Addr().As16()
	high := binary.BigEndian.Uint64(a[:8])
	kind := bpf.XDPFilterFILTER_NET
	switch prefix.Bits() {
	case 128:
		kind = bpf.XDPFilterFILTER_HOST
	case 64:
		kind = bpf.XDPFilterFILTER_SUBNET
	}
	t.any6 = true
	var hash uint64
	switch {
	case prefix.Bits() >= 48:
		hash = mix(high>>16<<16, t.seed)
	case prefix.Bits() >= 32:
		hash = mix(high>>32<<32|1, t.seed)
	default:
		t.wide6 = true
		return
	}
	line := &t.nets6[hash>>6&uint64(len(t.nets6)-1)]
	line.Flags[hash&63] |= uint8(kind)
}

// store makes the tables equal to what, which has no mark that they lack, word
// by word.
func (t *filters) store(what *filters) {
	store(t.wide4, what.wide4)
	for i := range t.nets4 {
		store(t.nets4[i].Words[:], what.nets4[i].Words[:])
	}
	for i := range t.nets6 {
		store(words(&t.nets6[i]), words(&what.nets6[i]))
	}
	t.any6, t.wide6 = what.any6, what.wide6
}

func store(to, from []uint64) {
	for i, w := range from {
		if to[i] != w {
			atomic.StoreUint64(&to[i], w)
		}
	}
}

// words returns the line as words. Lines of both origins are aligned: the
// kernel's to a page, a large Go allocation to more than a word.
func words(l *bpf.XDPFilter6Line) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(l)), len(l.Flags)/8)
}

// mix is the function of that name in xdp.c.
func mix(x, seed uint64) uint64 {
	x ^= seed
	x *= 0x9E3779B97F4A7C15
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	x ^= x >> 29
	return x
}
