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
// an or all parts, of a not none), and it is filed under them, by log source and
// field: an event pays for the rules of its own log sources alone. For each
// combination of log sources that events have there is one table with all that their
// rules look for, so that a value is looked at once. It is folded once and looked up:
// whole, at its ends, and inside. What is inside is found by four of its bytes, the
// rarest, in a bit map, at every place that the shortest text asked for makes
// necessary; texts of less than four bytes have a table by two, and one or two that are
// shorter than all others are looked for apart, if that makes fewer places. A value of which only
// texts inside are asked is not folded before one of these bytes is there. A text that
// is found nominates its rules, and decides the atom that it is; where a value is read
// anyway, texts that are no witness are found in the same pass, if that makes it no
// slower. Then
// the conditions of the nominated rules are decided, without the part that nominated
// them, each atom and each shared part at most once per event. Regular expressions
// are only run for nominated rules, on values that have what every match has.
//
// A rule without witness is a candidate for every event of its log source; SigmaHQ
// has few.
//
// # Concurrency and ownership
//
// A Matcher is shared; a Scratch is for one goroutine. Match keeps nothing of an event,
// and the texts of an event must not change while it runs.
//
// # Memory
//
// The table of a combination of log sources is made when an event first has it, which
// may take tens of milliseconds where thousands of rules are concerned. Who writes
// events may choose their log sources; so the tables of several sources have a bound
// in common, beyond which each source has its own.
//
// A Scratch grows to the largest event that it has seen, a folded copy of its
// values, and stays that large.
package match
