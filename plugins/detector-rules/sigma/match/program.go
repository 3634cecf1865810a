package match

import (
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// step is one question of a program, and the steps that follow its answers. So a
// condition is read from one end of memory to the other, each atom at most once,
// and nothing else.
type step struct {
	// what is an atom, times two, plus one if looking for needles has decided it;
	// or ^what is a program.
	what            int32
	onTrue, onFalse int32
}

// The ends of a program.
const (
	accept = -1
	reject = -2
)

// assembler writes programs.
type assembler struct {
	*compiler
	// leaves counts the atoms below each node, up to a bound.
	leaves []int
	// apart has the programs of nodes that have one of their own for rules of a
	// source.
	apart map[use]int32
	// source and implied are those of the rule at hand: implied is a part of it
	// that needs no step.
	source, implied int32
}

// nothing is the number of no node.
const nothing = -1

// smallNode is up to how many atoms a condition is repeated wherever it is part of
// another; larger ones that are shared are programs, whose result is remembered.
const smallNode = 4

// assemble writes the programs of all rules. Nodes come after those below them.
func (c *compiler) assemble() {
	a := &assembler{compiler: c, leaves: make([]int, len(c.nodes)), apart: map[use]int32{}}
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.op == sigma.Leaf {
			a.leaves[i] = 1
		}
		for _, s := range n.subs {
			a.leaves[i] = min(a.leaves[i]+a.leaves[s], 1<<30)
		}
	}
	for i, root := range c.tops {
		a.source, a.implied = c.source[i], nothing
		a.share(root)
		// A candidate has been nominated by a witness: what holds exactly if there
		// is one need not be asked again.
		if by := c.choose(root); by.list != nil && by.decides {
			a.implied = by.node
		}
		c.roots = append(c.roots, a.write(root, accept, reject, false))
	}
}

// share writes the programs of what a node has in common with others.
func (a *assembler) share(id int32) {
	n := &a.nodes[id]
	key := use{a.source, id}
	if _, ok := a.apart[key]; ok || n.op == sigma.Leaf {
		return
	}
	for _, s := range n.subs {
		a.share(s)
	}
	if n.shared && a.leaves[id] > smallNode {
		start := a.write(id, accept, reject, true)
		a.apart[key] = int32(len(a.programs))
		a.programs = append(a.programs, start)
	}
}

// write appends the steps of a node, the last first, and returns where they start.
func (a *assembler) write(id, onTrue, onFalse int32, inside bool) int32 {
	if id == a.implied {
		return onTrue
	}
	n := &a.nodes[id]
	if program, ok := a.apart[use{a.source, id}]; ok && !inside {
		return a.add(step{^program, onTrue, onFalse})
	}
	switch n.op {
	case sigma.Leaf:
		what := n.atom << 1
		if a.decided[use{a.source, n.atom}] {
			what |= 1
		}
		return a.add(step{what, onTrue, onFalse})
	case sigma.Not:
		return a.write(n.subs[0], onFalse, onTrue, false)
	}
	next := onTrue
	if n.op == sigma.Or {
		next = onFalse
	}
	for _, sub := range slices.Backward(n.subs) {
		if n.op == sigma.And {
			next = a.write(sub, next, onFalse, false)
		} else {
			next = a.write(sub, onTrue, next, false)
		}
	}
	return next
}

func (a *assembler) add(s step) int32 {
	a.steps = append(a.steps, s)
	return int32(len(a.steps) - 1)
}

// run decides the condition that starts at a step.
func (s *Scratch) run(at int32) bool {
	steps := s.m.steps
	for at >= 0 {
		q := &steps[at]
		var holds bool
		switch {
		case q.what < 0:
			holds = s.recall(^q.what)
		case q.what&1 != 0:
			holds = s.atomState[q.what>>1] == s.epoch|yes
		default:
			holds = s.holds(q.what >> 1)
		}
		if at = q.onFalse; holds {
			at = q.onTrue
		}
	}
	return at == accept
}

// recall runs a program, once per event.
func (s *Scratch) recall(number int32) bool {
	switch s.programState[number] {
	case s.epoch:
		return false
	case s.epoch | yes:
		return true
	}
	got := s.run(s.m.programs[number])
	s.programState[number] = s.state(got)
	return got
}

// yes is the bit of a state that says that something holds. The others are the
// epoch in which that was found.
const yes = 1

func (s *Scratch) state(holds bool) uint32 {
	if holds {
		return s.epoch | yes
	}
	return s.epoch
}
