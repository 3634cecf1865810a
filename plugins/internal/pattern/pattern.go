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
		c.prog.ops = append(c.prog.ops, op{kind: opLiteral, slot: -1, lit: string(c.lit)})
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

// prefix returns the text that every message of the pattern begins with, ""
// when there is none.
func (p *program) prefix() string {
	if p.ops[0].kind == opLiteral {
		return p.ops[0].lit
	}
	return ""
}

// mayFit reports whether a message, of which the pattern may be the start alone,
// holds the texts that every message of the pattern has, in their order.
func (p *program) mayFit(s string, head bool) bool {
	if last := &p.ops[len(p.ops)-1]; last.kind == opLiteral && !head && !p.ends(len(p.ops)) && !strings.HasSuffix(s, last.lit) {
		return false
	}
	at := 0
	for i := 0; i < len(p.ops); i++ {
		switch o := &p.ops[i]; o.kind {
		case opLiteral:
			if at = o.tail.find(s, at); at < 0 {
				return false
			}
			at += len(o.lit)
		case opOpen:
			i = o.skip - 1
		}
	}
	return true
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
