package mapping

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// The bounds of a mapping.
const (
	// MaxEntries is how many entries sources and fields may have each.
	MaxEntries = 1000
	// MaxValues is how many values, log sources or names an entry may have.
	MaxValues = 1000
	// maxText is the length of a text in bytes.
	maxText = 1024
)

// Mapping is one document.
type Mapping struct {
	Title   string
	Sources []Source
	Fields  []Fields
	// File and Line (from 1) say where it begins.
	File string
	Line int
}

// Source says that events belong to log sources.
type Source struct {
	// When has what must be so, by its key.
	When map[string][]string
	// LogSources are those that the events belong to then.
	LogSources []sigma.LogSource
}

// Fields says what fields are called for rules of a log source.
type Fields struct {
	LogSource sigma.LogSource
	Names     map[string][]Name
}

// Name is one that a field has in events.
type Name struct {
	Field string
	// Within, if not empty, stands around each part of the field's text.
	Within string
}

// Is reports whether a document is a mapping, or means to be.
func Is(root *yaml.Node) bool {
	root = document.Deref(root)
	if root.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "mapping" {
			return true
		}
	}
	return false
}

//go:embed shipped
var shipped embed.FS

// Shipped returns the mappings that are built in.
var Shipped = sync.OnceValue(func() []*Mapping {
	var out []*Mapping
	refuse := func(name string, err error) { panic(fmt.Sprintf("read the mapping %s: %v", name, err)) }
	document.Walk(shipped, MaxEntries, func(name string, data []byte) bool {
		for root, err := range document.All(data) {
			if err != nil {
				refuse(name, err)
			}
			m, problem := Parse(name, root)
			if problem != nil {
				refuse(name, problem)
			}
			out = append(out, m)
		}
		return true
	}, refuse)
	return out
})

// Parse reads a document. Where it is wrong it returns what is.
func Parse(file string, root *yaml.Node) (*Mapping, *document.Problem) {
	r := &reader{file: file}
	root = document.Deref(root)
	m := &Mapping{File: file, Line: max(root.Line, 1)}
	r.mapping(root, "the mapping", func(key string, n *yaml.Node) {
		switch key {
		case "mapping":
			m.Title = r.text(n, key)
		case "sources":
			r.list(n, key, func(n *yaml.Node) { m.Sources = append(m.Sources, r.source(n)) })
		case "fields":
			r.list(n, key, func(n *yaml.Node) { m.Fields = append(m.Fields, r.fields(n)) })
		case "description", "author", "references":
		default:
			r.unknown(n, "the mapping", key, "mapping", "sources", "fields", "description", "author", "references")
		}
	})
	if r.problem != nil {
		r.problem.Rule = document.Clip(m.Title)
		return nil, r.problem
	}
	return m, nil
}

// reader reads nodes; after the first problem what it returns means nothing.
type reader struct {
	file    string
	problem *document.Problem
}

