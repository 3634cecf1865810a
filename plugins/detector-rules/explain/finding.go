package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk"
)

// What a finding shows at most, unless everything is asked for.
const (
	maxParts  = 20
	maxWanted = 10
	maxFound  = 10
)

// The words of sdk.RuleFinding.Op.
const (
	opSource = "logsource"
	opAll    = "all"
	opAny    = "any"
	opNot    = "not"
	opTest   = "test"
)

// finding says what a rule makes of an event: its log source, then its condition part
// by part. when is the condition in the names of events. Unless all is set, only
// what decides is left: of parts that must all hold the first that does not, of
// parts of which one is enough the first that holds.
func finding(r *rule.Rule, when *sigma.Expr, e *Event, all bool) sdk.RuleFinding {
	from, condition := source(r, e), explain(when, e)
	f := sdk.RuleFinding{Op: opAll, Holds: from.Holds && condition.Holds, Parts: []sdk.RuleFinding{from, condition}}
	if from.Holds && r.LogSource.Product == rule.Product {
		f.Parts = f.Parts[1:] // a rule in the simple form says nothing about it
	}
	if !all {
		f = decisive(f)
	}
	return f
}

// source says whether the event is one that the rule is for.
func source(r *rule.Rule, e *Event) sdk.RuleFinding {
	f := sdk.RuleFinding{Op: opSource, Holds: isFor(r, e), Present: true, Wanted: []string{r.LogSource.String()}, Relation: "is"}
	simple := r.LogSource.Product == rule.Product
	if simple && !f.Holds {
		f.Wanted = []string{"what is no log"}
	}
	for _, s := range e.Sources {
		if (s.Product == rule.Product) == simple {
			f.Found = append(f.Found, s.String())
		}
	}
	return f
}

// explain makes a finding of an expression, with all its parts.
func explain(x *sigma.Expr, e *Event) sdk.RuleFinding {
	f := sdk.RuleFinding{Op: opAll, Name: x.Label, Line: x.Line, Holds: Holds(x, e)}
	switch x.Op {
	case sigma.Leaf:
		return named(x, test([]*sigma.Test{x.Test}, e))
	case sigma.Not:
		f.Op = opNot
		f.Parts = []sdk.RuleFinding{explain(x.Subs[0], e)}
		return f
	case sigma.Or:
		f.Op = opAny
	}
	for _, part := range parts(x) {
		if part[0].Op != sigma.Leaf {
			f.Parts = append(f.Parts, explain(part[0], e))
			continue
		}
		var tests []*sigma.Test
		for _, p := range part {
			tests = append(tests, p.Test)
		}
		f.Parts = append(f.Parts, named(part[0], test(tests, e)))
	}
	if len(f.Parts) == 1 && (f.Name == "" || f.Parts[0].Name == "") {
		return named(x, f.Parts[0])
	}
	return f
}

// named gives a finding the name that an expression has.
func named(x *sigma.Expr, f sdk.RuleFinding) sdk.RuleFinding {
	if x.Label != "" {
		f.Name, f.Line = x.Label, x.Line
	}
	return f
}

// parts are the parts of an and or an or. What is joined the same way below and has
// no name is part of it, and tests of an or that differ in their value alone go
// together.
func parts(x *sigma.Expr) (out [][]*sigma.Expr) {
	var walk func(*sigma.Expr)
	walk = func(s *sigma.Expr) {
		if s.Op == x.Op && s.Label == "" {
			for _, sub := range s.Subs {
				walk(sub)
			}
			return
		}
		if x.Op == sigma.Or && s.Op == sigma.Leaf && s.Label == "" {
			same := func(part []*sigma.Expr) bool {
				p := part[0]
				return p.Op == sigma.Leaf && p.Label == "" && p.Test.Field == s.Test.Field && relation(p.Test) == relation(s.Test)
			}
			if i := slices.IndexFunc(out, same); i >= 0 {
				out[i] = append(out[i], s)
				return
			}
		}
		out = append(out, []*sigma.Expr{s})
	}
	for _, s := range x.Subs {
		walk(s)
	}
	return out
}

// test says what became of tests of one field that compare in the same way, of
// which one is enough. If one holds, Wanted has those that do.
func test(tests []*sigma.Test, e *Event) sdk.RuleFinding {
	t := tests[0]
	f := sdk.RuleFinding{Op: opTest, Field: t.Field, Relation: relation(t)}
	texts, null, present := e.values(t.Field)
	if f.Present = present; t.Field == "" {
		f.Present, texts = true, nil
	}
	var held, not []string
	for _, t := range tests {
		if !holds(t, e) {
			not = append(not, wanted(t))
			continue
		}
		held = append(held, wanted(t))
		if t.Field == "" { // of the whole event only what was found is worth showing
			for _, text := range e.everything() {
				if fits(t, text, e) && !slices.Contains(texts, text) {
					texts = append(texts, text)
				}
			}
		}
	}
	for _, text := range texts {
		f.Found = append(f.Found, show(text))
	}
	if null {
		f.Found = append(f.Found, "null")
	}
	f.Holds = len(held) > 0
	if f.Wanted = held; !f.Holds {
		f.Wanted = not
	} else {
		f.More = len(not)
	}
	if t.Kind == sigma.Exists || t.Kind == sigma.IsNull {
		f.Wanted, f.More = nil, 0
	}
	return f
}

