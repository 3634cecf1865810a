package pattern

import (
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/octets"
)

// dispatch finds the patterns that a message may fit: by its first byte, then by
// the text that a pattern begins with.
type dispatch struct {
	groups [][]candidate // those that may match a first byte
	first  [256]uint8    // the group of a first byte; 0 is empty
}

// candidate is a pattern and what its messages begin with, side by side with those
// that are tried before and after it.
type candidate struct {
	// lit is the start of every message, and first8, mask and short are those of a
	// literal.
	lit          string
	first8, mask uint64
	short        bool
	// probe is a byte of lit in which it differs from its neighbour.
	probe int
	byte  byte
	// within is what every message holds that has no such start. Where its start is
	// a word, word is what follows that, and least the fewest bytes of it.
	within string
	word   *literal
	least  int

	pattern *pattern
}

// newDispatch sorts the patterns of a file, which are tried in their order.
func newDispatch(f *File, all []*pattern) (d dispatch, _ *Problem) {
	d.groups = [][]candidate{nil}
	index := map[string]uint8{"": 0}
	for b := range 256 {
		var group []candidate
		var key strings.Builder
		for i, p := range all {
			if lit := p.prefix(); lit != "" && lit[0] != byte(b) {
				continue
			}
			c := newCandidate(p)
			if len(group) == MaxAtOnce {
				return d, &Problem{f.Path, p.line, CodeLimit, fmt.Sprintf("more than %d patterns for one first character", MaxAtOnce)}
			}
			group = append(group, c)
			fmt.Fprintf(&key, "%d,", i)
		}
		for i := range group {
			if c := &group[i]; c.lit != "" && len(group) > 1 {
				neighbour := max(i-1, 1-i) // the one before, of the first that after it
				c.probe = differsAt(group[neighbour].lit, c.lit)
				c.byte = c.lit[c.probe]
			}
		}
		at, ok := index[key.String()]
		if !ok {
			if len(d.groups) > 255 {
				continue // cannot be: there are 256 bytes, of which one has no group
			}
			at = uint8(len(d.groups)) //nolint:gosec // checked above
			index[key.String()] = at
			d.groups = append(d.groups, group)
		}
		d.first[b] = at
	}
	return d, nil
}

func newCandidate(p *pattern) candidate {
	c := candidate{pattern: p, lit: p.prefix()}
	first := &p.ops[0]
	switch {
	case c.lit != "":
		c.first8, c.mask, c.short, c.byte = first.tail.first8, first.tail.mask, first.tail.short, c.lit[0]
	case first.do == doWord && first.tail.text != "":
		c.word, c.least = &first.tail, first.least
	default:
		c.within = p.needle()
	}
	return c
}

// differsAt returns the first byte in which a literal differs from another, or
// its last one.
func differsAt(other, lit string) int {
	for i := range len(lit) {
		if i >= len(other) || other[i] != lit[i] {
			return i
		}
	}
	return max(len(lit)-1, 0)
}

// opening is a message as the candidates look at it.
type opening struct {
	message string
	first8  uint64 // zeros after the end
	blank   int    // the first, -1 when it was not looked for
}

func newOpening(m string) opening {
	o := opening{message: m, blank: -1}
	if len(m) >= 8 {
		o.first8 = octets.Load(m)
		return o
	}
	for i := range len(m) {
		o.first8 |= uint64(m[i]) << (8 * i)
	}
	return o
}

// fits reports whether the message has what a candidate with a start wants.
func (o *opening) fits(c *candidate) bool {
	return (o.first8^c.first8)&c.mask == 0 && len(o.message) >= len(c.lit) && o.message[c.probe] == c.byte &&
		(c.short || o.message[8:len(c.lit)] == c.lit[8:])
}

// holds is fits for a candidate without a start.
func (o *opening) holds(c *candidate) bool {
	if c.word == nil {
		return strings.Contains(o.message, c.within)
	}
	if o.blank < 0 {
		o.blank = blank(o.message, 0)
	}
	return o.blank >= c.least && c.word.begins(o.message[o.blank:])
}