func (r *reader) fail(n *yaml.Node, code, format string, args ...any) {
	if r.problem == nil {
		r.problem = &document.Problem{File: r.file, Line: max(n.Line, 1), Code: code, Reason: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) unknown(n *yaml.Node, what, key string, known ...string) {
	hint := "known are " + strings.Join(known, ", ")
	if near := document.Nearest(key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	r.fail(n, sigma.CodeUnknownKey, "%s has no key %q; %s", what, document.Clip(key), hint)
}

func (r *reader) mapping(n *yaml.Node, what string, each func(key string, n *yaml.Node)) {
	n = document.Deref(n)
	if n.Kind != yaml.MappingNode || len(n.Content) > 2*MaxValues {
		r.fail(n, sigma.CodeWrongType, "%s must be a mapping of at most %d entries, this is %s", what, MaxValues, document.Describe(n))
		return
	}
	for i := 0; i+1 < len(n.Content) && r.problem == nil; i += 2 {
		each(document.Deref(n.Content[i]).Value, document.Deref(n.Content[i+1]))
	}
}

// list reads a list; something alone is a list of one.
func (r *reader) list(n *yaml.Node, what string, each func(*yaml.Node)) {
	n = document.Deref(n)
	if n.Kind != yaml.SequenceNode {
		each(n)
		return
	}
	if len(n.Content) > MaxEntries {
		r.fail(n, sigma.CodeTooLarge, "%s has more than %d entries", what, MaxEntries)
		return
	}
	for _, c := range n.Content {
		if r.problem == nil {
			each(document.Deref(c))
		}
	}
}

func (r *reader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "" || len(n.Value) > maxText {
		r.fail(n, sigma.CodeWrongType, "%s must be a text of 1 to %d bytes, this is %s", what, maxText, document.Describe(n))
	}
	return n.Value
}

func (r *reader) source(n *yaml.Node) (out Source) {
	r.mapping(n, "an entry of sources", func(key string, n *yaml.Node) {
		switch key {
		case "when":
			out.When = map[string][]string{}
			r.mapping(n, "when", func(key string, n *yaml.Node) {
				r.list(n, key, func(n *yaml.Node) { out.When[key] = append(out.When[key], strings.ToLower(r.text(n, "when."+key))) })
			})
		case "logsource":
			r.list(n, key, func(n *yaml.Node) { out.LogSources = append(out.LogSources, r.logSource(n)) })
		default:
			r.unknown(n, "an entry of sources", key, "when", "logsource")
		}
	})
	if len(out.When) == 0 || len(out.LogSources) == 0 {
		r.fail(n, sigma.CodeMissingKey, "an entry of sources needs both when and logsource")
	}
	return out
}

func (r *reader) fields(n *yaml.Node) (out Fields) {
	out.Names = map[string][]Name{}
	r.mapping(n, "an entry of fields", func(key string, n *yaml.Node) {
		switch key {
		case "logsource":
			out.LogSource = r.logSource(n)
		case "names":
			r.mapping(n, "names", func(key string, n *yaml.Node) {
				r.list(n, key, func(n *yaml.Node) { out.Names[key] = append(out.Names[key], r.name(n, key)) })
			})
		default:
			r.unknown(n, "an entry of fields", key, "logsource", "names")
		}
	})
	return out
}

func (r *reader) name(n *yaml.Node, key string) (out Name) {
	if n.Kind != yaml.MappingNode {
		return Name{Field: r.text(n, "names."+key)}
	}
	r.mapping(n, "names."+key, func(option string, n *yaml.Node) {
		switch option {
		case "field":
			out.Field = r.text(n, "field")
		case "within":
			out.Within = r.text(n, "within")
		default:
			r.unknown(n, "names."+key, option, "field", "within")
		}
	})
	if out.Field == "" {
		r.fail(n, sigma.CodeMissingKey, "names.%s has no field", document.Clip(key))
	}
	return out
}

func (r *reader) logSource(n *yaml.Node) (out sigma.LogSource) {
	r.mapping(n, "logsource", func(key string, n *yaml.Node) {
		text := r.text(n, "logsource."+key)
		switch key {
		case "category":
			out.Category = text
		case "product":
			out.Product = text
		case "service":
			out.Service = text
		default:
			r.unknown(n, "logsource", key, "category", "product", "service")
		}
	})
	if out == (sigma.LogSource{}) {
		r.fail(n, sigma.CodeMissingKey, "a log source has a category, a product or a service")
	}
	return out
}

// Namer finds the names of the fields of rules. It is not changed once made.
type Namer struct{ fields []Fields }

// NewNamer takes mappings, the ones that go before others first.
func NewNamer(mappings []*Mapping) *Namer {
	n := &Namer{}
	for _, m := range mappings {
		n.fields = append(n.fields, m.Fields...)
	}
	slices.SortStableFunc(n.fields, func(a, b Fields) int { return parts(b.LogSource) - parts(a.LogSource) })
	return n
}

func parts(s sigma.LogSource) (n int) {
	for _, p := range []string{s.Category, s.Product, s.Service} {
		if p != "" {
			n++
		}
	}
	return n
}

// Names returns the names that a field of a rule has in events; its own when no
// mapping names it.
func (n *Namer) Names(source sigma.LogSource, field string) []Name {
	for i := range n.fields {
		if f := &n.fields[i]; f.LogSource.Covers(source) {
			if names := f.Names[field]; names != nil {
				return names
			}
		}
	}
	return []Name{{Field: field}}
}

// Rename returns a condition with the names of events. Labels stay as they are.
func (n *Namer) Rename(source sigma.LogSource, x *sigma.Expr) *sigma.Expr {
	if !slices.ContainsFunc(n.fields, func(f Fields) bool { return f.LogSource.Covers(source) }) {
		return x
	}
	done := map[*sigma.Expr]*sigma.Expr{}
	var walk func(*sigma.Expr) *sigma.Expr
	walk = func(x *sigma.Expr) *sigma.Expr {
		if out := done[x]; out != nil {
			return out
		}
		out := *x
		out.Subs = make([]*sigma.Expr, len(x.Subs))
		for i, s := range x.Subs {
			out.Subs[i] = walk(s)
		}
		if x.Test != nil && x.Test.Field != "" {
			n.test(source, x.Test, &out)
		}
		done[x] = &out
		return &out
	}
	return walk(x)
}

// test makes out, a leaf, ask under the names of events.
func (n *Namer) test(source sigma.LogSource, t *sigma.Test, out *sigma.Expr) {
	names := n.Names(source, t.Field)
	ask := func(name Name) *sigma.Test {
		other := *t
		other.Field = name.Field
		if t.Kind == sigma.IsField {
			other.Other = n.Names(source, t.Other)[0].Field
		}
		if name.Within != "" && t.Kind == sigma.IsText {
			around := sigma.Text{{Wild: sigma.Many}, {Text: name.Within}}
			other.Text = around.Join(t.Text).Join(sigma.Text{{Text: name.Within}, {Wild: sigma.Many}})
		}
		return &other
	}
	if len(names) == 1 {
		out.Test = ask(names[0])
		return
	}
	out.Test, out.Op = nil, sigma.Or
	if t.Kind == sigma.IsNull {
		// A field is null when it is so under all its names.
		out.Op = sigma.And
	}
	for _, name := range names {
		out.Subs = append(out.Subs, &sigma.Expr{Test: ask(name)})
	}
}
