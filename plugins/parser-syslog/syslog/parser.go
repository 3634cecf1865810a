package syslog

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/internal/intern"
	"github.com/ironpost/ironpost/plugins/internal/priority"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// Why a record is refused.
var (
	// ErrEmpty: nothing but blanks. Code empty.
	ErrEmpty = reject.New("empty", "the record is empty")
	// ErrBadPRI: the record begins with "<" and no number from 0 to 191 with a
	// ">" follows. Code bad_pri.
	ErrBadPRI = reject.New("bad_pri", "the record's PRI is not <0> to <191>")
	// ErrNoHeader: neither PRI nor time stamp nor "tag[pid]:". Code no_header.
	ErrNoHeader = reject.New("no_header", "the record has no PRI, no time stamp and no tag")
)

// MaxParams is how many parameters of structured data a record may have.
const MaxParams = 256

// The values of the field syslog_defect.
const (
	defectHeader    = "bad_header"
	defectTimestamp = "bad_timestamp"
	defectData      = "bad_structured_data"
	defectParams    = "too_many_params"
	defectValues    = "bad_cef_or_leef"
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
// alias raw.Line. It returns ErrEmpty, ErrBadPRI or ErrNoHeader, and leaves out
// empty then. Records of the common forms are parsed without allocating.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	s := trim(strings.TrimPrefix(view.String(raw.Line), "\ufeff"))
	if s == "" {
		return ErrEmpty
	}
	// Where it stays, because a copy of what was just written word by word stalls.
	ref := stamp.Reference{Observed: raw.ObservedTime}
	p.zones.Locate(&ref, zone(raw.Stream))
	if s[0] != '<' {
		if !legacy(s, &ref, out) && !tagged(s, out) {
			return ErrNoHeader
		}
		p.message(&ref, out)
		return nil
	}
	pri, n := readPRI(s)
	if n == 0 {
		return ErrBadPRI
	}
	out.Severity = priority.Severity(pri & 7)
	if facility, ok := priority.Facility(pri >> 3); ok {
		out.Set("facility", facility)
	}
	s = s[n:]
	if rest, ok := strings.CutPrefix(s, "1 "); ok {
		if !p.rfc5424(rest, &ref, out) {
			if !legacy(rest, &ref, out) {
				bare(s, out)
			}
			out.Set("syslog_defect", defectHeader)
		}
	} else if s = trim(s); !legacy(s, &ref, out) {
		bare(s, out)
	}
	p.message(&ref, out)
	return nil
}

// zone returns the name of the zone that a stream's stamps are in, where they
// name none.
func zone(s *event.Stream) string {
	if s == nil {
		return "UTC"
	}
	return s.TimeZone
}

// message reads the message.
func (p *Parser) message(ref *stamp.Reference, out *event.LogEvent) {
	if p.Patterns.Message(ref, out) != nil {
		out.Set("syslog_defect", defectValues)
	}
}

// readPRI reads "<N>" and returns N and its length, 0 when it is not valid.
func readPRI(s string) (pri, n int) {
	for n = 1; n < len(s) && n < 4 && '0' <= s[n] && s[n] <= '9'; n++ {
		pri = pri*10 + int(s[n]-'0')
	}
	if n == 1 || n >= len(s) || s[n] != '>' || pri > priority.Max {
		return 0, 0
	}
	return pri, n + 1
}

// trim removes blanks and line ends from both ends.
func trim(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return trimLeft(s)
}

// trimLeft removes blanks and line ends from the start, which is enough for what
// remains of a text that was trimmed.
func trimLeft(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
