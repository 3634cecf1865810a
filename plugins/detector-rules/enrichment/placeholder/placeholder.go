// Package placeholder reads the values that rules mean by %name% in values with the
// modifier expand, from files: NAME.txt with one value a line, or YAML with a list
// for each name.
package placeholder

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
)

// The bounds of what is read.
const (
	// MaxNames is how many names a file of YAML has.
	MaxNames = 1000
	// MaxValues is how many values a name has: no more than a rule may have tests.
	MaxValues = 20_000
	// MaxName is the length of a name in bytes.
	MaxName = 128
	// MaxYAML is the size of a YAML file in bytes.
	MaxYAML = 1 << 20
)

// Values are the values by name.
type Values map[string][]string

// Bytes is how much memory the values take, roughly.
func (v Values) Bytes() int64 {
	n := 0
	for name, values := range v {
		n += 64 + len(name)
		for _, value := range values {
			n += 16 + len(value)
		}
	}
	return int64(n)
}

// CheckName returns an error for what cannot stand between two %.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) {
		return lines.Errorf(0, "%s is no name of a placeholder, which is letters, digits and underlines", lines.Quote([]byte(name)))
	}
	return nil
}

// ParseLines reads the values of one name. Blanks around a value do not count, lines
// that begin with # are comments; a value that does is written in YAML. It returns
// a *lines.Error.
func ParseLines(name string, data []byte) (Values, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	var values []string
	for n, line := range lines.All(data) {
		switch {
		case line[0] == '#':
			continue
		case len(values) == MaxValues:
			return nil, lines.Errorf(n, "it has more than %d values", MaxValues)
		case len(line) > lines.MaxLine:
			return nil, lines.Errorf(n, "the value has %d bytes, at most %d are read", len(line), lines.MaxLine)
		}
		values = append(values, string(line))
	}
	if len(values) == 0 {
		return nil, lines.Errorf(0, "it holds no value; a rule with %%%s%% would be rejected", name)
	}
	return Values{name: values}, nil
}

// ParseYAML reads a mapping from names to a value or a list of them. It returns a
// *lines.Error.
func ParseYAML(data []byte) (Values, error) {
	if len(data) > MaxYAML {
		return nil, lines.Errorf(0, "it has %d bytes, at most %d are read; write the long lists as NAME.txt", len(data), MaxYAML)
	}
	out := Values{}
	for root, err := range document.All(data) {
		if err != nil {
			line, text := document.Locate(err, data)
			return nil, lines.Errorf(line, "it is no YAML: %s", text)
		}
		if root.Kind != yaml.MappingNode {
			return nil, lines.Errorf(root.Line, "it is %s; write a mapping from names to lists of values", document.Describe(root))
		}
		for i := 0; i < len(root.Content); i += 2 {
			if err := out.read(root.Content[i], root.Content[i+1]); err != nil {
				return nil, err
			}
		}
	}
	if len(out) == 0 {
		return nil, lines.Errorf(0, "it holds no placeholder")
	}
	return out, nil
}

func (v Values) read(name, node *yaml.Node) error {
	if err := CheckName(name.Value); err != nil || name.Kind != yaml.ScalarNode {
		return lines.Errorf(name.Line, "%s is no name of a placeholder, which is letters, digits and underlines", document.Describe(name))
	}
	if _, twice := v[name.Value]; twice {
		return lines.Errorf(name.Line, "the placeholder %s stands twice; join its values", name.Value)
	}
	if len(v) == MaxNames {
		return lines.Errorf(name.Line, "it has more than %d placeholders", MaxNames)
	}
	nodes := node.Content
	if node.Kind == yaml.ScalarNode {
		nodes = []*yaml.Node{node}
	} else if node.Kind != yaml.SequenceNode {
		return lines.Errorf(node.Line, "the value of %s is %s; write a list", name.Value, document.Describe(node))
	}
	if len(nodes) > MaxValues {
		return lines.Errorf(node.Line, "%s has more than %d values", name.Value, MaxValues)
	}
	var values []string
	for _, n := range nodes {
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
			return lines.Errorf(n.Line, "a value of %s is %s; write a text", name.Value, document.Describe(n))
		case len(n.Value) > lines.MaxLine:
			return lines.Errorf(n.Line, "a value of %s has %d bytes, at most %d are read", name.Value, len(n.Value), lines.MaxLine)
		}
		values = append(values, n.Value)
	}
	if len(values) == 0 {
		return lines.Errorf(node.Line, "%s has no value; a rule with %%%s%% would be rejected", name.Value, name.Value)
	}
	v[name.Value] = values
	return nil
}
