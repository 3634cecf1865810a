package jsonlog

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/internal/intern"
	"github.com/ironpost/ironpost/plugins/internal/keyvalue"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// Limits of a record.
const (
	// MaxDepth is how many levels are flattened.
	MaxDepth = 16
	// MaxNesting is how deep a record may be nested at all.
	MaxNesting = 128
	// MaxFields is how many fields a record may have.
	MaxFields = 256
	// MaxName is the longest name of a field, in bytes.
	MaxName = 256
)

// Why a record is refused.
var (
	// ErrEmpty: nothing but blanks. Code empty.
	ErrEmpty = reject.New("empty", "the record is empty")
	// ErrBadJSON: not JSON, or text follows the object. Code bad_json.
	ErrBadJSON = reject.New("bad_json", "the record is not one JSON object")
	// ErrNotObject: an array or a scalar. Code not_an_object.
	ErrNotObject = reject.New("not_an_object", "the record is JSON, but not an object")
	// ErrTooDeep: nested deeper than MaxNesting. Code too_deep.
	ErrTooDeep = reject.New("too_deep", "the record is nested deeper than 128 levels")
)

// Parser parses records. The zero value is ready; it is safe for concurrent
// use.
type Parser struct {
	// Patterns read the messages; the zero value has those that are built in.
	Patterns extract.Reader

	zones stamp.Zones
	names intern.Table
}

// Parse reads one record into out, which must be empty. What it puts there may
// alias raw.Line. It returns ErrEmpty, ErrBadJSON, ErrNotObject or ErrTooDeep,
// and leaves out empty then. It allocates for escaped strings, for arrays of
// more than one scalar, and for names that it has not seen before.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	r := record{scanner: scanner{s: strings.TrimPrefix(view.String(raw.Line), "\ufeff")}, names: &p.names, out: out}
	if err := r.read(); err != nil {
		out.Reset()
		return err
	}
	ref := stamp.Reference{Observed: raw.ObservedTime}
	if raw.Stream != nil {
		ref.Location = p.zones.Location(raw.Stream.TimeZone)
	}
	sender := r.assign(ref)
	output := r.output()
	if output {
		r.nested()
		speak(&ref, out, p.Patterns.Known)
	}
	if r.dropped > 0 {
		out.Set("json_dropped_fields", strconv.Itoa(r.dropped))
	}
	switch sender {
	case senderTrusted:
		if output && keyvalue.Inside(out.Message) {
			break // it may name any process and action, and a container is no appliance
		}
		if p.Patterns.Message(&ref, out) != nil {
			out.Set("json_defect", "bad_cef_or_leef")
		}
	case senderTool:
		p.Patterns.ApplyLocal(out)
	case senderUnverified:
		if p.Patterns.Known(out.Process) {
			out.Set("sender_verified", "false")
		}
	}
	return nil
}

// record is the state of one call.
type record struct {
	scanner
	names   *intern.Table
	out     *event.LogEvent
	slots   [slotCount]scalar
	dropped int
	// line says that the message is a line of a program, in a record of whoever
	// read it.
	line bool
	// inner says that this is such a line; the first outer fields of the event are
	// those of the record around it.
	inner bool
	outer int
}

// scalar is the value of a key that may become a member.
type scalar struct {
	text string
	kind kind
	set  bool
}

// read reads the whole record. It returns nil or one of the package's errors.
func (r *record) read() error {
	switch c := r.next(); {
	case c == '{':
		if err := r.object("", 1); err != nil {
			return err
		}
		if r.next(); r.i < len(r.s) {
			return ErrBadJSON
		}
		return nil
	case r.i >= len(r.s):
		return ErrEmpty
	}
	if _, err := r.skip(0); err != nil {
		return err
	}
	if r.next(); r.i < len(r.s) {
		return ErrBadJSON
	}
	return ErrNotObject
}

// object reads an object that is depth levels deep into fields whose names
// begin with prefix.
func (r *record) object(prefix string, depth int) *reject.Error {
	r.i++
	if r.next() == '}' {
		r.i++
		return nil
	}
	for {
		key, err := r.key()
		if err != nil {
			return err
		}
		if err := r.value(prefix, key, depth); err != nil {
			return err
		}
		switch r.next() {
		case ',':
			r.i++
		case '}':
			r.i++
			return nil
		default:
			return ErrBadJSON
		}
	}
}

