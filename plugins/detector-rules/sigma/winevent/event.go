package winevent

import (
	"sync"

	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/plugins/internal/winevent"
)

// Event is one Windows event. It is a match.Event.
type Event struct {
	*winevent.Event
	sources []sigma.LogSource
}

// Field is one value of a field.
type Field = winevent.Field

// ErrNotWindows is what Parse returns for JSON that is no Windows event.
var ErrNotWindows = winevent.ErrNotWindows

// Parse reads one document.
func Parse(document []byte) (*Event, error) {
	e, err := winevent.Parse(document)
	if err != nil {
		return nil, err
	}
	return newEvent(e), nil
}

// ParseAll reads documents that follow each other, with or without blanks between
// them, or a list of them.
func ParseAll(data []byte) ([]*Event, error) {
	events, err := winevent.ParseAll(data)
	out := make([]*Event, len(events))
	for i, e := range events {
		out[i] = newEvent(e)
	}
	return out, err
}

// table is what the mappings say that are shipped.
var table = sync.OnceValue(func() *mapping.View { return mapping.NewTable(mapping.Shipped()).For(nil) })

func newEvent(e *winevent.Event) *Event { return &Event{e, table().LogSources(e.Get)} }

// LogSources returns the log sources that the event belongs to. They belong to
// it.
func (e *Event) LogSources() []sigma.LogSource { return e.sources }

// Sources implements match.Event.
func (e *Event) Sources(s *match.Scratch) {
	for _, source := range e.sources {
		s.Source(source)
	}
}

// Values implements match.Event.
func (e *Event) Values(s *match.Scratch) {
	for _, f := range e.Fields() {
		if f.Null {
			s.Null(f.Name)
		} else {
			s.Text(f.Name, f.Text)
		}
	}
}
