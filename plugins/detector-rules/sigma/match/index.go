package match

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// fieldIndex finds the needles of a table in the values of one field.
type fieldIndex struct {
	// witnesses says that a needle, or the field's presence, nominates rules; else
	// the needles only decide atoms.
	witnesses bool
	// atEnds says that there are needles that are a whole value or lie at an end of
	// it, within that there are others. Where neither is true, no value is worth a
	// look.
	atEnds, within bool
	// alone says that there are grams and nothing else, so that most values need not
	// be folded.
	alone bool
	// whole says that there are needles that are a whole value. starts and ends
	// are the lengths of the pieces by which those at an end are filed, bit i for
	// 1<<i bytes.
	whole        bool
	starts, ends uint8
	// least is the length of the shortest needle.
	least int32
	// from and upto are the postings of the field's presence.
	from, upto int32
	grams      *grams
	// pairs are for the needles that are too short for grams; short are those of
	// them that are looked for one by one.
	pairs *pairs
	short []int32
}

// take enters a needle.
func (b *tableBuilder) take(index int32, w witness, number int32) {
	f := &b.index[index]
	if !f.atEnds && !f.within || int(f.least) > len(w.text) {
		f.least = int32(len(w.text))
	}
	if w.where == inside {
		f.within = true
	} else {
		f.atEnds = true
	}
	f.witnesses = f.witnesses || b.needles[number].upto > b.needles[number].from
	switch {
	case w.where == prefix:
		f.starts |= 1 << pieceOf(w.text)
	case w.where == suffix:
		f.ends |= 1 << pieceOf(w.text)
	case w.where == whole:
		f.whole = true
	case len(w.text) < span:
		f.short = append(f.short, number)
	default:
		b.inner[index] = append(b.inner[index], number)
	}
}

// finish makes the tables when all needles are in.
func (b *tableBuilder) finish(index int32) {
	f := &b.index[index]
	if inner := b.inner[index]; len(inner) > 0 {
		f.grams = newGrams(b.needles, inner)
	}
	f.alone = f.grams != nil && !f.atEnds && len(f.short) == 0
	if len(f.short) <= fewShort {
		return
	}
	single := func(number int32) bool { return len(b.needles[number].text) == 1 }
	double := slices.DeleteFunc(slices.Clone(f.short), single)
	f.short = slices.DeleteFunc(f.short, func(number int32) bool { return !single(number) })
	if len(double) > 0 {
		f.pairs = newPairs(b.needles, double)
	}
}

// longestPiece is the logarithm of the length of the longest piece by which needles
// at an end of a value are filed.
const longestPiece = 5

// pieceOf returns the logarithm of the length of the piece by which a needle at an
// end of a value is filed: the longest power of two that it has room for. Few
// lengths make few look-ups, long pieces tell needles apart.
func pieceOf(text string) int { return min(bits.Len(uint(len(text)))-1, longestPiece) }

// anchors is a hash table of needles by the piece of text that they are filed
// under, their index, and the end at which they lie.
type anchors struct {
	// filter tells in one load that there is nothing, and is small enough to stay
	// in a cache that is near: a hash has two bits of one word (a blocked Bloom
	// filter; Putze, Sanders and Singler, Cache-, Hash- and Space-Efficient Bloom
	// Filters, 2007).
	filter []uint64
	slots  []anchor
	shift  uint8
}

// anchor has the needles from and before upto for a hash, none where there is
// nothing.
type anchor struct {
	hash       uint64
	from, upto uint32
}

// multiplier spreads a word over 64 bits, the upper ones best (2^64 over the
// golden ratio, Knuth, The Art of Computer Programming, 6.4).
const multiplier = 0x9e3779b97f4a7c15

// hashPiece makes one number of a piece and of where it lies. Of a long piece it
// reads both ends alone; needles that differ between them share a slot.
func hashPiece(index int32, where shape, piece string) uint64 {
	b := bytesOf(piece)
	h := uint64(index)<<40 | uint64(where)<<32 | uint64(len(b))&(1<<32-1)
	var first, last uint64
	switch {
	case len(b) >= 8:
		first, last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		first, last = uint64(b[0])|uint64(b[len(b)/2])<<8, uint64(b[len(b)-1])
	}
	h = (h ^ first) * multiplier
	return (bits.RotateLeft64(h, 32) ^ last) * multiplier
}

// bitsOf returns the bits of a hash in a word of the filter.
func bitsOf(h uint64) uint64 { return 1<<(h>>58) | 1<<(h>>52&63) }

// newAnchors makes a table, a quarter full at most.
func newAnchors(filed []anchor) anchors {
	size := max(bits.Len(uint(len(filed)))+2, 4)
	a := anchors{filter: make([]uint64, 1<<max(size-4, 0)), slots: make([]anchor, 1<<size), shift: uint8(64 - size)}
	for _, f := range filed {
		a.filter[int(f.hash>>32)&(len(a.filter)-1)] |= bitsOf(f.hash)
		at := int(f.hash >> a.shift)
		for a.slots[at].upto != 0 {
			at = (at + 1) & (len(a.slots) - 1)
		}
		a.slots[at] = f
	}
	return a
}

// find returns the needles of a piece.
func (t *table) find(index int32, where shape, piece string) []needle {
	a := &t.anchored
	h := hashPiece(index, where, piece)
	if b := bitsOf(h); a.filter[int(h>>32)&(len(a.filter)-1)]&b != b {
		return nil
	}
	for at := int(h >> a.shift); ; at = (at + 1) & (len(a.slots) - 1) {
		s := &a.slots[at]
		if s.hash == h || s.upto == 0 {
			return t.needles[s.from:s.upto]
		}
	}
}
