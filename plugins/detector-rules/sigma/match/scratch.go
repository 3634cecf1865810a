package match

import (
	"slices"
	"strconv"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Event is what rules look at.
type Event interface {
	// Sources names the log sources that the event belongs to, by calls of
	// Scratch.Source.
	Sources(*Scratch)
	// Values hands over the fields and texts of the event, by calls of the other
	// methods of Scratch. The texts must stay as they are until Match returns.
	Values(*Scratch)
}

// Scratch is the memory that one goroutine needs to match events. It is not safe
// for concurrent use; any number of them may share a Matcher. In the steady state
// it allocates nothing.
type Scratch struct {
	m     *Matcher
	epoch uint32
	// active has the epoch of the sources that the event belongs to. keyworded
	// says that a rule of one of them looks at the whole event.
	active    []uint32
	activated []int32
	keyworded bool
	// covering remembers which sources cover a log source.
	covering map[sigma.LogSource][]int32
	// values are those of the event; first and last are by field.
	values      []value
	first, last []int32
	present     []uint32
	// fold holds folded values, digits numbers that were written. Slices of both
	// stay valid when they move.
	fold, digits []byte
	// texts are the folded values one after the other, for keywords.
	texts []byte

	// A stamp has the epoch in which something was seen; a state has the bit yes
	// too, so epochs are even.
	needleStamp  []uint32
	ruleStamp    []uint32
	atomState    []uint32
	programState []uint32
	candidates   []int32
}

// value is one value of a field.
type value struct {
	field int32
	// next is the next value of the field, -1 when there is none.
	next     int32
	null     bool
	isFolded bool
	text     string
	folded   string
}

// NewScratch returns memory for one goroutine.
func (m *Matcher) NewScratch() *Scratch {
	return &Scratch{
		m: m, active: make([]uint32, len(m.sources)), covering: map[sigma.LogSource][]int32{},
		first: make([]int32, len(m.index)), last: make([]int32, len(m.index)), present: make([]uint32, len(m.index)),
		fold: make([]byte, 0, 8192), digits: make([]byte, 0, 512), values: make([]value, 0, 64),
		needleStamp: make([]uint32, len(m.needles)), ruleStamp: make([]uint32, len(m.rules)),
		atomState: make([]uint32, len(m.atoms)), programState: make([]uint32, len(m.programs)),
		candidates: make([]int32, 0, len(m.rules)),
	}
}

// Match returns the numbers of the rules that hold for an event, in their order.
// The slice is valid until the next call.
func (s *Scratch) Match(e Event) []int32 {
	s.begin()
	e.Sources(s)
	if len(s.activated) == 0 {
		return nil
	}
	e.Values(s)
	if s.keyworded {
		s.everywhere()
	}
	for _, source := range s.activated {
		s.nominate(s.m.always[source])
	}
	out := s.candidates[:0]
	for _, number := range s.candidates {
		if s.run(s.m.roots[number]) {
			out = append(out, number)
		}
	}
	slices.Sort(out)
	return out
}

// begin makes ready for the next event.
func (s *Scratch) begin() {
	s.epoch += yes + 1
	if s.epoch == 0 {
		clear(s.active)
		clear(s.present)
		clear(s.needleStamp)
		clear(s.ruleStamp)
		clear(s.atomState)
		clear(s.programState)
		s.epoch = yes + 1
	}
	s.activated, s.keyworded = s.activated[:0], false
	s.values, s.fold, s.digits = s.values[:0], s.fold[:0], s.digits[:0]
	s.candidates = s.candidates[:0]
}

// maxCovering bounds what is remembered about log sources, whose names may come
// from outside.
const maxCovering = 1024

// Source says that the event belongs to a log source, with all parts that are
// known of it. An event may belong to several. Sources come before values.
func (s *Scratch) Source(source sigma.LogSource) {
	covering, ok := s.covering[source]
	if !ok {
		if len(s.covering) == maxCovering {
			clear(s.covering)
		}
		for i, of := range s.m.sources {
			if of.Covers(source) {
				covering = append(covering, int32(i))
			}
		}
		s.covering[source] = covering
	}
	for _, i := range covering {
		if s.active[i] != s.epoch {
			s.active[i] = s.epoch
			s.activated = append(s.activated, i)
			s.keyworded = s.keyworded || s.m.keyworded[i]
		}
	}
}

// Text gives a field a value. A field that gets several has them all: a rule
// holds if one of them fits. Names with dots are those of nested fields.
func (s *Scratch) Text(name, text string) {
	field := s.m.fields.find(name)
	if field == everything {
		s.Line(text)
		return
	}
	number := s.put(field, value{text: text})
	index := &s.m.index[field]
	s.nominate(s.m.postings[index.from:index.upto])
	if !index.idle() {
		s.look(index, field, s.folded(number))
	}
}

// Line is a text that belongs to no field: what keywords look at beside the values
// of all fields. It is the record as it was before it was parsed.
func (s *Scratch) Line(text string) {
	if s.keyworded {
		s.add(value{field: -1, next: -1, text: text})
	}
}

// Int is Text for a whole number.
func (s *Scratch) Int(name string, n int64) {
	s.digits = room(s.digits, 20)
	at := len(s.digits)
	s.digits = strconv.AppendInt(s.digits, n, 10)
	s.Text(name, alias(s.digits[at:]))
}

// Float is Text for a number, as sigma.Number writes it.
func (s *Scratch) Float(name string, f float64) {
	s.digits = room(s.digits, 400)
	at := len(s.digits)
	s.digits = strconv.AppendFloat(s.digits, f, 'f', -1, 64)
	s.Text(name, alias(s.digits[at:]))
}

// Bool is Text for true or false.
func (s *Scratch) Bool(name string, b bool) {
	if b {
		s.Text(name, "true")
	} else {
		s.Text(name, "false")
	}
}

// Null says that the event has a field without a value.
func (s *Scratch) Null(name string) {
	if field := s.m.fields.find(name); field != everything {
		s.put(field, value{null: true})
		index := &s.m.index[field]
		s.nominate(s.m.postings[index.from:index.upto])
	}
}

func (s *Scratch) add(v value) int32 {
	s.values = append(s.values, v)
	return int32(len(s.values) - 1)
}

// put adds a value to those of a field.
func (s *Scratch) put(field int32, v value) int32 {
	v.field, v.next = field, -1
	number := s.add(v)
	if s.present[field] != s.epoch {
		s.present[field] = s.epoch
		s.first[field] = number
	} else {
		s.values[s.last[field]].next = number
	}
	s.last[field] = number
	return number
}

// separator stands between texts that are looked at in one go. It is in no UTF-8,
// and no needle for the whole event has it.
const separator = 0xf8

// everywhere looks for keywords in all values.
func (s *Scratch) everywhere() {
	s.texts = s.texts[:0]
	for i := range s.values {
		if !s.values[i].null {
			s.texts = append(append(s.texts, s.folded(int32(i))...), separator)
		}
	}
	for _, source := range s.activated {
		index := &s.m.everywhere[source]
		s.lookInside(index, alias(s.texts))
		if index.whole || len(index.starts) > 0 || len(index.ends) > 0 {
			for i := range s.values {
				if !s.values[i].null {
					s.lookAtEnds(index, everything, s.folded(int32(i)))
				}
			}
		}
	}
}

// folded returns the text of a value without regard to case.
func (s *Scratch) folded(number int32) string {
	v := &s.values[number]
	if !v.isFolded {
		s.fold = room(s.fold, len(v.text))
		at := len(s.fold)
		s.fold = appendFold(s.fold, v.text)
		v.folded, v.isFolded = alias(s.fold[at:]), true
	}
	return v.folded
}

// room makes sure that n bytes can be appended without moving what is there:
// values alias it.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		return make([]byte, 0, max(2*cap(b), n))
	}
	return b
}

