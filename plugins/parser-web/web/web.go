// Package web parses records of web servers' logs. The forms and the fields are
// those of package weblog; messages of error logs are read by the patterns of
// package extract as well.
package web

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/plugins/internal/weblog"
	"github.com/ironpost/ironpost/sdk/event"
)

// ErrEmpty says that there is nothing but blanks. Code empty.
var ErrEmpty = reject.New("empty", "the record is empty")

// Parser parses records. The zero value is ready; it is safe for concurrent
// use.
type Parser struct {
	// Patterns read the messages; the zero value has those that are built in.
	Patterns extract.Reader

	zones stamp.Zones
}

// Parse reads one record into out, which must be empty. What it puts there may
// alias raw.Line. It returns ErrEmpty or weblog.ErrForm, and leaves out empty
// then.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	s := strings.Trim(view.String(raw.Line), " \t\r\n")
	if s == "" {
		return ErrEmpty
	}
	ref := p.zones.Reference(raw)
	if err := weblog.Read(s, &ref, out); err != nil {
		return err
	}
	if out.Process != "" {
		p.Patterns.Apply(out)
	}
	return nil
}
