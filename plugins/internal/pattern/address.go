package pattern

import (
	"math/bits"
	"net/netip"

	"github.com/ironpost/ironpost/plugins/internal/octets"
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
//
// Where a number ends differs from address to address, and what a processor
// cannot foresee costs it more than to look at all bytes at once: an address is
// shorter than 16 bytes, and bit i of what follows says something of byte i.
func ipv4(s string) int {
	if len(s) < 16 {
		return ipv4Short(s)
	}
	b := digits16{octets.Load(s) ^ '0'*octets.Ones, octets.Load(s[8:]) ^ '0'*octets.Ones}
	point, digit := b.are('.'^'0'), ^b.atLeast(10)
	others := ^(point | digit)
	if others == 0 {
		return 0
	}
	end := bits.TrailingZeros32(others)
	inside := others&-others - 1
	digit &= inside
	start := point&inside<<1 | 1
	second := digit >> 1           // the next byte is a digit as well,
	third := second & (digit >> 2) // and the one after it
	// A number of three digits is too large from 3xx, 26x or 256 on.
	six := b.atLeast(6)
	large := b.atLeast(3) | b.atLeast(2)&((six|b.atLeast(5)&(six>>1))>>1)
	wrong := start & (^digit | second&^b.atLeast(1) | third&(large|digit>>3))
	if wrong != 0 || bits.OnesCount32(start) != 4 {
		return 0
	}
	return end
}

// digits16 are 16 bytes, each less '0', as bits: so that a digit is its value.
type digits16 struct{ low, high uint64 }

// atLeast returns a bit for each byte that is n, of 1 to 10, or more.
func (d digits16) atLeast(n uint64) uint32 {
	return gather(d.low&^octets.Highs+(0x80-n)*octets.Ones|d.low, d.high&^octets.Highs+(0x80-n)*octets.Ones|d.high)
}

// are returns a bit for each byte that is n.
func (d digits16) are(n uint64) uint32 {
	low, high := d.low^n*octets.Ones, d.high^n*octets.Ones
	return gather(^(low&^octets.Highs + 0x7f*octets.Ones | low), ^(high&^octets.Highs + 0x7f*octets.Ones | high))
}

// gather returns the highest bit of each byte, that of the lowest byte lowest:
// the product moves bit 8i+7 to bit 56+i, and no two of its parts meet there.
func gather(low, high uint64) uint32 {
	const spread = 0x0002_0408_1020_4081
	return uint32(low&octets.Highs*spread>>56) | uint32(high&octets.Highs*spread>>56)<<8 //nolint:gosec // eight bits each
}

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
