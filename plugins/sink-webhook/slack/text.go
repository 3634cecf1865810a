package slack

import (
	"strings"
	"unicode"
)

// parted keeps two characters from meaning something together.
const parted = "\u200b"

// plain makes a text harmless and cuts it to most characters.
func plain(text string, most int) string {
	var out strings.Builder
	n := 0
	var last rune
	for _, r := range text {
		if n == most {
			out.WriteString("…")
			break
		}
		switch {
		case turns(r):
			continue
		case unicode.IsSpace(r), unicode.IsControl(r):
			r = ' '
		case !unicode.IsGraphic(r):
			continue // formats, surrogates, private use, unassigned
		}
		switch r {
		case '&':
			out.WriteString("&amp;")
		case '<':
			out.WriteString("&lt;")
		case '>':
			out.WriteString("&gt;")
		case '`':
			out.WriteByte('\'')
		case '@':
			out.WriteString("@" + parted)
		case '/':
			if last == ':' {
				out.WriteString(parted)
			}
			out.WriteByte('/')
		case '(', '[':
			if last == ']' {
				out.WriteString(parted)
			}
			out.WriteRune(r)
		default:
			out.WriteRune(r)
		}
		last = r
		n++
	}
	return strings.TrimSpace(out.String())
}

// code is plain in a code span.
func code(text string, most int) string {
	text = plain(text, most)
	if text == "" {
		return "-"
	}
	return "`" + text + "`"
}

// turns reports whether a character changes the direction of the text around it.
func turns(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}
