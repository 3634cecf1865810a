package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/sdk/event"
)

// errSyntax is YAML or TOML that cannot be read as such.
var errSyntax = errors.New("syntax")

// lineError is an error at a line.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// at says that something is wrong with a node.
func at(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Errorf("%w: "+format, append([]any{errInvalid}, args...)...)}
}

var yamlLine = regexp.MustCompile(`line ([0-9]+)`)

// lineOf finds the line that a YAML error names, 0 for none.
func lineOf(err error) int {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	line, _ := strconv.Atoi(m[1])
	return line
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// parseYAML reads one document. What it returns beside an error may be incomplete.
func parseYAML(document *yaml.Node) (*Policy, error) {
	root := document
	if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
		root = document.Content[0]
	}
	p := &Policy{Line: root.Line, Order: defaultOrder, Otherwise: Notify}
	err := members(root, map[string]func(*yaml.Node) error{
		"name": func(n *yaml.Node) (err error) {
			if p.Name, err = text(n); err == nil && !validName.MatchString(p.Name) {
				err = at(n, "name %q: want at most 64 letters, digits, dots, hyphens and underscores", bounded(p.Name))
			}
			return err
		},
		"description": func(n *yaml.Node) (err error) { p.Description, err = text(n); return err },
		"enabled": func(n *yaml.Node) error {
			enabled, err := boolean(n)
			p.Disabled = !enabled
			return err
		},
		"order":     func(n *yaml.Node) (err error) { p.Order, err = number(n, 0, 1_000_000); return err },
		"mode":      func(n *yaml.Node) (err error) { p.Mode, err = oneOf(n, "detect", "simulate", "enforce"); return err },
		"match":     func(n *yaml.Node) error { return p.Match.read(n) },
		"actions":   func(n *yaml.Node) (err error) { p.Actions, err = actions(n); return err },
		"ttl":       func(n *yaml.Node) (err error) { p.TTL, err = span(n, MinTTL, MaxTTL); return err },
		"cooldown":  func(n *yaml.Node) (err error) { p.Cooldown, err = span(n, 0, MaxCooldown); return err },
		"approvals": func(n *yaml.Node) (err error) { p.Approvals, err = number(n, 0, 2); return err },
		"otherwise": func(n *yaml.Node) (err error) { p.Otherwise, err = oneOf(n, Notify, Pause, Stop); return err },
	})
	return p, err
}

const defaultOrder = 1000

// read reads the selectors.
func (m *Match) read(n *yaml.Node) error {
	list := func(to *[]string) func(*yaml.Node) error {
		return func(n *yaml.Node) (err error) { *to, err = texts(n); return err }
	}
	return members(n, map[string]func(*yaml.Node) error{
		"severity": func(n *yaml.Node) error {
			name, err := text(n)
			if err != nil {
				return err
			}
			s, ok := event.ParseSeverity(name)
			if !ok {
				return at(n, "severity %q: want informational, low, medium, high or critical", bounded(name))
			}
			m.Severity = s
			return nil
		},
		"rule": list(&m.Rules), "tag": list(&m.Tags), "image": list(&m.Images), "name": list(&m.Names),
		"network": list(&m.Networks), "project": list(&m.Projects),
		"label": m.labels,
	})
}

// labels reads {key: pattern} or ["key=pattern", "key"].
func (m *Match) labels(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		all, err := texts(n)
		for _, l := range all {
			key, value, ok := strings.Cut(l, "=")
			if !ok {
				value = "*"
			}
			m.Labels = append(m.Labels, Label{key, value})
		}
		return err
	}
	if len(n.Content)/2 > maxList {
		return at(n, "more than %d labels", maxList)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := text(n.Content[i])
		if err != nil {
			return err
		}
		value, err := text(n.Content[i+1])
		if err != nil {
			return err
		}
		m.Labels = append(m.Labels, Label{key, value})
	}
	return nil
}

