package engine

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// Texts are read eight bytes at a time here (SWAR). In a word the first byte of
// the text is the lowest.
const (
	ones = 0x0101010101010101
	// high has the bit of every byte that ASCII leaves clear.
	high = 0x80 * ones
	// caseless sets the bit in which a letter differs from its capital. With it
	// other characters become alike too ('[' and '{'), so it is for hashes of
	// texts that are compared afterwards.
	caseless = 0x20 * ones
	// multiplier spreads a word over 64 bits, the upper ones best (2^64 over the
	// golden ratio, Knuth, The Art of Computer Programming, 6.4).
	multiplier = 0x9e3779b97f4a7c15
)

// alias returns the bytes as a string without a copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns the bytes of a string without a copy; they must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// load returns the eight bytes from at on, all of which must be in b.
func load(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// loadUpTo is load for a place near the end: bytes behind it are 0.
func loadUpTo(b []byte, at int) uint64 {
	switch n := len(b); {
	case at+8 <= n:
		return load(b, at)
	case n >= 8:
		return load(b, n-8) >> (8 * (at + 8 - n))
	}
	w := uint64(0)
	for i := len(b) - 1; i >= at; i-- {
		w = w<<8 | uint64(b[i])
	}
	return w
}

// ends returns the first and the last eight bytes of a text, which overlap when
// it is shorter than 16. Of a text shorter than 8 head is everything and tail 0.
func ends(s string) (head, tail uint64) {
	b := bytesOf(s)
	if n := len(b); n >= 8 {
		return load(b, 0), load(b, n-8)
	}
	return short(b), 0
}

// short returns a word that texts of the same length below 8 have in common only
// if they are equal.
func short(b []byte) uint64 {
	n := len(b)
	switch {
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16
	}
	return 0
}

// hashCaseless hashes a text without regard to the case of ASCII letters. ascii
// says that it has nothing else than ASCII.
func hashCaseless(s string) (hash uint64, ascii bool) {
	b := bytesOf(s)
	n := len(b)
	hash = uint64(n)
	var seen, w uint64
	if n < 8 {
		w = short(b)
		seen = w
	} else {
		for i := 0; i+8 < n; i += 8 {
			w = load(b, i)
			seen |= w
			hash = mix(hash, w|caseless)
		}
		w = load(b, n-8)
		seen |= w
	}
	return mix(hash, w|caseless), seen&high == 0
}

func mix(hash, w uint64) uint64 { return (bits.RotateLeft64(hash, 23) ^ w) * multiplier }

// lower returns an ASCII word with capitals made small.
func lower(w uint64) uint64 {
	// The high bit of a byte says that it is at least A, and above Z.
	atLeastA, aboveZ := w+(0x80-'A')*ones, w+(0x7f-'Z')*ones
	return w | (atLeastA^aboveZ)&high>>2
}

// ascii reports whether a text has nothing else than ASCII.
func ascii(s string) bool {
	b := bytesOf(s)
	if len(b) < 8 {
		return short(b)&high == 0
	}
	seen := load(b, len(b)-8)
	for i := 0; i+8 < len(b); i += 8 {
		seen |= load(b, i)
	}
	return seen&high == 0
}

// foldedPrefix reports whether b begins with text, which is folded, when b is
// ASCII or folded as well; of other b it tells nothing.
func foldedPrefix(b []byte, text string) bool {
	if len(b) < len(text) {
		return false
	}
	t, i := bytesOf(text), 0
	for ; i+8 <= len(t); i += 8 {
		w := load(b, i)
		if w&high == 0 {
			w = lower(w)
		}
		if w != load(t, i) {
			return false
		}
	}
	for ; i < len(t); i++ {
		if lowerByte(b[i]) != t[i] {
			return false
		}
	}
	return true
}

// appendLower folds the beginning of s as far as it is whole words of ASCII, and
// returns how far that is.
func appendLower(dst *[]byte, s string) int {
	from := bytesOf(s)
	at := len(*dst)
	*dst = slices.Grow(*dst, len(s))
	to := (*dst)[at : at+len(s)]
	i := 0
	for ; i+8 <= len(from) && i+8 <= len(to); i += 8 {
		w := load(from, i)
		if w&high != 0 {
			break
		}
		binary.LittleEndian.PutUint64(to[i:], lower(w))
	}
	*dst = (*dst)[:at+i]
	return i
}
