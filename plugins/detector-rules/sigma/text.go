package sigma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Wild says what a Piece of a Text stands for.
type Wild uint8

// The kinds of a Piece.
const (
	// Literal is the piece's own text.
	Literal Wild = iota
	// One is exactly one character.
	One
	// Many is any number of characters, also none.
	Many
)

// Piece is a part of a Text.
type Piece struct {
	Wild Wild
	// Text is what a Literal stands for; never empty.
	Text string
}

// Text is a string with wildcards. No two literals and no two Many follow each
// other. The empty Text is the empty string.
type Text []Piece

// ParseText reads a string of a rule. * and ? are wildcards; a backslash before
// one of them, or before another backslash, takes its meaning away; any other
// backslash is itself.
func ParseText(s string) Text {
	var t Text
	literal := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`*?\`, s[i+1]) >= 0:
			i++
			literal = append(literal, s[i])
		case c == '*', c == '?':
			t.add(Literal, string(literal))
			literal = literal[:0]
			if c == '*' {
				t.add(Many, "")
			} else {
				t.add(One, "")
			}
		default:
			literal = append(literal, c)
		}
	}
	t.add(Literal, string(literal))
	return t
}

// add appends a piece and keeps the promises of Text. It may write to the memory
// of t, which must not be shared.
func (t *Text) add(wild Wild, text string) {
	last := len(*t) - 1
	switch {
	case wild == Literal && text == "", wild == Many && last >= 0 && (*t)[last].Wild == Many:
	case wild == Literal && last >= 0 && (*t)[last].Wild == Literal:
		(*t)[last].Text += text
	default:
		*t = append(*t, Piece{wild, text})
	}
}

// with returns t and a piece behind it.
func (t Text) with(wild Wild, text string) Text { return t.Join(Text{{wild, text}}) }

// Join returns t and then other.
func (t Text) Join(other Text) Text {
	out := make(Text, len(t), len(t)+len(other))
	copy(out, t)
	for _, p := range other {
		out.add(p.Wild, p.Text)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Plain returns the text when it has no wildcards.
func (t Text) Plain() (text string, ok bool) {
	switch {
	case len(t) == 0:
		return "", true
	case len(t) == 1 && t[0].Wild == Literal:
		return t[0].Text, true
	}
	return "", false
}

// String returns the text as a rule would write it.
func (t Text) String() string {
	var b strings.Builder
	for at, p := range t {
		switch p.Wild {
		case One:
			b.WriteByte('?')
			continue
		case Many:
			b.WriteByte('*')
			continue
		}
		for i := 0; i < len(p.Text); i++ {
			c := p.Text[i]
			special := false
			switch {
			case c != '\\':
				special = c == '*' || c == '?'
			case i+1 < len(p.Text):
				special = strings.IndexByte(`*?\`, p.Text[i+1]) >= 0
			default:
				special = at+1 < len(t)
			}
			if special {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// each returns the text with every literal replaced.
func (t Text) each(replace func(string) string) Text {
	var out Text
	for _, p := range t {
		out.add(p.Wild, replace(p.Text))
	}
	return out
}

// dashes are what windash makes one of the other.
var dashes = [...]string{"-", "/", "\u2013", "\u2014", "\u2015"}

// windash returns the text with every dash that begins an option written in each
// of the five ways, in all permutations; nil when there are more than limit. A
// dash begins an option when a word follows and none precedes: that of
// "-scan-type" is the first alone.
func (t Text) windash(limit int) []Text {
	out := []Text{nil}
	spread := func(texts []string) bool {
		if len(out)*len(texts) > limit {
			return false
		}
		next := make([]Text, 0, len(out)*len(texts))
		for _, o := range out {
			for _, text := range texts {
				next = append(next, o.with(Literal, text))
			}
		}
		out = next
		return true
	}
	for _, p := range t {
		if p.Wild != Literal {
			for i := range out {
				out[i] = out[i].with(p.Wild, "")
			}
			continue
		}
		from, before := 0, ' '
		for i, r := range p.Text {
			size := max(utf8.RuneLen(r), 1)
			after, _ := utf8.DecodeRuneInString(p.Text[min(i+size, len(p.Text)):])
			if isDash(r) && !isWord(before) && isWord(after) {
				if !spread([]string{p.Text[from:i]}) || !spread(dashes[:]) {
					return nil
				}
				from = i + size
			}
			before = r
		}
		if !spread([]string{p.Text[from:]}) {
			return nil
		}
	}
	return out
}

func isDash(r rune) bool { return r == '-' || r == '/' || r >= 0x2013 && r <= 0x2015 }

func isWord(r rune) bool {
	return r == '_' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
