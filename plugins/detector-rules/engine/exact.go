package engine

import "math/bits"

// exactIndex finds the rules of a folded text. Most values of a field are in no
// rule, and most of them are told apart by their hash, which needs no folding.
type exactIndex struct {
	// hashes has 0 where there is nothing; entries is parallel to it.
	hashes  []uint64
	entries []exactEntry
	shift   uint8
	// longest is the length of the longest text, in bytes.
	longest int
}

type exactEntry struct {
	text  string
	rules []int32
}

// newExactIndex makes an index that is a quarter full at most.
func newExactIndex(texts map[string][]int32) *exactIndex {
	if len(texts) == 0 {
		return nil
	}
	size := max(bits.Len(uint(len(texts)))+2, 6)
	x := &exactIndex{hashes: make([]uint64, 1<<size), entries: make([]exactEntry, 1<<size), shift: uint8(64 - size)}
	for text, rules := range texts {
		x.longest = max(x.longest, len(text))
		h, _ := hashCaseless(text)
		h |= 1
		at := int(h >> x.shift)
		for x.hashes[at] != 0 {
			at = (at + 1) & (len(x.hashes) - 1)
		}
		x.hashes[at], x.entries[at] = h, exactEntry{text, rules}
	}
	return x
}

// find nominates the rules of the value.
func (x *exactIndex) find(m *matcher, value string) {
	// A character has at most four bytes, and folded at least one.
	if len(value) > 4*x.longest {
		return
	}
	h, ascii := hashCaseless(value)
	if !ascii {
		value = m.foldOnce(value)
		h, _ = hashCaseless(value)
	}
	h |= 1
	mask := len(x.hashes) - 1
	for at := int(h>>x.shift) & mask; x.hashes[at] != 0; at = (at + 1) & mask {
		if x.hashes[at] != h {
			continue
		}
		if e := &x.entries[at]; len(e.text) == len(value) && foldedPrefix(bytesOf(value), e.text) {
			m.nominate(e.rules)
			return
		}
	}
}
