package pattern

import (
	"math/bits"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/octets"
	"github.com/ironpost/ironpost/sdk/event"
)

// Set holds compiled patterns by program. It is immutable and safe for
// concurrent use.
type Set struct {
	programs map[string]*origin
	table    [tableSize]named // by slotOf; a second of one slot is in programs alone
	globs    []glob
	// any are the patterns for every program, and anyFirst what their messages may
	// begin with.
	any      []section
	anyFirst [256]bool
	// globFirst and globLast are what a name that a glob fits may begin or end with.
	globFirst, globLast [256]bool
	// lines are the forms of whole lines, for logs that are written to files.
	lines []*Line
	count int
}

// Len returns how many patterns the set has.
func (s *Set) Len() int { return s.count }

// origin is what one program's messages are read by.
type origin struct {
	sections []section
	// local says that any user may run the program.
	local bool
}

// section is the patterns of one file for one program.
type section struct {
	// process, when set, replaces the name of the process.
	process          string
	stripped, ending []string // literals to cut from the start and the end
	stripPattern     []*program
	// heads, when there are any, are what every message begins with, one of them.
	heads []*pattern
	head  byte       // the first of them all, 0 when they differ
	cache *headCache // nil when their fields depend on more than the first word
	dispatch
}

// pattern is one compiled pattern with what it sets.
type pattern struct {
	program
	lit    string // the start of every message
	within string // what every message holds, where it has no such start
	set    []event.Field
	both   bool
	guard  uint32 // by slot
	kept   bool   // the first reading stays when only guarded text differs
	// anchored says that there are anchors: a message that holds each of them once
	// has no second reading that differs in what is guarded.
	anchored bool
	anchors  []literal
	// texts and ports are the slots of their kinds; the others hold addresses and
	// hosts.
	texts, ports uint32
	hosts        []host // by slot, for those of opHost
	// members says that it sets what is no field, the process or its id.
	members bool
	file    string
	line    int
}

// host is the fields that a capture of an address or a name fills.
type host struct{ address, name string }

// glob is a name of programs with one star.
type glob struct {
	prefix, suffix, field string
	star                  bool // there is one, else the name is exact
	last                  byte // the end of the suffix, if any
	origin                *origin
}

func (g *glob) match(process string) (star string, ok bool) {
	if g.suffix != "" && process[len(process)-1] != g.last || len(process) < len(g.prefix)+len(g.suffix) ||
		!strings.HasPrefix(process, g.prefix) || !strings.HasSuffix(process, g.suffix) {
		return "", false
	}
	return process[len(g.prefix) : len(process)-len(g.suffix)], true
}

// tableSize is how many slots the table of programs has. It is many times the
// programs that there are, so that most slots have one of them or none.
const tableSize = 1024

// named is a program in the table.
type named struct {
	name   string
	key    uint64
	origin *origin
	shared bool // others have the slot as well
}

// keyOf returns a number for a name that is not empty. Names of one length below
// eight have the same only if they are equal.
func keyOf(name string) uint64 {
	switch n := len(name); {
	case n >= 8:
		return octets.Load(name) ^ octets.Load(name[n-8:])*octets.Ones
	case n >= 4:
		return uint64(octets.Load4(name)) | uint64(octets.Load4(name[n-4:]))<<32
	default:
		return uint64(name[0]) | uint64(name[n/2])<<8 | uint64(name[n-1])<<16
	}
}

// slotOf returns the slot of a key: the highest bits of a product, which depend on
// all bits of the key (Knuth, The Art of Computer Programming 6.4).
func slotOf(key uint64) uint64 { return key * 0x9e37_79b9_7f4a_7c15 >> (64 - 10) }

// is reports whether the entry is that of a name, of which key is the number. Most
// names of programs are short, and need no call to be compared.
func (n *named) is(name string, key uint64) bool {
	return n.key == key && len(n.name) == len(name) && (len(name) < 8 || n.name == name)
}

