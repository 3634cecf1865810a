package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// Set is a compiled set of rules. It is immutable and may be shared.
type Set struct {
	programs []*program
	matcher  *match.Matcher
	// matched are the programs of the matcher's rules.
	matched []int32
	// asked are the fields that rules name, watched those that nominate rules.
	asked, watched asked
	// fields are the names of all fields that rules ask for.
	fields []string
	// table finds the log sources of events.
	table *mapping.Table
}

// Len returns the number of rules that run.
func (s *Set) Len() int { return len(s.programs) }

// Fields returns the names of the fields that the rules ask for, in conditions or to
// group, sorted. The slice must not be changed.
func (s *Set) Fields() []string { return s.fields }

// program is one compiled rule.
type program struct {
	rule *rule.Rule
	// when is the rule's condition in the names of events, nil for a correlation.
	when *sigma.Expr
	// key begins the keys of the rule's state.
	key string
	// raises says that what the rule finds becomes an alert.
	raises bool
	// window is that of a threshold or a correlation, nil for other rules.
	window *window
	// own says how the rule's threshold counts the events that the rule matches;
	// for a rule with suppression alone it has the group.
	own supply
	// supplies are the correlations that count what the rule finds.
	supplies []supply
	// evidence is what every match has in common, if it is always the same; else
	// it has to be looked up.
	evidence string
	isFixed  bool
}

// supply says what a window takes from what a rule finds.
type supply struct {
	// to is the program with the window, and position the place of the rule among
	// those that it names.
	to, position int32
	// group are the fields that name the group, values those whose values count.
	group, values []field
}

// field is the name of a field as the rule has it, and those under which events may
// have it, of which the first that is there counts.
type field struct {
	name  string
	names []string
}

// Compile prepares rules that Load found right. Disabled rules are left out.
// mappings say what the rules speak of, before those that are shipped do.
func Compile(rules []*rule.Rule, mappings ...*mapping.Mapping) *Set {
	mappings = append(slices.Clip(mappings), mapping.Shipped()...)
	names := mapping.NewNamer(mappings)
	s := &Set{table: mapping.NewTable(mappings)}
	byID := map[string]int32{}
	var conditions []*sigma.Rule
	for _, r := range rules {
		if r.Disabled() {
			continue
		}
		number := int32(len(s.programs))
		byID[r.ID] = number
		p := newProgram(r, number)
		s.programs = append(s.programs, p)
		if r.When != nil {
			p.when = names.Rename(r.LogSource, r.When)
			p.evidence, p.isFixed = fixedEvidence(p.when)
			s.matched = append(s.matched, number)
			conditions = append(conditions, &sigma.Rule{ID: r.ID, LogSource: r.LogSource, When: p.when})
		}
	}
	s.join(byID, names)
	s.matcher = match.Compile(conditions)
	named, seen := map[string]bool{}, map[*sigma.Expr]bool{}
	for _, c := range conditions {
		addFields(c.When, named, seen)
	}
	s.asked = newAsked(s.matcher, named, func(int32) bool { return true })
	s.watched = newAsked(s.matcher, named, s.matcher.Witnesses)
	for _, p := range s.programs {
		for _, from := range append(slices.Clip(p.supplies), p.own) {
			for _, f := range append(slices.Clip(from.group), from.values...) {
				for _, name := range f.names {
					named[name] = true
				}
			}
		}
	}
	s.fields = slices.Sorted(maps.Keys(named))
	return s
}

func newProgram(r *rule.Rule, number int32) *program {
	p := &program{rule: r, key: escapeID(r.ID) + "|" + r.Hash + "|", raises: true, own: supply{to: number}}
	switch {
	case r.Correlation != nil:
		p.window = correlationWindow(r.Correlation)
	case r.Threshold != nil:
		p.window = thresholdWindow(r.Threshold)
		p.own.group = fields(r.Threshold.GroupBy)
	case r.Suppress != nil:
		names := r.Suppress.GroupBy
		if len(names) == 0 {
			names = entityNames
		}
		p.own.group = fields(names)
	}
	return p
}

// escapeID writes an id so that it has no bar.
func escapeID(id string) string { return strings.NewReplacer("%", "%25", "|", "%7C").Replace(id) }

// join makes the supplies of correlations. A rule that one of them names raises alerts
// of its own only if one of them says so.
func (s *Set) join(byID map[string]int32, names *mapping.Namer) {
	generates := map[*program]bool{}
	named := map[*program]bool{}
	for to, p := range s.programs {
		c := p.rule.Correlation
		if c == nil {
			continue
		}
		for position, id := range c.Rules {
			number, ok := byID[id]
			if !ok {
				continue // it is disabled, and finds nothing
			}
			from := s.programs[number]
			named[from] = true
			generates[from] = generates[from] || c.Generate
			f := supply{to: int32(to), position: int32(position)}
			for _, name := range c.GroupBy {
				f.group = append(f.group, aliased(c, name, from.rule, names))
			}
			for _, name := range c.Fields {
				f.values = append(f.values, aliased(c, name, from.rule, names))
			}
			from.supplies = append(from.supplies, f)
		}
	}
	for p := range named {
		p.raises = generates[p]
	}
}

// aliased is the field that a correlation means by a name in what a rule finds.
func aliased(c *sigma.Correlation, name string, r *rule.Rule, names *mapping.Namer) field {
	f := field{name: name}
	if other := c.Aliases[name][r.ID]; other != "" {
		name = other
	}
	for _, n := range names.Names(r.LogSource, name) {
		f.names = append(f.names, n.Field)
	}
	return f
}

func fields(names []string) []field {
	var out []field
	for _, name := range names {
		out = append(out, field{name: name, names: []string{name}})
	}
	return out
}

// groupNames are the names of the fields that name a group of the rule.
func (p *program) groupNames() []string {
	switch r := p.rule; {
	case r.Correlation != nil:
		return r.Correlation.GroupBy
	case r.Threshold != nil:
		return r.Threshold.GroupBy
	}
	return nil
}

// fixedEvidence returns what matched whenever a condition holds, if that is always
// the same: nothing in it is one of several.
func fixedEvidence(x *sigma.Expr) (text string, ok bool) {
	var w evidence
	w.collect(x, "", nil)
	return w.String(), !hasChoice(x)
}

// hasChoice reports whether there is an or between labelled parts.
func hasChoice(x *sigma.Expr) bool {
	if x.Op == sigma.Or && len(x.Subs) > 1 && slices.ContainsFunc(x.Subs, isLabelled) {
		return true
	}
	return x.Op != sigma.Not && slices.ContainsFunc(x.Subs, hasChoice)
}

// isLabelled reports whether a part, or something below it, has a name.
func isLabelled(x *sigma.Expr) bool { return x.Label != "" || slices.ContainsFunc(x.Subs, isLabelled) }
