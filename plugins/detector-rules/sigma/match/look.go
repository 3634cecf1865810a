package match

import (
	"math"
	"math/bits"
	"strings"
)

// separator stands between texts that are looked at in one go. It is in no UTF-8,
// and no needle for the whole event has it.
const separator = 0xf8

// longMessage is from which length on it is faster to find out that a text is the
// end of another than to look at both.
const longMessage = 16

// everywhere looks for keywords in all values.
func (s *Scratch) everywhere() {
	least := math.MaxInt
	for _, t := range s.at.tables {
		if at := t.local[everything]; at != 0 {
			least = min(least, int(t.index[at].least))
		}
	}
	for i := range s.values {
		v := &s.values[i]
		if v.null || len(v.text) < least {
			continue
		}
		// A message ends the record that it was read from, which has all that is
		// inside it.
		if len(v.text) >= longMessage && len(v.text) < len(s.line) && strings.HasSuffix(s.line, v.text) {
			continue
		}
		if !v.isFolded && !s.mayHaveKeyword(v.text) {
			continue
		}
		s.folded(int32(i))
	}
	for _, t := range s.at.tables {
		at := t.local[everything]
		if at == 0 {
			continue
		}
		index := &t.index[at]
		s.lookInside(t, index, alias(s.fold))
		if index.atEnds {
			for i := range s.values {
				if !s.values[i].null {
					s.lookAtEnds(t, index, at, s.folded(int32(i)))
				}
			}
		}
	}
}

// mayHaveKeyword reports whether a text that is not folded may have a keyword.
func (s *Scratch) mayHaveKeyword(text string) bool {
	for _, t := range s.at.tables {
		if at := t.local[everything]; at != 0 && (!t.index[at].alone || t.index[at].grams.mayHave(text)) {
			return true
		}
	}
	return false
}

// folded returns the text of a value without regard to case.
func (s *Scratch) folded(number int32) string {
	v := &s.values[number]
	if !v.isFolded {
		s.fold = room(s.fold, len(v.text)+1)
		at := len(s.fold)
		s.fold = appendFold(s.fold, v.text)
		v.folded, v.isFolded = alias(s.fold[at:]), true
		s.fold = append(s.fold, separator)
	}
	return v.folded
}

// room makes sure that n bytes can be appended without changing what is there,
// which values alias: it stays behind when there is too little room.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		return append(make([]byte, 0, max(2*cap(b), len(b)+n)), b...)
	}
	return b
}

// look nominates the rules whose needles are in a folded text, by the index of a
// number.
func (s *Scratch) look(t *table, index *fieldIndex, at int32, text string) {
	if index.atEnds {
		s.lookAtEnds(t, index, at, text)
	}
	if index.within {
		s.lookInside(t, index, text)
	}
}

func (s *Scratch) lookAtEnds(t *table, index *fieldIndex, at int32, text string) {
	if index.whole {
		s.hitThose(t, t.find(at, whole, text), whole, text)
	}
	for lengths := index.starts; lengths != 0; lengths &= lengths - 1 {
		length := 1 << bits.TrailingZeros8(lengths)
		if length > len(text) {
			break
		}
		s.hitThose(t, t.find(at, prefix, text[:length]), prefix, text)
	}
	for lengths := index.ends; lengths != 0; lengths &= lengths - 1 {
		length := 1 << bits.TrailingZeros8(lengths)
		if length > len(text) {
			break
		}
		s.hitThose(t, t.find(at, suffix, text[len(text)-length:]), suffix, text)
	}
}

// hitThose notes which of the needles are at a place of a text.
func (s *Scratch) hitThose(t *table, needles []needle, where shape, text string) {
	for i := range needles {
		n := &needles[i]
		there := text
		if length := len(n.text); where != whole && length <= len(text) {
			if where == prefix {
				there = text[:length]
			} else {
				there = text[len(text)-length:]
			}
		}
		if n.is(there) {
			s.hit(t, n)
		}
	}
}

func (s *Scratch) lookInside(t *table, index *fieldIndex, text string) {
	if index.grams != nil {
		index.grams.scan(s, t, text)
	}
	if index.pairs != nil {
		index.pairs.scan(s, t, text)
	}
	for _, number := range index.short {
		if n := &t.needles[number]; contains(text, n.text) {
			s.hit(t, n)
		}
	}
}

// hit notes that a needle was found.
func (s *Scratch) hit(t *table, n *needle) {
	if n.atom >= 0 {
		s.atomState[n.atom] = s.epoch | yes
	}
	if n.only >= 0 {
		s.nominateOne(n.only)
	} else {
		s.nominate(t.postings[n.from:n.upto])
	}
}

// nominate makes rules candidates.
func (s *Scratch) nominate(rules []int32) {
	for _, number := range rules {
		s.nominateOne(number)
	}
}

func (s *Scratch) nominateOne(number int32) {
	if s.ruleStamp[number] != s.epoch {
		s.ruleStamp[number] = s.epoch
		s.candidates = append(s.candidates, number)
	}
}
