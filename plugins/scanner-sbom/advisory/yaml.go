package advisory

import (
	"encoding/json"

	"gopkg.in/yaml.v3"
)

// maxNodes bounds what a YAML file may become, aliases counted each time they are used.
const maxNodes = 1 << 20

// fromYAML turns YAML into JSON. Scalars keep their text: a version 1.10 is no number.
func fromYAML(data []byte, depth int) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, malformed(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fail(CodeNotRecord, "YAML that is no mapping")
	}
	w := yamlWriter{depth: depth}
	if err := w.node(doc.Content[0], 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

type yamlWriter struct {
	out   []byte
	depth int
	nodes int
}

func (w *yamlWriter) node(n *yaml.Node, level int) error {
	if w.nodes++; w.nodes > maxNodes {
		return fail(CodeTooLarge, "more than %d values", maxNodes)
	}
	if level > w.depth {
		return fail(CodeTooDeep, "more than %d levels", w.depth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.node(n.Alias, level+1)
	case yaml.MappingNode:
		w.out = append(w.out, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return fail(CodeMalformed, "line %d: a key that is no text", key.Line)
			}
			if err := w.text(key.Value); err != nil {
				return err
			}
			w.out = append(w.out, ':')
			if err := w.node(n.Content[i+1], level+1); err != nil {
				return err
			}
		}
		w.out = append(w.out, '}')
	case yaml.SequenceNode:
		w.out = append(w.out, '[')
		for i, c := range n.Content {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if err := w.node(c, level+1); err != nil {
				return err
			}
		}
		w.out = append(w.out, ']')
	default:
		switch n.Tag {
		case "!!null":
			w.out = append(w.out, "null"...)
		case "!!bool":
			var b bool
			if err := n.Decode(&b); err != nil {
				return malformed(err)
			}
			if b {
				w.out = append(w.out, "true"...)
			} else {
				w.out = append(w.out, "false"...)
			}
		default:
			return w.text(n.Value)
		}
	}
	return nil
}

func (w *yamlWriter) text(s string) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return malformed(err)
	}
	w.out = append(w.out, raw...)
	return nil
}
