package pattern

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of one pattern.
const (
	// MaxPattern is the length of a pattern in bytes.
	MaxPattern = 1000
	// MaxCaptures is how many fields a pattern may take from a message.
	MaxCaptures = 16
	// MaxOptional is how many optional parts a pattern may have.
	MaxOptional = 16
	// MaxField is the length of a field's name in bytes.
	MaxField = 64
)

// opKind says what an op reads.
type opKind uint8

const (
	opLiteral opKind = iota // the text lit
	opAddress               // an IP address
	opPort                  // a number from 0 to 65535
	opNumber                // decimal digits, with a minus before them or not
	opWord                  // text without blanks
	opText                  // any text
	opHost                  // an IP address or a name
	opTime                  // a time stamp
	opBlank                 // blanks and tabs
	opOpen                  // the start of an optional part
)

var opNames = map[string]opKind{
	"ip": opAddress, "port": opPort, "int": opNumber, "word": opWord, "text": opText, "host": opHost, "time": opTime, "blank": opBlank,
}

// wellKnown are the fields whose name alone says what they hold.
var wellKnown = map[string]opKind{
	"src_ip": opAddress, "dst_ip": opAddress, "src_port": opPort, "dst_port": opPort, "pid": opNumber, "time": opTime,
}

// op is one step of a pattern.
type op struct {
	kind opKind
	// slot is where a capture is put, -1 when it is thrown away.
	slot int8
	// empty says that a word or text may be empty, greedy that the longest that
	// fits is taken and not the shortest.
	empty, greedy bool
	// end says that the message may end after a word or text; stops are the
	// literals that may follow it.
	end   bool
	stops []string
	// fixed says that a word or host ends at the next blank whatever follows, whole
	// that a text goes on to the end. byte, if not 0, is the first of the one stop
	// of a word.
	fixed, whole bool
	byte         byte
	// then says that the next op is a literal; passed and passes are 1 and its
	// length where finding the end of the capture has found it too.
	then           bool
	passed, passes int
	least          int // the fewest bytes of a free capture
	// lit is the text of a literal; skip, of an opening, the op after its part, and
	// inside the slots of the part.
	lit    string
	skip   int
	inside uint32
	// first8 are the first eight bytes of a literal, of which mask has those that
	// it has.
	first8, mask uint64
}

// isFree reports whether where the op ends is for what follows it to say.
func (o *op) isFree() bool { return o.kind == opText || o.kind == opWord || o.kind == opHost }

// program is a compiled pattern: the text that a message must have, and where
// its fields are.
type program struct {
	ops   []op
	names []string // of the slots
	kinds []opKind // of the slots
}

// slot returns the slot of a field, -1 when the pattern has none of that name.
func (p *program) slot(name string) int { return slices.Index(p.names, name) }

// compile reads a pattern, of a message or of a whole line. The error names the
// byte, from 1, where it is wrong.
func compile(text string, whole bool) (*program, error) {
	if len(text) > MaxPattern {
		return nil, fmt.Errorf("the pattern has %d bytes, at most %d are read", len(text), MaxPattern)
	}
	c := compiler{text: text, whole: whole, open: -1}
	for c.at < len(text) {
		if err := c.next(); err != nil {
			return nil, fmt.Errorf("at byte %d: %w", c.at+1, err)
		}
	}
	if c.open >= 0 {
		return nil, fmt.Errorf("at byte %d: the [ of the optional part has no ]; write \\[ for the character itself", c.opened+1)
	}
	c.flush()
	if len(c.prog.ops) == 0 {
		return nil, fmt.Errorf("the pattern is empty")
	}
	return &c.prog, c.follow()
}

type compiler struct {
	text     string
	whole    bool
	at       int
	lit      []byte
	open     int // the op of the open optional part, -1 outside
	opened   int // where it was opened
	optional int
	prog     program
}

// next reads one element.
func (c *compiler) next() error {
	switch b := c.text[c.at]; b {
	case '\\':
		if c.at+1 >= len(c.text) || !strings.ContainsRune(`\<>[]`, rune(c.text[c.at+1])) {
			return fmt.Errorf(`a backslash stands before one of \ < > [ ] only`)
		}
		c.lit = append(c.lit, c.text[c.at+1])
		c.at += 2
	case '<':
		end := strings.IndexByte(c.text[c.at:], '>')
		if end < 0 {
			return fmt.Errorf(`< without >; write \< for the character itself`)
		}
		c.flush()
		if err := c.capture(c.text[c.at+1 : c.at+end]); err != nil {
			return err
		}
		c.at += end + 1
	case '>':
		return fmt.Errorf(`> without <; write \> for the character itself`)
	case '[':
		if c.open >= 0 {
			return fmt.Errorf("optional parts cannot be nested")
		}
		if c.optional++; c.optional > MaxOptional {
			return fmt.Errorf("more than %d optional parts", MaxOptional)
		}
		c.flush()
		c.open, c.opened = len(c.prog.ops), c.at
		c.prog.ops = append(c.prog.ops, op{kind: opOpen, slot: -1})
		c.at++
	case ']':
		if c.open < 0 {
			return fmt.Errorf(`] without [; write \] for the character itself`)
		}
		c.flush()
		if c.open+1 == len(c.prog.ops) || c.prog.ops[c.open+1].kind != opLiteral {
			return fmt.Errorf("an optional part begins with text, not with a field")
		}
		c.prog.ops[c.open].skip = len(c.prog.ops)
		c.open = -1
		c.at++
	default:
		c.lit = append(c.lit, b)
		c.at++
	}
	return nil
}

