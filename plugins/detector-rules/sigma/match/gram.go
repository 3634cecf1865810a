package match

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// span is how many bytes of a needle are looked for at once: a piece of it.
const span = 4

// grams finds needles inside a text. It looks at every step-th place of it only:
// wherever a window of step+span-1 bytes lies, one of its step pieces begins at
// such a place (Wu and Manber, A Fast Algorithm for Multi-Pattern Searching, 1994,
// skip by the same thought). A needle is filed under the pieces of its rarest
// window. A bit map over hashes of them tells in one load that none is at a place;
// else they are looked up, and the needles that have them compared.
type grams struct {
	step int
	// filter has a power of two of words.
	filter []uint64
	// slots is a hash table of the pieces; links are the needles of all of them,
	// those of a piece side by side.
	slots []slot
	shift uint8
	links []link
}

// slot has the links from and before upto for a piece, none where there is nothing.
type slot struct{ key, from, upto uint32 }

// link is a needle, and where its piece lies in it.
type link struct{ needle, offset int32 }

// The bit map has bitsPerPiece bits for each piece, within bounds: few places then
// pass it in vain, and it stays in the caches nearest to the processor.
const (
	bitsPerPiece = 24
	minFilter    = 10
	maxFilter    = 20
)

// longStep is the step for needles that are long enough, unless there are so few
// others that one pass for all is shorter than two.
const longStep = 4

// newGrams files the needles of these numbers.
func newGrams(needles []needle, numbers []int32) []*grams {
	long := func(number int32) bool { return len(needles[number].text) >= longStep+span-1 }
	short := slices.DeleteFunc(slices.Clone(numbers), long)
	var out []*grams
	if rest := slices.DeleteFunc(slices.Clone(numbers), func(n int32) bool { return !long(n) }); len(rest) > 0 {
		out = append(out, newStep(longStep, needles, rest))
	}
	if len(short) > 0 {
		out = append(out, newStep(1, needles, short))
	}
	return out
}

func newStep(step int, needles []needle, numbers []int32) *grams {
	g := &grams{step: step}
	pieces := len(numbers) * step
	g.filter = make([]uint64, 1<<(min(max(bits.Len(uint(pieces*bitsPerPiece)), minFilter), maxFilter)-6))

	shared := map[uint32]int{}
	for _, number := range numbers {
		text := needles[number].text
		for at := 0; at+span <= len(text); at++ {
			shared[piece(text[at:])]++
		}
	}
	filed := map[uint32][]link{}
	for _, number := range numbers {
		text := needles[number].text
		offset, best := 0, -1
		for at := 0; at+step+span-1 <= len(text); at++ {
			score := commonness(text[at : at+step+span-1])
			for i := range step {
				score += shared[piece(text[at+i:])] * 1000
			}
			if best < 0 || score < best {
				offset, best = at, score
			}
		}
		for i := range step {
			key := piece(text[offset+i:])
			filed[key] = append(filed[key], link{number, int32(offset + i)})
		}
	}
	size := bits.Len(uint(len(filed))) + 1
	g.slots, g.shift = make([]slot, 1<<size), uint8(64-size)
	for key, links := range filed {
		g.file(key, links)
	}
	return g
}

func piece(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (g *grams) file(key uint32, links []link) {
	h := uint64(key) * multiplier
	g.filter[int(h>>32)&(len(g.filter)-1)] |= 1 << (h >> 58)
	at := int(h >> g.shift)
	for g.slots[at].upto != 0 {
		at = (at + 1) & (len(g.slots) - 1)
	}
	from := uint32(len(g.links))
	g.links = append(g.links, links...)
	g.slots[at] = slot{key, from, uint32(len(g.links))}
}

// scan tells s of every needle in a text. It reads the text without a second look
// at its bounds, which the loop keeps.
func (g *grams) scan(s *Scratch, text string) {
	filter, step := g.filter, g.step
	if len(filter) == 0 {
		return
	}
	start := unsafe.Pointer(unsafe.StringData(text))
	for at, last := 0, len(text)-span; at <= last; at += step {
		w := binary.LittleEndian.Uint32((*[span]byte)(unsafe.Add(start, at))[:])
		h := uint64(w) * multiplier
		if filter[int(h>>32)&(len(filter)-1)]>>(h>>58)&1 != 0 {
			g.verify(s, text, at, w)
		}
	}
}

// verify looks which needles have the piece at a place of the text.
func (g *grams) verify(s *Scratch, text string, at int, key uint32) {
	i := int(uint64(key) * multiplier >> g.shift)
	for g.slots[i].key != key || g.slots[i].upto == 0 {
		if g.slots[i].upto == 0 {
			return
		}
		i = (i + 1) & (len(g.slots) - 1)
	}
	found := &g.slots[i]
	for _, l := range g.links[found.from:found.upto] {
		n := &s.m.needles[l.needle]
		from := at - int(l.offset)
		if from >= 0 && from+len(n.text) <= len(text) && s.needleStamp[l.needle] != s.epoch && text[from:from+len(n.text)] == n.text {
			s.hit(l.needle, n)
		}
	}
}

// commonness tells roughly how often bytes occur in logs; less is rarer.
func commonness(s string) int {
	sum := 0
	for i := range len(s) {
		sum += frequency(s[i])
	}
	return sum
}

// frequency tells roughly how often a byte occurs in folded logs; less is rarer.
func frequency(c byte) int {
	const rising = "zqxjvwygkbhfpmulc" + "dnrtsoaie"
	if at := slices.Index([]byte(rising), c); at >= 0 {
		return 10 + at
	}
	switch {
	case c >= '0' && c <= '9', c == '.', c == '/', c == '=', c == ':', c == '-', c == '\\':
		return 30
	case c == ' ':
		return 40
	}
	return 20
}
