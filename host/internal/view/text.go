package view

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain reports whether an ASCII byte stands for itself inside a JSON string.
func plain(c byte) bool { return c >= 0x20 && c != '"' && c != '\\' && c < 0x7f }

// hidden reports whether a rune would act on a terminal instead of showing: a
// control, a line or paragraph separator, or an invisible format character
// such as the bidirectional overrides, which reorder the text around them.
func hidden(r rune) bool {
	if r >= 0xc0 && r < 0x600 || r >= 0x3000 && r < 0xfe00 {
		return false // letters of most scripts, without a search in the tables
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// AppendString appends s as a JSON string. Hidden characters are written as
// \uNNNN; a byte that is not valid UTF-8 becomes the four characters \xNN.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain(c) {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscaped(dst, c)
			i++
			from = i
			continue
		}
		r, n := decode(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[from:i]...)
			dst = append(dst, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		case hidden(r):
			dst = append(dst, s[from:i]...)
			dst = appendUnit(dst, r)
		default:
			i += n
			continue
		}
		i += n
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// decode is utf8.DecodeRune for both kinds of text, without a conversion.
func decode[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[:min(len(s), utf8.UTFMax)])
	return utf8.DecodeRune(b[:n])
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendUnit appends a rune as \uNNNN, as a surrogate pair when it needs one.
func appendUnit(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnit(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// AppendPrintable appends s so that it can be shown on a terminal: hidden
// characters, line ends among them, are written as \n, \t, \xNN or \u{NNNN},
// and bytes that are not valid UTF-8 as \xNN. A backslash stays as it is.
func AppendPrintable(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == utf8.RuneError && n == 1, r < 0x100 && hidden(r):
			x := byte(r)
			if r == utf8.RuneError {
				x = c
			}
			dst = append(dst, '\\', 'x', hexDigits[x>>4], hexDigits[x&15])
		case hidden(r):
			dst = append(dst, '\\', 'u', '{')
			dst = strconv.AppendUint(dst, uint64(r), 16)
			dst = append(dst, '}')
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

// Printable is AppendPrintable for a single string.
func Printable(s string) string {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return string(AppendPrintable(nil, s))
		}
	}
	return s
}

// AppendTime appends UTC nanoseconds since 1970 as a quoted RFC 3339 time, and
// "" for 0.
func AppendTime(dst []byte, nanoseconds int64) []byte {
	dst = append(dst, '"')
	if nanoseconds != 0 {
		dst = time.Unix(0, nanoseconds).UTC().AppendFormat(dst, time.RFC3339Nano)
	}
	return append(dst, '"')
}

// appendFloat appends the shortest decimal number that reads back as f; what
// JSON cannot say (infinities, not a number) is null.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

func appendHex(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, '"')
}

func appendBase64(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}
