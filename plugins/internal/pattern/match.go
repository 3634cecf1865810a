package pattern

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/octets"
)

// MaxSteps is how many places one message is tried at for one pattern, of which
// each 64 bytes that are searched count as one more. A message that needs more is
// not read; the event says so in extract_defect.
const MaxSteps = 4096

// maxMessage is the longest message that is read, so that places in it are
// numbers of 16 bits.
const maxMessage = 1<<16 - 1

// span is where a capture stands in a message.
type span struct{ start, length uint16 }

// spans are the captures of one reading, by slot.
type spans struct {
	at   [MaxCaptures]span
	set  uint32 // the slots that are filled
	ipv4 uint32 // those of IPv4 addresses, which are in canonical form
}

// choice is a place to go back to when what follows does not fit.
type choice struct {
	op       uint8  // a free capture, or the start of an optional part
	readings uint8  // how many there were
	at       uint16 // where the op begins
	next     uint16 // of a free capture, the first end that was not tried
}

// maxChoices is how many choices may be open at once: one for each free capture
// and each optional part of a pattern.
const maxChoices = 24

// matcher reads one message by one pattern.
type matcher struct {
	pattern *pattern
	s       string
	// both says that a second reading is looked for, and guard, by slot, in which
	// fields it may not differ. first then holds the first.
	both  bool
	guard uint32
	// head says that the pattern is the start of a message, which ends at rest.
	head bool
	rest int

	steps    int
	readings uint8
	depth    uint8
	unclear  uint32 // the slots in which a second reading differs
	now      spans
	first    spans
	choices  [maxChoices]choice
	found    [maxChoices]found // by nth of the op
}

// begin sets the matcher to a message and a pattern, which may be one after
// another.
func (m *matcher) begin(p *pattern, s string, head bool) {
	m.pattern, m.s, m.both, m.guard, m.head = p, s, p.both && !head, p.guard, head
	if m.steps > 0 {
		clear(m.found[:])
	}
	m.steps, m.readings, m.depth, m.unclear, m.now.set, m.now.ipv4 = 0, 0, 0, 0, 0, 0
}

// match looks for the first reading of the message, which begins with the
// pattern's own first text, and reports whether there is one.
func (m *matcher) match() bool {
	if len(m.s) > maxMessage {
		return false
	}
	op, at := 0, 0
	if o := &m.pattern.ops[0]; o.kind == opLiteral {
		op, at = 1, len(o.lit)
	}
	for {
		if m.run(op, at) || m.steps > MaxSteps {
			break
		}
		if op, at = m.back(); op < 0 {
			break
		}
	}
	return m.readings > 0 && m.steps <= MaxSteps
}

// run reads the message from a byte on, by the ops from one on, and reports
// whether the search is over.
func (m *matcher) run(op, at int) (done bool) {
	ops, s := m.pattern.ops, m.s
	for op < len(ops) {
		o := &ops[op]
		end := at
		switch o.do {
		case doCompare:
		case doAddress:
			end += m.address(o, s[at:])
		case doPort:
			end += portLen(s[at:])
		case doNumber:
			end += numberLen(s[at:])
		case doTime:
			end += timeLen(s[at:])
		case doBlanks:
			for end < len(s) && (s[end] == ' ' || s[end] == '\t') {
				end++
			}
		case doOpen:
			if !o.tail.begins(s[at:]) {
				m.now.set &^= o.inside
				op = o.skip
				continue
			}
			m.choose(op, at, 0)
			op, at = op+2, at+len(o.tail.text)
			continue
		case doAll:
			end = len(s)
		case doWord:
			end = blank(s, at)
		case doFind:
			if m.steps == 0 {
				end = o.tail.find(s, at+o.least)
			} else {
				end = m.findAgain(o, at+o.least)
			}
			if end < 0 {
				return false
			}
			m.choose(op, at, end+1)
			m.take(o, at, end)
			op, at = op+2, end+len(o.tail.text)
			continue
		case doByte:
			if end = wordEnd(s, at, at+o.least, o.byte); end >= 0 {
				m.choose(op, at, end+1)
			}
		case doSearch:
			if end = m.end(o, at, at+o.least); end >= 0 {
				m.choose(op, at, end+1)
			}
		}
		if end-at < o.least {
			return false
		}
		m.take(o, at, end)
		if at = end; o.tail.text != "" {
			// As literal.begins has it, which is too large to be inlined.
			if rest := s[at:]; len(rest) >= 8 && o.tail.short {
				if (octets.Load(rest)^o.tail.first8)&o.tail.mask != 0 {
					return false
				}
			} else if !o.tail.begins(rest) {
				return false
			}
			at += len(o.tail.text)
		}
		op += int(o.turn)
	}
	if at < len(s) && !m.head {
		return false
	}
	m.rest = at
	if !m.both {
		m.readings = 1
		return true
	}
	return m.accept()
}

