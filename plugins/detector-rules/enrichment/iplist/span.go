package iplist

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
)

// key is an address of one family as a number.
type key[K any] interface {
	comparable
	less(K) bool
	// next is the number behind it; ok is false for the greatest.
	next() (k K, ok bool)
}

type key4 uint32

func toKey4(a netip.Addr) key4 {
	b := a.As4()
	return key4(binary.BigEndian.Uint32(b[:]))
}

func (k key4) less(other key4) bool { return k < other }

func (k key4) next() (key4, bool) { return k + 1, k != math.MaxUint32 }

type key6 struct{ high, low uint64 }

func toKey6(a netip.Addr) key6 {
	b := a.As16()
	return key6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key6) less(other key6) bool {
	return k.high < other.high || k.high == other.high && k.low < other.low
}

func (k key6) next() (key6, bool) {
	if k.low++; k.low == 0 {
		k.high++
	}
	return k, k != key6{}
}

// span is the addresses from first to last, both of them included.
type span[K key[K]] struct{ first, last K }

func spanOf4(p netip.Prefix) span[key4] {
	first := toKey4(p.Addr())
	return span[key4]{first, first | key4(uint64(1)<<(32-p.Bits())-1)} //nolint:gosec // at most 32 bits
}

func spanOf6(p netip.Prefix) span[key6] {
	s := span[key6]{first: toKey6(p.Addr())}
	s.last = s.first
	if host := 128 - p.Bits(); host > 64 {
		s.last.high |= 1<<(host-64) - 1
		s.last.low = math.MaxUint64
	} else if host == 64 {
		s.last.low = math.MaxUint64
	} else {
		s.last.low |= 1<<host - 1
	}
	return s
}

// join sorts spans and makes one of those that touch or overlap. spans are changed.
func join[K key[K]](spans []span[K]) []span[K] {
	slices.SortFunc(spans, func(a, b span[K]) int {
		switch {
		case a.first.less(b.first):
			return -1
		case b.first.less(a.first):
			return 1
		}
		return 0
	})
	out := spans[:0]
	for _, s := range spans {
		if n := len(out) - 1; n >= 0 {
			behind, more := out[n].last.next()
			if !more || !behind.less(s.first) {
				if out[n].last.less(s.last) {
					out[n].last = s.last
				}
				continue
			}
		}
		out = append(out, s)
	}
	return slices.Clip(out)
}
