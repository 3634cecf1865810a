// Package octets looks at eight bytes of a text at once, as numbers side by side in
// one word, of which the first byte is the lowest (Anderson, Bit Twiddling Hacks,
// "Determine if a word has a zero byte"). Where a word or a number ends differs from
// line to line, and a processor that cannot foresee it loses more by a loop over
// bytes than by looking at all of them.
package octets

import "math/bits"

// Bytes of one value, to be multiplied and masked with.
const (
	Ones  = 0x0101_0101_0101_0101 // every byte 1
	Highs = 0x80 * Ones           // the highest bit of every byte
)

// Load returns the first eight bytes of s, which has that many; the compiler makes
// it one instruction.
func Load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// Load4 returns the first four bytes of s, which has that many.
func Load4(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// Index returns which of the bytes of x is the first that is zero, 8 when none is.
// To find another byte, x is first combined by exclusive or with Ones times that.
func Index(x uint64) int {
	// A borrow makes bytes after the first zero look like one, which is no harm.
	return bits.TrailingZeros64((x-Ones)&^x&Highs) >> 3
}

// Digits returns with how many decimal digits x begins.
func Digits(x uint64) int {
	x ^= '0' * Ones
	return bits.TrailingZeros64((x&^Highs+(0x80-10)*Ones|x)&Highs) >> 3
}

// Number returns the number that the first n bytes of x are in decimal digits; n is
// 1 to 8, and all of them are digits. Pairs of digits are made numbers of two, then
// pairs of those (Lemire, "Quickly parsing eight digits", 2018).
func Number(x uint64, n int) uint64 {
	x = (x ^ '0'*Ones) << (64 - 8*uint(n)) //nolint:gosec // zeros before the digits
	x = x*10 + x>>8
	x &= 0x00ff_00ff_00ff_00ff
	x = x*100 + x>>16
	x &= 0x0000_ffff_0000_ffff
	x = x*10_000 + x>>32
	return x & 0xffff_ffff
}
