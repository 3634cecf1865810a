// Package purl writes parts of package URLs for the readers that make thousands of
// them, without the maps and sorting of the general library.
// See https://github.com/package-url/purl-spec.
package purl

// AppendEscaped appends s, with what a package URL needs written as %XX.
func AppendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == ':':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
