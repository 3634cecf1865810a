package sigma

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// search is one search identifier.
type search struct {
	name string
	expr *Expr
	node *yaml.Node
	used bool
}

// searches reads the search identifiers of a detection, or of a filter: every
// key but those of except.
func (r *reader) searches(m mapping, what string, except ...string) ([]*search, error) {
	var out []*search
	for _, p := range m.pairs {
		switch {
		case slices.Contains(except, p.key):
			continue
		case p.key == "timeframe":
			return nil, r.problem(p.name, CodeAggregation, "%s.timeframe belongs to the old aggregations; write a correlation with a timespan instead", what)
		case p.key == "":
			return nil, r.problem(p.name, CodeInvalidValue, "%s has a search identifier without a name", what)
		}
		e, err := r.search(p.key, p.name, p.node)
		if err != nil {
			return nil, err
		}
		out = append(out, &search{name: p.key, expr: e, node: p.name})
	}
	if len(out) == 0 {
		return nil, r.problem(m.node, CodeMissingKey, "%s has no search identifier; add one, such as selection, and name it in the condition", what)
	}
	return out, nil
}

// search reads one search identifier: a map is joined by and, a list by or. The
// result has the identifier as its label.
func (r *reader) search(name string, at, n *yaml.Node) (*Expr, error) {
	n = document.Deref(n)
	out := &Expr{Op: Or, Label: name, Line: max(at.Line, 1)}
	switch n.Kind {
	case yaml.MappingNode:
		e, err := r.fields(name, n)
		if err != nil {
			return nil, err
		}
		out.Op, out.Subs = And, e
	case yaml.SequenceNode:
		for _, c := range n.Content {
			c = document.Deref(c)
			switch c.Kind {
			case yaml.MappingNode:
				e, err := r.fields(name, c)
				if err != nil {
					return nil, err
				}
				out.Subs = append(out.Subs, &Expr{Op: And, Subs: e})
			case yaml.ScalarNode:
				e, err := r.keywords(name, c)
				if err != nil {
					return nil, err
				}
				out.Subs = append(out.Subs, e)
			default:
				return nil, r.problem(c, CodeWrongType, "the list %s has a list in it; a list holds maps or keywords", document.Clip(name))
			}
		}
	default:
		e, err := r.keywords(name, n)
		if err != nil {
			return nil, err
		}
		out.Subs = []*Expr{e}
	}
	if len(out.Subs) == 0 {
		return nil, r.problem(n, CodeInvalidValue, "the search identifier %s is empty; give it a field with a value, or remove it", document.Clip(name))
	}
	return out, nil
}

// fields reads the entries of a map.
func (r *reader) fields(name string, n *yaml.Node) ([]*Expr, error) {
	m, err := r.mapping(n, "the search identifier "+document.Clip(name), nil)
	if err != nil {
		return nil, err
	}
	var out []*Expr
	for _, p := range m.pairs {
		e, err := r.field(name, p)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, r.problem(n, CodeInvalidValue, "the search identifier %s has an empty map; give it a field with a value", document.Clip(name))
	}
	return out, nil
}

// keywords reads a scalar that has no field.
func (r *reader) keywords(name string, n *yaml.Node) (*Expr, error) {
	it := &item{what: "the keywords of " + document.Clip(name), node: n}
	return r.values(it, nil, []*yaml.Node{n})
}

