package match

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// witness is something that must be in an event if a rule holds: a folded text at
// a place of a field, or the field at all (anything).
type witness struct {
	field int32
	where shape
	text  string
}

// choice is what has been chosen for a node: a list of witnesses of which one must
// be there, nil when none can be told, and its cost.
type choice struct {
	list []witness
	cost float64
	// node is the part that they are of, and decides says that it holds exactly if
	// one of them is there.
	node    int32
	decides bool
}

// What a witness costs beside the number of rules that share it, which says
// something of how common it is among events: a look-up is cheaper than a scan,
// long texts are rarer than short ones, parts of common texts are common, a text
// too short for a piece is looked for alone, and presence tells nearly nothing.
const (
	costWhole    = 0.2
	costEnd      = 0.3
	costInside   = 0.5
	costShort    = 20
	costCommon   = 60
	costPresence = 1000
	costWord     = 0.1
	// longestList bounds how many witnesses a rule may have.
	longestList = 20_000
	// shortName is the length from which on a whole value is as common as a part.
	shortName = 5
)

// textWitness returns the witness of an atom that compares text. decides says that
// the atom holds exactly if the witness is there. The text is empty when there is
// none.
func (c *compiler) textWitness(id int32) (w witness, decides bool) {
	a := &c.atoms[id]
	if a.kind != sigma.IsText {
		return witness{}, false
	}
	switch {
	case a.shape == anything, a.field == everything && strings.IndexByte(a.literal, separator) >= 0:
		return witness{}, false
	case a.shape == complex:
		best := witness{}
		for _, l := range a.more.complex.literals() {
			w := witness{a.field, l.where, foldString(l.text)}
			if a.field == everything && strings.IndexByte(w.text, separator) >= 0 {
				continue
			}
			if best.text == "" || costOf(w) < costOf(best) {
				best = w
			}
		}
		return best, false
	}
	return witness{a.field, a.shape, foldString(a.literal)}, !a.cased
}

// witnesses returns those of an atom, of which one must be there; nil when none
// can be told.
func (c *compiler) witnesses(id int32) []witness {
	a := &c.atoms[id]
	switch a.kind {
	case sigma.IsNull:
		return nil
	case sigma.IsText:
		if w, _ := c.textWitness(id); w.text != "" || a.shape == whole {
			return []witness{w}
		}
	case sigma.IsMatch:
		if a.more.required != nil {
			out := make([]witness, len(a.more.required))
			for i, text := range a.more.required {
				out[i] = witness{a.field, inside, text}
			}
			return out
		}
	}
	if a.field == everything {
		return nil
	}
	return []witness{{a.field, anything, ""}}
}

// count notes for every witness how many rules could use it.
func (c *compiler) count() {
	for _, root := range c.tops {
		visited, seen := map[int32]bool{}, map[witness]bool{}
		var walk func(int32)
		walk = func(id int32) {
			if visited[id] {
				return
			}
			visited[id] = true
			switch n := &c.nodes[id]; n.op {
			case sigma.Leaf:
				for _, w := range c.witnesses(n.atom) {
					if !seen[w] {
						seen[w] = true
						c.popular[w]++
					}
				}
			case sigma.And, sigma.Or:
				for _, s := range n.subs {
					walk(s)
				}
			}
		}
		walk(root)
	}
}

// choose returns what must be in an event if the condition holds: the cheapest
// part of a conjunction, all parts of a disjunction, nothing of a negation.
func (c *compiler) choose(id int32) choice {
	if known, ok := c.chosen[id]; ok {
		return known
	}
	n := &c.nodes[id]
	out := choice{node: id}
	switch n.op {
	case sigma.Leaf:
		_, out.decides = c.textWitness(n.atom)
		out.list = c.witnesses(n.atom)
		for _, w := range out.list {
			out.cost += c.cost(w)
		}
	case sigma.And:
		for _, s := range n.subs {
			if part := c.choose(s); part.list != nil && (out.list == nil || part.cost < out.cost) {
				out = part
			}
		}
	case sigma.Or:
		out.decides = true
		for _, s := range n.subs {
			part := c.choose(s)
			if part.list == nil || len(out.list)+len(part.list) > longestList {
				out = choice{}
				break
			}
			out.list, out.cost = append(out.list, part.list...), out.cost+part.cost
			out.decides = out.decides && part.decides && part.node == s
		}
	}
	c.chosen[id] = out
	return out
}

// cost is that of a witness with the rules that could share it.
func (c *compiler) cost(w witness) float64 { return float64(c.popular[w]) + costOf(w) }

// costOf is the cost of a witness for one rule.
func costOf(w witness) float64 {
	length, cost := float64(len(w.text)), 0.0
	switch w.where {
	case whole:
		cost = costWhole
	case prefix, suffix:
		cost = costEnd + 2/length
		if len(w.text) < 2 {
			cost += costShort
		}
	case anything:
		return costPresence
	default:
		cost = costInside + 4/length
		if len(w.text) < span {
			cost += costShort
		}
	}
	switch {
	case !isCommon(w.text):
	case w.where == whole && len(w.text) < shortName:
		// Words are parts of many texts, and seldom all of one.
		cost += costWord
	default:
		cost += costCommon
	}
	return cost
}
