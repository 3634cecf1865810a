package match

import (
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// file puts every rule under its witness.
func (c *compiler) file() {
	c.always = make([][]int32, len(c.sources))
	c.keyworded = make([]bool, len(c.sources))
	c.filed = make([]map[witness]*filing, len(c.sources))
	for i := range c.filed {
		c.filed[i] = map[witness]*filing{}
	}
	for i, root := range c.tops {
		number, source := int32(i), c.source[i]
		list := c.choose(root).list
		if list == nil {
			c.always[source] = append(c.always[source], number)
			continue
		}
		for _, w := range list {
			f := c.filing(source, w)
			if len(f.rules) == 0 || f.rules[len(f.rules)-1] != number {
				f.rules = append(f.rules, number)
			}
			if !slices.Contains(c.witnessed, w.field) {
				c.witnessed = append(c.witnessed, w.field)
			}
		}
	}
}

// filing returns what is filed under a witness for rules of a source.
func (c *compiler) filing(source int32, w witness) *filing {
	f := c.filed[source][w]
	if f == nil {
		f = &filing{witness: w, atom: nothing}
		c.filed[source][w] = f
	}
	return f
}

// decide makes needles decide the atoms that they are. Texts that are no witness
// become needles too where a value is read for others anyway: finding one that is
// there costs little, and asking for one that is not costs a pass over the value. But
// no value is read in smaller steps, or at more pieces, for their sake.
func (c *compiler) decide() {
	type place struct {
		source, field int32
		where         shape
	}
	type reading struct {
		// least is the length of the shortest text inside, up to what makes a
		// difference, pieces those by which texts at an end are filed.
		least  int
		pieces uint8
	}
	read := map[place]reading{}
	for source, filed := range c.filed {
		for w := range filed {
			p := place{int32(source), w.field, w.where}
			r, ok := read[p]
			switch {
			case w.where == prefix, w.where == suffix:
				r.pieces |= 1 << pieceOf(w.text)
			case w.where != inside:
			case len(w.text) < span:
				continue
			case !ok:
				r.least = min(len(w.text), longestStep+span-1)
			default:
				r.least = min(r.least, len(w.text))
			}
			read[p] = r
		}
	}
	suits := func(source int32, w witness) bool {
		r, ok := read[place{source, w.field, w.where}]
		switch {
		case !ok || w.field == everything:
			return false
		case w.where == inside:
			return len(w.text) >= r.least && !isCommon(w.text)
		case w.where == whole:
			return true
		}
		return r.pieces>>pieceOf(w.text)&1 != 0
	}
	for _, u := range c.uses() {
		w, decides := c.textWitness(u.atom)
		if !decides {
			continue
		}
		if c.filed[u.source][w] != nil || suits(u.source, w) {
			c.filing(u.source, w).atom = u.atom
			c.decided[u] = true
			c.atoms[u.atom].found = true
		}
	}
}

// uses returns which atoms the rules of each source ask, and notes which sources
// have rules that look at the whole event.
func (c *compiler) uses() []use {
	var out []use
	type part struct{ source, node int32 }
	seen, noted := map[part]bool{}, map[use]bool{}
	var walk func(part)
	walk = func(p part) {
		if seen[p] {
			return
		}
		seen[p] = true
		n := &c.nodes[p.node]
		if u := (use{p.source, n.atom}); n.op == sigma.Leaf && !noted[u] {
			noted[u] = true
			out = append(out, u)
			c.keyworded[p.source] = c.keyworded[p.source] || c.atoms[n.atom].field == everything
		}
		for _, s := range n.subs {
			walk(part{p.source, s})
		}
	}
	for i, root := range c.tops {
		walk(part{c.source[i], root})
	}
	return out
}

// lay puts the filings in order: it makes two compilations of the same rules alike.
func (c *compiler) lay() {
	c.filings = make([][]filing, len(c.filed))
	for source, filed := range c.filed {
		list := make([]filing, 0, len(filed))
		for _, f := range filed {
			list = append(list, *f)
		}
		slices.SortFunc(list, func(a, b filing) int { return compareWitnesses(a.witness, b.witness) })
		c.filings[source] = list
	}
}
