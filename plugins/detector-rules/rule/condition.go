package rule

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// conditionKeys are the keys of a condition in every form.
var conditionKeys = []string{"field", "operator", "value", "values", "case_sensitive", "not", "any", "all", "condition", "conditions"}

// group reads a list of conditions, or a single one, joined by op.
func (r *reader) group(n *yaml.Node, what string, op sigma.Op) (*sigma.Expr, error) {
	n = document.Deref(n)
	if n.Kind == yaml.MappingNode {
		return r.condition(n)
	}
	if n.Kind != yaml.SequenceNode {
		return nil, r.problem(n, CodeWrongType, "%s must be a list of conditions, this is %s", what, document.Describe(n))
	}
	if len(n.Content) == 0 {
		return nil, r.problem(n, CodeInvalidValue, "%s is an empty list", what)
	}
	out := &sigma.Expr{Op: op}
	for _, c := range n.Content {
		e, err := r.condition(c)
		if err != nil {
			return nil, err
		}
		out.Subs = append(out.Subs, e)
	}
	if len(out.Subs) == 1 {
		return out.Subs[0], nil
	}
	return out, nil
}

// condition reads one condition: a comparison, a negation or a group.
func (r *reader) condition(n *yaml.Node) (*sigma.Expr, error) {
	m, err := r.mapping(n, "a condition", conditionKeys)
	if err != nil {
		return nil, err
	}
	switch not := m.get("not"); {
	case m.has("any") || m.has("all"):
		return r.joined(m)
	case not != nil && not.Kind != yaml.ScalarNode:
		if err := r.only(m, "not"); err != nil {
			return nil, err
		}
		e, err := r.group(not, "not", sigma.And)
		return negate(e), err
	}
	return r.comparison(m)
}

// joined reads {any: [...]} or {all: [...]}.
func (r *reader) joined(m keyed) (*sigma.Expr, error) {
	key, op := "any", sigma.Or
	if m.has("all") {
		key, op = "all", sigma.And
	}
	if err := r.only(m, key); err != nil {
		return nil, err
	}
	return r.group(m.get(key), key, op)
}

// only refuses any other key beside key.
func (r *reader) only(m keyed, key string) error {
	for _, p := range m.pairs {
		if p.key != key {
			return r.problem(p.name, CodeConflict, "a condition with %q has no %q", key, p.key)
		}
	}
	return nil
}

// comparison reads {field, operator, value, ...}.
func (r *reader) comparison(m keyed) (*sigma.Expr, error) {
	word, negated := "equals", false
	named := m.get("operator")
	if named != nil {
		var err error
		if word, err = r.text(named, "operator"); err != nil {
			return nil, err
		}
	}
	nested := m.get("conditions")
	if nested == nil {
		nested = m.get("condition")
	}
	if word == "not" && nested != nil {
		for _, p := range m.pairs {
			if p.key != "operator" && p.node != nested {
				return nil, r.problem(p.name, CodeConflict, `a condition with operator not and nested conditions has no %q`, p.key)
			}
		}
		e, err := r.group(nested, "conditions", sigma.And)
		return negate(e), err
	}
	if nested != nil {
		return nil, r.problem(nested, CodeConflict, "nested conditions need the operator not, or one of the keys any, all, not")
	}
	if word == "not" {
		word, negated = "equals", true
	} else if rest, ok := strings.CutPrefix(word, "not_"); ok {
		word, negated = rest, true
	}
	op := operatorOf(word)
	if op < 0 {
		return nil, r.problem(named, CodeUnknownOperator, "there is no operator %q; %s", document.Clip(word), meant(word, append([]string{"not"}, operatorNames[:]...)))
	}
	if flag := m.get("not"); flag != nil {
		b, err := r.boolean(flag, "not")
		if err != nil {
			return nil, err
		}
		if b && negated {
			return nil, r.problem(flag, CodeConflict, "the condition is negated twice, by its operator and by not: true; keep one")
		}
		negated = negated || b
	}
	e, err := r.match(m, operator(op), &negated)
	if err != nil {
		return nil, err
	}
	e.Label, e.Line = e.Label+" "+word, max(m.node.Line, 1)
	if negated {
		e = negate(e)
	}
	return e, nil
}

// operator compares a field with a value.
type operator int

const (
	equals operator = iota
	contains
	startsWith
	endsWith
	matches
	exists
	greater
	greaterEqual
	less
	lessEqual
	inNetwork
)

// operatorNames are the names that YAML uses.
var operatorNames = [...]string{
	equals: "equals", contains: "contains", startsWith: "starts_with", endsWith: "ends_with",
	matches: "regex", exists: "exists", greater: "gt", greaterEqual: "gte", less: "lt", lessEqual: "lte", inNetwork: "cidr",
}

func operatorOf(word string) int { return slices.Index(operatorNames[:], word) }