// actions reads the sequence of actions, or a single one.
func actions(n *yaml.Node) ([]Action, error) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if len(nodes) > len(Verbs()) {
		return nil, at(n, "more than %d actions", len(Verbs()))
	}
	var out []Action
	for _, n := range nodes {
		a, err := action(n)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// action reads VERB, {net-isolate: {...}} or {evidence: {...}}.
func action(n *yaml.Node) (Action, error) {
	if n.Kind != yaml.MappingNode {
		verb, err := oneOf(n, Verbs()...)
		return Action{Verb: verb}, err
	}
	a := Action{}
	err := members(n, map[string]func(*yaml.Node) error{
		Evidence: func(n *yaml.Node) error {
			a.Verb = Evidence
			return members(n, map[string]func(*yaml.Node) error{
				"export": func(n *yaml.Node) (err error) { a.Export, err = boolean(n); return err },
			})
		},
		NetIsolate: func(n *yaml.Node) error {
			a.Verb = NetIsolate
			return members(n, map[string]func(*yaml.Node) error{
				"networks":   func(n *yaml.Node) (err error) { a.Networks, err = texts(n); return err },
				"quarantine": func(n *yaml.Node) (err error) { a.Quarantine, err = boolean(n); return err },
			})
		},
	})
	switch {
	case err != nil:
		return a, err
	case len(n.Content) != 2:
		return a, at(n, "want one action; write each as an element of the list")
	case len(a.Networks) > 0 && a.Quarantine:
		return a, at(n, "net-isolate: a container that is moved to quarantine leaves all networks; name none")
	}
	if len(a.Networks) > maxNetworks {
		return a, at(n, "net-isolate: more than %d networks", maxNetworks)
	}
	for _, name := range a.Networks {
		if !validNetwork.MatchString(name) {
			return a, at(n, "net-isolate: %q is no name of a network", bounded(name))
		}
	}
	return a, nil
}

// validNetwork is what Docker takes as the name of a network.
var validNetwork = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// members hands each member of a mapping to its reader. A member that is not known,
// or that stands there twice, is an error.
func members(n *yaml.Node, readers map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return at(n, "want a mapping")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		read, ok := readers[key]
		switch {
		case !ok:
			return at(n.Content[i], "%q is not known; want one of %s", bounded(key), names(readers))
		case seen[key]:
			return at(n.Content[i], "%q stands there twice", key)
		}
		seen[key] = true
		if err := read(n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func names(readers map[string]func(*yaml.Node) error) string {
	var out []string
	for name := range readers {
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// text reads a plain value. Aliases are never followed: they have no value.
func text(n *yaml.Node) (string, error) {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "":
		return "", at(n, "want a text")
	case len(n.Value) > maxText:
		return "", at(n, "a text of more than %d bytes", maxText)
	}
	return n.Value, nil
}

// texts reads a text or a list of them.
func texts(n *yaml.Node) ([]string, error) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if len(nodes) == 0 || len(nodes) > maxList {
		return nil, at(n, "want 1 to %d texts", maxList)
	}
	var out []string
	for _, n := range nodes {
		s, err := text(n)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func boolean(n *yaml.Node) (bool, error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		return false, at(n, "want true or false")
	}
	return n.Value == "true", nil
}

func number(n *yaml.Node, least, most int) (int, error) {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
		return 0, at(n, "%q: want a number from %d to %d", bounded(n.Value), least, most)
	}
	return v, nil
}

func oneOf(n *yaml.Node, words ...string) (string, error) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
		return "", at(n, "%q: want one of %s", bounded(n.Value), strings.Join(words, ", "))
	}
	return n.Value, nil
}

// span reads a duration: "90s", "1h30m", "7d".
func span(n *yaml.Node, least, most time.Duration) (time.Duration, error) {
	value := n.Value
	if days, ok := strings.CutSuffix(value, "d"); ok {
		if count, err := strconv.Atoi(days); err == nil && count >= 0 && count <= 1000 {
			value = strconv.Itoa(24*count) + "h"
		}
	}
	d, err := time.ParseDuration(value)
	if n.Kind != yaml.ScalarNode || err != nil || d < least || d > most {
		return 0, at(n, "%q: want a duration from %s to %dd", bounded(n.Value), least, most/(24*time.Hour))
	}
	return d, nil
}
