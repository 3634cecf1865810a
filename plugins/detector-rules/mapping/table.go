package mapping

import (
	"path"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// Table finds the log sources of events. It is not changed once made.
type Table struct{ sources []Source }

// NewTable takes mappings.
func NewTable(mappings []*Mapping) *Table {
	t := &Table{}
	for _, m := range mappings {
		t.sources = append(t.sources, m.Sources...)
	}
	return t
}

// View is what is left of a table for one stream: entries that ask no more of it.
type View struct {
	sources []Source
	// keys are what the entries ask for, in a fixed order, and known the values
	// that they ask for by key.
	keys  []string
	known []map[string]bool
}

// For returns the view of a stream, which may be nil.
func (t *Table) For(s *event.Stream) *View {
	if s == nil {
		s = &event.Stream{}
	}
	v := &View{}
	at := map[string]int{}
	for _, source := range t.sources {
		left := Source{When: map[string][]string{}, LogSources: source.LogSources}
		holds := true
		for key, values := range source.When {
			switch key {
			case "plugin":
				holds = holds && isOneOf(s.Plugin, values)
			case "format":
				holds = holds && isOneOf(s.Format, values)
			case "stream":
				holds = holds && fitsOneOf(s.Name, values)
			default:
				left.When[key] = values
			}
		}
		if !holds {
			continue
		}
		v.sources = append(v.sources, left)
		for key, values := range left.When {
			i, ok := at[key]
			if !ok {
				i = len(v.keys)
				at[key] = i
				v.keys = append(v.keys, key)
				v.known = append(v.known, map[string]bool{})
			}
			for _, value := range values {
				v.known[i][value] = true
			}
		}
	}
	return v
}

func isOneOf(text string, values []string) bool {
	for _, v := range values {
		if v == "*" && text != "" || strings.EqualFold(v, text) {
			return true
		}
	}
	return false
}

func fitsOneOf(text string, values []string) bool {
	text = strings.ReplaceAll(strings.ToLower(text), "/", "\x00")
	for _, v := range values {
		if ok, err := path.Match(strings.ReplaceAll(v, "/", "\x00"), text); ok && err == nil {
			return true
		}
	}
	return false
}

// Keys are what the events of the stream are asked for.
func (v *View) Keys() []string { return v.keys }

// Known reports whether the entries tell a value of the i-th key from others.
func (v *View) Known(i int, value string) bool {
	return v.known[i][value] || v.known[i][strings.ToLower(value)]
}

// LogSources returns the log sources of an event whose fields get returns.
func (v *View) LogSources(get func(key string) string) (out []sigma.LogSource) {
	for i := range v.sources {
		holds := true
		for key, values := range v.sources[i].When {
			holds = holds && isOneOf(get(key), values)
		}
		if holds {
			out = append(out, v.sources[i].LogSources...)
		}
	}
	return out
}
