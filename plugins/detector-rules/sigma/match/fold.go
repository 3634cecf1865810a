package match

import (
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// Texts are read eight bytes at a time here (SWAR).
const (
	ones = 0x0101010101010101
	// high has the bit of every byte that ASCII leaves clear.
	high = 0x80 * ones
)

// alias returns the bytes as a string without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns the bytes of a string without a copy; they must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// appendFold appends s with every character replaced by the least of those that
// differ from it only in case (letters A to Z by a to z), so that two texts fold
// alike exactly when strings.EqualFold holds. Bytes that are no UTF-8 stay as they
// are. The result has as many characters as s and is never longer.
func appendFold(dst []byte, s string) []byte {
	dst = slices.Grow(dst, len(s))
	from := bytesOf(s)
	for i := 0; i < len(from); {
		if i+8 <= len(from) {
			if w := binary.LittleEndian.Uint64(from[i:]); w&high == 0 {
				dst = binary.LittleEndian.AppendUint64(dst, lower(w))
				i += 8
				continue
			}
		}
		c := from[i]
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

// lower returns an ASCII word with capitals made small.
func lower(w uint64) uint64 {
	// The high bit of a byte says that it is at least A, and above Z.
	atLeastA, aboveZ := w+(0x80-'A')*ones, w+(0x7f-'Z')*ones
	return w | (atLeastA^aboveZ)&high>>2
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
