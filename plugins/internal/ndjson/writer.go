package ndjson

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/sdk/event"
)

// object appends the members of one JSON object.
type object struct {
	buf   []byte
	empty bool
}

func open(buf []byte) object { return object{append(buf, '{'), true} }

func (o *object) close() []byte { return append(o.buf, '}') }

func (o *object) key(name string) {
	if !o.empty {
		o.buf = append(o.buf, ',')
	}
	o.empty = false
	o.buf = append(appendString(o.buf, name), ':')
}

// string writes a member even when it is empty.
func (o *object) string(name, value string) {
	o.key(name)
	o.buf = appendString(o.buf, value)
}

// text writes a member unless it is empty.
func (o *object) text(name, value string) {
	if value != "" {
		o.string(name, value)
	}
}

// number writes a member unless it is 0.
func (o *object) number(name string, value uint64) {
	if value != 0 {
		o.count(name, value)
	}
}

// count writes a member even when it is 0.
func (o *object) count(name string, value uint64) {
	o.key(name)
	o.buf = strconv.AppendUint(o.buf, value, 10)
}

// time writes a member unless it is the zero time.
func (o *object) time(name string, at time.Time) {
	if !at.IsZero() {
		o.key(name)
		o.buf = append(o.buf, '"')
		o.buf = at.UTC().AppendFormat(o.buf, time.RFC3339Nano)
		o.buf = append(o.buf, '"')
	}
}

func (o *object) base64(name string, value []byte) {
	if len(value) > 0 {
		o.key(name)
		o.buf = append(o.buf, '"')
		o.buf = base64.StdEncoding.AppendEncode(o.buf, value)
		o.buf = append(o.buf, '"')
	}
}

// fields writes an object. A key that comes twice is written once, with its
// first value, because readers differ about the second.
func (o *object) fields(name string, fields []event.Field) {
	o.key(name)
	inner := open(o.buf)
	for i, f := range fields {
		if !named(fields[:i], f.Key) {
			inner.string(f.Key, f.Value)
		}
	}
	o.buf = inner.close()
}

func named(fields []event.Field, key string) bool {
	for _, f := range fields {
		if f.Key == key {
			return true
		}
	}
	return false
}

func (o *object) strings(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.key(name)
	o.buf = append(o.buf, '[')
	for i, v := range values {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = appendString(o.buf, v)
	}
	o.buf = append(o.buf, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259, section 7).
func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			buf = append(buf, s[from:i]...)
			switch c {
			case '"', '\\':
				buf = append(buf, '\\', c)
			case '\n':
				buf = append(buf, '\\', 'n')
			case '\r':
				buf = append(buf, '\\', 'r')
			case '\t':
				buf = append(buf, '\\', 't')
			default:
				buf = append(buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			buf = append(append(buf, s[from:i]...), "\ufffd"...)
			from = i + 1
		}
		// The separators of ECMAScript, and the C1 control characters, which
		// terminals obey.
		if r == 0x2028 || r == 0x2029 || r >= 0x80 && r < 0xa0 {
			buf = append(append(buf, s[from:i]...), '\\', 'u',
				hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			from = i + size
		}
		i += size
	}
	return append(append(buf, s[from:]...), '"')
}
