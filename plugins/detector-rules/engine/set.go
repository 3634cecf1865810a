package engine

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
)

// Set is a compiled set of rules. It is immutable and may be shared.
type Set struct {
	rules []*program
	atoms []atom
	// fields are those that rules name, watched those of them that an index is
	// for; so are members and watchedMembers.
	fields, watched         names
	members, watchedMembers members
	// index is by field.
	index []fieldIndex
	// always are the rules that have no witness.
	always []int32
	// needles is how many needles all scanners hold.
	needles int
}

// Len returns the number of rules that run.
func (s *Set) Len() int { return len(s.rules) }

// program is one compiled rule.
type program struct {
	rule *rule.Rule
	// key begins the keys of the rule's state.
	key  string
	root node
	// group are the fields of threshold.group_by, or of suppress.group_by, or
	// those that name entities when the latter is empty.
	group []int32
	// maxStamps bounds the stamps of a group, maxBodies the events kept.
	maxStamps, maxBodies int
}

// node is a condition over atoms.
type node struct {
	op   rule.Op
	subs []node
	atom int32
}

// atom is one comparison of one field with one value.
type atom struct {
	field int32
	op    rule.Operator
	cased bool
	// pattern is the value; it is folded unless case counts.
	pattern
	re     *regexp.Regexp
	number float64
	prefix netip.Prefix
}

// atomKey is what makes two atoms one.
type atomKey struct {
	field int32
	op    rule.Operator
	cased bool
	text  string
}

// Compile prepares rules that Load found right. Disabled rules are left out.
func Compile(rules []*rule.Rule) *Set {
	c := &compiler{
		Set: &Set{}, fields: map[string]int32{},
		atoms: map[atomKey]int32{}, popular: map[witness]int{},
	}
	for _, r := range rules {
		if !r.Disabled() {
			c.add(r)
		}
	}
	c.file()
	c.Set.fields = newNames(c.fields, func(int32) bool { return true })
	c.watched = newNames(c.fields, func(id int32) bool { return !c.index[id].idle() })
	c.members, c.watchedMembers = newMembers(&c.Set.fields), newMembers(&c.watched)
	return c.Set
}

type compiler struct {
	*Set
	fields  map[string]int32
	atoms   map[atomKey]int32
	popular map[witness]int
}

func (c *compiler) field(name string) int32 {
	id, ok := c.fields[name]
	if !ok {
		id = int32(len(c.fields))
		c.fields[name] = id
	}
	return id
}

func (c *compiler) add(r *rule.Rule) {
	p := &program{rule: r, key: r.ID + "|" + r.Hash + "|"}
	p.root = c.node(r.When)
	switch {
	case r.Threshold != nil:
		for _, name := range r.Threshold.GroupBy {
			p.group = append(p.group, c.field(name))
		}
		p.maxStamps, p.maxBodies = bounds(r.Threshold)
	case r.Suppress != nil:
		names := r.Suppress.GroupBy
		if len(names) == 0 {
			names = entityNames
		}
		for _, name := range names {
			p.group = append(p.group, c.field(name))
		}
	}
	c.rules = append(c.rules, p)
}

// node compiles a condition; a comparison with several values is any of them.
func (c *compiler) node(e *rule.Expr) node {
	if e.Op != rule.OpMatch {
		n := node{op: e.Op}
		for _, s := range e.Subs {
			n.subs = append(n.subs, c.node(s))
		}
		// What is decided for little comes first.
		slices.SortStableFunc(n.subs, func(a, b node) int { return c.effort(&a) - c.effort(&b) })
		return n
	}
	m := e.Match
	if m.Operator == rule.Exists {
		return node{atom: c.atom(m, -1)}
	}
	if len(m.Values) == 1 {
		return node{atom: c.atom(m, 0)}
	}
	n := node{op: rule.OpAny}
	for i := range m.Values {
		n.subs = append(n.subs, node{atom: c.atom(m, i)})
	}
	return n
}

// effort tells roughly what it costs to decide a condition.
func (c *compiler) effort(n *node) int {
	if n.op != rule.OpMatch {
		sum := 0
		for i := range n.subs {
			sum += c.effort(&n.subs[i])
		}
		return sum
	}
	switch c.Set.atoms[n.atom].op {
	case rule.Regex:
		return 20
	case rule.Contains:
		return 4
	case rule.Greater, rule.GreaterEqual, rule.Less, rule.LessEqual, rule.CIDR:
		return 2
	}
	return 1
}

