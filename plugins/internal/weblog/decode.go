package weblog

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxRounds is how often an address is decoded. A second time is what an attacker
// hopes for who writes %252e; a third one leaves room.
const maxRounds = 3

// replacement is U+FFFD, which stands for what is no text.
const replacement = "\ufffd"

// decoded returns what an address that was asked for means, whether that is
// something else than what was written, and whether the end of it is missing: it
// has at most event.MaxRecord bytes. All of an address is decoded, since servers
// may be told to take long ones, and padding is cheap. These are resolved, and what
// that gives once more, up to maxRounds:
//
//	\x41 \" \\  what the server did to quotes, backslashes and bytes outside ASCII
//	%41         RFC 3986 section 2.1
//	%u0041      JavaScript's escape, which IIS takes
//	%c1%81      a character in more bytes than it takes, which RFC 3629 section 3
//	            forbids
//	+           a blank, after the first question mark
//
// Then a run of blanks, tabs, line breaks and comments of SQL becomes one blank,
// which is what they are to those who take the words apart. NUL becomes U+FFFD, as
// does what is not UTF-8. Other control characters of ASCII stay as they were
// written.
func decoded(uri string) (text string, differs, cut bool) {
	if !mayDiffer(uri) {
		return uri, false, false // most of them
	}
	cut = len(uri) > event.MaxRecord
	b := []byte(uri[:min(len(uri), event.MaxRecord)])
	if query := bytes.IndexByte(b, '?'); query >= 0 {
		for i := query; i < len(b); i++ {
			if b[i] == '+' {
				b[i] = ' '
			}
		}
	}
	b = resolve(resolve(b, '\\', logged), wide, overlong)
	for range maxRounds {
		before := len(b)
		if b = resolve(resolve(b, '%', percent), wide, overlong); len(b) == before {
			break
		}
	}
	b = oneBlank(b)
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte(replacement))
		if len(b) > event.MaxRecord {
			// A character that is cut in two goes as a whole.
			b, cut = bytes.ToValidUTF8(b[:event.MaxRecord], nil), true
		}
	}
	if text = view.String(b); text == uri {
		return text, false, false
	}
	return text, true, cut
}

// mayDiffer reports whether there may be something to decode.
func mayDiffer(uri string) bool {
	if strings.IndexByte(uri, '%') >= 0 || strings.IndexByte(uri, '\\') >= 0 || strings.IndexByte(uri, '\t') >= 0 ||
		strings.Contains(uri, "  ") || strings.Contains(uri, "/*") {
		return true
	}
	query := strings.IndexByte(uri, '?')
	return query >= 0 && strings.IndexByte(uri[query:], '+') >= 0
}

// resolve replaces what an escape reads, in place: no escape is shorter than what
// it stands for. The escape returns the character that b begins with, or, less
// 0x100, the byte from 0x80 on, and of how many bytes it is; 0 when b begins with
// none. All escapes begin with mark.
func resolve(b []byte, mark byte, escape func(b []byte) (c rune, n int)) []byte {
	i := until(b, mark)
	out := b[:i]
	for i < len(b) {
		if b[i] != mark && (mark != wide || b[i] < wide) {
			n := until(b[i:], mark)
			out = append(out, b[i:i+n]...)
			i += n
			continue
		}
		c, n := escape(b[i:])
		switch {
		case n > 2 && c == 0:
			out = append(out, replacement...)
		case n > 0 && '\t' <= c && c <= '\r':
			out = append(out, ' ')
		case n == 0 || 0 <= c && c < ' ' || c == 0x7f:
			out = append(out, b[i])
			i++
			continue
		case c < 0x80:
			out = append(out, byte(c)) //nolint:gosec // the low byte is meant
		default:
			out = utf8.AppendRune(out, c)
		}
		i += n
	}
	return out
}

// wide is the first byte of 0b11xxxxxx, with which characters of several bytes
// begin. As a mark it stands for all of these.
const wide = 0xc0

