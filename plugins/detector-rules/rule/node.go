package rule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// reader walks the nodes of one document. Its methods return a *Problem as
// error, with the line of the node that is wrong.
type reader struct {
	file, id string
	// budget is how many more nodes may be visited; an alias costs what it
	// stands for each time that it is used.
	budget int
}

func (r *reader) problem(n *yaml.Node, code, format string, args ...any) error {
	return &Problem{File: r.file, Rule: r.id, Line: max(n.Line, 1), Code: code, Reason: fmt.Sprintf(format, args...)}
}

// check walks the document once with all aliases followed, so that what comes
// after it may recurse freely.
func (r *reader) check(n *yaml.Node, depth int) error {
	if r.budget--; r.budget < 0 {
		return r.problem(n, CodeTooLarge, "the document has more than %d nodes once its aliases are followed", MaxNodes)
	}
	if depth > MaxDepth {
		return r.problem(n, CodeTooDeep, "the document is nested more than %d deep", MaxDepth)
	}
	if n.Kind == yaml.AliasNode {
		return r.check(n.Alias, depth+1)
	}
	for _, c := range n.Content {
		if err := r.check(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// pair is one entry of a mapping.
type pair struct {
	key        string
	name, node *yaml.Node
}

// keyed holds the entries of a mapping in their order.
type keyed struct {
	node  *yaml.Node
	pairs []pair
}

func (m keyed) get(key string) *yaml.Node {
	for _, p := range m.pairs {
		if p.key == key {
			return p.node
		}
	}
	return nil
}

func (m keyed) has(key string) bool { return m.get(key) != nil }

// mapping reads n as a mapping, with known as the keys that it may have; nil
// allows any.
func (r *reader) mapping(n *yaml.Node, what string, known []string) (keyed, error) {
	n = document.Deref(n)
	if n.Kind != yaml.MappingNode {
		return keyed{}, r.problem(n, CodeWrongType, "%s must be a mapping, this is %s", what, document.Describe(n))
	}
	m := keyed{node: n}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := document.Deref(n.Content[i])
		if name.Kind != yaml.ScalarNode {
			return m, r.problem(name, CodeWrongType, "a key of %s must be a name, this is %s", what, document.Describe(name))
		}
		if m.has(name.Value) {
			return m, r.problem(n.Content[i], CodeDuplicateKey, "%s has the key %q twice", what, document.Clip(name.Value))
		}
		if known != nil && !slices.Contains(known, name.Value) {
			return m, r.problem(n.Content[i], CodeUnknownKey, "%s has no key %q; %s", what, document.Clip(name.Value), meant(name.Value, known))
		}
		m.pairs = append(m.pairs, pair{name.Value, n.Content[i], document.Deref(n.Content[i+1])})
	}
	return m, nil
}

// text reads a scalar as text. Numbers and booleans are taken as written,
// whole numbers in decimal.
func (r *reader) text(n *yaml.Node, what string) (string, error) {
	n = document.Deref(n)
	if n.Kind != yaml.ScalarNode {
		return "", r.problem(n, CodeWrongType, "%s must be a text or a number, this is %s", what, document.Describe(n))
	}
	switch n.ShortTag() {
	case "!!null":
		return "", r.problem(n, CodeWrongType, "%s is empty", what)
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return strconv.FormatInt(i, 10), nil
		}
	case "!!bool":
		return strings.ToLower(n.Value), nil
	}
	return n.Value, nil
}

// texts reads a scalar, or a list of scalars, as text.
func (r *reader) texts(n *yaml.Node, what string) ([]string, error) {
	n = document.Deref(n)
	if n.Kind != yaml.SequenceNode {
		s, err := r.text(n, what)
		return []string{s}, err
	}
	if len(n.Content) == 0 {
		return nil, r.problem(n, CodeInvalidValue, "%s is an empty list", what)
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		s, err := r.text(c, "an entry of "+what)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// number reads a whole number from low to high.
func (r *reader) number(n *yaml.Node, what string, low, high int) (int, error) {
	n = document.Deref(n)
	var i int
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&i) != nil {
		return 0, r.problem(n, CodeWrongType, "%s must be a whole number, this is %s", what, document.Describe(n))
	}
	if i < low || i > high {
		return 0, r.problem(n, CodeOutOfRange, "%s is %d, allowed is %d to %d", what, i, low, high)
	}
	return i, nil
}

// boolean reads true or false.
func (r *reader) boolean(n *yaml.Node, what string) (bool, error) {
	n = document.Deref(n)
	var b bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
		return false, r.problem(n, CodeWrongType, "%s must be true or false, this is %s", what, document.Describe(n))
	}
	return b, nil
}

// oneOf reads a word out of a list.
func (r *reader) oneOf(n *yaml.Node, what string, known []string) (string, error) {
	s, err := r.text(n, what)
	if err != nil {
		return "", err
	}
	s = strings.ToLower(s)
	if !slices.Contains(known, s) {
		return "", r.problem(n, CodeInvalidValue, "%s is %q; %s", what, document.Clip(s), meant(s, known))
	}
	return s, nil
}