// value reads the value of a key in an object or array that is depth levels
// deep.
func (r *record) value(prefix, key string, depth int) *reject.Error {
	c := r.peek()
	if c != '{' && c != '[' {
		text, kind, err := r.scalar()
		if err != nil {
			return err
		}
		if depth == 1 {
			if slot := slotOf(key); slot != slotNone {
				r.slots[slot] = scalar{text, kind, kind != kindNull}
				return nil
			}
		}
		if kind != kindNull {
			r.field(prefix, key, text)
		}
		return nil
	}
	if depth >= MaxDepth || key == "" || len(prefix)+1+len(key) > MaxName {
		text, err := r.skip(depth)
		if err == nil {
			r.field(prefix, key, text)
		}
		return err
	}
	if c == '{' {
		return r.object(r.names.Join(prefix, key), depth+1)
	}
	if depth == 1 && key == "MESSAGE" {
		if text, ok := r.bytes(); ok {
			r.slots[slotJournalMessage] = scalar{text, kindString, true}
			return nil
		}
	}
	return r.array(prefix, key, depth+1)
}

// array reads an array that is depth levels deep. Its scalars become one
// field; what is nested goes by index.
func (r *record) array(prefix, key string, depth int) *reject.Error {
	r.i++
	if r.next() == ']' {
		r.i++
		return nil
	}
	var first string
	var joined strings.Builder
	scalars := 0
	for index := 0; ; index++ {
		if c := r.next(); c == '{' || c == '[' {
			if err := r.value(r.names.Join(prefix, key), strconv.Itoa(index), depth); err != nil {
				return err
			}
		} else {
			text, kind, err := r.scanner.scalar()
			if err != nil {
				return err
			}
			if kind != kindNull {
				switch scalars++; scalars {
				case 1:
					first = text
				case 2:
					joined.WriteString(first)
					fallthrough
				default:
					joined.WriteByte(',')
					joined.WriteString(text)
				}
			}
		}
		switch r.next() {
		case ',':
			r.i++
			continue
		case ']':
			r.i++
		default:
			return ErrBadJSON
		}
		switch {
		case scalars == 1:
			r.field(prefix, key, first)
		case scalars > 1:
			r.field(prefix, key, joined.String())
		}
		return nil
	}
}

// bytes reads an array of numbers from 0 to 255, which is how journalctl writes
// a message that is not text; it returns false, and reads nothing, when the
// array is another. Bytes that are not UTF-8, and NUL, become U+FFFD.
func (r *record) bytes() (string, bool) {
	start := r.i
	var b []byte
	for r.i++; ; r.i++ {
		r.space()
		n, digits := 0, r.i
		for r.i < len(r.s) && isDigit(r.s[r.i]) && r.i-digits < 3 {
			n = n*10 + int(r.s[r.i]-'0')
			r.i++
		}
		if r.i == digits || n > 255 || r.s[digits] == '0' && r.i-digits > 1 {
			break
		}
		b = append(b, byte(n))
		switch r.next() {
		case ',':
			continue
		case ']':
			r.i++
			return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\ufffd"), "\x00", "\ufffd"), true
		}
		break
	}
	r.i = start
	return "", false
}

// field sets a field, within the limits.
func (r *record) field(prefix, key, text string) {
	if key == "" || len(prefix)+1+len(key) > MaxName || len(r.out.Fields) >= MaxFields {
		r.dropped++
		return
	}
	if prefix == "" {
		switch key {
		case "src_ip", "dst_ip":
			address, ok := extract.Address(text)
			if !ok {
				key += "_text"
			} else {
				text = address
			}
		case "__CURSOR", "__MONOTONIC_TIMESTAMP", "__SEQNUM", "__SEQNUM_ID":
			return
		}
	}
	name := r.names.Join(prefix, key)
	if r.inner && r.shadowed(name) {
		r.dropped++
		return
	}
	r.out.Set(name, text)
}
