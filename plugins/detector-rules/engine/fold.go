package engine

import (
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// appendFold appends s with every character replaced by the least of those
// that differ from it only in case (letters A to Z by a to z), so that two
// texts fold alike exactly when strings.EqualFold holds. Bytes that are no
// UTF-8 stay as they are. The result is never longer than s.
func appendFold(dst []byte, s string) []byte {
	for i := appendLower(&dst, s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
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

// appendLower folds the beginning of s, eight bytes at a time, as far as they
// are ASCII, and returns how far that is.
func appendLower(dst *[]byte, s string) int {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	from := unsafe.Slice(unsafe.StringData(s), len(s))
	at := len(*dst)
	*dst = slices.Grow(*dst, len(s))
	to := (*dst)[at : at+len(s)]
	i := 0
	for ; i+8 <= len(from) && i+8 <= len(to); i += 8 {
		w := binary.LittleEndian.Uint64(from[i:])
		if w&high != 0 {
			break
		}
		// The high bit of a byte says that it is at least A, and above Z.
		atLeastA, aboveZ := w+(0x80-'A')*ones, w+(0x7f-'Z')*ones
		w |= (atLeastA ^ aboveZ) & high >> 2
		binary.LittleEndian.PutUint64(to[i:], w)
	}
	*dst = (*dst)[:at+i]
	return i
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

// alias returns the bytes as a string without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
