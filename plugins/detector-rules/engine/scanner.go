package engine

import (
	"math/bits"
	"slices"
	"strings"
)

// gramSize is how many bytes of a needle the prefilter looks for.
const gramSize = 4

// fewNeedles is up to how many needles it is faster to look for each alone.
const fewNeedles = 4

// fieldIndex finds the rules whose witness is in a value of one field.
type fieldIndex struct {
	exact   map[string][]int32
	present []int32
	scanner scanner
}

// scanner finds which needles are in a folded text. Each needle is known by
// its rarest four bytes; a bit map over the hash of four bytes tells in one
// load that no needle has them.
type scanner struct {
	needles []needle
	// loose are the numbers of needles that are looked for one by one.
	loose []int32
	bits  []uint64
	shift uint8
	grams map[uint32][]int32
}

type needle struct {
	// id numbers the needle in the whole set, for the stamps of a matcher.
	id    int
	text  string
	rules []int32
	// offset is where the four bytes lie in text.
	offset int
}

// build takes the needles with the rules of each; next is the first free
// number, and the next one is returned.
func (s *scanner) build(texts map[string][]int32, next int) int {
	if len(texts) == 0 {
		return next
	}
	sorted := make([]string, 0, len(texts))
	for text := range texts {
		sorted = append(sorted, text)
	}
	slices.Sort(sorted)
	shared := map[uint32]int{}
	for _, text := range sorted {
		for i := 0; i+gramSize <= len(text); i++ {
			shared[gram(text, i)]++
		}
	}
	s.grams = map[uint32][]int32{}
	for i, text := range sorted {
		n := needle{id: next, text: text, rules: texts[text]}
		next++
		if len(sorted) <= fewNeedles || len(text) < gramSize {
			s.loose = append(s.loose, int32(i))
		} else {
			best := -1
			for at := 0; at+gramSize <= len(text); at++ {
				if score := shared[gram(text, at)]*1000 + commonness(text[at:at+gramSize]); best < 0 || score < best {
					best, n.offset = score, at
				}
			}
			g := gram(text, n.offset)
			s.grams[g] = append(s.grams[g], int32(i))
		}
		s.needles = append(s.needles, n)
	}
	if len(s.grams) > 0 {
		size := min(max(bits.Len(uint(len(s.grams)*32)), 10), 20)
		s.shift = uint8(32 - size)
		s.bits = make([]uint64, 1<<(size-6))
		for g := range s.grams {
			h := g * gramMultiplier >> s.shift
			s.bits[h>>6] |= 1 << (h & 63)
		}
	}
	return next
}

// gramMultiplier spreads four bytes over 32 bits (2^32 over the golden ratio).
const gramMultiplier = 2654435761

func gram(s string, at int) uint32 {
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}

// commonness tells roughly how often bytes occur in log lines; less is rarer.
func commonness(s string) int {
	sum := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(" etaoinsr", c) >= 0:
			sum += 8
		case c >= '0' && c <= '9' || strings.IndexByte("./=:-", c) >= 0:
			sum += 6
		case c >= 'a' && c <= 'z':
			sum += 3
		}
	}
	return sum
}

// scan nominates the rules of every needle that is in the text.
func (s *scanner) scan(m *matcher, text string) {
	for _, i := range s.loose {
		if n := &s.needles[i]; strings.Contains(text, n.text) {
			m.nominate(n.rules)
		}
	}
	if s.bits == nil || len(text) < gramSize {
		return
	}
	filter, shift := s.bits, s.shift
	g := gram(text, 0) << 8
	for i := gramSize - 1; i < len(text); i++ {
		g = g>>8 | uint32(text[i])<<24
		h := g * gramMultiplier >> shift
		if filter[h>>6]>>(h&63)&1 != 0 {
			s.verify(m, text, g, i-gramSize+1)
		}
	}
}

// verify looks whether a needle with these four bytes is really there.
func (s *scanner) verify(m *matcher, text string, g uint32, at int) {
	for _, i := range s.grams[g] {
		n := &s.needles[i]
		if m.needleStamp[n.id] == m.epoch || at < n.offset {
			continue
		}
		if strings.HasPrefix(text[at-n.offset:], n.text) {
			m.needleStamp[n.id] = m.epoch
			m.nominate(n.rules)
		}
	}
}
