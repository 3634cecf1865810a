package engine

import (
	"unicode"
	"unicode/utf8"
)

// appendFold appends s with every character replaced by the least of those
// that differ from it only in case (letters A to Z by a to z), so that two
// texts fold alike exactly when strings.EqualFold holds. Bytes that are no
// UTF-8 stay as they are. The result is never longer than s.
//
// So an ASCII letter comes from itself, its capital or one character beyond
// ASCII, which only k and s have (the Kelvin sign and the long s); every other
// ASCII character comes from itself alone.
func appendFold(dst []byte, s string) []byte {
	for i := appendLower(&dst, s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			dst = append(dst, lowerByte(c))
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += size
	}
	return dst
}

func lowerByte(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}

func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if least-'A' < 26 && least >= 'A' {
		least |= 0x20
	}
	return least
}

func foldString(s string) string { return string(appendFold(nil, s)) }
