package match

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// fieldIndex finds needles in the values of one field.
type fieldIndex struct {
	// whole says that there are needles that are a whole value; starts and ends
	// are the lengths of the pieces by which those at an end are filed.
	whole        bool
	starts, ends []int32
	grams        []*grams
	// pairs are for the needles that are too short for grams; short are those of
	// them that are looked for one by one.
	pairs *pairs
	short []int32
	// inner are the needles that grams are to be made of.
	inner []int32
	// from and upto are the postings of the field's presence.
	from, upto int32
}

// idle reports whether no value of the field is worth a look.
func (f *fieldIndex) idle() bool {
	return !f.whole && len(f.starts) == 0 && len(f.ends) == 0 && len(f.grams) == 0 && f.pairs == nil && len(f.short) == 0
}

// take enters a needle.
func (f *fieldIndex) take(w witness, number int32) {
	switch {
	case w.where == prefix:
		f.starts = insert(f.starts, pieceOf(w.text))
	case w.where == suffix:
		f.ends = insert(f.ends, pieceOf(w.text))
	case w.where == whole:
		f.whole = true
	case len(w.text) < span:
		f.short = append(f.short, number)
	default:
		f.inner = append(f.inner, number)
	}
}

// finish makes the tables when all needles are in.
func (f *fieldIndex) finish(needles []needle) {
	if len(f.inner) > 0 {
		f.grams, f.inner = newGrams(needles, f.inner), nil
	}
	if len(f.short) <= fewShort {
		return
	}
	single := func(number int32) bool { return len(needles[number].text) == 1 }
	double := slices.DeleteFunc(slices.Clone(f.short), single)
	f.short = slices.DeleteFunc(f.short, func(number int32) bool { return !single(number) })
	if len(double) > 0 {
		f.pairs = newPairs(needles, double)
	}
}

// lengths are those of the pieces by which needles at an end of a value are filed:
// the longest that a needle has room for. Few lengths make few look-ups, long
// pieces tell needles apart.
var lengths = [...]int32{1, 2, 4, 8, 16, 32}

func pieceOf(text string) int32 {
	best := lengths[0]
	for _, n := range lengths {
		if int(n) <= len(text) {
			best = n
		}
	}
	return best
}

// anchors is a hash table of needles by the piece of text that they are filed
// under, their field, and the end at which they lie.
type anchors struct {
	seed maphash.Seed
	// filter tells in one load that there is nothing; it is small enough to stay
	// in a cache that is near.
	filter []uint64
	slots  []anchor
	shift  uint8
}

type anchor struct {
	hash uint64
	// needles are those of this slot; nil when there is nothing.
	needles []int32
}

// multiplier spreads a word over 64 bits, the upper ones best (2^64 over the
// golden ratio, Knuth, The Art of Computer Programming, 6.4).
const multiplier = 0x9e3779b97f4a7c15

// hashPiece makes one number of a piece and of where it lies.
func hashPiece(seed maphash.Seed, field int32, where shape, piece string) uint64 {
	return maphash.String(seed, piece) + (uint64(field)<<3|uint64(where))*multiplier
}

// newAnchors makes a table, a quarter full at most. filed are the needles by their
// hash.
func newAnchors(seed maphash.Seed, filed map[uint64][]int32) anchors {
	size := max(bits.Len(uint(len(filed)))+2, 4)
	a := anchors{seed: seed, filter: make([]uint64, 1<<max(size-4, 0)), slots: make([]anchor, 1<<size), shift: uint8(64 - size)}
	for h, needles := range filed {
		a.filter[int(h>>6)&(len(a.filter)-1)] |= 1 << (h & 63)
		at := int(h * multiplier >> a.shift)
		for a.slots[at].needles != nil {
			at = (at + 1) & (len(a.slots) - 1)
		}
		a.slots[at] = anchor{h, needles}
	}
	return a
}

// find returns the needles of a piece.
func (a *anchors) find(field int32, where shape, piece string) []int32 {
	h := hashPiece(a.seed, field, where, piece)
	if a.filter[int(h>>6)&(len(a.filter)-1)]>>(h&63)&1 == 0 {
		return nil
	}
	for at := int(h * multiplier >> a.shift); ; at = (at + 1) & (len(a.slots) - 1) {
		s := &a.slots[at]
		if s.hash == h || s.needles == nil {
			return s.needles
		}
	}
}
