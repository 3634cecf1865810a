package pattern

import (
	"math/bits"
	"net/netip"
)

// Address returns an address in canonical form: IPv4 in dotted decimal, IPv6
// as RFC 5952 writes it, IPv4-mapped IPv6 as IPv4, without a zone. The result
// aliases text when that is canonical already.
func Address(text string) (string, bool) {
	if n := ipv4(text); n > 0 && n == len(text) {
		return text, true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", false
	}
	addr = addr.Unmap().WithZone("")
	var buf [64]byte
	if canonical := addr.AppendTo(buf[:0]); string(canonical) != text {
		return string(canonical), true
	}
	return text, true
}

// ipv4 returns the length of the IPv4 address that s begins with, 0 when there
// is none: four numbers up to 255 without leading zeros, as [netip.ParseAddr]
// takes them, and neither a digit nor a point after them.
func ipv4(s string) int {
	if len(s) < 20 {
		return ipv4Short(s)
	}
	// Where a number ends differs from address to address, and what a processor
	// cannot foresee costs it more than to look at all bytes at once. An address
	// is shorter than 16 bytes; bit i of these says what byte i is.
	low, high := load8(s), load8(s[8:])
	points := equal(low, '.') | equal(high, '.')<<8
	others := (nonDigits(low) | nonDigits(high)<<8) &^ points
	length := bits.TrailingZeros16(others)
	ends := points&(1<<length-1) | 1<<length
	if others == 0 || bits.OnesCount16(ends) != 4 {
		return 0
	}
	start := 0
	for range 4 {
		end := bits.TrailingZeros16(ends)
		ends &= ends - 1
		digits := uint(end - start)
		if digits-1 > 2 {
			return 0
		}
		// Its digits at the top of a word and zeros before them.
		w := (load4(s[start:]) ^ 0x3030_3030) << (32 - 8*digits&31)
		if v := w>>24 + w>>16&0xff*10 + w>>8&0xff*100; v > 255 || v < least[digits] {
			return 0
		}
		start = end + 1
	}
	return length
}

// least is the least number of so many digits.
var least = [4]uint32{1: 0, 2: 10, 3: 100}

// ipv4Short is ipv4 for texts of any length.
func ipv4Short(s string) int {
	value, digits, points, n := uint(0), 0, 0, 0
	for ; n < len(s); n++ {
		if d := uint(s[n] - '0'); d <= 9 {
			if value == 0 && digits > 0 {
				return 0
			}
			if value = value*10 + d; value > 255 {
				return 0
			}
			digits++
			continue
		}
		if s[n] != '.' {
			break
		}
		if points++; digits == 0 || points > 3 {
			return 0
		}
		value, digits = 0, 0
	}
	if points != 3 || digits == 0 {
		return 0
	}
	return n
}
