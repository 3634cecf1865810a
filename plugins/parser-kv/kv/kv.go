// Package kv parses records of named values. The forms and the fields are those
// of package keyvalue; the message is read by the patterns of package extract as
// well, where the record names its program.
package kv

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/internal/keyvalue"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// ErrEmpty says that there is nothing but blanks. Code empty.
var ErrEmpty = reject.New("empty", "the record is empty")

// Parser parses records. The zero value is ready; it is safe for concurrent
// use.
type Parser struct {
	// Patterns read the messages; the zero value has those that are built in.
	Patterns extract.Reader

	reader keyvalue.Reader
	zones  stamp.Zones
}

// Parse reads one record into out, which must be empty. What it puts there may
// alias raw.Line. It returns ErrEmpty, keyvalue.ErrForm or keyvalue.ErrHeader, and
// leaves out empty then.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	s := strings.Trim(strings.TrimPrefix(view.String(raw.Line), "\ufeff"), " \t\r\n")
	if s == "" {
		return ErrEmpty
	}
	ref := p.zones.Reference(raw)
	if err := p.reader.Read(s, &ref, out); err != nil {
		return err
	}
	if out.Process != "" {
		p.Patterns.Apply(out)
	}
	return nil
}
