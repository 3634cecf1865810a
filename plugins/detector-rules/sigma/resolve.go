package sigma

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// resolve replaces names by ids, and rejects correlations that name what is not
// there, or themselves.
func (c *Collector) resolve(rules []*Rule) {
	collected := &c.result
	ids := map[string]string{}
	for _, rule := range rules {
		ids[rule.Name] = rule.ID
	}
	for _, c := range collected.Correlations {
		ids[c.Name] = c.ID
	}
	delete(ids, "")
	for _, rule := range rules {
		ids[rule.ID] = rule.ID
	}
	byID := map[string]*Correlation{}
	for _, c := range collected.Correlations {
		ids[c.ID] = c.ID
		byID[c.ID] = c
	}
	// What names a correlation that is rejected is rejected too.
	for again := true; again; {
		again = false
		collected.Correlations = slices.DeleteFunc(collected.Correlations, func(c *Correlation) bool {
			code, reason := c.broken(ids, byID)
			if code == "" {
				return false
			}
			collected.Problems = append(collected.Problems, Problem{File: c.File, Rule: c.ID, Line: c.Line, Code: code, Reason: reason})
			delete(byID, c.ID)
			for name, id := range ids {
				if id == c.ID {
					delete(ids, name)
				}
			}
			again = true
			return true
		})
	}
	for _, c := range collected.Correlations {
		c.rename(ids)
	}
}

// broken returns why a correlation cannot be, two empty texts when it can.
func (c *Correlation) broken(ids map[string]string, byID map[string]*Correlation) (code, reason string) {
	for i, name := range c.Rules {
		if ids[name] == "" {
			return CodeUnknownRule, fmt.Sprintf("correlation.rules names %q, and no rule that was loaded has that id or name", document.Clip(name))
		}
		for _, other := range c.Rules[:i] {
			if ids[other] == ids[name] {
				return CodeInvalidValue, fmt.Sprintf("correlation.rules names one rule twice, as %q and as %q; keep one", document.Clip(other), document.Clip(name))
			}
		}
	}
	for alias, fields := range c.Aliases {
		for name := range fields {
			if ids[name] == "" {
				return CodeUnknownRule, fmt.Sprintf("correlation.aliases.%s names %q, and no rule that was loaded has that id or name", document.Clip(alias), document.Clip(name))
			}
		}
	}
	seen := map[string]bool{}
	var reaches func(*Correlation) bool
	reaches = func(from *Correlation) bool {
		for _, name := range from.Rules {
			id := ids[name]
			if id == c.ID {
				return true
			}
			if next := byID[id]; next != nil && !seen[id] {
				seen[id] = true
				if reaches(next) {
					return true
				}
			}
		}
		return false
	}
	if reaches(c) {
		return CodeCycle, "the correlation depends on itself; remove a rule from correlation.rules"
	}
	return "", ""
}

// rename makes every name of a rule its id.
func (c *Correlation) rename(ids map[string]string) {
	for i, name := range c.Rules {
		c.Rules[i] = ids[name]
	}
	for _, fields := range c.Aliases {
		for name, field := range fields {
			if id := ids[name]; id != name {
				delete(fields, name)
				fields[id] = field
			}
		}
	}
	var walk func(*RuleExpr)
	walk = func(e *RuleExpr) {
		if e.Op == Leaf {
			e.Rule = ids[e.Rule]
		}
		for _, s := range e.Subs {
			walk(s)
		}
	}
	if c.Expression != nil {
		walk(c.Expression)
	}
}