// atom returns the number of the atom of the i-th value of m.
func (c *compiler) atom(m *rule.Match, i int) int32 {
	a := atom{field: c.field(m.Field), op: m.Operator, cased: m.CaseSensitive}
	if i >= 0 {
		a.text = m.Values[i]
	}
	switch m.Operator {
	case rule.Equals, rule.Contains, rule.StartsWith, rule.EndsWith:
		if !a.cased {
			a.pattern = newPattern(foldString(a.text))
		}
	case rule.Regex:
		a.re = m.Regexps[i]
		a.text = a.re.String()
	case rule.Greater, rule.GreaterEqual, rule.Less, rule.LessEqual:
		a.number = m.Numbers[i]
		a.text = strconv.FormatFloat(a.number, 'g', -1, 64)
	case rule.CIDR:
		a.prefix = m.Prefixes[i]
		a.text = a.prefix.String()
	}
	key := atomKey{a.field, a.op, a.cased, a.text}
	id, ok := c.atoms[key]
	if !ok {
		id = int32(len(c.Set.atoms))
		c.atoms[key] = id
		c.Set.atoms = append(c.Set.atoms, a)
	}
	return id
}

// file puts every rule under its witness.
func (c *compiler) file() {
	for _, p := range c.rules {
		seen := map[witness]bool{}
		c.count(p.root, seen)
		for w := range seen {
			c.popular[w]++
		}
	}
	c.index = make([]fieldIndex, len(c.fields))
	exacts := make([]map[string][]int32, len(c.fields))
	needles := make([]map[string][]int32, len(c.fields))
	enter := func(texts *map[string][]int32, text string, number int32) {
		if *texts == nil {
			*texts = map[string][]int32{}
		}
		(*texts)[text] = append((*texts)[text], number)
	}
	for i, p := range c.rules {
		number := int32(i)
		witnesses, _ := c.witness(p.root)
		if witnesses == nil {
			c.always = append(c.always, number)
			continue
		}
		for _, w := range dedupe(witnesses) {
			switch w.kind {
			case exact:
				enter(&exacts[w.field], w.text, number)
			case substring:
				enter(&needles[w.field], w.text, number)
			default:
				f := &c.index[w.field]
				f.present = append(f.present, number)
			}
		}
	}
	for i := range c.index {
		c.index[i].exact = newExactIndex(exacts[i])
		c.index[i].scanner = newScanner(needles[i], c.needles)
		c.needles += len(needles[i])
	}
}

func dedupe(list []witness) []witness {
	seen := make(map[witness]bool, len(list))
	out := list[:0:0]
	for _, w := range list {
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// eval decides a condition for the event in the view.
func (m *matcher) eval(n *node) bool {
	switch n.op {
	case rule.OpAll:
		for i := range n.subs {
			if !m.eval(&n.subs[i]) {
				return false
			}
		}
		return true
	case rule.OpAny:
		for i := range n.subs {
			if m.eval(&n.subs[i]) {
				return true
			}
		}
		return false
	case rule.OpNot:
		return !m.eval(&n.subs[0])
	}
	return m.holds(n.atom)
}

// holds decides an atom, once per event.
func (m *matcher) holds(id int32) bool {
	if m.atomStamp[id] == m.epoch {
		return m.atomValue[id]
	}
	m.atomStamp[id] = m.epoch
	a := &m.set.atoms[id]
	got := m.stamp[a.field] == m.epoch && m.compare(a)
	m.atomValue[id] = got
	return got
}

// compare applies an atom to a field that is present.
func (m *matcher) compare(a *atom) bool {
	switch a.op {
	case rule.Exists:
		return true
	case rule.Regex:
		return a.re.MatchString(m.value[a.field])
	case rule.CIDR:
		return inPrefix(a.prefix, m.value[a.field])
	case rule.Greater, rule.GreaterEqual, rule.Less, rule.LessEqual:
		n, ok := m.num(a.field)
		return ok && ordered(a.op, cmp.Compare(n, a.number))
	}
	s := m.value[a.field]
	if a.cased {
		return fits(a.op, s, a.text)
	}
	if m.foldStamp[a.field] != m.epoch {
		if found, sure := a.fits(s); sure {
			return found
		}
	}
	return fits(a.op, m.lower(a.field), a.text)
}

func ordered(op rule.Operator, c int) bool {
	switch op {
	case rule.Greater:
		return c > 0
	case rule.GreaterEqual:
		return c >= 0
	case rule.Less:
		return c < 0
	}
	return c <= 0
}
