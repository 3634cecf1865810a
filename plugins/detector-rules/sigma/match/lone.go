package match

import (
	"encoding/binary"
	"unsafe"
)

// lone finds one or two needles inside a text, each by two neighbouring bytes of it. It
// looks at eight places at once (SWAR), so that two needles that are shorter than all
// others cost less this way than the small steps that they would force upon those.
type lone struct {
	needles []loneNeedle
	// a and b are the bytes of the needles; they are alike when there is one needle.
	a, b bytePair
}

// bytePair has two neighbouring bytes, each in all bytes of a word, blunt.
type bytePair struct{ first, second uint64 }

// loneNeedle is one of the needles.
type loneNeedle struct {
	number int32
	// offset is where in the needle the two bytes are, length how long it is.
	offset, length int32
	// check are four bytes at the start of the needle, blunt.
	check uint32
}

// maxLone is how many needles there may be: more words than two pairs have do not stay
// in registers.
const maxLone = 2

// bluntWord is blunt for eight bytes.
const bluntWord = 0x20 * ones

// newLone takes the needles of these numbers, each by its rarest two neighbours.
func newLone(needles []needle, numbers []int32) *lone {
	l := &lone{}
	var pairs []bytePair
	for _, number := range numbers {
		text := needles[number].text
		offset, best := 0, -1
		for at := 0; at+2 <= len(text); at++ {
			if c := commonness(text[at : at+2]); best < 0 || c < best {
				offset, best = at, c
			}
		}
		pairs = append(pairs, bytePair{uint64(text[offset])*ones | bluntWord, uint64(text[offset+1])*ones | bluntWord})
		l.needles = append(l.needles, loneNeedle{number, int32(offset), int32(len(text)), piece(text) | blunt})
	}
	l.a, l.b = pairs[0], pairs[len(pairs)-1]
	return l
}

// next returns the first place, not before from, where the two bytes of a needle are in
// a text that may have the needle around them, as far as four bytes tell; or -1, and
// whether the rest of the text is ASCII: only then it need not be folded.
func (l *lone) next(text string, from int) (place int, ascii bool) {
	if len(text)-from <= 8 {
		return l.nextIn(text, from, len(text)), isASCII(text)
	}
	start := unsafe.Pointer(unsafe.StringData(text))
	a, b, all := l.a, l.b, uint64(0)
	for at, last := from, len(text)-9; ; at = min(at+8, last) {
		v, w := load8(start, at), load8(start, at+1)
		all |= v | w
		v, w = v|bluntWord, w|bluntWord
		if (zeroes((v^a.first)|(w^a.second))|zeroes((v^b.first)|(w^b.second)))&high != 0 {
			if place := l.nextIn(text, at, at+8); place >= 0 {
				return place, all&high == 0
			}
		}
		if at == last {
			return -1, all&high == 0
		}
	}
}

// nextIn is next for places before another alone, one by one.
func (l *lone) nextIn(text string, from, before int) int {
	for at := from; at < min(before, len(text)-1); at++ {
		for i := range l.needles {
			n := &l.needles[i]
			if begin := at - int(n.offset); begin >= 0 && begin+int(n.length) <= len(text) && piece(text[begin:])|blunt == n.check {
				return at
			}
		}
	}
	return -1
}

// mayHaveShort reports whether a text of four to eight bytes may have a needle. It need
// be neither folded nor ASCII.
func (l *lone) mayHaveShort(text string) bool {
	start := unsafe.Pointer(unsafe.StringData(text))
	word := uint64(load(start, 0)) | uint64(load(start, len(text)-span))<<(8*(len(text)-span))
	v, w := word|bluntWord, word>>8|bluntWord
	return (word|zeroes((v^l.a.first)|(w^l.a.second))|zeroes((v^l.b.first)|(w^l.b.second)))&high != 0
}

// scan tells s of every needle in a text.
func (l *lone) scan(s *Scratch, t *table, text string) {
	for at, _ := l.next(text, 0); at >= 0; at, _ = l.next(text, at+1) {
		for i := range l.needles {
			n := &t.needles[l.needles[i].number]
			if from := at - int(l.needles[i].offset); from >= 0 && from+len(n.text) <= len(text) && n.is(text[from:from+len(n.text)]) {
				s.hit(t, n)
			}
		}
	}
}

// zeroes has the high bit of the lowest byte of a word that is zero, and perhaps of
// others above it, and bits that are not high.
func zeroes(x uint64) uint64 { return (x - ones) &^ x }

// load8 reads eight bytes.
func load8(start unsafe.Pointer, at int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(start, at))[:])
}
