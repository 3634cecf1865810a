package winevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The bounds of what is read.
const (
	// MaxDocument is the size of a document in bytes.
	MaxDocument = 1 << 20
	// maxDepth is how deep a document may be nested.
	maxDepth = 32
)

// Event is one Windows event.
type Event struct{ fields []Field }

// Field is one value of a field.
type Field struct {
	Name string
	// Text is the value; empty when Null.
	Text string
	Null bool
}

// ErrNotWindows is what Parse returns for JSON that is no Windows event.
var ErrNotWindows = errors.New("no Windows event")

// Parse reads one document.
func Parse(document []byte) (*Event, error) {
	events, err := ParseAll(document)
	if err != nil {
		return nil, err
	}
	if len(events) != 1 {
		return nil, fmt.Errorf("read one event: found %d: %w", len(events), ErrNotWindows)
	}
	return events[0], nil
}

// ParseAll reads documents that follow each other, with or without blanks between
// them, or a list of them.
func ParseAll(data []byte) ([]*Event, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var out []*Event
	for {
		var document any
		start := decoder.InputOffset()
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("read event %d: %w", len(out)+1, err)
		}
		if decoder.InputOffset()-start > MaxDocument {
			return out, fmt.Errorf("read event %d: larger than %d bytes", len(out)+1, MaxDocument)
		}
		documents, ok := document.([]any)
		if !ok {
			documents = []any{document}
		}
		for _, d := range documents {
			e, err := newEvent(d)
			if err != nil {
				return out, fmt.Errorf("read event %d: %w", len(out)+1, err)
			}
			out = append(out, e)
		}
	}
}

// newEvent makes an event of a decoded document.
func newEvent(document any) (*Event, error) {
	root, _ := document.(map[string]any)
	if inner, ok := root["Event"].(map[string]any); ok {
		root = inner
	}
	system, ok := root["System"].(map[string]any)
	if !ok {
		return nil, ErrNotWindows
	}
	e := &Event{}
	for _, name := range sorted(system) {
		e.element(name, system[name], 0)
	}
	if data, ok := root["EventData"].(map[string]any); ok {
		e.children("", data, 0)
	}
	if data, ok := root["UserData"].(map[string]any); ok {
		for _, name := range sorted(data) {
			if inner, ok := data[name].(map[string]any); ok {
				e.children("", inner, 0)
			} else {
				e.element(name, data[name], 0)
			}
		}
	}
	if strings.EqualFold(e.Get("Channel"), "security") && e.Get("EventID") == "4688" {
		e.rename()
	}
	return e, nil
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// children adds the elements below one that is no field itself.
func (e *Event) children(path string, m map[string]any, depth int) {
	for _, name := range sorted(m) {
		if !strings.HasPrefix(name, "#") {
			e.element(join(path, name), m[name], depth)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// element adds what is in an element: its text, its attributes, its children.
func (e *Event) element(name string, v any, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			e.element(name, item, depth+1)
		}
		if len(v) == 0 {
			e.add(Field{Name: name, Null: true})
		}
	case map[string]any:
		if attributes, ok := v["#attributes"].(map[string]any); ok {
			for _, attribute := range sorted(attributes) {
				e.element(name+"_"+attribute, attributes[attribute], depth+1)
			}
		}
		if text, ok := v["#text"]; ok {
			e.element(name, text, depth+1)
		}
		e.children(name, v, depth+1)
	default:
		e.add(scalar(name, v))
	}
}

// scalar makes a field of a value that has no parts.
func scalar(name string, v any) Field {
	switch v := v.(type) {
	case nil:
		return Field{Name: name, Null: true}
	case string:
		return Field{Name: name, Text: v}
	case bool:
		if v {
			return Field{Name: name, Text: "true"}
		}
		return Field{Name: name, Text: "false"}
	case json.Number:
		text := v.String()
		if strings.ContainsAny(text, ".eE") {
			if f, err := v.Float64(); err == nil {
				text = strconv.FormatFloat(f, 'f', -1, 64)
			}
		}
		return Field{Name: name, Text: text}
	}
	return Field{Name: name, Null: true}
}

func (e *Event) add(f Field) { e.fields = append(e.fields, f) }

// Get returns the first value of a field, "" when there is none.
func (e *Event) Get(name string) string {
	for i := range e.fields {
		if e.fields[i].Name == name {
			return e.fields[i].Text
		}
	}
	return ""
}

// Fields returns the values of the event. They belong to it.
func (e *Event) Fields() []Field { return e.fields }

// rename adds the fields of a new process of the Security log under the names
// that Sigma has for them.
func (e *Event) rename() {
	names := map[string]string{
		"NewProcessName":    "Image",
		"ParentProcessName": "ParentImage",
		"NewProcessId":      "ProcessId",
		"SubjectUserName":   "User",
		"SubjectLogonId":    "LogonId",
		"MandatoryLabel":    "IntegrityLevel",
	}
	var added []Field
	for _, f := range e.fields {
		to, ok := names[f.Name]
		if !ok || f.Null {
			continue
		}
		f.Name = to
		if level, ok := integrityLevels[f.Text]; ok && to == "IntegrityLevel" {
			f.Text = level
		}
		added = append(added, f)
	}
	// The process that makes another is under the name that Sigma has for the
	// new one.
	e.fields = slices.DeleteFunc(e.fields, func(f Field) bool { return f.Name == "ProcessId" })
	e.fields = append(e.fields, added...)
}

// integrityLevels are the words for the labels (Microsoft, Well-known SIDs).
var integrityLevels = map[string]string{
	"S-1-16-0":     "Untrusted",
	"S-1-16-4096":  "Low",
	"S-1-16-8192":  "Medium",
	"S-1-16-12288": "High",
	"S-1-16-16384": "System",
}
