package engine

import (
	"slices"
	"strings"
)

// fewNeedles is up to how many needles that are not long it is faster to look
// for each alone.
const fewNeedles = 2

// fieldIndex finds the rules whose witness is in a value of one field; nil
// parts have none.
type fieldIndex struct {
	exact   *exactIndex
	scanner *scanner
	present []int32
}

// idle reports whether no rule has a witness in the field.
func (f *fieldIndex) idle() bool { return f.exact == nil && f.scanner == nil && len(f.present) == 0 }

// look nominates the rules whose witness is in the value.
func (f *fieldIndex) look(m *matcher, value string) {
	m.hasFolded = false
	if f.exact != nil {
		f.exact.find(m, value)
	}
	if f.scanner != nil {
		f.scanner.scan(m, value)
	}
	m.nominate(f.present)
}

// scanner finds which needles are in a text, whatever its case. It reads the
// text as it is; only what has characters beyond ASCII may have to be folded.
type scanner struct {
	needles []needle
	// single are the numbers of needles that are looked for one by one. The
	// others are in the sieve for their length.
	single []int32
	sieves []sieve
}

type needle struct {
	pattern
	// id numbers the needle in the whole set, for the stamps of a matcher.
	id    int
	rules []int32
}

// newScanner takes the needles with the rules of each; next is the first free
// number for them.
func newScanner(texts map[string][]int32, next int) *scanner {
	if len(texts) == 0 {
		return nil
	}
	s := &scanner{}
	sorted := make([]string, 0, len(texts))
	for text := range texts {
		sorted = append(sorted, text)
	}
	slices.Sort(sorted)
	var bySize [len(meshes)][]int32
	for i, text := range sorted {
		s.needles = append(s.needles, needle{pattern: newPattern(text), id: next, rules: texts[text]})
		next++
		size := 0
		for size < len(meshes) && len(text) < window(meshes[size]) {
			size++
		}
		if size == len(meshes) || size > 0 && len(sorted) <= fewNeedles {
			s.single = append(s.single, int32(i))
		} else {
			bySize[size] = append(bySize[size], int32(i))
		}
	}
	if len(bySize[1]) > 0 {
		// One pass for both is shorter than two.
		bySize[0], bySize[1] = nil, append(bySize[1], bySize[0]...)
	}
	for size, numbers := range bySize {
		if len(numbers) > 0 {
			s.sieves = append(s.sieves, newSieve(meshes[size], s.needles, numbers))
		}
	}
	return s
}

// scan nominates the rules of every needle that is in the text.
func (s *scanner) scan(m *matcher, text string) {
	for _, i := range s.single {
		n := &s.needles[i]
		found, sure := n.in(text)
		if !sure {
			found = strings.Contains(m.foldOnce(text), n.text)
		}
		if found {
			m.nominate(n.rules)
		}
	}
	for i := range s.sieves {
		if v := &s.sieves[i]; !v.pass(m, s.needles, text, false) {
			v.pass(m, s.needles, m.foldOnce(text), true)
		}
	}
}