// find returns what the messages of a process are read by, nil when nothing is,
// and the field and text of a star in the program's name.
func (s *Set) find(process string) (o *origin, field, star string) {
	if process == "" {
		return nil, "", ""
	}
	key := keyOf(process)
	if n := &s.table[slotOf(key)]; n.is(process, key) {
		return n.origin, "", ""
	} else if n.shared {
		if o = s.programs[process]; o != nil {
			return o, "", ""
		}
	}
	return s.findGlob(process)
}

// findGlob is find for a process that no program has the name of.
func (s *Set) findGlob(process string) (o *origin, field, star string) {
	if !s.globFirst[process[0]] && !s.globLast[process[len(process)-1]] {
		return nil, "", ""
	}
	for i := range s.globs {
		if star, ok := s.globs[i].match(process); ok {
			return s.globs[i].origin, s.globs[i].field, star
		}
	}
	return nil, "", ""
}

// Known reports whether the messages of a process are read by its name.
func (s *Set) Known(process string) bool {
	o, _, _ := s.find(process)
	return o != nil
}

// Apply reads out.Process and out.Message and sets the fields that the message
// holds. The values alias the message. A message that it does not know leaves
// the event as it is. It is safe for concurrent use on different events and
// allocates only for addresses that are not written in canonical form.
func (s *Set) Apply(out *event.LogEvent) { s.read(out, true) }

// ApplyLocal is Apply for a sender that is known not to be root: it reads the
// tools that users run, such as sudo and su, and takes no address from any
// message.
func (s *Set) ApplyLocal(out *event.LogEvent) {
	if o, _, _ := s.find(out.Process); o != nil && o.local {
		s.read(out, false)
	}
}

// read reads the message; addresses says whether it may name a remote peer. It
// returns the pattern that fits, nil when none does.
func (s *Set) read(out *event.LogEvent, addresses bool) *pattern {
	m := out.Message
	if strings.HasPrefix(m, "m") { // looked at first, because few messages do
		m = repeated(out, m)
	}
	for m != "" && m[0] == ' ' {
		m = m[1:]
	}
	if m == "" {
		return nil
	}
	fresh := len(out.Fields) == 0 // what is set below differs in name
	o, field, star := s.find(out.Process)
	if o == nil && !s.anyFirst[m[0]] {
		return nil // most programs' messages
	}
	var r matcher
	if o != nil {
		if field != "" && star != "" {
			out.Set(field, star)
		}
		for i := range o.sections {
			if p := o.sections[i].read(&r, out, m, addresses, fresh); p != nil {
				return p
			}
		}
	}
	if !s.anyFirst[m[0]] {
		return nil
	}
	for i := range s.any {
		if p := s.any[i].read(&r, out, m, addresses, fresh); p != nil {
			return p
		}
	}
	return nil
}

// read tries the patterns of a section and returns the one that fits.
func (c *section) read(r *matcher, out *event.LogEvent, m string, addresses, fresh bool) *pattern {
	if c.process != "" && c.process != out.Process {
		// One name for the daemon and its helpers.
		out.Set("program", out.Process)
		out.Process = c.process
	}
	if m == "" {
		return nil
	}
	for _, start := range c.stripped {
		if m != "" && m[0] == start[0] {
			m = strings.TrimPrefix(m, start)
		}
	}
	for _, p := range c.stripPattern {
		m = p.strip(m)
	}
	for _, end := range c.ending {
		if m != "" && m[len(m)-1] == end[len(end)-1] {
			m = strings.TrimSuffix(m, end)
		}
	}
	if len(c.heads) > 0 {
		if m == "" || c.head != 0 && c.head != m[0] {
			return nil
		}
		m = c.behead(r, out, m, addresses, fresh)
	}
	if m == "" {
		return nil
	}
	start := newOpening(m)
	group := c.groups[c.first[m[0]]]
	for i := range group {
		if candidate := &group[i]; candidate.lit == "" && !start.holds(candidate) || candidate.lit != "" && !start.fits(candidate) {
			continue
		}
		p := group[i].pattern
		r.begin(p, m, false)
		if r.match() {
			r.put(out, p, addresses, fresh)
			return p
		}
		if r.steps > MaxSteps {
			out.Set("extract_defect", "too_many_steps")
		}
	}
	return nil
}

