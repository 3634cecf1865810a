package jsonlog

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/internal/reject"
)

// scanner reads JSON text from left to right. Every method leaves i after what
// it read; after an error i is of no use.
type scanner struct {
	s string
	i int
}

// space skips insignificant blanks.
func (r *scanner) space() {
	for r.i < len(r.s) {
		switch r.s[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (r *scanner) peek() byte {
	if r.i < len(r.s) {
		return r.s[r.i]
	}
	return 0
}

// next skips blanks and returns the next byte, 0 at the end.
func (r *scanner) next() byte {
	r.space()
	return r.peek()
}

// quoted reads a string and returns what stands between its quotes, and
// whether that holds escapes.
func (r *scanner) quoted() (text string, escaped bool, err *reject.Error) {
	if r.peek() != '"' {
		return "", false, ErrBadJSON
	}
	start := r.i + 1
	for i := start; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '"':
			r.i = i + 1
			return r.s[start:i], escaped, nil
		case c < ' ':
			return "", false, ErrBadJSON
		case c == '\\':
			escaped = true
			i++
			if i >= len(r.s) {
				return "", false, ErrBadJSON
			}
			switch r.s[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(r.s[i+1:]); !ok {
					return "", false, ErrBadJSON
				}
				i += 4
			default:
				return "", false, ErrBadJSON
			}
		}
	}
	return "", false, ErrBadJSON
}

// text reads a string and returns its value.
func (r *scanner) text() (string, *reject.Error) {
	text, escaped, err := r.quoted()
	if escaped && err == nil {
		text = unescape(text)
	}
	return text, err
}

// key reads a key and its colon, up to the value.
func (r *scanner) key() (string, *reject.Error) {
	r.space()
	key, err := r.text()
	if err != nil {
		return "", err
	}
	return key, r.colon()
}

func (r *scanner) colon() *reject.Error {
	if r.next() != ':' {
		return ErrBadJSON
	}
	r.i++
	r.space()
	return nil
}

// kind says what a scalar is.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
)

// scalar reads a string, a number, true, false or null.
func (r *scanner) scalar() (string, kind, *reject.Error) {
	start := r.i
	switch c := r.peek(); {
	case c == '"':
		text, err := r.text()
		return text, kindString, err
	case c == '-' || isDigit(c):
		if !r.number() {
			return "", kindNull, ErrBadJSON
		}
		return r.s[start:r.i], kindNumber, nil
	case strings.HasPrefix(r.s[r.i:], "true"):
		r.i += 4
		return "true", kindBool, nil
	case strings.HasPrefix(r.s[r.i:], "false"):
		r.i += 5
		return "false", kindBool, nil
	case strings.HasPrefix(r.s[r.i:], "null"):
		r.i += 4
		return "", kindNull, nil
	}
	return "", kindNull, ErrBadJSON
}

// number reads a number by the grammar of RFC 8259 section 6.
func (r *scanner) number() bool {
	if r.peek() == '-' {
		r.i++
	}
	if r.peek() == '0' {
		r.i++
	} else if !r.digits() {
		return false
	}
	if r.peek() == '.' {
		r.i++
		if !r.digits() {
			return false
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.i++
		if c := r.peek(); c == '+' || c == '-' {
			r.i++
		}
		return r.digits()
	}
	return true
}

func (r *scanner) digits() bool {
	start := r.i
	for r.i < len(r.s) && isDigit(r.s[r.i]) {
		r.i++
	}
	return r.i > start
}

// skip reads any value that begins depth levels deep and returns its text. It
// does not recurse.
func (r *scanner) skip(depth int) (string, *reject.Error) {
	start := r.i
	var open [MaxNesting]byte
	n := 0
	for {
		// A value begins here.
		switch c := r.next(); c {
		case '{', '[':
			if depth+n >= MaxNesting {
				return "", ErrTooDeep
			}
			open[n] = c
			n++
			r.i++
			if r.next() == c+2 { // ']' is '['+2 and '}' is '{'+2
				break
			}
			if c == '{' {
				if err := r.skipKey(); err != nil {
					return "", err
				}
			}
			continue
		case '"':
			if _, _, err := r.quoted(); err != nil {
				return "", err
			}
		default:
			if _, _, err := r.scalar(); err != nil {
				return "", err
			}
		}
		// A value ended, or a closing bracket is next.
		for more := false; !more; {
			if n == 0 {
				return r.s[start:r.i], nil
			}
			switch c := r.next(); {
			case c == open[n-1]+2:
				r.i++
				n--
			case c == ',':
				// After an opening bracket no comma can stand: the loop came
				// here from a value, or found the closing bracket at once.
				r.i++
				if open[n-1] == '{' {
					if err := r.skipKey(); err != nil {
						return "", err
					}
				}
				more = true
			default:
				return "", ErrBadJSON
			}
		}
	}
}

func (r *scanner) skipKey() *reject.Error {
	r.space()
	if _, _, err := r.quoted(); err != nil {
		return err
	}
	return r.colon()
}

// unescape resolves the escapes of a string that was read by quoted.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		at := strings.IndexByte(s[i:], '\\')
		if at < 0 {
			b.WriteString(s[i:])
			break
		}
		b.WriteString(s[i : i+at])
		i += at + 2
		switch c := s[i-1]; c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			c, _ := hex4(s[i:])
			i += 4
			if utf16.IsSurrogate(c) {
				low, ok := rune(0), false
				if strings.HasPrefix(s[i:], `\u`) {
					low, ok = hex4(s[i+2:])
				}
				if pair := utf16.DecodeRune(c, low); ok && pair != utf8.RuneError {
					c = pair
					i += 6
				} else {
					c = utf8.RuneError
				}
			}
			if c == 0 {
				c = utf8.RuneError
			}
			b.WriteRune(c)
		default: // quote, backslash, slash
			b.WriteByte(c)
		}
	}
	return b.String()
}

// hex4 reads four hexadecimal digits.
func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var n rune
	for i := range 4 {
		c := s[i]
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | rune(c)
	}
	return n, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