// until returns how much of b stands before the first mark.
func until(b []byte, mark byte) int {
	if mark == wide {
		for i, c := range b {
			if c >= wide {
				return i
			}
		}
	} else if i := bytes.IndexByte(b, mark); i >= 0 {
		return i
	}
	return len(b)
}

// oneBlank makes one blank of every run of them, in place. Tabs, line breaks and
// comments count as such.
func oneBlank(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); {
		n := 0
		switch c := b[i]; {
		case c == ' ' || '\t' <= c && c <= '\r':
			n = 1
		case c == '/':
			n = comment(b[i:])
		}
		if n == 0 {
			out = append(out, b[i])
			i++
			continue
		}
		if len(out) == 0 || out[len(out)-1] != ' ' {
			out = append(out, ' ')
		}
		i += n
	}
	return out
}

// maxComment is the longest comment that counts as a blank, in bytes between its
// marks.
const maxComment = 64

// comment returns the length of the comment of SQL that b begins with, 0 when there
// is none. Only one of letters, digits, underscores and blanks is: were there more,
// a comment around it would hide from a rule what is no comment to the server. What
// MySQL runs (/*!50000union*/) begins one with its mark and its version alone.
func comment(b []byte) int {
	if len(b) < 4 || b[1] != '*' {
		return 0
	}
	if b[2] == '!' {
		n := 3
		for n < len(b) && n < 9 && '0' <= b[n] && b[n] <= '9' {
			n++
		}
		return n
	}
	for n, c := range b[2:min(len(b)-1, 3+maxComment)] {
		switch {
		case c == '*' && b[n+3] == '/':
			return n + 4
		case c == ' ', '\t' <= c && c <= '\r', c == '_', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
		default:
			return 0
		}
	}
	return 0
}

// logged reads the escapes that nginx and Apache write into logs.
func logged(b []byte) (c rune, n int) {
	switch {
	case len(b) < 2 || b[0] != '\\':
	case b[1] == '"' || b[1] == '\\':
		return rune(b[1]), 2
	case len(b) >= 4 && b[1] == 'x':
		return hex(b[2:4], 4)
	}
	return 0, 0
}

// percent reads the escapes of addresses.
func percent(b []byte) (c rune, n int) {
	if len(b) < 3 || b[0] != '%' {
		return 0, 0
	}
	if b[1] == 'u' || b[1] == 'U' {
		if len(b) < 6 {
			return 0, 0
		}
		return hex(b[2:6], 6)
	}
	return hex(b[1:3], 3)
}

// overlong reads a character in two to four bytes that takes fewer.
func overlong(b []byte) (c rune, n int) {
	switch {
	case b[0] < 0xc0:
		return 0, 0
	case b[0]&^1 == 0xc0:
		c, n = rune(b[0]&1), 2
	case b[0] == 0xe0 && len(b) > 1 && b[1] < 0xa0:
		n = 3
	case b[0] == 0xf0 && len(b) > 1 && b[1] < 0x90:
		n = 4
	default:
		return 0, 0
	}
	if len(b) < n {
		return 0, 0
	}
	for _, next := range b[1:n] {
		if next&^0x3f != 0x80 {
			return 0, 0
		}
		c = c<<6 | rune(next&0x3f)
	}
	return c, n
}

// hex returns the number that b is in hexadecimal digits, and n; 0 and 0 when b is
// not that. Two digits from 80 on are a byte, of which it returns 0x100 less.
func hex(b []byte, n int) (rune, int) {
	c := rune(0)
	for _, d := range b {
		switch {
		case '0' <= d && d <= '9':
			c = c<<4 | rune(d-'0')
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			c = c<<4 | rune(d|0x20-'a'+10)
		default:
			return 0, 0
		}
	}
	if len(b) == 2 && c >= 0x80 {
		c -= 0x100
	}
	return c, n
}
