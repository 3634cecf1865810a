// Package match finds the Sigma rules that hold for an event, at a cost that
// hardly depends on how many rules there are.
//
//	m := match.Compile(loaded.Rules)
//	s := m.NewScratch() // one for each goroutine
//	for _, number := range s.Match(event) {
//		... m.Rule(number)
//	}
//
// # How
//
// Equal tests of all rules become one atom. Every rule has a witness: texts of
// which one must be in an event if the rule holds (of an and the cheapest part, of
// an or all parts, of a not none), and it is filed under them. A value is folded
// once and looked up: whole, at its ends, and inside. What is inside is found by
// four of its bytes, the rarest, in a bit map, at every fourth place when all
// texts are long enough; short texts have a table by two bytes. A text that is
// found nominates its rules, if the event belongs to their log source, and decides
// the atom that it is. Then the conditions of the nominated rules are decided,
// each atom and each shared part at most once per event. Regular expressions are
// only run for nominated rules, on values that have what every match has.
//
// A rule without witness is a candidate for every event of its log source; SigmaHQ
// has few.
//
// # Concurrency and ownership
//
// A Matcher is immutable and shared; a Scratch is for one goroutine. Match keeps
// nothing of an event, and the texts of an event must not change while it runs.
//
// # Memory
//
// A Scratch grows to the largest event that it has seen, a folded copy of its
// values, and stays that large.
package match
