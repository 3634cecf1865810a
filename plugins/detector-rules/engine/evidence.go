package engine

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// evidence lists the parts of a condition that hold, by the names that their author
// gave them: search identifier and field with its modifiers.
type evidence struct{ names []string }

// maxEvidence is how many parts are listed.
const maxEvidence = 16

// collect decides a condition, as decide does, and lists what of it holds if it does.
// What stands behind a not is left out: it is there to be absent. Without holds, all
// parts are taken to hold.
func (w *evidence) collect(x *sigma.Expr, prefix string, holds func(*sigma.Test) bool) bool {
	if x.Label != "" && x.Op != sigma.Not {
		if !slices.ContainsFunc(x.Subs, isLabelled) {
			if holds != nil && !decide(x, holds) {
				return false
			}
			w.add(prefix + x.Label)
			return true
		}
		prefix = x.Label + "."
	}
	switch x.Op {
	case sigma.And:
		before := len(w.names)
		for _, s := range x.Subs {
			if !w.collect(s, prefix, holds) {
				w.names = w.names[:before]
				return false
			}
		}
		return true
	case sigma.Or:
		found := false
		for _, s := range x.Subs {
			found = w.collect(s, prefix, holds) || found
		}
		return found
	}
	return holds == nil || decide(x, holds)
}

func (w *evidence) add(name string) {
	if len(w.names) < maxEvidence && !slices.Contains(w.names, name) {
		w.names = append(w.names, name)
	}
}

// String returns the names, with commas between them.
func (w *evidence) String() string { return cut(strings.Join(w.names, ", "), maxEntity) }

// decide decides a condition by its tests.
func decide(x *sigma.Expr, holds func(*sigma.Test) bool) bool {
	switch x.Op {
	case sigma.And:
		return !slices.ContainsFunc(x.Subs, func(s *sigma.Expr) bool { return !decide(s, holds) })
	case sigma.Or:
		return slices.ContainsFunc(x.Subs, func(s *sigma.Expr) bool { return decide(s, holds) })
	case sigma.Not:
		return !decide(x.Subs[0], holds)
	}
	return holds(x.Test)
}

// matched returns what of a rule's condition holds for the event at hand; for a
// correlation that of the rules which the event completed it with.
func (e *Engine) matched(p *program, s *sighting) string {
	if p.rule.When == nil {
		if s.cause == nil {
			return ""
		}
		by := s.cause.by
		return cut(by.rule.ID+": "+e.matched(by, s.cause), maxEntity)
	}
	if p.isFixed {
		return p.evidence
	}
	var w evidence
	w.collect(p.when, "", e.view.holds)
	return w.String()
}
