package explain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

// Event is what conditions look at.
type Event struct {
	// Sources are the log sources that the event belongs to.
	Sources []sigma.LogSource
	// Fields are in their order; a name that comes several times has several
	// values.
	Fields []Field
	// Lines are texts that belong to no field and that keywords look at too.
	Lines []string
}

// Field is one value of a field.
type Field struct {
	Name, Text string
	// Null says that the field is there without a value.
	Null bool
}

// Belongs reports whether the event is one of those that a log source asks for.
func (e *Event) Belongs(source sigma.LogSource) bool {
	return slices.ContainsFunc(e.Sources, source.Covers)
}

// values returns what a field has, and whether it is there at all.
func (e *Event) values(name string) (texts []string, null, present bool) {
	for _, f := range e.Fields {
		if f.Name != name {
			continue
		}
		present = true
		if f.Null {
			null = true
		} else {
			texts = append(texts, f.Text)
		}
	}
	return texts, null, present
}

// everything returns all texts of the event.
func (e *Event) everything() []string {
	var texts []string
	for _, f := range e.Fields {
		if !f.Null && f.Name != rule.Observed { // that is no text of the event's own
			texts = append(texts, f.Text)
		}
	}
	return append(texts, e.Lines...)
}

// first returns the first value that one of the fields has, "" for none.
func (e *Event) first(names []string) string {
	for _, name := range names {
		for _, f := range e.Fields {
			if f.Name == name && f.Text != "" {
				return f.Text
			}
		}
	}
	return ""
}

// Names know what log sources and fields are called in events.
type Names struct {
	namer *mapping.Namer
	table *mapping.Table
}

// NewNames takes mappings, the ones that go before others first, beside which the
// shipped ones hold.
func NewNames(mappings []*mapping.Mapping) *Names {
	all := append(slices.Clip(mappings), mapping.Shipped()...)
	return &Names{namer: mapping.NewNamer(all), table: mapping.NewTable(all)}
}

// Condition returns that of a rule in the names of events; nil for a correlation.
func (n *Names) Condition(r *rule.Rule) *sigma.Expr {
	if r.When == nil {
		return nil
	}
	return n.namer.Rename(r.LogSource, r.When)
}

// isFor reports whether a rule looks at a log event.
func isFor(r *rule.Rule, e *Event) bool {
	return (r.Kinds == 0 || r.Kinds&rule.Logs != 0) && e.Belongs(r.LogSource)
}

// Event is a log event as rules see it.
func (n *Names) Event(l *event.LogEvent) *Event { return newEvent(l, n.table.For(l.Stream)) }

// events are log events as rules see them.
func (n *Names) events(logs []*event.LogEvent) []*Event {
	views := map[*event.Stream]*mapping.View{}
	out := make([]*Event, len(logs))
	for i, l := range logs {
		view := views[l.Stream]
		if view == nil {
			view = n.table.For(l.Stream)
			views[l.Stream] = view
		}
		out[i] = newEvent(l, view)
	}
	return out
}

func newEvent(l *event.LogEvent, view *mapping.View) *Event {
	e := &Event{Sources: []sigma.LogSource{rule.Logs.Source()}}
	add := func(name, text string) {
		if text != "" {
			e.Fields = append(e.Fields, Field{Name: name, Text: text})
		}
	}
	add("process", l.Process)
	add("message", l.Message)
	add("host", l.Host)
	if l.PID != 0 {
		add("pid", strconv.FormatUint(uint64(l.PID), 10))
	}
	if l.Severity != event.SeverityUnknown {
		add("severity", l.Severity.String())
	}
	add(rule.Observed, strconv.FormatInt(l.ObservedTime.Unix(), 10))
	add("reason", l.Reason)
	add("raw", string(l.Raw))
	for _, f := range l.Fields {
		e.Fields = append(e.Fields, Field{Name: f.Key, Text: f.Value})
	}
	get := func(key string) string { return e.first([]string{key}) }
	e.Sources = append(e.Sources, view.LogSources(get)...)
	return e
}

// fields returns the names that a field of a rule has in events.
func (n *Names) fields(source sigma.LogSource, field string) []string {
	var out []string
	for _, name := range n.namer.Names(source, field) {
		out = append(out, name.Field)
	}
	return out
}

// show is a text for people, cut.
func show(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
