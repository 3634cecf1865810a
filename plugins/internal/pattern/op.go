package pattern

import (
	"fmt"
	"slices"
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
	// do is what the matcher does for it; byte is the first of the one stop of a word.
	do   action
	byte byte
	// end says that the message may end after a free capture; stops are the literals
	// that may follow it.
	end bool
	// turn is how many ops the matcher deals with at once, and tail the literal that
	// they end with: the op's own, that which always follows a capture, or the first
	// of an optional part.
	turn  uint8
	tail  literal
	least int // the fewest bytes of a capture
	nth   int // of the choices of the pattern
	// skip is, of an opening, the op after its part, and inside the slots of the part.
	skip   int
	inside uint32
	lit    string // the text of a literal
	stops  []string
}

// action is what the matcher does for an op. All but doOpen go on to compare the
// op's tail.
type action uint8

const (
	doCompare action = iota // nothing more: a literal
	doAddress
	doPort
	doNumber
	doTime
	doBlanks
	doOpen   // look for an optional part
	doAll    // take all that is left
	doWord   // go to the next blank, whatever follows
	doFind   // go to the first place of the tail
	doByte   // go to the first byte of the stop, before a blank
	doSearch // go to the first place of any of the stops
)

// typed are the actions of the types that say themselves where they end.
var typed = map[opKind]action{opAddress: doAddress, opPort: doPort, opNumber: doNumber, opTime: doTime, opBlank: doBlanks}

// isFree reports whether where the op ends is for what follows it to say.
func (o *op) isFree() bool { return o.kind == opText || o.kind == opWord || o.kind == opHost }

// follow finds out what may follow each free capture, and what the matcher does
// in one turn.
func (c *compiler) follow() error {
	ops := c.prog.ops
	choices := 0
	for i := range ops {
		o := &ops[i]
		switch {
		case o.kind == opLiteral:
			o.turn, o.tail = 1, newLiteral(o.lit)
			continue
		case o.kind == opOpen:
			choices++
			for _, in := range ops[i+1 : o.skip] {
				if in.slot >= 0 {
					o.inside |= 1 << in.slot
				}
			}
			o.do, o.turn, o.tail = doOpen, 2, newLiteral(ops[i+1].lit)
			continue
		}
		followed := i+1 < len(ops) && ops[i+1].kind == opLiteral && !c.prog.ends(i+1)
		if o.isFree() {
			if err := c.stops(o, i+1); err != nil {
				return err
			}
			if followed = o.find(followed); o.isChoice() {
				o.nth = choices
				choices++
			}
		} else {
			o.do = typed[o.kind]
		}
		if !o.empty {
			o.least = 1
		}
		o.turn = 1
		if followed {
			o.turn, o.tail = 2, newLiteral(ops[i+1].lit)
		}
	}
	if choices > maxChoices || len(ops) > 200 {
		return fmt.Errorf("the pattern has %d texts and optional parts, at most %d are read", choices, maxChoices)
	}
	return nil
}

// find finds out how the end of a free capture is found, which a literal always
// follows or not, and returns whether that literal can be its tail.
func (o *op) find(followed bool) bool {
	one := len(o.stops) == 1 && !o.end && !o.greedy
	switch {
	case o.kind == opText && len(o.stops) == 0:
		o.do = doAll
	case o.kind != opText && !slices.ContainsFunc(o.stops, func(s string) bool { return s[0] != ' ' }):
		o.do = doWord
	case o.kind == opText && one && followed:
		o.do = doFind
	case o.kind != opText && one:
		o.do, o.byte = doByte, o.stops[0][0]
		return followed && len(o.stops[0]) == 1 // else the rest is for the next op
	default:
		o.do = doSearch
		return false
	}
	return followed
}

// isChoice reports whether there may be several places for the end of a capture.
func (o *op) isChoice() bool { return o.do >= doFind }

// ends reports whether an optional part ends where an op begins, so that what stands
// before the op may be left out, or stands in the part.
func (p *program) ends(at int) bool {
	return slices.ContainsFunc(p.ops, func(o op) bool { return o.kind == opOpen && o.skip == at })
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
