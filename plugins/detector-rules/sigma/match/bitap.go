package match

import (
	"math"
	"regexp/syntax"
	"unicode/utf8"
)

// bitap finds out whether a text has a run of bytes, each of its own set. It is
// asked before a regular expression that has such a run in each of its matches. It
// reads windows as long as the run from their end, all beginnings of the run in one
// word, and skips what cannot hold one (Navarro and Raffinot, A Bit-Parallel
// Approach to Suffix Automata, 1998).
type bitap struct {
	masks  [256]uint64
	length int
}

// byteSet is a set of bytes.
type byteSet [4]uint64

func (b *byteSet) add(c byte)      { b[c/64] |= 1 << (c % 64) }
func (b *byteSet) has(c byte) bool { return b[c/64]>>(c%64)&1 != 0 }

// The bounds of what is worth a bitap: how many bytes it has at most, and how many
// bits of information at least, of which every byte that the set leaves out of 256
// gives a share.
const (
	longestRun   = 64
	minSelective = 8
	maxReads     = 10_000
)

// newBitap returns the one for the most telling run of a pattern, nil when there is
// none that tells much.
func newBitap(tree *syntax.Regexp) *bitap {
	r := &runs{budget: maxReads}
	r.read(tree)
	r.cut()
	if r.budget < 0 || r.bestScore < minSelective {
		return nil
	}
	b := &bitap{length: len(r.best)}
	for c := range 256 {
		for i := range r.best {
			if r.best[i].has(byte(c)) {
				b.masks[c] |= 1 << (len(r.best) - 1 - i)
			}
		}
	}
	return b
}

// in reports whether the run is in a text.
func (b *bitap) in(text string) bool {
	first := uint64(1) << (b.length - 1)
	// A text made for it would have every byte read once for each of the run.
	budget := 2 * len(text)
	for from := 0; from+b.length <= len(text); {
		if budget < 0 {
			return b.after(text[from:])
		}
		// A bit of state says that what has been read of the window is in the run,
		// and where; first that it is its beginning.
		state, skip := ^uint64(0), b.length
		for at := b.length - 1; ; at-- {
			state &= b.masks[text[from+at]]
			budget--
			if state == 0 {
				break
			}
			if state&first != 0 {
				if at == 0 {
					return true
				}
				skip = at
			}
			state <<= 1
		}
		from += skip
	}
	return false
}

// after is in by one operation a byte (Baeza-Yates and Gonnet, A New Approach to
// Text Searching, 1992).
func (b *bitap) after(text string) bool {
	first := uint64(1) << (b.length - 1)
	state := uint64(0)
	for i := range len(text) {
		state = (state>>1 | first) & b.masks[text[i]]
		if state&1 != 0 {
			return true
		}
	}
	return false
}

// runs collects the runs of bytes that every match of a pattern has.
type runs struct {
	// budget is how many more parts may be read: one that is repeated within
	// another that is repeated is read four times, and so on.
	budget        int
	current, best []byteSet
	bestScore     float64
}

// cut ends the current run.
func (r *runs) cut() {
	run := r.current[:min(len(r.current), longestRun)]
	score := 0.0
	for i := range run {
		size := 0
		for c := range 256 {
			if run[i].has(byte(c)) {
				size++
			}
		}
		score += math.Log2(256 / float64(max(size, 1)))
	}
	if score > r.bestScore {
		r.best, r.bestScore = run, score
	}
	r.current = nil
}

// read adds what a part of a pattern must have. What may be there or not, or in
// several lengths, ends a run; what is repeated stands at its beginning and at its
// end.
func (r *runs) read(re *syntax.Regexp) {
	if r.budget--; r.budget < 0 {
		return
	}
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			r.literal(c, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		if set, ok := classSet(re.Rune); ok {
			r.current = append(r.current, set)
		} else {
			r.cut()
		}
	case syntax.OpCapture:
		r.read(re.Sub[0])
	case syntax.OpConcat:
		for _, s := range re.Sub {
			r.read(s)
		}
	case syntax.OpPlus:
		r.read(re.Sub[0])
		r.cut()
		r.read(re.Sub[0])
	case syntax.OpRepeat:
		for range min(re.Min, longestRun) {
			r.read(re.Sub[0])
		}
		if re.Min == re.Max && re.Min <= longestRun {
			return
		}
		r.cut()
		for range min(re.Min, longestRun) {
			r.read(re.Sub[0])
		}
	default:
		r.cut()
	}
}

// literal adds a character. One whose other case lies beyond ASCII ends the run.
func (r *runs) literal(c rune, fold bool) {
	switch {
	case c == utf8.RuneError, fold && (c >= utf8.RuneSelf || foldsBeyond(c)):
		r.cut()
	case fold:
		var set byteSet
		set.add(byte(c))
		if lower := c | 0x20; lower >= 'a' && lower <= 'z' {
			set.add(byte(lower))
			set.add(byte(lower - 0x20))
		}
		r.current = append(r.current, set)
	default:
		for _, b := range []byte(string(c)) {
			var set byteSet
			set.add(b)
			r.current = append(r.current, set)
		}
	}
}

// foldsBeyond reports whether a character of ASCII differs only in case from one
// that is not: k and s do.
func foldsBeyond(c rune) bool { return c|0x20 == 'k' || c|0x20 == 's' }

// classSet returns the bytes of a class that has nothing but ASCII.
func classSet(ranges []rune) (set byteSet, ok bool) {
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i+1] >= utf8.RuneSelf {
			return set, false
		}
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			set.add(byte(c))
		}
	}
	return set, true
}
