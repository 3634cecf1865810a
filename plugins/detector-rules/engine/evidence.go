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

// collect lists what holds of a condition that does. What stands behind a not is
// left out: it is there to be absent.
func (w *evidence) collect(x *sigma.Expr, prefix string, holds func(*sigma.Expr) bool) {
	if x.Op == sigma.Not || !holds(x) {
		return
	}
	inner := slices.ContainsFunc(x.Subs, isLabelled)
	switch {
	case x.Label != "" && inner:
		prefix = x.Label + "."
	case x.Label != "":
		w.add(prefix + x.Label)
		return
	}
	for _, s := range x.Subs {
		w.collect(s, prefix, holds)
	}
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
	w.collect(p.when, "", func(x *sigma.Expr) bool { return decide(x, e.view.scratch.Holds) })
	return w.String()
}
