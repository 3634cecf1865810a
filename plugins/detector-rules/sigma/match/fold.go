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
	from := bytesOf(s)
	start := len(dst)
	dst = slices.Grow(dst, len(s))
	to := dst[start : start+len(s)]
	i := 0
	for ; i+8 <= len(from); i += 8 {
		w := binary.LittleEndian.Uint64(from[i:])
		if w&high != 0 {
			return appendFoldRunes(dst[:start+i], s[i:])
		}
		binary.LittleEndian.PutUint64(to[i:], lower(w))
	}
	if i < len(from) && len(from) >= 8 {
		// The last eight bytes, of which some are done already.
		i = len(from) - 8
		w := binary.LittleEndian.Uint64(from[i:])
		if w&high != 0 {
			return appendFoldRunes(dst[:start+i], s[i:])
		}
		binary.LittleEndian.PutUint64(to[i:], lower(w))
		return dst[:start+len(s)]
	}
	for ; i < len(from); i++ {
		if from[i] >= utf8.RuneSelf {
			return appendFoldRunes(dst[:start+i], s[i:])
		}
		to[i] = lowerByte(from[i])
	}
	return dst[:start+len(s)]
}

// isASCII reports whether a text has nothing but ASCII.
func isASCII(s string) bool {
	b := bytesOf(s)
	i := 0
	for ; i+32 <= len(b); i += 32 {
		at := b[i : i+32]
		if (binary.LittleEndian.Uint64(at)|binary.LittleEndian.Uint64(at[8:])|binary.LittleEndian.Uint64(at[16:])|binary.LittleEndian.Uint64(at[24:]))&high != 0 {
			return false
		}
	}
	for ; i+8 <= len(b); i += 8 {
		if binary.LittleEndian.Uint64(b[i:])&high != 0 {
			return false
		}
	}
	for ; i < len(b); i++ {
		if b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendFoldRunes is appendFold for text that is not all ASCII.
func appendFoldRunes(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		if i+8 <= len(s) {
			if w := binary.LittleEndian.Uint64(bytesOf(s)[i:]); w&high == 0 {
				dst = binary.LittleEndian.AppendUint64(dst, lower(w))
				i += 8
				continue
			}
		}
		c := s[i]
		if c < utf8.RuneSelf {
			dst = append(dst, lowerByte(c))
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, c)
		case r < twoBytes:
			dst = utf8.AppendRune(dst, rune(foldedRunes[r]))
		default:
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += size
	}
	return dst
}

// twoBytes is the first character that takes three bytes.
const twoBytes = 0x800

// foldedRunes has what foldRune returns for the characters below twoBytes, which
// Latin, Greek, Cyrillic, Hebrew and Arabic texts are made of.
var foldedRunes = func() (table [twoBytes]uint16) {
	for r := range rune(twoBytes) {
		table[r] = uint16(foldRune(r))
	}
	return table
}()

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