// field reads one entry of a map: a field with its modifiers, and its value or
// values.
func (r *reader) field(name string, p pair) (*Expr, error) {
	parts := strings.Split(p.key, "|")
	it := &item{field: parts[0], what: document.Clip(name) + "." + document.Clip(p.key), node: p.name}
	if len(it.field) > MaxField {
		return nil, r.problem(p.name, CodeOutOfRange, "%s: the name of the field is longer than %d bytes", it.what, MaxField)
	}
	if it.field == "" && len(parts) == 1 {
		return nil, r.problem(p.name, CodeInvalidValue, "%s has an empty key; write the name of a field, or '|all' for keywords", document.Clip(name))
	}
	nodes := []*yaml.Node{p.node}
	switch p.node.Kind {
	case yaml.SequenceNode:
		nodes = nil
		for _, c := range p.node.Content {
			nodes = append(nodes, document.Deref(c))
		}
		if len(nodes) == 0 {
			return nil, r.problem(p.name, CodeInvalidValue, "%s has an empty list; write null to ask for a field without a value", it.what)
		}
	case yaml.MappingNode:
		return nil, r.problem(p.node, CodeWrongType, "%s must be a value or a list of values, this is a mapping; the name of a nested field is written with dots", it.what)
	}
	e, err := r.values(it, parts[1:], nodes)
	if err != nil {
		return nil, err
	}
	return &Expr{Op: And, Subs: []*Expr{e}, Label: p.key, Line: max(p.name.Line, 1)}, nil
}

// values reads the values of an item, applies its modifiers and joins the tests.
func (r *reader) values(it *item, names []string, nodes []*yaml.Node) (*Expr, error) {
	for _, n := range nodes {
		if n.Kind != yaml.ScalarNode {
			return nil, r.problem(n, CodeWrongType, "%s: a value must be a text, a number, true, false or null, this is %s", it.what, document.Describe(n))
		}
		o, err := r.scalar(it, n)
		if err != nil {
			return nil, err
		}
		it.values = append(it.values, []operand{o})
	}
	if err := r.modify(it, names); err != nil {
		return nil, err
	}
	op := Or
	if it.all {
		op = And
	}
	e := &Expr{Op: op}
	for _, alternatives := range it.values {
		var tests []*Expr
		for i := range alternatives {
			made, err := r.finish(it, &alternatives[i])
			if err != nil {
				return nil, err
			}
			tests = append(tests, made...)
		}
		if r.tests -= len(tests); r.tests < 0 {
			return nil, r.problem(it.node, CodeTooLarge, "%s: the rule has more than %d tests; split it", it.what, MaxTests)
		}
		e.Subs = append(e.Subs, one(Or, tests))
	}
	e = one(e.Op, e.Subs)
	if it.neq {
		e = &Expr{Op: Not, Subs: []*Expr{e}}
	}
	return e, nil
}

// one joins expressions; one alone stays as it is.
func one(op Op, subs []*Expr) *Expr {
	if len(subs) == 1 {
		return subs[0]
	}
	return &Expr{Op: op, Subs: subs}
}

// finish makes the tests of an operand after all modifiers: one, but for a number
// that is written in another way than Number has it, which is looked for both
// ways.
func (r *reader) finish(it *item, o *operand) ([]*Expr, error) {
	t := o.Test
	t.Field = it.field
	switch {
	case it.field == "" && t.Kind == IsText:
		// A keyword is looked for anywhere, unless a modifier says where.
		if !slices.ContainsFunc(it.done, func(m string) bool { return m == "startswith" || m == "endswith" }) {
			t.Text = Text{{Wild: Many}}.Join(t.Text).with(Many, "")
		}
		if len(t.Text) == 1 {
			return nil, r.problem(it.node, CodeInvalidValue, "%s: an empty keyword is in every event; remove it", it.what)
		}
	case it.field == "" && t.Kind != IsMatch:
		return nil, r.problem(it.node, CodeInvalidValue, "%s: a keyword is a text or a regular expression, and this is %s; name the field that it is for", it.what, o.describe())
	}
	if t.Kind == IsMatch {
		pattern, _ := o.pattern.Plain()
		re, code, reason := CompileRegexp(pattern, o.flags)
		if code != "" {
			return nil, r.problem(it.node, code, "%s: %s", it.what, reason)
		}
		t.Regexp = re
	}
	out := []*Expr{{Op: Leaf, Test: &t}}
	if t.Kind == IsText && o.isNumber && it.field != "" {
		if decimal := Number(o.number); decimal != o.written {
			other := t
			other.Text = Text(nil).with(Literal, decimal)
			out = append(out, &Expr{Op: Leaf, Test: &other})
		}
	}
	return out, nil
}
