package match

import (
	"slices"
	"time"
)

// sampleEvery says how many events that have candidates there are to one whose
// conditions are timed. It is a power of two.
const sampleEvery = 256

// costs are what the conditions of rules took in the events that were timed.
type costs struct {
	events uint32
	took   []time.Duration
}

// due reports whether the next event with candidates is to be timed.
func (c *costs) due() bool {
	c.events++
	return c.events&(sampleEvery-1) == 0
}

// timed decides the candidates, as Match does, and times each. What the clock takes
// itself is taken off.
func (s *Scratch) timed() []int32 {
	if s.costs.took == nil {
		s.costs.took = make([]time.Duration, len(s.m.rules))
	}
	before := time.Now()
	last := time.Now()
	clock := last.Sub(before)
	out := s.candidates[:0]
	for _, number := range s.candidates {
		if s.run(s.m.roots[number]) {
			out = append(out, number)
		}
		now := time.Now()
		s.costs.took[number] += max(now.Sub(last)-clock, 0)
		last = now
	}
	slices.Sort(out)
	return out
}

// Cost estimates for how long the condition of a rule was worked on in all events
// so far, from one event of sampleEvery. What finding the candidates takes is
// common to all rules and not in it.
func (s *Scratch) Cost(number int32) time.Duration {
	if s.costs.took == nil {
		return 0
	}
	return s.costs.took[number] * sampleEvery
}
