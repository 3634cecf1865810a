package engine

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// span is how many bytes of a needle are looked for at once: a piece of it.
const span = 4

// meshes are the steps of the sieves for long needles, for shorter ones, and for
// the shortest that a sieve takes.
var meshes = [...]int{8, 4, 1}

// window returns how many bytes a needle has at least in a sieve of this step.
func window(step int) int { return step + span - 1 }

// sieve finds needles that are as long as its window at least. It looks at every
// step-th place of a text only: wherever a window lies, one of its step pieces
// begins at such a place (Wu and Manber, A Fast Algorithm for Multi-Pattern
// Searching, 1994, skip by the same thought). A bit map over the hashes of the
// pieces tells in one load that none is at a place; else the piece is looked up,
// and then the beginnings of the windows that have it there, up to eight bytes.
type sieve struct {
	step, window int
	// filter has a power of two of words.
	filter []uint64
	// pieces has zero bytes where there is nothing.
	pieces     []piece
	pieceShift uint8
	// keys has 0 where there is nothing; chains is parallel to it. key masks a
	// word to the bytes of a key.
	keys     []uint64
	chains   [][]link
	keyShift uint8
	key      uint64
}

// piece is the bytes of a piece, and a set of the places that it has in windows.
type piece struct {
	bytes uint32
	at    uint8
}

// link is a needle, and where in it the window lies.
type link struct{ needle, offset int32 }

// filterBits bounds the bit map so that it stays in a cache of the second level.
const filterBits = 20

// newSieve files the needles of these numbers.
func newSieve(step int, needles []needle, numbers []int32) sieve {
	v := sieve{step: step, window: window(step)}
	v.key = 1<<(8*min(v.window, 8)) - 1
	size := max(bits.Len(uint(len(numbers)))+2, 6)
	v.keys, v.chains, v.keyShift = make([]uint64, 1<<size), make([][]link, 1<<size), uint8(64-size)
	size = min(max(bits.Len(uint(len(numbers)*step*32)), 12), filterBits)
	v.filter = make([]uint64, 1<<(size-6))
	size = bits.Len(uint(len(numbers)*step)) + 1
	v.pieces, v.pieceShift = make([]piece, 1<<size), uint8(64-size)

	shared := map[uint64]int{}
	for _, number := range numbers {
		text := bytesOf(needles[number].text)
		for at := 0; at+v.window <= len(text); at++ {
			shared[v.word(text, at)&v.key]++
		}
	}
	for _, number := range numbers {
		text := bytesOf(needles[number].text)
		offset, best := 0, -1
		for at := 0; at+v.window <= len(text); at++ {
			if score := shared[v.word(text, at)&v.key]*1000 + commonness(text[at:at+v.window]); best < 0 || score < best {
				offset, best = at, score
			}
		}
		v.file(text, link{number, int32(offset)})
	}
	return v
}

// word returns the word from at on as sieves compare it.
func (v *sieve) word(b []byte, at int) uint64 { return loadUpTo(b, at) | caseless }

// file enters a needle under its window, and the pieces of the window.
func (v *sieve) file(text []byte, l link) {
	key := v.word(text, int(l.offset)) & v.key
	at := v.slot(key)
	v.keys[at] = key
	v.chains[at] = append(v.chains[at], l)
	for i := range v.step {
		w := v.word(text, int(l.offset)+i)
		word, bit := v.hash(w)
		v.filter[word] |= 1 << bit
		p := v.find(w)
		p.bytes, p.at = uint32(w), p.at|1<<i
	}
}

// find returns where the piece that a word begins with is, or would be.
func (v *sieve) find(w uint64) *piece {
	last := len(v.pieces) - 1
	at := int(uint64(uint32(w))*multiplier>>v.pieceShift) & last
	for v.pieces[at].bytes != 0 && v.pieces[at].bytes != uint32(w) {
		at = (at + 1) & last
	}
	return &v.pieces[at]
}

// slot returns where a key is, or would be.
func (v *sieve) slot(key uint64) int {
	last := len(v.keys) - 1
	at := int(key*multiplier>>v.keyShift) & last
	for v.keys[at] != 0 && v.keys[at] != key {
		at = (at + 1) & last
	}
	return at
}

// pass nominates the rules of the needles that it finds, and reports whether
// nothing else is in the text, because it is ASCII or folded.
func (v *sieve) pass(m *matcher, needles []needle, text string, folded bool) (sure bool) {
	b := bytesOf(text)
	var seen uint64
	at := 0
	for {
		var some uint64
		at, some = v.skip(b, at)
		if seen |= some; seen&high != 0 && !folded {
			return false
		}
		if at+8 > len(b) {
			break
		}
		v.verify(m, needles, b, at)
		at += v.step
	}
	for ; at+span <= len(b); at += v.step {
		if v.has(v.word(b, at)) {
			v.verify(m, needles, b, at)
		}
	}
	if n := len(b); n >= 8 {
		seen |= load(b, n-8)
	} else {
		seen = short(b)
	}
	return folded || seen&high == 0
}

// skip returns the first place from at on where a piece may be, or else one near
// the end with less than a word behind it, and all that it read in one word. It
// calls nothing, so that all it needs stays in registers, and reads b without a
// second look at its bounds, which the loop keeps: most of the time of most events
// is spent here.
func (v *sieve) skip(b []byte, at int) (place int, seen uint64) {
	filter, step := v.filter, v.step
	if at < 0 || len(filter) == 0 {
		return len(b), 0
	}
	start := unsafe.Pointer(unsafe.SliceData(b))
	for last := len(b) - 8; at <= last; at += step {
		w := binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(start, at))[:])
		seen |= w
		h := uint64(uint32(w|caseless)) * multiplier
		if filter[int(h>>32)&(len(filter)-1)]>>(h>>58)&1 != 0 {
			break
		}
	}
	return at, seen
}

// hash returns the place in the filter of the piece that a word begins with, as
// skip has it.
func (v *sieve) hash(w uint64) (word int, bit uint64) {
	h := uint64(uint32(w)) * multiplier
	return int(h>>32) & (len(v.filter) - 1), h >> 58
}

// has reports whether a word may begin with a piece.
func (v *sieve) has(w uint64) bool {
	word, bit := v.hash(w)
	return v.filter[word]>>bit&1 != 0
}

// verify looks which needles have the piece at a place in their window.
func (v *sieve) verify(m *matcher, needles []needle, b []byte, at int) {
	for set := v.find(v.word(b, at)).at; set != 0; set &= set - 1 {
		i := at - bits.TrailingZeros8(set)
		if i < 0 || i+v.window > len(b) {
			continue
		}
		for _, l := range v.chains[v.slot(v.word(b, i)&v.key)] {
			n := &needles[l.needle]
			if from := i - int(l.offset); from >= 0 && m.needleStamp[n.id] != m.epoch && foldedPrefix(b[from:], n.text) {
				m.needleStamp[n.id] = m.epoch
				m.nominate(n.rules)
			}
		}
	}
}
