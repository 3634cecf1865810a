package engine

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
)

// witness is something that must be in an event if an atom holds: the field
// with exactly this folded text, the field with this folded text in it, or the
// field at all.
type witness struct {
	field int32
	kind  witnessKind
	text  string
}

type witnessKind uint8

const (
	exact witnessKind = iota
	substring
	presence
)

// What a witness costs beside the number of rules that share it: a map lookup
// is cheaper than a scan, a text shorter than a window of its field's sieve
// makes it look at every byte, a still shorter one is looked for alone, and
// presence tells nearly nothing.
const (
	costSubstring = 0.5
	costMiddle    = 1
	costShort     = 16
	costPresence  = 1e6
)

// atomWitness returns the witnesses of an atom, of which one must be there.
func (c *compiler) atomWitness(id int32) []witness {
	a := &c.Set.atoms[id]
	switch a.op {
	case rule.Equals:
		return []witness{{a.field, exact, foldString(a.text)}}
	case rule.Contains, rule.StartsWith, rule.EndsWith:
		return []witness{{a.field, substring, foldString(a.text)}}
	case rule.Regex:
		tree, err := syntax.Parse(a.re.String(), syntax.Perl)
		if err != nil {
			break
		}
		if texts := required(tree); texts != nil {
			out := make([]witness, len(texts))
			for i, t := range texts {
				out[i] = witness{a.field, substring, foldString(t)}
			}
			return out
		}
	}
	return []witness{{a.field, presence, ""}}
}

// count notes which witnesses a rule could use.
func (c *compiler) count(n node, seen map[witness]bool) {
	switch n.op {
	case rule.OpMatch:
		for _, w := range c.atomWitness(n.atom) {
			seen[w] = true
		}
	case rule.OpAll, rule.OpAny:
		for _, s := range n.subs {
			c.count(s, seen)
		}
	}
}

// witness returns what must be in an event if the condition holds, and its
// cost: the cheapest part of a conjunction, all parts of a disjunction, nil for
// a negation.
func (c *compiler) witness(n node) ([]witness, float64) {
	switch n.op {
	case rule.OpMatch:
		list := c.atomWitness(n.atom)
		return list, c.cost(list)
	case rule.OpAll:
		var best []witness
		var bestCost float64
		for _, s := range n.subs {
			list, cost := c.witness(s)
			if list != nil && (best == nil || cost < bestCost) {
				best, bestCost = list, cost
			}
		}
		return best, bestCost
	case rule.OpAny:
		var all []witness
		var sum float64
		for _, s := range n.subs {
			list, cost := c.witness(s)
			if list == nil {
				return nil, 0
			}
			all, sum = append(all, list...), sum+cost
		}
		return all, sum
	}
	return nil, 0
}

func (c *compiler) cost(list []witness) float64 {
	sum := 0.0
	for _, w := range list {
		sum += float64(c.popular[w])
		switch {
		case w.kind == presence:
			sum += costPresence
		case w.kind == substring && len(w.text) < window(meshes[2]):
			sum += costShort
		case w.kind == substring && len(w.text) < window(meshes[1]):
			sum += costMiddle + costSubstring + 1/float64(len(w.text))
		case w.kind == substring:
			sum += costSubstring + 1/float64(len(w.text))
		}
	}
	return sum
}

// required returns texts of which one is in every match of the pattern, nil
// when none can be told. Case does not count in them.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		s := string(re.Rune)
		if strings.ContainsRune(s, utf8.RuneError) {
			return nil
		}
		return []string{s}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, s := range re.Sub {
			if texts := required(s); texts != nil && (best == nil || shortest(texts) > shortest(best)) {
				best = texts
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, s := range re.Sub {
			texts := required(s)
			if texts == nil || len(all)+len(texts) > 64 {
				return nil
			}
			all = append(all, texts...)
		}
		return all
	}
	return nil
}

func shortest(texts []string) int {
	n := len(texts[0])
	for _, t := range texts {
		n = min(n, len(t))
	}
	return n
}
