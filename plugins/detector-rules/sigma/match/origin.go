package match

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Origin is a list of log sources made ready for one Matcher, for events that have
// them in common. The zero value has none.
type Origin struct {
	// of has the sources of rules that cover one of the list.
	of *combination
}

// Origin makes a list of log sources ready; see Scratch.Source.
func (m *Matcher) Origin(sources ...sigma.LogSource) Origin {
	return Origin{m.combine(m.covering(sources...))}
}

// covering returns the sources of rules that cover one of a list, in order.
func (m *Matcher) covering(sources ...sigma.LogSource) (out []int32) {
	for i, of := range m.sources {
		if slices.ContainsFunc(sources, of.Covers) {
			out = append(out, int32(i))
		}
	}
	return out
}

// From says that the event belongs to the log sources of an Origin, which the
// Matcher of s made.
func (s *Scratch) From(o Origin) {
	switch {
	case o.of == nil:
	case len(s.at.sources) == 0:
		s.at = o.of
	default:
		s.at = s.join(o.of.sources)
	}
}

// Field returns the number of a field for Put, 0 when no rule names it.
func (m *Matcher) Field(name string) int32 {
	if name == "" {
		return everything
	}
	return m.fields.find(name)
}

// Witnesses reports whether a value of a field may nominate rules. The values of
// other fields need not be given while Looking holds.
func (m *Matcher) Witnesses(field int32) bool {
	return field != everything && slices.Contains(m.witnessed, field)
}

// Looking reports, within Event.Values, that the values are only looked at for what
// nominates rules; if something does, Values is called again.
func (s *Scratch) Looking() bool { return s.stage == looking }

// Keyworded reports, within Event.Values, that every text of the event counts, also
// that of a field which no rule names.
func (s *Scratch) Keyworded() bool { return s.at.keyworded }

// Put is Text for a field by its number.
func (s *Scratch) Put(field int32, text string) {
	if field == everything {
		s.Line(text)
		return
	}
	if s.stage == looking {
		s.lookOnly(field, text)
		return
	}
	number := s.put(field, text, false)
	if s.only != nil {
		s.lookAt(s.only, field, number)
		return
	}
	for _, t := range s.at.tables {
		s.lookAt(t, field, number)
	}
}

// lookAt looks at a value that is kept.
func (s *Scratch) lookAt(t *table, field, number int32) {
	at := t.local[field]
	index := &t.index[at]
	if at == 0 || s.stage == keeping && index.witnesses {
		return
	}
	if index.from < index.upto {
		s.nominate(t.postings[index.from:index.upto])
	}
	if v := &s.values[number]; index.alone && !v.isFolded && !index.grams.mayHave(v.text) {
		return
	}
	if index.atEnds || index.within {
		s.look(t, index, at, s.folded(number))
	}
}

// lookOnly looks at a value, which is not kept, for what nominates rules.
func (s *Scratch) lookOnly(field int32, text string) {
	if s.only != nil {
		s.lookOnlyIn(s.only, field, text)
		return
	}
	for _, t := range s.at.tables {
		s.lookOnlyIn(t, field, text)
	}
}

// lookOnlyIn is lookOnly for one table.
func (s *Scratch) lookOnlyIn(t *table, field int32, text string) {
	at := t.local[field]
	index := &t.index[at]
	if !index.witnesses {
		return
	}
	if index.from < index.upto {
		s.nominate(t.postings[index.from:index.upto])
	}
	if index.alone && !index.grams.mayHave(text) || !index.atEnds && !index.within {
		return
	}
	if !isFolded(text) {
		s.fold = appendFold(s.fold[:0], text)
		text = alias(s.fold)
	}
	s.look(t, index, at, text)
}

// Holds reports whether a test of one of the rules holds for the event that Match
// was called with last, whose texts must still be there.
func (s *Scratch) Holds(t *sigma.Test) bool {
	id, ok := s.m.tests[t]
	return ok && s.holds(id)
}

// isFolded reports whether a text is short, ASCII and without capitals, so that
// folding would only copy it.
func isFolded(s string) bool {
	b := bytesOf(s)
	n := len(b)
	if n > 32 {
		return false
	}
	for i := 0; i+8 <= n; i += 8 {
		if w := binary.LittleEndian.Uint64(b[i:]); w&high != 0 || lower(w) != w {
			return false
		}
	}
	if n >= 8 {
		// The last eight bytes, of which some are done already.
		w := binary.LittleEndian.Uint64(b[n-8:])
		return w&high == 0 && lower(w) == w
	}
	for _, c := range b {
		if c >= utf8.RuneSelf || lowerByte(c) != c {
			return false
		}
	}
	return true
}
