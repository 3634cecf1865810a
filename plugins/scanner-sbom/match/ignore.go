package match

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Rule says which findings to ignore, why, and for how long. What it names has to fit
// altogether.
type Rule struct {
	// ID is any name of the flaw. Package and Path are patterns: "*" is any text without
	// a slash, "**" any text, "?" one character. Package is compared with the package URL, or with
	// "ecosystem/name@version" where there is none. A package that lies at several paths is
	// ignored if all of them fit.
	ID      string `json:"id,omitempty"`
	Package string `json:"package,omitempty"`
	Path    string `json:"path,omitempty"`
	Reason  string `json:"reason"`
	// Expires is the first moment at which the rule does not hold any more.
	Expires time.Time `json:"expires"`
	// Line is where the rule stands in its file, from 1.
	Line int `json:"line,omitempty"`
}

// RuleNote tells of a rule that did nothing.
type RuleNote struct {
	Rule
	// State is "expired" or "unused"; Findings is how many findings an expired rule
	// would have ignored.
	State    string `json:"state"`
	Findings int    `json:"findings,omitempty"`
}

// Bounds of a file of rules.
const (
	maxRuleFile = 1 << 20
	maxRules    = 10000
	maxPattern  = 1 << 10
)

// ParseRules reads rules from YAML:
//
//   - id: CVE-2024-4068
//     package: pkg:npm/braces@3.0.*
//     path: web/**
//     reason: the pattern is ours, never a visitor's
//     expires: 2026-12-31
//
// A reason, an expiry, and at least one of id, package and path are required. A day is
// over when it ends in UTC. The error names the line.
func ParseRules(data []byte) ([]Rule, error) {
	if len(data) > maxRuleFile {
		return nil, fmt.Errorf("read ignore rules: %d bytes, at most %d", len(data), maxRuleFile)
	}
	var nodes []yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&nodes); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read ignore rules: %w", err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("read ignore rules: more than one document")
	}
	if len(nodes) > maxRules {
		return nil, fmt.Errorf("read ignore rules: %d rules, at most %d", len(nodes), maxRules)
	}
	out := make([]Rule, 0, len(nodes))
	for i := range nodes {
		r, err := parseRule(&nodes[i])
		if err != nil {
			return nil, fmt.Errorf("read ignore rules: line %d: %w", nodes[i].Line, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRule(n *yaml.Node) (Rule, error) {
	r := Rule{Line: n.Line}
	if n.Kind != yaml.MappingNode {
		return r, errors.New("a rule is a mapping of id, package, path, reason, expires")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind != yaml.ScalarNode {
			return r, fmt.Errorf("%.40q is no text", key.Value)
		}
		switch key.Value {
		case "id":
			r.ID = value.Value
		case "package":
			r.Package = value.Value
		case "path":
			r.Path = value.Value
		case "reason":
			r.Reason = strings.TrimSpace(value.Value)
		case "expires":
			t, err := expiry(value.Value)
			if err != nil {
				return r, err
			}
			r.Expires = t
		default:
			return r, fmt.Errorf("unknown key %.40q: known are id, package, path, reason, expires", key.Value)
		}
	}
	switch {
	case r.ID == "" && r.Package == "" && r.Path == "":
		return r, errors.New("a rule needs an id, a package or a path")
	case r.Reason == "":
		return r, errors.New("a rule needs a reason")
	case r.Expires.IsZero():
		return r, errors.New("a rule needs a day at which it expires, as expires: 2026-12-31")
	case len(r.Package) > maxPattern || len(r.Path) > maxPattern:
		return r, fmt.Errorf("a pattern of more than %d bytes", maxPattern)
	}
	return r, nil
}

func expiry(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("expires: %.40q is neither a day, 2026-12-31, nor a time, 2026-12-31T12:00:00Z", text)
	}
	return t.UTC(), nil
}

// apply marks what the rules ignore, and returns the rules that did nothing.
func apply(rules []Rule, findings []*Finding, now time.Time) []RuleNote {
	var notes []RuleNote
	for _, r := range rules {
		n := 0
		expired := !now.Before(r.Expires)
		for _, f := range findings {
			if !r.fits(f) {
				continue
			}
			n++
			if !expired && f.Suppressed == nil {
				f.Suppressed = &Suppressed{By: "rule", Reason: r.Reason, Expires: r.Expires}
			}
		}
		switch {
		case expired:
			notes = append(notes, RuleNote{Rule: r, State: "expired", Findings: n})
		case n == 0:
			notes = append(notes, RuleNote{Rule: r, State: "unused"})
		}
	}
	return notes
}

func (r *Rule) fits(f *Finding) bool {
	if r.ID != "" && !f.Named(r.ID) {
		return false
	}
	if r.Package != "" && !glob(r.Package, f.Ref) {
		return false
	}
	if r.Path == "" {
		return true
	}
	for _, l := range f.Package.Locations {
		if !glob(r.Path, l.Path) {
			return false
		}
	}
	return len(f.Package.Locations) > 0
}

// Named reports whether id is one of the names of the flaw.
func (f *Finding) Named(id string) bool {
	return f.ID == id || slices.Contains(f.Advisories, id) || slices.Contains(f.Aliases, id)
}

// glob reports whether a text fits a pattern. It takes at most the product of both lengths
// steps.
func glob(pattern, text string) bool {
	// fits[i] tells whether the pattern so far fits the first i bytes of text.
	fits := make([]bool, len(text)+1)
	fits[0] = true
	for p := 0; p < len(pattern); p++ {
		c := pattern[p]
		if c == '*' {
			any := p+1 < len(pattern) && pattern[p+1] == '*'
			for any && p+1 < len(pattern) && pattern[p+1] == '*' {
				p++
			}
			for i := 1; i <= len(text); i++ {
				fits[i] = fits[i] || fits[i-1] && (any || text[i-1] != '/')
			}
			continue
		}
		for i := len(text); i > 0; i-- {
			fits[i] = fits[i-1] && (c == text[i-1] || c == '?' && text[i-1] != '/')
		}
		fits[0] = false
	}
	return fits[len(text)]
}
