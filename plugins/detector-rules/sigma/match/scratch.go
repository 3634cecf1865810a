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
	// methods of Scratch. The texts must stay as they are until Match returns. It
	// may be called twice.
	Values(*Scratch)
}

// Scratch is the memory that one goroutine needs to match events. It is not safe
// for concurrent use; any number of them may share a Matcher. In the steady state
// it allocates nothing.
type Scratch struct {
	m     *Matcher
	epoch uint32
	stage stage
	// busy says that the event before had candidates.
	busy bool
	// at has the sources of rules that cover those of the event. joined remembers
	// what a further log source makes of it.
	at *combination
	// only is the table of at, nil when there are several.
	only   *table
	joined map[further]*combination
	// usual has, by its place, what the last log source there made of those before
	// it: most events have those of the one before. told is how many the event at hand
	// has named so far.
	usual []usual
	told  int
	// values are those of the event, and fields where those of a field are.
	values []value
	fields []chain
	// line is the longest text that no rule reads by its field: the record as it was
	// before it was parsed, if there is one.
	line string
	// fold holds the folded values, a separator behind each, digits numbers that
	// were written. Slices of both stay valid when they move.
	fold, digits []byte

	// A stamp has the epoch in which something was seen; a state has the bit yes
	// too, so epochs are even.
	ruleStamp    []uint32
	atomState    []uint32
	programState []uint32
	candidates   []int32
	costs        costs
}

// chain is where the first and the last value of a field are, when present is the
// epoch.
type chain struct {
	present     uint32
	first, last int32
}

// stage is what is done with the values of an event. When the event before had no
// candidates, they are only looked at, for to keep a value costs more than that; if
// there are candidates after all, the values are asked for again.
type stage uint8

const (
	both stage = iota
	looking
	keeping
)

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
		m: m, at: m.none, joined: map[further]*combination{},
		fields: make([]chain, len(m.fields.texts)),
		fold:   make([]byte, 0, 8192), digits: make([]byte, 0, 512), values: make([]value, 0, 64),
		ruleStamp: make([]uint32, len(m.rules)),
		atomState: make([]uint32, len(m.atoms)), programState: make([]uint32, len(m.programs)),
		candidates: make([]int32, 0, len(m.rules)),
	}
}

// Match returns the numbers of the rules that hold for an event, in their order.
// The slice is valid until the next call.
func (s *Scratch) Match(e Event) []int32 {
	s.begin()
	e.Sources(s)
	if len(s.at.sources) == 0 {
		return nil
	}
	s.only = s.at.only
	if len(s.at.always) > 0 {
		s.candidates = append(s.candidates, s.at.always...)
	}
	s.stage = both
	if !s.at.keyworded && !s.busy {
		s.stage = looking
	}
	e.Values(s)
	if s.at.keyworded {
		s.everywhere()
	}
	if s.busy = len(s.candidates) > 0; !s.busy {
		return nil
	}
	if s.stage == looking {
		s.stage, s.fold, s.digits = keeping, s.fold[:0], s.digits[:0]
		e.Values(s)
	}
	if s.costs.due() {
		return s.timed()
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
		clear(s.fields)
		clear(s.ruleStamp)
		clear(s.atomState)
		clear(s.programState)
		s.epoch = yes + 1
	}
	s.at, s.told, s.line = s.m.none, 0, ""
	s.values, s.fold, s.digits = s.values[:0], s.fold[:0], s.digits[:0]
	s.candidates = s.candidates[:0]
}

// further is a log source that an event has beside others.
type further struct {
	at     *combination
	source sigma.LogSource
}

// usual says what a log source made of those before it.
type usual struct {
	from   *combination
	source sigma.LogSource
	to     *combination
}

// maxUsual is how many log sources events mostly have at most.
const maxUsual = 8

// maxJoined bounds what is remembered about log sources, whose names may come from
// outside.
const maxJoined = 1024

// Source says that the event belongs to a log source, with all parts that are
// known of it. An event may belong to several. Sources come before values.
func (s *Scratch) Source(source sigma.LogSource) {
	n := s.told
	s.told++
	if n < len(s.usual) {
		if u := &s.usual[n]; u.from == s.at && u.source == source {
			s.at = u.to
			return
		}
	}
	key := further{s.at, source}
	at, ok := s.joined[key]
	if !ok {
		if len(s.joined) == maxJoined {
			clear(s.joined)
		}
		at = s.join(s.m.covering(source))
		s.joined[key] = at
	}
	switch known := (usual{s.at, source, at}); {
	case n < len(s.usual):
		s.usual[n] = known
	case n < maxUsual:
		s.usual = append(s.usual, known)
	}
	s.at = at
}

// join returns the combination of the event's sources and others.
func (s *Scratch) join(sources []int32) *combination {
	all := slices.Concat(s.at.sources, sources)
	slices.Sort(all)
	return s.m.combine(slices.Compact(all))
}

// Text gives a field a value. A field that gets several has them all: a rule
// holds if one of them fits. Names with dots are those of nested fields.
func (s *Scratch) Text(name, text string) { s.Put(s.m.fields.find(name), text) }

// Line is a text that belongs to no field: what keywords look at beside the values
// of all fields. It is the record as it was before it was parsed.
func (s *Scratch) Line(text string) {
	if s.at.keyworded {
		s.add(-1, text, false)
		if len(text) > len(s.line) {
			s.line = text
		}
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
	field := s.m.fields.find(name)
	if field == everything {
		return
	}
	if s.stage != looking {
		s.put(field, "", true)
	}
	if s.stage != keeping {
		for _, t := range s.at.tables {
			index := &t.index[t.local[field]]
			s.nominate(t.postings[index.from:index.upto])
		}
	}
}

// add adds a value. It is written where it stays, a part at a time: a copy of what
// has just been written waits for that.
func (s *Scratch) add(field int32, text string, null bool) int32 {
	number := len(s.values)
	if number == cap(s.values) {
		s.values = slices.Grow(s.values, 1)
	}
	s.values = s.values[:number+1]
	v := &s.values[number]
	v.field, v.next = field, -1
	v.null, v.isFolded = null, false
	v.text = text
	return int32(number)
}

// put adds a value to those of a field.
func (s *Scratch) put(field int32, text string, null bool) int32 {
	number := s.add(field, text, null)
	if c := &s.fields[field]; c.present != s.epoch {
		*c = chain{s.epoch, number, number}
	} else {
		s.values[c.last].next = number
		c.last = number
	}
	return number
}
