package match

import (
	"cmp"
	"encoding/binary"
	"maps"
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
	// filter has a power of two of words, and a bit for each piece.
	filter []uint64
	// slots is a hash table of the pieces with the first needle of each; links are
	// the other needles, those of a piece side by side.
	slots []slot
	shift uint8
	links []link
	// least is the length of the shortest needle that is found by the steps. lone has
	// those that are too short for them, nil when there are none.
	least int
	lone  *lone
}

// blunt makes letters small, and some other characters alike: what is needed to look
// for pieces in a text that is not folded. A piece is filed by what it leaves.
const blunt = 0x20202020

// slot has a piece and its needles: one and the links from and before upto. There is
// nothing in one where after is 0.
type slot struct {
	key        uint32
	one        link
	from, upto uint32
}

// link is a needle that has a piece. It tells by itself nearly always that the
// needle is not in a text, without a look at the needle, which is far away.
type link struct {
	needle int32
	// before and after are how many bytes of the needle lie before the piece, and
	// from its beginning on.
	before, after int32
	// check are four bytes of the needle at its end that is farther from the piece.
	check uint32
}

// The bit map has at least bitsPerPiece bits for each piece, within bounds: few
// places then pass it in vain, and it stays in the nearest cache (2^17 bits are 16
// KiB). One bit is asked for at each place: with two, fewer places would pass, and
// all would cost more.
const (
	bitsPerPiece = 48
	minFilter    = 9
	maxFilter    = 17
)

// longestStep bounds how many pieces a needle is filed under.
const longestStep = 8

// What it takes to look for needles in a hundred bytes, in ns: in steps of one, and for
// those that are too short for larger ones.
const (
	costOfScan = 120
	costOfLone = 20
)

// newGrams files the needles of these numbers. All but lone ones are found in one pass,
// whose step the shortest allows: a second one for those that are longer would cost more
// than it saves, and with a small step each is under fewer pieces, which are rarer.
func newGrams(needles []needle, numbers []int32) *grams {
	numbers = slices.SortedStableFunc(slices.Values(numbers), func(a, b int32) int {
		return cmp.Compare(len(needles[a].text), len(needles[b].text))
	})
	stepAfter := func(alone int) int { return min(len(needles[numbers[alone]].text)-span+1, longestStep) }
	alone, least := 0, costOfScan/stepAfter(0)
	for n := 1; n <= min(maxLone, len(numbers)-1); n++ {
		if c := costOfLone + costOfScan/stepAfter(n); c < least {
			alone, least = n, c
		}
	}
	step := stepAfter(alone)
	g := &grams{step: step, least: len(needles[numbers[alone]].text)}
	if alone > 0 {
		g.lone = newLone(needles, numbers[:alone])
	}
	numbers = numbers[alone:]
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
			key := piece(text[offset+i:]) | blunt
			filed[key] = append(filed[key], newLink(number, text, offset+i))
		}
	}
	size := bits.Len(uint(len(filed))) + 1
	g.slots, g.shift = make([]slot, 1<<size), uint8(64-size)
	for _, key := range slices.Sorted(maps.Keys(filed)) {
		g.file(key, filed[key])
	}
	return g
}

func newLink(number int32, text string, offset int) link {
	l := link{needle: number, before: int32(offset), after: int32(len(text) - offset)}
	if l.checksStart() {
		l.check = piece(text)
	} else {
		l.check = piece(text[len(text)-span:])
	}
	return l
}

// checksStart reports whether check is at the start of the needle.
func (l *link) checksStart() bool { return l.before >= l.after-span }

func piece(s string) uint32 { return binary.LittleEndian.Uint32(bytesOf(s)) }

func (g *grams) file(key uint32, links []link) {
	h := uint64(key) * multiplier
	g.filter[int(h>>32)&(len(g.filter)-1)] |= 1 << (h >> 58)
	at := int(h >> g.shift)
	for g.slots[at].one.after != 0 {
		at = (at + 1) & (len(g.slots) - 1)
	}
	from := uint32(len(g.links))
	g.links = append(g.links, links[1:]...)
	g.slots[at] = slot{key, links[0], from, uint32(len(g.links))}
}

