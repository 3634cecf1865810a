package view

import "bytes"

// AppendIndented appends a JSON value in the form of json.Indent with two spaces
// a level, as it stands depth levels deep in another value. raw has to be valid
// JSON, as all that this package writes is: it is not checked, which is what
// makes this many times faster.
func AppendIndented(dst, raw []byte, depth int) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case '"':
			n := stringLength(raw[i:])
			dst = append(dst, raw[i:i+n]...)
			i += n
			continue
		case '{', '[':
			dst = append(dst, c)
			if next := skipSpace(raw, i+1); next < len(raw) && (raw[next] == '}' || raw[next] == ']') {
				dst = append(dst, raw[next]) // nothing is in it
				i = next + 1
				continue
			}
			depth++
			dst = appendBreak(dst, depth)
		case '}', ']':
			depth--
			dst = append(appendBreak(dst, depth), c)
		case ',':
			dst = appendBreak(append(dst, c), depth)
		case ':':
			dst = append(dst, c, ' ')
		case ' ', '\t', '\r', '\n':
		default:
			dst = append(dst, c)
		}
		i++
	}
	return dst
}

// appendBreak ends a line and begins the next, depth levels deep.
func appendBreak(dst []byte, depth int) []byte {
	dst = append(dst, '\n')
	for range depth {
		dst = append(dst, ' ', ' ')
	}
	return dst
}

// stringLength is how long the string is that raw begins with, quotes included.
func stringLength(raw []byte) int {
	for i := 1; i < len(raw); {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			break
		}
		i += n + 1
		escapes := 0
		for raw[i-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
	return len(raw)
}

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n') {
		i++
	}
	return i
}
