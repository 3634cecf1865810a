// Package purl writes parts of package URLs for the readers that make thousands of
// them, without the maps and sorting of the general library.
// See https://github.com/package-url/purl-spec.
package purl

// AppendEscaped appends s, with what a package URL needs written as %XX.
func AppendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for s != "" {
		n := plain(s)
		dst, s = append(dst, s[:n]...), s[n:]
		if s != "" {
			dst, s = append(dst, '%', hex[s[0]>>4], hex[s[0]&15]), s[1:]
		}
	}
	return dst
}

// plain is how much of the beginning of s needs no escape, which nearly always is all of it.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || asIs[c>>6]&(1<<(c&63)) == 0 {
			return i
		}
	}
	return len(s)
}

// asIs has a bit for each character of ASCII that is not escaped: letters, digits and "-._~:".
var asIs = func() (set [2]uint64) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:") {
		set[c>>6] |= 1 << (c & 63)
	}
	return set
}()