// mayHave reports whether a text that is not folded may have a needle.
func (g *grams) mayHave(text string) bool {
	switch {
	case len(text) < g.least && len(text) <= 8:
		// Values are often so short that lone ones alone can be in them.
		return g.lone != nil && len(text) >= span && g.lone.mayHaveShort(text)
	case g.lone != nil:
		if place, ascii := g.lone.next(text, 0); place >= 0 || !ascii {
			return true
		}
	case !isASCII(text):
		return true
	}
	filter, step := g.filter, g.step
	if len(filter) == 0 {
		return false
	}
	start := unsafe.Pointer(unsafe.StringData(text))
	for at, last := 0, len(text)-span; at <= last; at += step {
		h := uint64(load(start, at)|blunt) * multiplier
		if filter[int(h>>32)&(len(filter)-1)]>>(h>>58)&1 != 0 && g.mayHaveAt(text, at, h) {
			return true
		}
	}
	return false
}

// mayHaveAt reports whether a text that is not folded may have a needle with the piece
// that is at a place of it, whose hash is h.
func (g *grams) mayHaveAt(text string, at int, h uint64) bool {
	found := g.find(load(unsafe.Pointer(unsafe.StringData(text)), at)|blunt, h)
	if found == nil {
		return false
	}
	if found.one.mayBe(text, at) {
		return true
	}
	for i := found.from; i < found.upto; i++ {
		if g.links[i].mayBe(text, at) {
			return true
		}
	}
	return false
}

// mayBe reports whether the needle may be in a text that is not folded and has the piece
// at a place.
func (l *link) mayBe(text string, at int) bool {
	from, upto := at-int(l.before), at+int(l.after)
	if from < 0 || upto > len(text) {
		return false
	}
	check := upto - span
	if l.checksStart() {
		check = from
	}
	return piece(text[check:])|blunt == l.check|blunt
}

// scan tells s of every needle in a text. It reads the text without a second look
// at its bounds, which the loop keeps.
func (g *grams) scan(s *Scratch, t *table, text string) {
	filter, step := g.filter, g.step
	if len(filter) == 0 {
		return
	}
	start := unsafe.Pointer(unsafe.StringData(text))
	for at, last := 0, len(text)-span; at <= last; at += step {
		h := uint64(load(start, at)|blunt) * multiplier
		if filter[int(h>>32)&(len(filter)-1)]>>(h>>58)&1 != 0 {
			g.verify(s, t, text, at, h)
		}
	}
	if g.lone != nil {
		g.lone.scan(s, t, text)
	}
}

// load reads a piece.
func load(start unsafe.Pointer, at int) uint32 {
	return binary.LittleEndian.Uint32((*[span]byte)(unsafe.Add(start, at))[:])
}

// verify looks which needles have the piece at a place of the text, whose hash is
// h.
func (g *grams) verify(s *Scratch, t *table, text string, at int, h uint64) {
	found := g.find(load(unsafe.Pointer(unsafe.StringData(text)), at)|blunt, h)
	if found == nil {
		return
	}
	found.one.verify(s, t, text, at)
	for i := found.from; i < found.upto; i++ {
		g.links[i].verify(s, t, text, at)
	}
}

// find returns the slot of a piece whose hash is h, nil when there is none.
func (g *grams) find(key uint32, h uint64) *slot {
	for i := int(h >> g.shift); ; i = (i + 1) & (len(g.slots) - 1) {
		switch found := &g.slots[i]; {
		case found.one.after == 0:
			return nil
		case found.key == key:
			return found
		}
	}
}

// verify looks whether the needle is in a text that has the piece at a place.
func (l *link) verify(s *Scratch, t *table, text string, at int) {
	from, upto := at-int(l.before), at+int(l.after)
	if from < 0 || upto > len(text) {
		return
	}
	check := upto - span
	if l.checksStart() {
		check = from
	}
	if piece(text[check:]) != l.check {
		return
	}
	if n := &t.needles[l.needle]; n.is(text[from:upto]) {
		s.hit(t, n)
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
