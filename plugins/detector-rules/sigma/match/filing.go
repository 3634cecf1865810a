package match

import (
	"cmp"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// file puts every rule under its witness.
func (c *compiler) file() {
	c.index = make([]fieldIndex, 1)
	c.local = make([][]int32, len(c.sources))
	for i := range c.local {
		c.local[i] = make([]int32, len(c.names))
	}
	c.always = make([][]int32, len(c.sources))
	c.keyworded = make([]bool, len(c.sources))
	rulesOf := map[placed][]int32{}
	for i, root := range c.tops {
		number, source := int32(i), c.source[i]
		list := c.choose(root).list
		if list == nil {
			c.always[source] = append(c.always[source], number)
			continue
		}
		for _, w := range list {
			w := placed{source, w}
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
			f := &c.index[c.indexOf(w)]
			f.from, f.upto, f.witnesses = from, upto, true
			continue
		}
		n := &c.needles[c.needle(w)]
		n.from, n.upto = from, upto
		if upto == from+1 {
			n.only = c.postings[from]
		}
	}
}

func sortedWitnesses[V any](of map[placed]V) []placed {
	out := make([]placed, 0, len(of))
	for w := range of {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.field, b.field), cmp.Compare(a.where, b.where), cmp.Compare(a.text, b.text))
	})
	return out
}

// indexOf returns the number of the index that a witness belongs to.
func (c *compiler) indexOf(w placed) int32 {
	id := &c.local[w.source][w.field]
	if *id == 0 {
		*id = int32(len(c.index))
		c.index = append(c.index, fieldIndex{})
	}
	return *id
}

// needle returns the number of the needle of a witness.
func (c *compiler) needle(w placed) int32 {
	id, ok := c.needleIDs[w]
	if !ok {
		id = int32(len(c.needles))
		c.needleIDs[w] = id
		c.needles = append(c.needles, needle{text: w.text, atom: nothing, only: nothing})
	}
	return id
}

// decide makes needles decide the atoms that they are. Texts that are no witness
// become needles too where a value is read for others anyway: finding one that is
// there costs little, and asking for one that is not costs a pass over the value.
func (c *compiler) decide() {
	type place struct {
		source, field int32
		where         shape
	}
	read := map[place]bool{}
	for w := range c.needleIDs {
		p := place{w.source, w.field, w.where}
		read[p] = read[p] || w.where != inside || len(w.text) >= span
	}
	for _, u := range c.uses() {
		w, decides := c.textWitness(u.atom)
		if !decides {
			continue
		}
		_, ok := c.needleIDs[placed{u.source, w}]
		rare := w.where != inside || len(w.text) >= span && !isCommon(w.text)
		if ok || rare && w.field != everything && read[place{u.source, w.field, w.where}] {
			c.needles[c.needle(placed{u.source, w})].atom = u.atom
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

// build makes the tables that find needles.
func (c *compiler) build() {
	c.number()
	for _, w := range sortedWitnesses(c.needleIDs) {
		c.take(c.indexOf(w), w.witness, c.needleIDs[w])
	}
	for i := range c.index {
		c.finish(int32(i))
	}
}

// number numbers the needles anew, so that those that lie at an end of a value and
// have the same hash follow each other, and files them.
func (c *compiler) number() {
	list := sortedWitnesses(c.needleIDs)
	hashes := make(map[placed]uint64, len(list))
	for _, w := range list {
		switch index := c.indexOf(w); w.where {
		case prefix:
			hashes[w] = hashPiece(index, w.where, w.text[:1<<pieceOf(w.text)])
		case suffix:
			hashes[w] = hashPiece(index, w.where, w.text[len(w.text)-1<<pieceOf(w.text):])
		case whole:
			hashes[w] = hashPiece(index, w.where, w.text)
		}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(hashes[a], hashes[b]) })
	needles, ids := make([]needle, len(list)), make(map[placed]int32, len(list))
	var filed []anchor
	for i, w := range list {
		needles[i], ids[w] = c.needles[c.needleIDs[w]], int32(i)
		h, anchored := hashes[w]
		if !anchored {
			continue
		}
		if n := len(filed); n == 0 || filed[n-1].hash != h {
			filed = append(filed, anchor{h, uint32(i), uint32(i)})
		}
		filed[len(filed)-1].upto++
	}
	c.needles, c.needleIDs = needles, ids
	c.anchored = newAnchors(filed)
}