// strip cuts what the pattern, a prefix, stands for.
func (p *program) strip(s string) string {
	if !strings.HasPrefix(s, p.ops[0].lit) {
		return s
	}
	end := p.ops[len(p.ops)-1].lit
	if at := strings.Index(s[len(p.ops[0].lit):], end); at >= 0 {
		return strings.TrimLeft(s[len(p.ops[0].lit)+at+len(end):], " ")
	}
	return s
}

// put sets the fields of the reading that counts; fresh says that the event has
// none of their names, so that they can be appended.
func (m *matcher) put(out *event.LogEvent, p *pattern, addresses, fresh bool) {
	fresh = fresh && !p.members
	fields := out.Fields
	for i := range p.set {
		if fresh {
			fields = append(fields, p.set[i])
		} else {
			put(out, p.set[i].Key, p.set[i].Value)
		}
	}
	from := m.reading()
	have := from.set
	if m.unclear&m.guard != 0 {
		name, drop := m.doubt(p)
		have &^= drop
		if fresh {
			fields = append(fields, event.Field{Key: "ambiguous", Value: name})
		} else {
			out.Set("ambiguous", name)
		}
	}
	asItIs := p.texts | p.ports | from.ipv4
	if !addresses {
		asItIs, have = p.texts, have&p.texts
	}
	for slot, name := range p.names {
		c, bit := from.at[slot%MaxCaptures], uint32(1)<<(slot&31)
		if have&bit == 0 || c.length == 0 {
			continue
		}
		value := m.text(c)
		if asItIs&bit == 0 {
			name, value = p.address(slot, value)
		}
		if fresh {
			fields = append(fields, event.Field{Key: name, Value: value})
		} else {
			put(out, name, value)
		}
	}
	if fresh {
		out.Fields = fields
	}
}

// address returns the field and the value of an address or a host.
func (p *pattern) address(slot int, text string) (name, value string) {
	canonical, ok := Address(text)
	switch {
	case ok && p.kinds[slot] == opHost:
		return p.hosts[slot].address, canonical
	case p.kinds[slot] == opHost:
		return p.hosts[slot].name, text
	}
	return p.names[slot], canonical
}

// doubt returns what becomes of a message that has two readings: the field that
// is named for it, and the slots that are left out.
func (m *matcher) doubt(p *pattern) (name string, drop uint32) {
	slot := bits.TrailingZeros32(m.unclear & m.guard)
	name = p.names[slot]
	if p.kinds[slot] == opHost {
		name = p.hosts[slot].address
	}
	if p.kept && m.unclear&^p.texts == 0 {
		return name, 0
	}
	return name, m.unclear
}

// put sets a field or a member.
func put(out *event.LogEvent, key, value string) {
	switch {
	case key == "process":
		out.Process = value
	case key == "pid":
		if n, ok := readUint32(value); ok {
			out.PID = n
		}
	default:
		out.Set(key, value)
	}
}

func readUint32(s string) (uint32, bool) {
	n := uint64(0)
	for i := range len(s) {
		if n = n*10 + uint64(s[i]-'0'); !isDigit(s[i]) || n > 1<<32-1 {
			return 0, false
		}
	}
	return uint32(n), s != "" //nolint:gosec // checked above
}

// repeated returns the inner text of "message repeated 5 times: [ text]", as
// rsyslog writes it, and sets repeat_count; any other message as it is.
func repeated(out *event.LogEvent, m string) string {
	rest, ok := strings.CutPrefix(m, "message repeated ")
	if !ok {
		return m
	}
	count, inner, ok := strings.Cut(rest, " times: [")
	if !ok || len(count) > 9 || numberLen(count) != len(count) || count == "" || count[0] == '-' || !strings.HasSuffix(inner, "]") {
		return m
	}
	out.Set("repeat_count", count)
	return strings.TrimSpace(inner[:len(inner)-1])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