// look nominates the rules whose needles are in a folded text.
func (s *Scratch) look(index *fieldIndex, field int32, text string) {
	s.lookAtEnds(index, field, text)
	s.lookInside(index, text)
}

func (s *Scratch) lookAtEnds(index *fieldIndex, field int32, text string) {
	table := &s.m.anchored
	if index.whole {
		for _, number := range table.find(field, whole, text) {
			if n := &s.m.needles[number]; n.text == text {
				s.hit(number, n)
			}
		}
	}
	for _, length := range index.starts {
		if int(length) > len(text) {
			break
		}
		for _, number := range table.find(field, prefix, text[:length]) {
			if n := &s.m.needles[number]; len(n.text) <= len(text) && text[:len(n.text)] == n.text {
				s.hit(number, n)
			}
		}
	}
	for _, length := range index.ends {
		if int(length) > len(text) {
			break
		}
		for _, number := range table.find(field, suffix, text[len(text)-int(length):]) {
			if n := &s.m.needles[number]; len(n.text) <= len(text) && text[len(text)-len(n.text):] == n.text {
				s.hit(number, n)
			}
		}
	}
}

func (s *Scratch) lookInside(index *fieldIndex, text string) {
	for _, g := range index.grams {
		g.scan(s, text)
	}
	if index.pairs != nil {
		index.pairs.scan(s, text)
	}
	for _, number := range index.short {
		if n := &s.m.needles[number]; s.needleStamp[number] != s.epoch && contains(text, n.text) {
			s.hit(number, n)
		}
	}
}

// hit notes that a needle was found.
func (s *Scratch) hit(number int32, n *needle) {
	if s.needleStamp[number] == s.epoch {
		return
	}
	s.needleStamp[number] = s.epoch
	if n.atom >= 0 {
		s.atomState[n.atom] = s.epoch | yes
	}
	s.nominate(s.m.postings[n.from:n.upto])
}

// nominate makes rules of the event's sources candidates.
func (s *Scratch) nominate(rules []int32) {
	for _, number := range rules {
		if s.ruleStamp[number] != s.epoch && s.active[s.m.source[number]] == s.epoch {
			s.ruleStamp[number] = s.epoch
			s.candidates = append(s.candidates, number)
		}
	}
}
