//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"math"
	"math/bits"
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
	hosts4 hostFilter
	drops4 dropTable
	hosts6 hostFilter           // of /64s too
	wide4  []uint64             // a bit for each /16 with an entry of other lengths
	nets4  []bpf.XDPFilterLine  // a bit for each /24
	nets6  []bpf.XDPFilter6Line // a byte for each hash of a /48 or /32
	any    kinds
	seed   uint64
	keys   [3]uint64
}

// kinds says what kinds of entries there are.
type kinds struct {
	hosts4, nets4, hosts6, subnets6, nets6 bool
	wide6                                  bool // an IPv6 entry shorter than /32
}

// hostFilter is a Bloom filter: for each address two bits in one word. The
// first mask + 1 words are in use.
type hostFilter struct {
	words []uint64
	mask  uint32
	// hashes are those of the addresses of a copy in the making, which has no
	// words: how many it needs is known when all are there.
	hashes []uint64
	making bool
}

// hostWords is how many words hold n addresses with few false answers, one in 50
// to 200: 16 to 32 bits for each. Of more than two million, they are as many as
// Linux 5.15 gives a value of a map, 4 MiB, and the answers get worse.
func hostWords(n int) int { return min(1<<bits.Len(uint(max(n, 64)-1)/4), 1<<19) }

// crowded tells whether n addresses need more than twice the words in use.
func (h *hostFilter) crowded(n int) bool {
	return min(hostWords(n), len(h.words)) > 2*(int(h.mask)+1)
}

func (h *hostFilter) mark(hash uint64) {
	if h.making {
		h.hashes = append(h.hashes, hash)
		return
	}
	word, set := hostBits(hash, h.mask)
	atomic.OrUint64(&h.words[word], set)
}

// hostBits returns the number of the word and its bits for a hash.
func hostBits(hash uint64, mask uint32) (word uint32, set uint64) {
	return uint32(hash>>16) & mask, 1<<(hash>>58) | 1<<(hash>>52&63)
}

// store makes the filter that of a copy, and tells whether it has another size
// now; then bits that it needs no more are left.
func (h *hostFilter) store(what *hostFilter) (resized bool) {
	size := min(hostWords(len(what.hashes)), len(h.words))
	words := make([]uint64, size)
	for _, hash := range what.hashes {
		word, set := hostBits(hash, uint32(size-1))
		words[word] |= set
	}
	if uint32(size-1) == h.mask {
		store(h.words, words)
		return false
	}
	for i, w := range words {
		if h.words[i]&w != w {
			atomic.OrUint64(&h.words[i], w)
		}
	}
	h.mask = uint32(size - 1)
	return true
}

// blank returns empty tables of the same size.
func (t *filters) blank() *filters {
	return &filters{
		hosts4: hostFilter{making: true},
		drops4: dropTable{making: true},
		hosts6: hostFilter{making: true},
		wide4:  make([]uint64, len(t.wide4)),
		nets4:  make([]bpf.XDPFilterLine, len(t.nets4)),
		nets6:  make([]bpf.XDPFilter6Line, len(t.nets6)),
		seed:   t.seed,
		keys:   t.keys,
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
	if prefix.Bits() == 32 {
		t.hosts4.mark(t.hash4(a))
		t.any.hosts4 = true
		return
	}
	first := binary.BigEndian.Uint32(a[:])
	t.any.nets4 = true
	if prefix.Bits() > 16 {
		// Some /24s of one /16, or a part of one /24.
		count := uint32(1)
		if prefix.Bits() < 24 {
			count = 1 << (24 - prefix.Bits())
		}
		line := &t.nets4[first>>16]
		for i := first >> 8 & 255; count > 0; i, count = i+1, count-1 {
			atomic.OrUint64(&line.Words[i>>6], 1<<(i&63))
		}
		t.markWide4(first >> 16)
		return
	}
	// Whole /16s.
	for i, n := first>>16, 1<<(16-prefix.Bits()); n > 0; i, n = i+1, n-1 {
		for w := range t.nets4[i].Words {
			atomic.StoreUint64(&t.nets4[i].Words[w], math.MaxUint64)
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
	hi, lo := binary.NativeEndian.Uint64(a[:8]), binary.NativeEndian.Uint64(a[8:])
	switch prefix.Bits() {
	case 128:
		t.hosts6.mark(hashAddress(hi, lo, t.keys))
		t.any.hosts6 = true
		return
	case 64:
		t.hosts6.mark(hashAddress(hi, 0, t.keys))
		t.any.subnets6 = true
		return
	}
	t.any.nets6 = true
	high := binary.BigEndian.Uint64(a[:8])
	var hash uint64
	switch {
	case prefix.Bits() >= 48:
		hash = mix(high>>16<<16, t.seed)
	case prefix.Bits() >= 32:
		hash = mix(high>>32<<32|1, t.seed)
	default:
		t.any.wide6 = true
		return
	}
	line := &t.nets6[hash>>6&uint64(len(t.nets6)-1)]
	line.Flags[hash&63] = uint8(bpf.XDPFilterFILTER_NET)
}

// store makes the tables equal to what, which has no mark that they lack, word
// by word. It tells whether the host filters have another size now.
func (t *filters) store(what *filters) (resized bool) {
	before := t.hosts4.mask
	resized4, resized6 := t.hosts4.store(&what.hosts4), t.hosts6.store(&what.hosts6)
	t.drops4.store(&what.drops4, before, t.hosts4.mask)
	store(t.wide4, what.wide4)
	for i := range t.nets4 {
		store(t.nets4[i].Words[:], what.nets4[i].Words[:])
	}
	for i := range t.nets6 {
		store(words(&t.nets6[i]), words(&what.nets6[i]))
	}
	t.any = what.any
	return resized4 || resized6
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

// mix is the function of that name in packet.h.
func mix(x, seed uint64) uint64 {
	x ^= seed
	x *= 0x9E3779B97F4A7C15
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	x ^= x >> 29
	return x
}

// hashKeys makes the keys of hashAddress, and that of a port, from the seed: odd
// numbers. Counters are what is scanned by: addresses by the octet, ports by one. A
// key whose multiples fall together at such a step is passed over.
func hashKeys(seed uint64) (keys [3]uint64) {
	var n uint64
	for i := range keys {
		for {
			n++
			keys[i] = mix(n, seed) | 1
			if spreads(keys[i], 0, 4096) && spreads(keys[i], 8, 256) && spreads(keys[i], 16, 256) && spreads(keys[i], 24, 256) {
				break
			}
		}
	}
	return keys
}

// spreads tells whether the first n multiples of a key by 1<<shift, as a hash, are
// spread well over the buckets of a table, however many those are. The multiples of
// one number lie at three distances at most (Sós 1958), which for one key in some
// hundred are so unlike that nearly all are in a few buckets.
func spreads(key uint64, shift, n int) bool {
	for buckets := n / 4; buckets >= ways; buckets /= 2 {
		for _, multiples := range []int{buckets, buckets * ways / 2} {
			used := make([]int, buckets)
			most := min(multiples/buckets*4, ways)
			for i := range uint64(multiples) {
				bucket := (i << shift * key >> 32) & uint64(buckets-1)
				if used[bucket]++; used[bucket] > most {
					return false
				}
			}
		}
	}
	return true
}

// hashAddress is hash_address in packet.h.
func hashAddress(hi, lo uint64, keys [3]uint64) uint64 {
	return scatter(hi*keys[0] + lo*keys[1])
}

// scatter is the function of that name in packet.h.
func scatter(hash uint64) uint64 { return (hash ^ hash>>32) * 0xD6E8FEB86659FD93 }
