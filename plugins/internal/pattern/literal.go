package pattern

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/octets"
)

// literal is a text to look for. The first eight bytes are compared as a number,
// which spares a call.
type literal struct {
	text string
	// first8 are the first eight bytes, of which mask has those that there are.
	first8, mask uint64
	begin        uint64 // eight times the first byte
	short        bool   // there are no more than eight
}

func newLiteral(text string) literal {
	l := literal{text: text, begin: uint64(text[0]) * octets.Ones, short: len(text) <= 8}
	for i := range min(len(text), 8) {
		l.first8 |= uint64(text[i]) << (8 * i)
		l.mask |= 0xff << (8 * i)
	}
	return l
}

// begins reports whether s begins with the literal.
func (l *literal) begins(s string) bool {
	if len(s) < 8 {
		return strings.HasPrefix(s, l.text)
	}
	return (octets.Load(s)^l.first8)&l.mask == 0 && (l.short || strings.HasPrefix(s, l.text))
}

// near is how far a text is searched eight bytes at a time, before a function is
// called that starts slower and runs faster.
const near = 64

// find returns the first place of the literal from a byte on, -1 when there is
// none.
func (l *literal) find(s string, from int) int {
	for end := from + near; from+8 <= len(s); {
		if from >= end {
			return nextStop(s, l.text, from, len(s))
		}
		n := octets.Index(octets.Load(s[from:]) ^ l.begin)
		if from += n; n == 8 {
			continue
		}
		if l.begins(s[from:]) {
			return from
		}
		from++
	}
	for ; from+len(l.text) <= len(s); from++ {
		if s[from:from+len(l.text)] == l.text {
			return from
		}
	}
	return -1
}

// blank returns the first place of a blank from a byte on, the end when there is
// none.
func blank(s string, from int) int {
	for end := from + near; from < end && from+8 <= len(s); from += 8 {
		if n := octets.Index(octets.Load(s[from:]) ^ ' '*octets.Ones); n < 8 {
			return from + n
		}
	}
	if at := strings.IndexByte(s[from:], ' '); at >= 0 {
		return from + at
	}
	return len(s)
}
