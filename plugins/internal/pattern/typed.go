package pattern

import (
	"math/bits"

	"github.com/ironpost/ironpost/plugins/internal/octets"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
)

// addressLen returns the length of the IP address that s begins with and that is
// not in the common form of IPv4, 0 when there is none.
func addressLen(s string) int {
	n, zone := 0, false
	for ; n < len(s); n++ {
		switch c := s[n]; {
		case isDigit(c), 'a' <= c && c <= 'f', 'A' <= c && c <= 'F', c == ':', c == '.':
		case c == '%' && !zone && n > 0:
			zone = true
		case zone && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_'):
		default:
			goto end
		}
	}
end:
	// A colon or a point after an address belongs to the sentence.
	for range 2 {
		if n < 2 {
			return 0
		}
		if _, ok := Address(s[:n]); ok {
			return n
		}
		if c := s[n-1]; c != ':' && c != '.' {
			return 0
		}
		n--
	}
	return 0
}

// portLen returns the length of the port that s begins with, 0 when there is
// none. No digit follows it.
func portLen(s string) int {
	if len(s) < 8 {
		return portShort(s)
	}
	x := octets.Load(s)
	n := octets.Digits(x)
	// Five digits as a number whose highest byte is the first of them.
	if n > 5 || n == 5 && bits.ReverseBytes64(x)>>24 > '6'<<32|'5'<<24|'5'<<16|'3'<<8|'5' {
		return 0
	}
	return n
}

// portShort is portLen for texts of any length.
func portShort(s string) int {
	port, n := uint(0), 0
	for n < len(s) && isDigit(s[n]) {
		if port = port*10 + uint(s[n]-'0'); n == 5 || port > 65535 {
			return 0
		}
		n++
	}
	return n
}

// maxNumber is the most digits that a number has.
const maxNumber = 20

// numberLen returns the length of the number that s begins with, 0 when there
// is none.
func numberLen(s string) int {
	if len(s) >= 8 {
		if n := octets.Digits(octets.Load(s)); n > 0 && n < 8 {
			return n
		}
	}
	n := 0
	if s != "" && s[0] == '-' {
		n = 1
	}
	digits := n
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n == digits || n-digits > maxNumber {
		return 0
	}
	return n
}

// timeLen returns the length of the stamp that s begins with, 0 when there is
// none. The name of the zone UTC, or GMT, belongs to it.
func timeLen(s string) int {
	var ref stamp.Reference
	_, n, _ := ref.Any(s)
	return n
}
