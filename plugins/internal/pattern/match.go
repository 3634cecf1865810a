package pattern

import "strings"

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
	at  [MaxCaptures]span
	set uint32 // the slots that are filled
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
	prog *program
	s    string
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
	ipv4     uint32 // the slots of addresses that are in canonical form
	now      spans
	first    spans
	choices  [maxChoices]choice
}

// begin sets the matcher to a message and a pattern, which may be one after
// another.
func (m *matcher) begin(p *pattern, s string, head bool) {
	m.prog, m.s, m.both, m.guard, m.head = &p.program, s, p.both && !head, p.guard, head
	m.steps, m.readings, m.depth, m.unclear, m.ipv4, m.now.set = 0, 0, 0, 0, 0, 0
}

// match looks for the first reading of the message, which begins with the
// pattern's own first text, and reports whether there is one.
func (m *matcher) match() bool {
	if len(m.s) > maxMessage {
		return false
	}
	op, at := 0, 0
	if o := &m.prog.ops[0]; o.kind == opLiteral {
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
	ops, s := m.prog.ops, m.s
	for op < len(ops) {
		o := &ops[op]
		op++
		n := 0
		switch o.kind {
		case opLiteral:
			if !o.at(s[at:]) {
				return false
			}
			at += len(o.lit)
			continue
		case opAddress:
			if n = ipv4(s[at:]); n > 0 && o.slot >= 0 {
				m.ipv4 |= 1 << o.slot
			} else if n == 0 {
				n = addressLen(s[at:])
			}
		case opPort:
			n = portLen(s[at:])
		case opNumber:
			n = numberLen(s[at:])
		case opTime:
			n = timeLen(s[at:])
		case opBlank:
			for at+n < len(s) && (s[at+n] == ' ' || s[at+n] == '\t') {
				n++
			}
		case opOpen:
			lit := &ops[op]
			if !lit.at(s[at:]) {
				m.now.set &^= o.inside
				op = o.skip
				continue
			}
			m.choices[m.depth] = choice{op: uint8(op - 1), readings: m.readings, at: uint16(at)} //nolint:gosec // both are bounded
			m.depth++
			op, at = op+1, at+len(lit.lit)
			continue
		default:
			if o.whole { // all that is left
				if len(s)-at < o.least {
					return false
				}
				m.take(o, at, len(s))
				at = len(s)
				continue
			}
			if !o.fixed {
				end := 0
				if o.byte != 0 {
					end = wordEnd(s, at, at+o.least, o.byte)
				} else if o.passed > 0 && o.kind == opText && !o.greedy {
					end = -1
					if from := at + o.least; from <= len(s) {
						end = nextStop(s, o.stops[0], from, len(s))
					}
				} else {
					end = m.end(o, at, at+o.least)
				}
				if end < 0 {
					return false
				}
				m.choices[m.depth] = choice{op: uint8(op - 1), at: uint16(at), next: uint16(min(end+1, maxMessage))} //nolint:gosec // both are bounded
				m.depth++
				m.take(o, at, end)
				op, at = op+o.passed, end+o.passes
				continue
			}
			n = strings.IndexByte(s[at:], ' ')
			if n < 0 {
				n = len(s) - at
			}
			if n < o.least {
				return false
			}
			m.take(o, at, at+n)
			at += n
			if o.then {
				if !ops[op].at(s[at:]) {
					return false
				}
				at += len(ops[op].lit)
				op++
			}
			continue
		}
		if n == 0 {
			return false
		}
		m.take(o, at, at+n)
		at += n
		if o.then { // mostly text follows, and one turn does for both
			if !ops[op].at(s[at:]) {
				return false
			}
			at += len(ops[op].lit)
			op++
		}
	}
	if at < len(s) && !m.head {
		return false
	}
	m.rest = at
	return m.accept()
}

// at reports whether s begins with the literal. One of eight bytes or fewer is
// compared as a number, which spares a call.
func (o *op) at(s string) bool {
	if len(s) < 8 {
		return strings.HasPrefix(s, o.lit)
	}
	return (load8(s)^o.first8)&o.mask == 0 && (len(o.lit) <= 8 || strings.HasPrefix(s, o.lit))
}

// back returns to the last choice, and from where the message is to be read on;
// a negative op when there is none left.
func (m *matcher) back() (op, at int) {
	for m.depth > 0 {
		c := &m.choices[m.depth-1]
		o := &m.prog.ops[c.op]
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
		return int(c.op) + 1 + o.passed, end + o.passes
	}
	return -1, 0
}

func (m *matcher) take(o *op, start, end int) {
	if o.slot >= 0 {
		m.now.at[o.slot] = span{uint16(start), uint16(end - start)} //nolint:gosec // a message is shorter
		m.now.set |= 1 << o.slot
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
	if c := m.depth; c > 0 && &m.prog.ops[m.choices[c-1].op] == o && int(m.choices[c-1].at) == at {
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

// accept takes a reading of the whole message, and reports whether it is the
// last that is looked for.
func (m *matcher) accept() bool {
	if m.readings < 255 {
		m.readings++
	}
	if !m.both {
		return true
	}
	if m.readings == 1 {
		m.first = m.now
		return false
	}
	m.unclear |= m.first.set ^ m.now.set
	for i := range m.prog.names {
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
