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
	// covering are the sources of rules that cover one of the list.
	covering []int32
}

// Origin makes a list of log sources ready; see Scratch.Source.
func (m *Matcher) Origin(sources ...sigma.LogSource) Origin {
	var o Origin
	for i, of := range m.sources {
		if slices.ContainsFunc(sources, of.Covers) {
			o.covering = append(o.covering, int32(i))
		}
	}
	return o
}

// From says that the event belongs to the log sources of an Origin, which the
// Matcher of s made.
func (s *Scratch) From(o Origin) { s.activate(o.covering) }

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
	return field != everything && slices.ContainsFunc(m.local, func(of []int32) bool { return m.index[of[field]].witnesses })
}

// Looking reports, within Event.Values, that the values are only looked at for what
// nominates rules; if something does, Values is called again.
func (s *Scratch) Looking() bool { return s.stage == looking }

// Keyworded reports, within Event.Values, that every text of the event counts, also
// that of a field which no rule names.
func (s *Scratch) Keyworded() bool { return s.keyworded }

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
	for _, source := range s.activated {
		at := s.m.local[source][field]
		index := &s.m.index[at]
		if at == 0 || s.stage == keeping && index.witnesses {
			continue
		}
		s.nominate(s.m.postings[index.from:index.upto])
		if !index.idle() {
			s.look(index, at, s.folded(number))
		}
	}
}

// lookOnly looks at a value, which is not kept, for what nominates rules.
func (s *Scratch) lookOnly(field int32, text string) {
	ready := false
	for _, source := range s.activated {
		at := s.m.local[source][field]
		index := &s.m.index[at]
		if !index.witnesses {
			continue
		}
		s.nominate(s.m.postings[index.from:index.upto])
		if index.idle() {
			continue
		}
		if !ready && !isFolded(text) {
			s.fold = appendFold(s.fold[:0], text)
			text = alias(s.fold)
		}
		ready = true
		s.look(index, at, text)
	}
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
