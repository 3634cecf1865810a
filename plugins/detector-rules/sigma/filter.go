package sigma

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// Filter is a condition that is joined by and to other rules: a rule fires only
// where its filters hold too. To suppress something a filter says
// "condition: not selection".
type Filter struct {
	// ID is the filter's id; for one without it is its name or its title.
	ID          string
	Title       string
	Description string
	LogSource   LogSource
	// Any says that the filter is for every rule of its log source; else Rules
	// has the ids or names of those that it is for.
	Any   bool
	Rules []string
	When  *Expr
	File  string
	Line  int
}

// filter reads a filter.
func (c *Collector) filter(r *reader, root *yaml.Node) error {
	m, err := r.mapping(root, "the filter", nil)
	if err != nil {
		return err
	}
	h, err := r.head(m)
	if err != nil {
		return err
	}
	out := &Filter{ID: h.id, Title: h.title, Description: h.description, File: r.file, Line: max(root.Line, 1)}
	for _, other := range []string{h.name, h.title} {
		if out.ID == "" {
			out.ID = other
		}
	}
	if out.LogSource, err = r.logSource(m, "the filter"); err != nil {
		return err
	}
	body, err := r.mapping(m.get("filter"), "filter", nil)
	if err != nil {
		return err
	}
	rules := body.get("rules")
	switch {
	case rules == nil:
		return r.problem(body.node, CodeMissingKey, `filter has no "rules"; list the ids or names of rules, or write any`)
	case rules.Kind == yaml.ScalarNode && (strings.EqualFold(rules.Value, "any") || strings.EqualFold(rules.Value, "all")):
		out.Any = true
	default:
		if out.Rules, err = r.texts(rules, "filter.rules", true); err != nil {
			return err
		}
		if len(out.Rules) == 0 {
			return r.problem(rules, CodeInvalidValue, "filter.rules is empty; list the ids or names of rules, or write any")
		}
	}
	if out.When, err = r.detection(body.node, "filter", "rules"); err != nil {
		return err
	}
	if !negates(out.When) {
		r.warn(body.get("condition"), CodeFilterNarrows, "a filter is joined to its rules by and, so this one lets them fire only where its selection holds; to suppress what is selected write \"not\" before it")
	}
	if err := c.take(r, root, out.ID); err != nil {
		return err
	}
	c.result.Filters = append(c.result.Filters, out)
	return nil
}

// negates reports whether there is a not in the condition.
func negates(e *Expr) bool {
	return e.Op == Not || slices.ContainsFunc(e.Subs, negates)
}

// applyFilters joins the filters to the rules that they are for.
func (c *Collector) applyFilters(rules []*Rule) {
	if len(c.result.Filters) == 0 {
		return
	}
	byName := map[string][]*Rule{}
	for _, rule := range rules {
		byName[rule.ID] = append(byName[rule.ID], rule)
		if rule.Name != "" && rule.Name != rule.ID {
			byName[rule.Name] = append(byName[rule.Name], rule)
		}
	}
	for _, f := range c.result.Filters {
		targets := rules
		if !f.Any {
			targets = nil
			for _, name := range f.Rules {
				if byName[name] == nil {
					c.result.Warnings = append(c.result.Warnings, Problem{File: f.File, Rule: f.ID, Line: f.Line, Code: CodeFilterUntargets, Reason: "filter.rules names " + document.Clip(name) + ", and no rule that was loaded has that id or name"})
				}
				targets = append(targets, byName[name]...)
			}
		}
		for _, rule := range targets {
			if f.LogSource.Covers(rule.LogSource) && !slices.Contains(rule.Filters, f.ID) {
				rule.When = &Expr{Op: And, Subs: []*Expr{rule.When, f.When}}
				rule.Filters = append(rule.Filters, f.ID)
			}
		}
	}
}