// address returns the length of the address that s begins with, 0 when there is
// none.
func (m *matcher) address(o *op, s string) int {
	slot := uint32(1) << (o.slot & 31) // one that is thrown away has a bit of no slot
	if n := ipv4(s); n > 0 {
		m.now.ipv4 |= slot
		return n
	}
	m.now.ipv4 &^= slot
	return addressLen(s)
}

// choose keeps a place to go back to: the op there, where it begins, and, of a
// capture, the end that is tried next.
func (m *matcher) choose(op, at, next int) {
	m.choices[m.depth] = choice{op: uint8(op), readings: m.readings, at: uint16(at), next: uint16(min(next, maxMessage))} //nolint:gosec // all are bounded
	m.depth++
}

// findAgain is find for the tail of an op that may have been looked for before. What
// was found at one place is also what is found from any place before it on, back to
// where that search began: so that all searches of one op, which go forward as a
// rule, read the message about once.
func (m *matcher) findAgain(o *op, from int) int {
	const none = maxMessage // a text begins before the end
	known := &m.found[o.nth]
	if known.to == 0 || from < int(known.from) || from > int(known.to) {
		to := o.tail.find(m.s, from)
		if to < 0 {
			to = none
		}
		*known = found{uint16(min(from, maxMessage)), uint16(to)} //nolint:gosec // a message is shorter
	}
	if known.to == none {
		return -1
	}
	return int(known.to)
}

// found is the place at which a search, which began at another, came to its end.
type found struct{ from, to uint16 }

// back returns to the last choice, and from where the message is to be read on;
// a negative op when there is none left. Before it does so for the first time, the
// message must hold all that the pattern wants.
func (m *matcher) back() (op, at int) {
	if m.steps == 0 && m.readings == 0 && !m.pattern.mayFit(m.s, m.head) {
		return -1, 0
	}
	for m.depth > 0 {
		c := &m.choices[m.depth-1]
		o := &m.pattern.ops[c.op]
		if m.steps++; m.steps > MaxSteps {
			return -1, 0
		}
		if o.kind == opOpen {
			m.depth--
			if m.readings > c.readings {
				continue // a part that fits is there
			}
			m.now.set &^= o.inside // what the part took does not stand
			return o.skip, int(c.at)
		}
		end := m.end(o, int(c.at), int(c.next))
		if end < 0 {
			m.depth--
			continue
		}
		if o.greedy {
			c.next = uint16(max(end-1, 0)) //nolint:gosec // a message is shorter
		} else {
			c.next = uint16(min(end+1, maxMessage)) //nolint:gosec // bounded
		}
		m.take(o, int(c.at), end)
		return int(c.op) + int(o.turn), end + len(o.tail.text)
	}
	return -1, 0
}

func (m *matcher) take(o *op, start, end int) {
	if o.slot >= 0 { // the masks tell the compiler what is so
		m.now.at[o.slot&(MaxCaptures-1)] = span{uint16(start), uint16(end - start)} //nolint:gosec // a message is shorter
		m.now.set |= 1 << (o.slot & 31)
	}
}

