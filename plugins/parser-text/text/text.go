// Package text parses the lines of log files that programs write themselves. Their
// forms stand under the key lines of the files of patterns (see packages pattern
// and extract), so that an operator adds the log of a program of his own without
// compiling.
package text

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/plugins/internal/view"
	"github.com/ironpost/ironpost/sdk/event"
)

// Why a record is refused.
var (
	// ErrEmpty: nothing but blanks. Code empty.
	ErrEmpty = reject.New("empty", "the record is empty")
	// ErrForm: no form of a line fits. Code bad_form.
	ErrForm = reject.New("bad_form", "no form of a line in the patterns fits")
)

// Parser parses records. The zero value is ready; it is safe for concurrent
// use.
type Parser struct {
	// Patterns hold the forms; the zero value has those that are built in.
	Patterns extract.Reader

	zones stamp.Zones
}

// Parse reads one record into out, which must be empty. What it puts there may
// alias raw.Line. It returns ErrEmpty or ErrForm, and leaves out empty then.
func (p *Parser) Parse(raw event.RawLog, out *event.LogEvent) error {
	s := strings.Trim(strings.TrimPrefix(view.String(raw.Line), "\ufeff"), " \t\r\n")
	if s == "" {
		return ErrEmpty
	}
	ref := p.zones.Reference(raw)
	set := p.Patterns.Set()
	for _, form := range set.Lines() {
		if form.Read(s, &ref, out) {
			set.Apply(out)
			return nil
		}
	}
	return ErrForm
}
