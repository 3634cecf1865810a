package engine

import (
	"strings"
	"unicode/utf8"
)

// pattern is a folded text that is looked for in texts that are not. Where its
// methods are not sure of what they report, only the folded text can tell.
type pattern struct {
	text string
	// anchor is where the byte lies that in looks for, -1 when none will do.
	anchor int
}

func newPattern(folded string) pattern { return pattern{folded, anchor(folded)} }

// begins reports whether a text begins with the pattern. Folding makes no text
// longer, and leaves the length of ASCII alone.
func (p *pattern) begins(text string) (found, sure bool) {
	if len(text) < len(p.text) {
		return false, true
	}
	b, want := bytesOf(text), bytesOf(p.text)
	i := 0
	for ; i+8 <= len(want); i += 8 {
		switch w := load(b, i); {
		case w&high != 0:
			return false, false
		case lower(w) != load(want, i):
			return false, true
		}
	}
	for ; i < len(want); i++ {
		switch c := b[i]; {
		case c >= utf8.RuneSelf:
			return false, false
		case lowerByte(c) != want[i]:
			return false, true
		}
	}
	return true, true
}

// ends is begins for the end of a text, where the pattern lies only if all of it
// is ASCII.
func (p *pattern) ends(text string) (found, sure bool) {
	if len(text) < len(p.text) {
		return false, true
	}
	text = text[len(text)-len(p.text):]
	if !ascii(text) {
		return false, false
	}
	return p.begins(text)
}

// is is begins for the whole of a text.
func (p *pattern) is(text string) (found, sure bool) {
	found, sure = p.begins(text)
	return found && len(text) == len(p.text), sure
}

// unsureAfter is at how many vain finds of its anchor a pattern is looked for in
// the folded text, so that a text of nothing but anchors costs no more than reading
// it twice.
const unsureAfter = 16

// in reports whether the pattern is in a text.
func (p *pattern) in(text string) (found, sure bool) {
	if p.anchor < 0 {
		return false, false
	}
	if len(text) < len(p.text) {
		return false, true
	}
	c := p.text[p.anchor]
	vain := 0
	for {
		for from := 0; ; {
			i := strings.IndexByte(text[from:], c)
			if i < 0 {
				break
			}
			if found, sure := p.around(text, from+i); found || !sure {
				return found, sure
			}
			if vain++; vain == unsureAfter {
				return false, false
			}
			from += i + 1
		}
		if c < 'a' || c > 'z' {
			return false, true
		}
		c -= 'a' - 'A'
	}
}

// around is in for the place where the anchor was found. As far as the text is
// ASCII, bytes and characters lie where those of the pattern do.
func (p *pattern) around(text string, at int) (found, sure bool) {
	for i := p.anchor + 1; i < len(p.text); i++ {
		j := at + i - p.anchor
		if j >= len(text) {
			return false, true
		}
		if c := text[j]; c >= utf8.RuneSelf {
			return false, false
		} else if lowerByte(c) != p.text[i] {
			return false, true
		}
	}
	for i := p.anchor - 1; i >= 0; i-- {
		j := at + i - p.anchor
		if j < 0 {
			return false, true
		}
		if c := text[j]; c >= utf8.RuneSelf {
			return false, false
		} else if lowerByte(c) != p.text[i] {
			return false, true
		}
	}
	return true, true
}

// anchor returns where the byte of a pattern lies that is rarest in log lines,
// -1 when there is none. It is one that folding leaves where it is, and which no
// character beyond ASCII folds to.
func anchor(text string) int {
	best := -1
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < utf8.RuneSelf && c != 'k' && c != 's' && (best < 0 || frequency(c) < frequency(text[best])) {
			best = i
		}
	}
	return best
}

// frequency tells roughly how often a byte, or its capital, occurs in log lines;
// less is rarer.
func frequency(c byte) int {
	const rising = "zqxjvwygkbhfpmulc" + "dnrtsoaie"
	switch at := strings.IndexByte(rising, c); {
	case at >= 0:
		return 10 + at
	case c >= '0' && c <= '9' || strings.IndexByte("./=:-", c) >= 0:
		return 30
	case c == ' ':
		return 40
	}
	return 20
}

// commonness tells roughly how often bytes occur in log lines; less is rarer.
func commonness(b []byte) int {
	sum := 0
	for _, c := range b {
		sum += frequency(c)
	}
	return sum
}
