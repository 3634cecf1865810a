package rule

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// conditionKeys are the keys of a condition in every form.
var conditionKeys = []string{"field", "operator", "value", "values", "case_sensitive", "not", "any", "all", "condition", "conditions"}

// group reads a list of conditions, or a single one, joined by op.
func (r *reader) group(n *yaml.Node, what string, op Op) (*Expr, error) {
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
	out := &Expr{Op: op}
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
func (r *reader) condition(n *yaml.Node) (*Expr, error) {
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
		e, err := r.group(not, "not", OpAll)
		return negate(e), err
	}
	return r.comparison(m)
}

// joined reads {any: [...]} or {all: [...]}.
func (r *reader) joined(m mapping) (*Expr, error) {
	key, op := "any", OpAny
	if m.has("all") {
		key, op = "all", OpAll
	}
	if err := r.only(m, key); err != nil {
		return nil, err
	}
	return r.group(m.get(key), key, op)
}

// only refuses any other key beside key.
func (r *reader) only(m mapping, key string) error {
	for _, p := range m.pairs {
		if p.key != key {
			return r.problem(p.name, CodeConflict, "a condition with %q has no %q", key, p.key)
		}
	}
	return nil
}

// comparison reads {field, operator, value, ...}.
func (r *reader) comparison(m mapping) (*Expr, error) {
	word, negated := "equals", false
	operator := m.get("operator")
	if operator != nil {
		var err error
		if word, err = r.text(operator, "operator"); err != nil {
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
		e, err := r.group(nested, "conditions", OpAll)
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
		return nil, r.problem(operator, CodeUnknownOperator, "there is no operator %q; %s", document.Clip(word), meant(word, append([]string{"not"}, operatorNames[:]...)))
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
	match, absent, err := r.match(m, Operator(op))
	if err != nil {
		return nil, err
	}
	e := &Expr{Op: OpMatch, Match: match}
	if negated != absent {
		e = negate(e)
	}
	return e, nil
}

func operatorOf(word string) int {
	for i, name := range operatorNames {
		if name == word {
			return i
		}
	}
	return -1
}

func negate(e *Expr) *Expr { return &Expr{Op: OpNot, Subs: []*Expr{e}} }

// match reads the field and the values of a comparison; absent is what
// "exists: false" means.
func (r *reader) match(m mapping, op Operator) (out *Match, absent bool, err error) {
	out = &Match{Operator: op}
	field := m.get("field")
	if field == nil {
		return nil, false, r.problem(m.node, CodeMissingKey, `a condition has no "field"`)
	}
	if out.Field, err = r.text(field, "field"); err != nil {
		return nil, false, err
	}
	if out.Field == "" || len(out.Field) > maxField {
		return nil, false, r.problem(field, CodeInvalidValue, "the name of the field is empty or longer than %d bytes", maxField)
	}
	values := m.get("value")
	if v := m.get("values"); v != nil {
		if values != nil {
			return nil, false, r.problem(v, CodeConflict, "a condition has both value and values; keep one")
		}
		values = v
	}
	if out.CaseSensitive, err = r.caseSensitive(m, op); err != nil {
		return nil, false, err
	}
	if op == Exists {
		if values == nil {
			return out, false, nil
		}
		b, err := r.boolean(values, "the value of exists")
		return out, !b, err
	}
	if values == nil {
		return nil, false, r.problem(m.node, CodeMissingKey, `a condition with the operator %s has no "value"`, op)
	}
	nodes := []*yaml.Node{values}
	if values.Kind == yaml.SequenceNode {
		nodes = values.Content
	}
	if out.Values, err = r.texts(values, "value"); err != nil {
		return nil, false, err
	}
	fold := op == Regex && m.has("case_sensitive") && !out.CaseSensitive
	for i, v := range out.Values {
		if err := r.operand(out, document.Deref(nodes[i]), v, fold); err != nil {
			return nil, false, err
		}
	}
	out.CaseSensitive = out.CaseSensitive || op == Regex
	return out, absent, nil
}

// caseSensitive reads the option, which only operators on text have.
func (r *reader) caseSensitive(m mapping, op Operator) (bool, error) {
	n := m.get("case_sensitive")
	if n == nil {
		return false, nil
	}
	if op > Regex {
		return false, r.problem(n, CodeConflict, "the operator %s knows no case_sensitive", op)
	}
	return r.boolean(n, "case_sensitive")
}

// operand reads one value for operators that need more than its text.
func (r *reader) operand(out *Match, n *yaml.Node, v string, fold bool) error {
	switch out.Operator {
	case Contains, StartsWith, EndsWith:
		if v == "" {
			return r.problem(n, CodeInvalidValue, "an empty text is in every value; to ask whether there is one use the operator exists")
		}
	case Regex:
		re, err := r.regex(n, v, fold)
		if err != nil {
			return err
		}
		out.Regexps = append(out.Regexps, re)
	case Greater, GreaterEqual, Less, LessEqual:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(f) {
			return r.problem(n, CodeWrongType, "the operator %s compares numbers, %q is none", out.Operator, document.Clip(v))
		}
		out.Numbers = append(out.Numbers, f)
	case CIDR:
		p, err := document.ParseNetwork(v)
		if err != nil {
			return r.problem(n, CodeInvalidValue, "%q is not an address or a prefix such as 10.0.0.0/8 or 2001:db8::/32", document.Clip(v))
		}
		out.Prefixes = append(out.Prefixes, p)
	}
	return nil
}

// regex compiles a pattern within the bounds.
func (r *reader) regex(n *yaml.Node, pattern string, fold bool) (*regexp.Regexp, error) {
	code, reason := checkRegex(pattern)
	if code != "" {
		return nil, r.problem(n, code, "%s", reason)
	}
	if fold {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, r.problem(n, CodeRegexInvalid, "%v", err)
	}
	return re, nil
}