func negate(e *sigma.Expr) *sigma.Expr { return &sigma.Expr{Op: sigma.Not, Subs: []*sigma.Expr{e}} }

// match reads the field and the values of a comparison; with several values one of
// them must fit. Its label is the field. It turns negated round for what
// "exists: false" means.
func (r *reader) match(m keyed, op operator, negated *bool) (*sigma.Expr, error) {
	field := m.get("field")
	if field == nil {
		return nil, r.problem(m.node, CodeMissingKey, `a condition has no "field"`)
	}
	name, err := r.text(field, "field")
	if err != nil {
		return nil, err
	}
	if name == "" || len(name) > maxField {
		return nil, r.problem(field, CodeInvalidValue, "the name of the field is empty or longer than %d bytes", maxField)
	}
	values := m.get("value")
	if v := m.get("values"); v != nil {
		if values != nil {
			return nil, r.problem(v, CodeConflict, "a condition has both value and values; keep one")
		}
		values = v
	}
	cased, err := r.caseSensitive(m, op)
	if err != nil {
		return nil, err
	}
	if op == exists {
		e := &sigma.Expr{Label: name, Test: &sigma.Test{Field: name, Kind: sigma.Exists}}
		if values == nil {
			return e, nil
		}
		b, err := r.boolean(values, "the value of exists")
		*negated = *negated != !b
		return e, err
	}
	if values == nil {
		return nil, r.problem(m.node, CodeMissingKey, `a condition with the operator %s has no "value"`, operatorNames[op])
	}
	nodes := []*yaml.Node{values}
	if values.Kind == yaml.SequenceNode {
		nodes = values.Content
	}
	texts, err := r.texts(values, "value")
	if err != nil {
		return nil, err
	}
	fold := op == matches && m.has("case_sensitive") && !cased
	e := &sigma.Expr{Op: sigma.Or}
	for i, v := range texts {
		t := &sigma.Test{Field: name, Cased: cased && op < matches}
		if err := r.operand(t, op, document.Deref(nodes[i]), v, fold); err != nil {
			return nil, err
		}
		e.Subs = append(e.Subs, &sigma.Expr{Test: t})
	}
	if len(e.Subs) == 1 {
		e = e.Subs[0]
	}
	e.Label = name
	return e, nil
}

// caseSensitive reads the option, which only operators on text have.
func (r *reader) caseSensitive(m keyed, op operator) (bool, error) {
	n := m.get("case_sensitive")
	if n == nil {
		return false, nil
	}
	if op > matches {
		return false, r.problem(n, CodeConflict, "the operator %s knows no case_sensitive", operatorNames[op])
	}
	return r.boolean(n, "case_sensitive")
}

// operand reads one value into a test.
func (r *reader) operand(t *sigma.Test, op operator, n *yaml.Node, v string, fold bool) (err error) {
	many := sigma.Piece{Wild: sigma.Many}
	if v != "" {
		t.Text = sigma.Text{{Text: v}}
	}
	switch op {
	case contains, startsWith, endsWith:
		if v == "" {
			return r.problem(n, CodeInvalidValue, "an empty text is in every value; to ask whether there is one use the operator exists")
		}
		if op != startsWith {
			t.Text = append(sigma.Text{many}, t.Text...)
		}
		if op != endsWith {
			t.Text = append(t.Text, many)
		}
	case matches:
		t.Kind, t.Text = sigma.IsMatch, nil
		t.Regexp, err = r.regex(n, v, fold)
	case greater, greaterEqual, less, lessEqual:
		t.Kind, t.Text = sigma.IsNumber, nil
		t.Comparison = [...]sigma.Comparison{greater: sigma.Greater, greaterEqual: sigma.GreaterEqual, less: sigma.Less, lessEqual: sigma.LessEqual}[op]
		if t.Number, err = strconv.ParseFloat(v, 64); err != nil || math.IsNaN(t.Number) {
			return r.problem(n, CodeWrongType, "the operator %s compares numbers, %q is none", operatorNames[op], document.Clip(v))
		}
	case inNetwork:
		t.Kind, t.Text = sigma.InNetwork, nil
		if t.Network, err = document.ParseNetwork(v); err != nil {
			return r.problem(n, CodeInvalidValue, "%q is not an address or a prefix such as 10.0.0.0/8 or 2001:db8::/32", document.Clip(v))
		}
	}
	return err
}

// regex compiles a pattern within the bounds.
func (r *reader) regex(n *yaml.Node, pattern string, fold bool) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, r.problem(n, CodeRegexInvalid, "an empty pattern fits everything; to ask whether there is a value use the operator exists")
	}
	flags := ""
	if fold {
		flags = "i"
	}
	re, code, reason := sigma.CompileRegexp(pattern, flags)
	if code != "" {
		return nil, r.problem(n, code, "%s", reason)
	}
	return re, nil
}