// flush ends a literal.
func (c *compiler) flush() {
	if len(c.lit) > 0 {
		o := op{kind: opLiteral, slot: -1, lit: string(c.lit)}
		for i := range min(len(c.lit), 8) {
			o.first8 |= uint64(c.lit[i]) << (8 * i)
			o.mask |= 0xff << (8 * i)
		}
		c.prog.ops = append(c.prog.ops, o)
		c.lit = nil
	}
}

// capture reads the inside of <NAME[+][?][:TYPE]>.
func (c *compiler) capture(s string) error {
	name, typ, typed := strings.Cut(s, ":")
	o := op{slot: -1}
	for name != "" {
		switch name[len(name)-1] {
		case '?':
			o.empty = true
		case '+':
			o.greedy = true
		default:
			goto named
		}
		name = name[:len(name)-1]
	}
named:
	kind, ok := opNames[typ]
	switch {
	case typed && !ok:
		return fmt.Errorf("there is no type %q; there are ip, port, int, word, text, host, time, blank", typ)
	case !typed:
		if kind, ok = wellKnown[name]; !ok {
			kind = opText
		}
	}
	o.kind = kind
	if !o.isFree() && (o.empty || o.greedy) {
		return fmt.Errorf("<%s>: only text, word and host may be followed by ? or +", s)
	}
	if name == "_" {
		c.prog.ops = append(c.prog.ops, o)
		return nil
	}
	if err := checkField(name, c.whole); err != nil {
		return err
	}
	if c.prog.slot(name) >= 0 {
		return fmt.Errorf("the field %s is taken twice", name)
	}
	if len(c.prog.names) == MaxCaptures {
		return fmt.Errorf("more than %d fields", MaxCaptures)
	}
	o.slot = int8(len(c.prog.names)) //nolint:gosec // bounded by MaxCaptures
	c.prog.names = append(c.prog.names, name)
	c.prog.kinds = append(c.prog.kinds, kind)
	c.prog.ops = append(c.prog.ops, o)
	return nil
}

// checkField says what is wrong with the name of a field of a message, or with
// whole of a line.
func checkField(name string, whole bool) error {
	if name == "" || len(name) > MaxField || !utf8.ValidString(name) {
		return fmt.Errorf("the name of a field has 1 to %d characters; <_> stands for text that no field takes", MaxField)
	}
	for i := range len(name) {
		switch b := name[i]; {
		case 'a' <= b && b <= 'z', b == '_', '0' <= b && b <= '9' && i > 0, b == '.' && i > 0 && i+1 < len(name):
		default:
			return fmt.Errorf("the name of a field holds a-z, 0-9, _ and dots, and %q is not such a name", name)
		}
	}
	switch name {
	case "message", "host", "time", "level":
		if whole {
			return nil
		}
		return fmt.Errorf("the field %s is for the patterns of lines alone to set", name)
	case "raw", "reason", "ambiguous", "repeat_count", "program", "extract_defect":
		return fmt.Errorf("the field %s is not for patterns to set", name)
	}
	return nil
}

// follow finds out what may follow each free capture.
func (c *compiler) follow() error {
	ops := c.prog.ops
	choices := 0
	for i := range ops {
		o := &ops[i]
		if o.kind == opOpen {
			choices++
			for _, in := range ops[i+1 : o.skip] {
				if in.slot >= 0 {
					o.inside |= 1 << in.slot
				}
			}
		}
		o.then = o.kind != opLiteral && o.kind != opOpen && i+1 < len(ops) && ops[i+1].kind == opLiteral && !c.begins(i+1)
		if !o.isFree() {
			continue
		}
		if err := c.stops(o, i+1); err != nil {
			return err
		}
		if !o.empty {
			o.least = 1
		}
		o.fixed = o.kind != opText && !slices.ContainsFunc(o.stops, func(s string) bool { return s[0] != ' ' })
		o.whole = o.kind == opText && len(o.stops) == 0
		if o.kind != opText && !o.greedy && !o.end && len(o.stops) == 1 && o.stops[0][0] != ' ' {
			o.byte = o.stops[0][0]
		}
		if !o.fixed && !o.whole {
			choices++
			if o.then && !o.end && len(o.stops) == 1 && !o.greedy && (o.byte == 0 || len(o.stops[0]) == 1) {
				o.passed, o.passes = 1, len(o.stops[0])
			}
		}
	}
	if choices > maxChoices || len(ops) > 200 {
		return fmt.Errorf("the pattern has %d texts and optional parts, at most %d are read", choices, maxChoices)
	}
	return nil
}

// begins reports whether an op is where an optional part ends, so that what stands
// before it may be left out, or stands in the part.
func (c *compiler) begins(op int) bool {
	for _, o := range c.prog.ops {
		if o.kind == opOpen && o.skip == op {
			return true
		}
	}
	return false
}

func (c *compiler) stops(o *op, next int) error {
	ops := c.prog.ops
	for ; next < len(ops) && ops[next].kind == opOpen; next = ops[next].skip {
		o.stops = append(o.stops, ops[next+1].lit)
	}
	switch {
	case next == len(ops):
		o.end = true
	case ops[next].kind != opLiteral:
		return fmt.Errorf("two fields with nothing between them cannot be told apart")
	default:
		o.stops = append(o.stops, ops[next].lit)
	}
	return nil
}

// prefix returns the text that every message of the pattern begins with, ""
// when there is none.
func (p *program) prefix() string {
	if p.ops[0].kind == opLiteral {
		return p.ops[0].lit
	}
	return ""
}

// needle returns the longest text that every message of the pattern holds, ""
// when there is none.
func (p *program) needle() string {
	longest := ""
	for i := 0; i < len(p.ops); i++ {
		switch p.ops[i].kind {
		case opLiteral:
			if len(p.ops[i].lit) > len(longest) {
				longest = p.ops[i].lit
			}
		case opOpen:
			i = p.ops[i].skip - 1
		}
	}
	return longest
}
