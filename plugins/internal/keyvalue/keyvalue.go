package keyvalue

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/intern"
	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/priority"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// Limits of a record.
const (
	// MaxFields is how many fields a record may have.
	MaxFields = 256
	// MaxKey is the longest key, in bytes.
	MaxKey = 128
)

// Why a record is refused.
var (
	// ErrForm: neither CEF nor LEEF nor logfmt. Code bad_form.
	ErrForm = reject.New("bad_form", "the record is neither CEF nor LEEF nor logfmt")
	// ErrHeader: the header of CEF or LEEF is not whole. Code bad_header.
	ErrHeader = reject.New("bad_header", "the header of the record is not whole")
)

// Reader reads records. The zero value is ready; it is safe for concurrent use.
type Reader struct {
	names intern.Table
}

// meaning is what a key stands for.
type meaning uint8

const (
	asField meaning = iota // a field of another name
	asAddress
	asPort
	asMessage
	asTime
	asHost
	asProcess
	asPID
	asLevel
)

// known is a key with a meaning.
type known struct {
	as   meaning
	name string // of the field
}

// Read reads one record into out: whichever of the three it is. It returns
// ErrForm or ErrHeader, with out as it was. What it sets aliases the record but
// for values with escapes.
func (r *Reader) Read(s string, ref *stamp.Reference, out *event.LogEvent) error {
	switch {
	case strings.HasPrefix(s, "CEF:"):
		return r.cef(s[len("CEF:"):], ref, out)
	case strings.HasPrefix(s, "LEEF:"):
		return r.leef(s[len("LEEF:"):], ref, out)
	}
	return r.logfmt(s, ref, out)
}

// Inside reports whether the message of a syslog record is CEF or LEEF.
func Inside(message string) bool {
	return strings.HasPrefix(message, "CEF:") || strings.HasPrefix(message, "LEEF:")
}

// writer sets the members and fields of one record.
type writer struct {
	out     *event.LogEvent
	ref     *stamp.Reference
	names   *intern.Table
	prefix  string // of keys without a meaning
	dropped int
}

// put sets what a key says.
func (w *writer) put(key, value string, k known, ok bool) {
	out := w.out
	if ok {
		switch k.as {
		case asField:
			w.field(k.name, value)
			return
		case asAddress:
			if address, ok := pattern.Address(value); ok {
				w.field(k.name, address)
				return
			}
		case asPort:
			if n, err := strconv.ParseUint(value, 10, 16); err == nil && strconv.Itoa(int(n)) == value {
				w.field(k.name, value)
				return
			}
		case asMessage:
			if out.Message == "" {
				out.Message = value
				return
			}
		case asTime:
			if out.Time.IsZero() && w.time(value) {
				return
			}
		case asHost:
			if out.Host == "" || k.name == "" {
				out.Host = value
				return
			}
		case asProcess:
			if out.Process == "" || k.name == "" {
				out.Process = value
				return
			}
		case asPID:
			if n, err := strconv.ParseUint(value, 10, 32); err == nil && out.PID == 0 {
				out.PID = uint32(n)
				return
			}
		case asLevel:
			if level := levelOf(value); level != event.SeverityUnknown && out.Severity == event.SeverityUnknown {
				out.Severity = level
			}
			w.field("log.level", value)
			return
		}
	}
	w.field(w.names.Join(w.prefix, key), value)
}

func levelOf(text string) event.Severity {
	if n, err := strconv.Atoi(text); err == nil {
		return priority.FromNumber(n)
	}
	return priority.FromName(text)
}

// time sets the time from a stamp or from a count since 1970.
func (w *writer) time(text string) bool {
	t, n, inferred := w.ref.Any(text)
	if n != len(text) || n == 0 || t.IsZero() {
		var ok bool
		if t, ok = stamp.Epoch(text); !ok {
			return false
		}
		inferred = false
	}
	w.out.Time = t
	if inferred {
		w.out.Flags |= event.FlagTimeInferred
	}
	return true
}

// field sets a field, within the limits.
func (w *writer) field(key, value string) {
	switch {
	case value == "":
	case key == "" || len(key) > MaxKey || len(w.out.Fields) >= MaxFields:
		w.dropped++
	default:
		w.out.Set(key, value)
	}
}

// end says how much was dropped.
func (w *writer) end() {
	if w.dropped > 0 {
		w.out.Set("kv_dropped_fields", strconv.Itoa(w.dropped))
	}
}

// isKey reports whether a text may be a key: letters, digits and _ . - / @ [ ].
func isKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_.-/@[]", rune(c)) {
			return false
		}
	}
	return s != ""
}
