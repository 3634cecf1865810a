package sigma

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// reader walks the nodes of one document. Its methods return a *Problem as
// error, with the line of the node that is wrong.
type reader struct {
	file, id string
	options  Options
	// budget is how many more nodes may be visited; an alias costs what it
	// stands for each time that it is used.
	budget int
	// tests is how many more tests the values may become.
	tests    int
	warnings []Problem
}

func (r *reader) make(n *yaml.Node, code, format string, args ...any) *Problem {
	return &Problem{File: r.file, Rule: r.id, Line: max(n.Line, 1), Code: code, Reason: fmt.Sprintf(format, args...)}
}

func (r *reader) problem(n *yaml.Node, code, format string, args ...any) error {
	return r.make(n, code, format, args...)
}

func (r *reader) warn(n *yaml.Node, code, format string, args ...any) {
	r.warnings = append(r.warnings, *r.make(n, code, format, args...))
}

// check walks the document once with all aliases followed, so that what comes
// after it may recurse freely.
func (r *reader) check(n *yaml.Node, depth int) error {
	if r.budget--; r.budget < 0 {
		return r.problem(n, CodeTooLarge, "the document has more than %d nodes once its aliases are followed; split it", MaxNodes)
	}
	if depth > MaxDepth {
		return r.problem(n, CodeTooDeep, "the document is nested more than %d deep; no rule needs that", MaxDepth)
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

// mapping holds the entries of a mapping in their order.
type mapping struct {
	node  *yaml.Node
	pairs []pair
}

func (m mapping) get(key string) *yaml.Node {
	for _, p := range m.pairs {
		if p.key == key {
			return p.node
		}
	}
	return nil
}

// mapping reads n as a mapping. known are the keys that it may have; nil allows
// any.
func (r *reader) mapping(n *yaml.Node, what string, known []string) (mapping, error) {
	n = document.Deref(n)
	if n.Kind != yaml.MappingNode {
		return mapping{}, r.problem(n, CodeWrongType, "%s must be a mapping, this is %s", what, document.Describe(n))
	}
	m := mapping{node: n}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := document.Deref(n.Content[i])
		if name.Kind != yaml.ScalarNode {
			return m, r.problem(name, CodeWrongType, "a key of %s must be a name, this is %s", what, document.Describe(name))
		}
		if first, ok := seen[name.Value]; ok {
			return m, r.problem(n.Content[i], CodeDuplicateKey, "%s has the key %q twice, first on line %d; YAML keeps one of them only, so make one list of both, or two search identifiers",
				what, document.Clip(name.Value), first)
		}
		seen[name.Value] = n.Content[i].Line
		if known != nil && !slices.Contains(known, name.Value) {
			return m, r.problem(n.Content[i], CodeUnknownKey, "%s has no key %q; %s", what, document.Clip(name.Value), meant(name.Value, known))
		}
		m.pairs = append(m.pairs, pair{name.Value, n.Content[i], document.Deref(n.Content[i+1])})
	}
	return m, nil
}

// text reads a scalar as it is written.
func (r *reader) text(n *yaml.Node, what string, longest int) (string, error) {
	n = document.Deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", r.problem(n, CodeWrongType, "%s must be a text, this is %s", what, document.Describe(n))
	}
	if len(n.Value) > longest {
		return "", r.problem(n, CodeOutOfRange, "%s has %d bytes, allowed are %d", what, len(n.Value), longest)
	}
	return n.Value, nil
}

// texts reads a list of scalars; a scalar alone is a list of one when single.
func (r *reader) texts(n *yaml.Node, what string, single bool) ([]string, error) {
	n = document.Deref(n)
	if n.Kind == yaml.ScalarNode && (single || n.ShortTag() == "!!null") {
		if n.ShortTag() == "!!null" {
			return nil, nil
		}
		return []string{n.Value}, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, r.problem(n, CodeWrongType, "%s must be a list of texts, this is %s", what, document.Describe(n))
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		s, err := r.text(c, "an entry of "+what, MaxDescription)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// oneOf reads a word out of a list.
func (r *reader) oneOf(n *yaml.Node, what string, known []string) (string, error) {
	s, err := r.text(n, what, MaxDescription)
	if err != nil {
		return "", err
	}
	if !slices.Contains(known, s) {
		return "", r.problem(n, CodeInvalidValue, "%s is %q; %s", what, document.Clip(s), meant(s, known))
	}
	return s, nil
}

// value returns the value of a key of a mapping node, nil when it has none.
func value(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return document.Deref(n.Content[i+1])
		}
	}
	return nil
}

// idOf returns the id that a document gives itself, right or wrong, for its
// problems; its title when it has none.
func idOf(root *yaml.Node) string {
	for _, key := range []string{"id", "name", "title"} {
		if n := value(root, key); n != nil && n.Kind == yaml.ScalarNode && strings.TrimSpace(n.Value) != "" {
			return document.Clip(n.Value)
		}
	}
	return ""
}