// end returns the first place from a byte on at which a free capture that begins
// at another may end, -1 when there is none. Of a greedy one it is the last place.
func (m *matcher) end(o *op, at, from int) int {
	last := len(m.s)
	if o.kind != opText {
		if blank := strings.IndexByte(m.s[at:], ' '); blank >= 0 {
			last = at + blank
		}
	}
	if o.greedy {
		end := m.lastEnd(o, at, from, last)
		m.steps += (last - max(end, at)) >> 6
		return end
	}
	if from > last {
		return -1
	}
	end := m.firstEnd(o, from, last)
	if end < 0 {
		m.steps += (last - from) >> 6
	} else {
		m.steps += (end - from) >> 6
	}
	return end
}

// firstEnd is end for a capture that takes the shortest text.
func (m *matcher) firstEnd(o *op, from, last int) int {
	if len(o.stops) == 1 && !o.end {
		return nextStop(m.s, o.stops[0], from, last)
	}
	found := -1
	if o.end && last == len(m.s) {
		found = last
	}
	for _, stop := range o.stops {
		if i := nextStop(m.s, stop, from, last); i >= 0 && (found < 0 || i < found) {
			found = i
		}
	}
	return found
}

// wordEnd is end for a word, which begins at a byte and is short as a rule: the
// place of the first stop from a byte on before which no blank stands. What
// follows the stop's first byte is for the next op to look at.
func wordEnd(s string, at, from int, stop byte) int {
	for i := at; i < len(s); i++ {
		switch c := s[i]; {
		case c == stop && i >= from:
			return i
		case c == ' ':
			return -1
		}
	}
	return -1
}

// nextStop returns the first place of a text from a byte on, up to a last one, -1
// when there is none. What it looks for is mostly at the first place that has its
// first byte.
func nextStop(s, stop string, from, last int) int {
	if from > len(s) {
		return -1
	}
	for range 4 {
		i := strings.IndexByte(s[from:], stop[0])
		if i < 0 || from+i > last {
			return -1
		}
		from += i
		if len(s)-from >= len(stop) && s[from:from+len(stop)] == stop {
			return from
		}
		from++
	}
	if i := strings.Index(s[from:], stop); i >= 0 && from+i <= last {
		return from + i
	}
	return -1
}

// lastEnd is end for a greedy capture: from is the first place, or, going back,
// the one after the last that may be tried.
func (m *matcher) lastEnd(o *op, at, from, last int) int {
	if c := m.depth; c > 0 && &m.pattern.ops[m.choices[c-1].op] == o && int(m.choices[c-1].at) == at {
		last = min(last, from) // going back
	}
	for end := last; end >= at+o.least; end-- {
		if o.end && end == len(m.s) {
			return end
		}
		for _, stop := range o.stops {
			if strings.HasPrefix(m.s[end:], stop) {
				return end
			}
		}
	}
	return -1
}

// accept takes a reading of the whole message where a second one is looked for, and
// reports whether it is the last.
func (m *matcher) accept() bool {
	if m.readings < 255 {
		m.readings++
	}
	if m.readings == 1 {
		m.first = m.now
		return m.guard == 0 || m.isSure()
	}
	m.unclear |= m.first.set ^ m.now.set
	for i := range m.pattern.names {
		if a, b := m.first.at[i], m.now.at[i]; m.first.set&m.now.set&(1<<i) != 0 && a != b && m.text(a) != m.text(b) {
			m.unclear |= 1 << i
		}
	}
	return m.unclear&m.guard != 0
}

func (m *matcher) text(c span) string { return m.s[c.start : int(c.start)+int(c.length)] }

// reading returns the captures of the reading that counts.
func (m *matcher) reading() *spans {
	if m.both {
		return &m.first
	}
	return &m.now
}
