package match

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Compile prepares rules that sigma.Load found right. Rules are numbered in their
// order.
func Compile(rules []*sigma.Rule) *Matcher {
	c := &compiler{
		Matcher: &Matcher{rules: slices.Clone(rules)}, names: []string{""}, fields: map[string]int32{"": everything},
		byExpr: map[*sigma.Expr]int32{}, byKey: map[string]int32{}, atomIDs: map[string]int32{},
		bySource: map[sigma.LogSource]int32{}, needleIDs: map[witness]int32{}, popular: map[witness]int{},
		chosen: map[int32]choice{}, everywhereBy: map[int32][]int32{},
	}
	for _, r := range c.rules {
		c.tops = append(c.tops, c.node(r.When))
		c.source = append(c.source, c.sourceOf(r.LogSource))
	}
	c.count()
	c.file()
	c.indexLongLists()
	c.build()
	c.order()
	c.Matcher.fields = newNames(c.names)
	assemble(c.Matcher, c.nodes, c.tops)
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
	popular   map[witness]int
	chosen    map[int32]choice
	needleIDs map[witness]int32
	// everywhereBy are the sources of the atoms that look at the whole event.
	everywhereBy map[int32][]int32
}

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
	a := atom{
		kind: t.Kind, comparison: t.Comparison, part: t.Part, cased: t.Cased, field: c.field(t.Field),
		number: t.Number, network: t.Network, re: t.Regexp,
	}
	switch t.Kind {
	case sigma.IsText:
		g := newGlob(t.Text, t.Cased)
		a.shape, a.literal = g.shape, g.literal
		if g.shape == complex {
			a.complex = &g
		}
	case sigma.IsMatch:
		a.readPattern(t.Regexp)
	case sigma.IsField:
		a.other = c.field(t.Other)
	}
	id := int32(len(c.atoms))
	c.atomIDs[key] = id
	c.atoms = append(c.atoms, a)
	return id
}

// file puts every rule under its witness.
func (c *compiler) file() {
	c.index = make([]fieldIndex, len(c.names))
	c.always = make([][]int32, len(c.sources))
	c.keyworded = make([]bool, len(c.sources))
	c.everywhere = make([]fieldIndex, len(c.sources))
	rulesOf := map[witness][]int32{}
	for i, root := range c.tops {
		number, source := int32(i), c.source[i]
		if c.noteEverywhere(root, source, map[int32]bool{}) {
			c.keyworded[source] = true
		}
		list := c.choose(root).list
		if list == nil {
			c.always[source] = append(c.always[source], number)
			continue
		}
		for _, w := range list {
			if rules := rulesOf[w]; len(rules) == 0 || rules[len(rules)-1] != number {
				rulesOf[w] = append(rules, number)
			}
		}
	}
	// A fixed order makes two compilations of the same rules alike.
	for _, w := range sortedWitnesses(rulesOf) {
		from := int32(len(c.postings))
		c.postings = append(c.postings, rulesOf[w]...)
		upto := int32(len(c.postings))
		if w.where == anything {
			c.index[w.field].from, c.index[w.field].upto = from, upto
			continue
		}
		n := &c.needles[c.needle(w)]
		n.from, n.upto = from, upto
	}
	for id := range c.atoms {
		if w, decides := c.textWitness(int32(id)); decides {
			if number, ok := c.needleIDs[w]; ok {
				c.decide(number, int32(id))
			}
		}
	}
}

func sortedWitnesses[V any](of map[witness]V) []witness {
	out := make([]witness, 0, len(of))
	for w := range of {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b witness) int {
		return cmp.Or(cmp.Compare(a.field, b.field), cmp.Compare(a.where, b.where), cmp.Compare(a.text, b.text))
	})
	return out
}

// needle returns the number of the needle of a witness.
func (c *compiler) needle(w witness) int32 {
	id, ok := c.needleIDs[w]
	if !ok {
		id = int32(len(c.needles))
		c.needleIDs[w] = id
		c.needles = append(c.needles, needle{text: w.text, field: w.field, atom: -1})
	}
	return id
}

func (c *compiler) decide(number, atom int32) {
	c.needles[number].atom = atom
	c.atoms[atom].found = true
}

// longList is from how many texts on the members of a list are looked for all at
// once, though none of them is a witness.
const longList = 24

// indexLongLists makes needles of the members of long lists, but for those that are
// so short that they are in many texts.
func (c *compiler) indexLongLists() {
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.op == sigma.Leaf || n.op == sigma.Not || len(n.subs) < longList {
			continue
		}
		for _, s := range n.subs {
			if sub := &c.nodes[s]; sub.op == sigma.Leaf && !c.atoms[sub.atom].found {
				if w, decides := c.textWitness(sub.atom); decides && (w.where != inside || len(w.text) >= span) {
					c.decide(c.needle(w), sub.atom)
				}
			}
		}
	}
}

// build makes the tables that find needles.
func (c *compiler) build() {
	filed := map[uint64][]int32{}
	seed := maphash.MakeSeed()
	for _, w := range sortedWitnesses(c.needleIDs) {
		number := c.needleIDs[w]
		if w.field != everything {
			c.index[w.field].take(w, number)
		} else {
			for _, source := range c.sourcesOf(number) {
				c.everywhere[source].take(w, number)
			}
		}
		if w.where == inside {
			continue
		}
		end := w.text
		switch w.where {
		case prefix:
			end = w.text[:pieceOf(w.text)]
		case suffix:
			end = w.text[len(w.text)-int(pieceOf(w.text)):]
		}
		h := hashPiece(seed, w.field, w.where, end)
		filed[h] = append(filed[h], number)
	}
	c.anchored = newAnchors(seed, filed)
	for i := range c.index {
		c.index[i].finish(c.needles)
	}
	for i := range c.everywhere {
		c.everywhere[i].finish(c.needles)
	}
}

// sourcesOf returns the sources whose rules look for a needle in the whole event.
func (c *compiler) sourcesOf(number int32) []int32 {
	n := &c.needles[number]
	var out []int32
	if n.atom >= 0 {
		out = slices.Clone(c.everywhereBy[n.atom])
	}
	for _, rule := range c.postings[n.from:n.upto] {
		out = append(out, c.source[rule])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// noteEverywhere notes for the atoms of a rule that look at the whole event that
// its source does, and reports whether there are any.
func (c *compiler) noteEverywhere(id, source int32, visited map[int32]bool) bool {
	if visited[id] {
		return false
	}
	visited[id] = true
	n := &c.nodes[id]
	looks := n.op == sigma.Leaf && c.atoms[n.atom].field == everything
	if looks && !slices.Contains(c.everywhereBy[n.atom], source) {
		c.everywhereBy[n.atom] = append(c.everywhereBy[n.atom], source)
	}
	for _, s := range n.subs {
		if c.noteEverywhere(s, source, visited) {
			looks = true
		}
	}
	return looks
}

// insert keeps a list sorted and without doubles.
func insert(list []int32, n int32) []int32 {
	at, found := slices.BinarySearch(list, n)
	if found {
		return list
	}
	return slices.Insert(list, at, n)
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