// decisive leaves of a finding what decides it.
func decisive(f sdk.RuleFinding) sdk.RuleFinding {
	parts := f.Parts
	if len(parts) > 0 && (f.Op == opAll && !f.Holds || f.Op == opAny && f.Holds) {
		i := slices.IndexFunc(parts, func(p sdk.RuleFinding) bool { return p.Holds == f.Holds })
		f.More += len(parts) - 1
		parts = parts[i : i+1]
	}
	if len(parts) > maxParts {
		f.More += len(parts) - maxParts
		parts = parts[:maxParts]
	}
	f.Parts = nil
	for _, p := range parts {
		f.Parts = append(f.Parts, decisive(p))
	}
	if len(f.Wanted) > maxWanted {
		f.More += len(f.Wanted) - maxWanted
		f.Wanted = f.Wanted[:maxWanted]
	}
	f.Found = f.Found[:min(len(f.Found), maxFound)]
	return f
}

// relation says how a test compares.
func relation(t *sigma.Test) string {
	word := ""
	switch t.Kind {
	case sigma.IsText:
		word, _ = shape(t.Text)
	case sigma.IsMatch:
		return "matches"
	case sigma.IsNumber:
		return sign(t.Comparison)
	case sigma.IsTime:
		return [...]string{"minute", "hour", "day", "week", "month", "year"}[t.Part] + " " + sign(t.Comparison)
	case sigma.InNetwork:
		return "is in"
	case sigma.IsNull:
		return "is null"
	case sigma.Exists:
		return "is there"
	case sigma.IsField:
		word = map[sigma.Comparison]string{
			sigma.Contains: "contains the field", sigma.StartsWith: "starts with the field", sigma.EndsWith: "ends with the field",
		}[t.Comparison]
		if word == "" {
			word = "is the field"
		}
	}
	if t.Cased {
		word += " with this case"
	}
	return word
}

func sign(c sigma.Comparison) string {
	switch c {
	case sigma.Less:
		return "<"
	case sigma.LessEqual:
		return "<="
	case sigma.Greater:
		return ">"
	case sigma.GreaterEqual:
		return ">="
	}
	return "="
}

// wanted is the value that a test asks for.
func wanted(t *sigma.Test) string {
	switch t.Kind {
	case sigma.IsText:
		_, text := shape(t.Text)
		return show(text)
	case sigma.IsMatch:
		return show(t.Regexp.String())
	case sigma.IsNumber, sigma.IsTime:
		return sigma.Number(t.Number)
	case sigma.InNetwork:
		return t.Network.String()
	case sigma.IsField:
		return t.Other
	}
	return ""
}

// shape says what kind of text with wildcards it is, and gives what is left of it.
func shape(t sigma.Text) (word, text string) {
	inner := t
	starts, ends := false, false
	if len(inner) > 0 && inner[0].Wild == sigma.Many {
		ends, inner = true, inner[1:]
	}
	if len(inner) > 0 && inner[len(inner)-1].Wild == sigma.Many {
		starts, inner = true, inner[:len(inner)-1]
	}
	plain, ok := inner.Plain()
	switch {
	case !ok, len(inner) == 0 && len(t) > 0:
		return "is like", t.String()
	case starts && ends:
		return "contains", plain
	case starts:
		return "starts with", plain
	case ends:
		return "ends with", plain
	}
	return "is", plain
}

// sentence says what decided a finding against an event, "" when it holds.
func sentence(f sdk.RuleFinding) string {
	if f.Holds {
		return ""
	}
	f = decisive(f)
	var names []string
	for {
		if f.Name != "" {
			names = append(names, f.Name)
		}
		if len(f.Parts) == 0 || f.Op == opNot {
			break
		}
		f = f.Parts[0]
	}
	at := ""
	if len(names) > 0 {
		at = strings.Join(names, " / ") + ": "
	}
	field := f.Field
	if field == "" {
		field = "the event"
	}
	switch {
	case f.Op == opNot:
		return at + "what must not hold does"
	case f.Op == opSource:
		return fmt.Sprintf("the event is of %s, the rule for %s", oneOf(f.Found), strings.Join(f.Wanted, ", "))
	case !f.Present:
		return at + field + " is not there"
	case f.Relation == "is null" || f.Relation == "is there":
		return fmt.Sprintf("%s%s is %s", at, field, oneOf(f.Found))
	}
	return fmt.Sprintf("%s%s is %s; wanted: %s %s", at, field, oneOf(f.Found), f.Relation, oneOf(f.Wanted))
}

// oneOf lists some texts.
func oneOf(texts []string) string {
	const most = 3
	if len(texts) == 0 {
		return "nothing"
	}
	var out []string
	for _, t := range texts[:min(len(texts), most)] {
		out = append(out, fmt.Sprintf("%q", t))
	}
	if len(texts) > most {
		out = append(out, fmt.Sprintf("%d more", len(texts)-most))
	}
	return strings.Join(out, " or ")
}
