package match

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Compile prepares rules that sigma.Load found right. Rules are numbered in their
// order.
func Compile(rules []*sigma.Rule) *Matcher {
	c := &compiler{
		Matcher: &Matcher{rules: slices.Clone(rules), tests: map[*sigma.Test]int32{}}, names: []string{""}, fields: map[string]int32{"": everything},
		byExpr: map[*sigma.Expr]int32{}, byKey: map[string]int32{}, atomIDs: map[string]int32{},
		bySource: map[sigma.LogSource]int32{}, popular: map[witness]int{}, chosen: map[int32]choice{}, decided: map[use]bool{},
	}
	for _, r := range c.rules {
		c.tops = append(c.tops, c.node(r.When))
		c.source = append(c.source, c.sourceOf(r.LogSource))
	}
	c.count()
	c.file()
	c.decide()
	c.lay()
	c.order()
	c.Matcher.fields = newNames(c.names)
	c.assemble()
	literals := gathered(c.atoms, func(a atom) string { return a.literal })
	for i := range c.atoms {
		c.atoms[i].literal = literals[i]
	}
	c.combinations = map[string]*combination{}
	c.none = c.combine(nil)
	return c.Matcher
}

type compiler struct {
	*Matcher
	// names are the fields by number.
	names  []string
	fields map[string]int32
	// tops are the conditions of the rules.
	tops     []int32
	nodes    []node
	byExpr   map[*sigma.Expr]int32
	byKey    map[string]int32
	atomIDs  map[string]int32
	bySource map[sigma.LogSource]int32
	// popular counts the rules that could use a witness.
	popular map[witness]int
	chosen  map[int32]choice
	// filed are the filings by source and witness.
	filed []map[witness]*filing
	// decided are the atoms that looking for needles decides, by source.
	decided map[use]bool
}

// use is an atom that rules of a source ask.
type use struct{ source, atom int32 }

func (c *compiler) field(name string) int32 {
	id, ok := c.fields[name]
	if !ok {
		id = int32(len(c.names))
		c.fields[name] = id
		c.names = append(c.names, name)
	}
	return id
}

func (c *compiler) sourceOf(s sigma.LogSource) int32 {
	id, ok := c.bySource[s]
	if !ok {
		id = int32(len(c.sources))
		c.bySource[s] = id
		c.sources = append(c.sources, s)
	}
	return id
}

// node returns the number of a condition. What joins in the same way as what is
// above it becomes part of that.
func (c *compiler) node(e *sigma.Expr) int32 {
	if id, ok := c.byExpr[e]; ok {
		c.nodes[id].shared = c.nodes[id].op != sigma.Leaf
		return id
	}
	n := node{op: e.Op}
	if e.Op == sigma.Leaf {
		n.atom = c.atom(e.Test)
		c.tests[e.Test] = n.atom
	}
	seen := make(map[int32]bool, len(e.Subs))
	for _, sub := range e.Subs {
		id := c.node(sub)
		if seen[id] {
			continue
		}
		seen[id] = true
		if s := &c.nodes[id]; s.op == e.Op && e.Op != sigma.Not {
			n.subs = append(n.subs, s.subs...)
		} else {
			n.subs = append(n.subs, id)
		}
	}
	if e.Op == sigma.And || e.Op == sigma.Or {
		slices.Sort(n.subs)
		n.subs = slices.Compact(n.subs)
	}
	id := c.intern(n)
	c.byExpr[e] = id
	return id
}

// intern returns the number of a node; one that joins a single other is that.
func (c *compiler) intern(n node) int32 {
	if (n.op == sigma.And || n.op == sigma.Or) && len(n.subs) == 1 {
		return n.subs[0]
	}
	key := make([]byte, 0, 8+4*len(n.subs))
	key = append(key, byte(n.op))
	key = binary.LittleEndian.AppendUint32(key, uint32(n.atom))
	for _, s := range n.subs {
		key = binary.LittleEndian.AppendUint32(key, uint32(s))
	}
	id, ok := c.byKey[string(key)]
	if !ok {
		id = int32(len(c.nodes))
		c.byKey[string(key)] = id
		c.nodes = append(c.nodes, n)
	} else {
		c.nodes[id].shared = n.op != sigma.Leaf
	}
	return id
}

// atom returns the number of a test. Tests that regard no case are the same when
// their folded texts are.
func (c *compiler) atom(t *sigma.Test) int32 {
	folded := *t
	if t.Kind == sigma.IsText && !t.Cased {
		folded.Text = slices.Clone(t.Text)
		for i := range folded.Text {
			folded.Text[i].Text = foldString(folded.Text[i].Text)
		}
	}
	key := folded.Key()
	if id, ok := c.atomIDs[key]; ok {
		return id
	}
	a := atom{kind: t.Kind, cased: t.Cased, field: c.field(t.Field)}
	switch t.Kind {
	case sigma.IsText:
		g := newGlob(t.Text, t.Cased)
		a.shape, a.literal = g.shape, g.literal
		if g.shape == complex {
			a.more = &question{complex: &g}
		}
	case sigma.IsMatch:
		a.more = newPattern(t.Regexp)
	case sigma.IsField:
		a.more = &question{comparison: t.Comparison, other: c.field(t.Other)}
	case sigma.IsNumber, sigma.IsTime, sigma.InNetwork:
		a.more = &question{comparison: t.Comparison, part: t.Part, number: t.Number, network: t.Network}
	}
	id := int32(len(c.atoms))
	c.atomIDs[key] = id
	c.atoms = append(c.atoms, a)
	return id
}

// order puts what is decided for little first.
func (c *compiler) order() {
	efforts := make([]int, len(c.nodes))
	// A node comes after those below it, so their efforts are known.
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.op == sigma.Leaf {
			efforts[i] = c.effort(&c.atoms[n.atom])
			continue
		}
		slices.SortStableFunc(n.subs, func(a, b int32) int { return cmp.Compare(efforts[a], efforts[b]) })
		for _, s := range n.subs {
			efforts[i] = min(efforts[i]+efforts[s], 1<<30)
		}
	}
}

// effort tells roughly what it costs to decide an atom.
func (c *compiler) effort(a *atom) int {
	switch {
	case a.found, a.kind == sigma.IsNull, a.kind == sigma.Exists:
		return 1
	case a.kind == sigma.IsMatch:
		return 100
	case a.kind == sigma.IsText && (a.shape == inside || a.shape == complex):
		return 8
	}
	return 3
}
