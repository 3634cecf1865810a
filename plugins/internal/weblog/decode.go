package weblog

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/internal/view"
)

const (
	// maxDecoded is how many bytes of an address are decoded. Servers refuse longer
	// request lines, unless told otherwise: nginx from 8 KiB on
	// (large_client_header_buffers), Apache from 8190 bytes (LimitRequestLine).
	maxDecoded = 8 << 10
	// maxRounds is how often an address is decoded. A second time is what an attacker
	// hopes for who writes %252e; a third one leaves room.
	maxRounds = 3
)

// decoded returns what an address that was asked for means, at most maxDecoded
// bytes, and whether that is something else than what was written. These are
// resolved, and what that gives once more, up to maxRounds:
//
//	\x41 \" \\  what the server did to quotes, backslashes and bytes outside ASCII
//	%41         RFC 3986 section 2.1
//	%u0041      JavaScript's escape, which IIS takes
//	%c1%81      an ASCII character in two bytes, which RFC 3629 section 3 forbids
//	+           a blank, after the first question mark
//
// Control characters stay as they were written. What is not UTF-8 becomes U+FFFD.
func decoded(uri string) (text string, differs bool) {
	if strings.IndexByte(uri, '%') < 0 && strings.IndexByte(uri, '\\') < 0 {
		if query := strings.IndexByte(uri, '?'); query < 0 || strings.IndexByte(uri[query:], '+') < 0 {
			return uri, false // most of them
		}
	}
	uri = uri[:min(len(uri), maxDecoded)]
	b := []byte(uri)
	if query := bytes.IndexByte(b, '?'); query >= 0 {
		for i := query; i < len(b); i++ {
			if b[i] == '+' {
				b[i] = ' '
			}
		}
	}
	b = resolve(resolve(b, logged), overlong)
	for range maxRounds {
		before := len(b)
		if b = resolve(resolve(b, percent), overlong); len(b) == before {
			break
		}
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("\ufffd"))
	}
	if text = view.String(b); text == uri {
		return text, false
	}
	return text, true
}

// resolve replaces what an escape reads, in place: no escape is shorter than what
// it stands for. The escape returns the character, or byte from 0x80 on, that b
// begins with, and of how many bytes it is; 0 when b begins with none.
func resolve(b []byte, escape func(b []byte) (c rune, n int)) []byte {
	out := b[:0]
	for i := 0; i < len(b); {
		c, n := escape(b[i:])
		switch {
		case n == 0 || c < ' ' || c == 0x7f:
			out = append(out, b[i])
			i++
			continue
		case n == 6 && c > 0x7f: // %uXXXX; all else gives bytes
			out = utf8.AppendRune(out, c)
		default:
			out = append(out, byte(c))
		}
		i += n
	}
	return out
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

// overlong reads a character of ASCII in two bytes.
func overlong(b []byte) (c rune, n int) {
	if len(b) < 2 || b[0]&^1 != 0xc0 || b[1]&^0x3f != 0x80 {
		return 0, 0
	}
	return rune(b[0]&1<<6 | b[1]&0x3f), 2
}

// hex returns the number that b is in hexadecimal digits, and n; 0 and 0 when b is
// not that.
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
	return c, n
}
