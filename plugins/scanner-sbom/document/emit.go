package document

import (
	"encoding/binary"
	"unicode/utf8"
)

// The documents are written by appending, with no tree of values in between and no
// reflection: BenchmarkAppend takes less than half of what BenchmarkLibrary does. The text is the same
// that encoding/json would write with SetEscapeHTML(false); a test compares.

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := len(dst)
	dst = append(dst, s...)
	if !plain(dst[from:]) {
		dst = appendEscaped(dst[:from], s)
	}
	return append(dst, '"')
}

// plain is true when all bytes are printable ASCII that JSON does not escape. It looks
// at eight bytes at a time; the tests for a byte below n and a byte equal to n in a
// word are those of "Bit Twiddling Hacks" (Anderson), and may see a match beside a
// true one, never none.
func plain(b []byte) bool {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	var found uint64
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		quote, slash := w^('"'*ones), w^('\\'*ones)
		found |= w | (w - ' '*ones) | (quote-ones)&^quote | (slash-ones)&^slash
		b = b[8:]
	}
	if found&tops != 0 {
		return false
	}
	for _, c := range b {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendEscaped[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); {
		run := i
		for i < len(s) && s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
			i++
		}
		if dst = append(dst, s[run:i]...); i == len(s) {
			break
		}
		if c := s[i]; c < utf8.RuneSelf {
			i++
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // the ends of lines of JavaScript
			dst = append(dst, `\u202`...)
			dst = append(dst, digits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// appendField appends a comma, a name that needs no escape, and a string; nothing for
// an empty string.
func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendString(dst, value)
}

// list writes the elements of one array, or of nothing: what opens it is written
// before the first element alone.
type list struct {
	open string
	any  bool
}

// next opens the array, or puts a comma before a further element.
func (l *list) next(dst []byte) []byte {
	if l.any {
		return append(dst, ',')
	}
	l.any = true
	return append(dst, l.open...)
}

// end closes the array if there is one.
func (l *list) end(dst []byte) []byte {
	if !l.any {
		return dst
	}
	return append(dst, ']')
}
