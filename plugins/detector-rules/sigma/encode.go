package sigma

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

// wide returns s in UTF-16, low bytes first unless big. Bytes that are no UTF-8
// become the replacement character, as in every conversion.
func wide(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b.WriteByte(byte(u >> 8))
			b.WriteByte(byte(u))
		} else {
			b.WriteByte(byte(u))
			b.WriteByte(byte(u >> 8))
		}
	}
	return b.String()
}

// byteOrderMark begins UTF-16 with low bytes first.
const byteOrderMark = "\xff\xfe"

// offsets returns what of the Base64 form of s is the same whatever stands before
// and after it, for the three places that s can have in groups of three bytes.
// The first characters still carry bits of what stands before, the last of what
// stands after.
func offsets(s string) []string {
	out := make([]string, 0, 3)
	for before := range 3 {
		all := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", before) + s))
		from := [...]int{0, 2, 3}[before]
		upto := len(all) - [...]int{0, 3, 2}[(len(s)+before)%3]
		if from < upto {
			out = append(out, all[from:upto])
		}
	}
	return out
}
