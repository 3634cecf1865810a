package match

import (
	"net/netip"
	"regexp"
	"sync"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Matcher is a compiled set of rules. It may be shared; what changes from event to
// event is in a Scratch.
type Matcher struct {
	rules []*sigma.Rule
	// sources are the log sources that rules name; source is the number of each
	// rule's.
	sources []sigma.LogSource
	source  []int32
	// roots are where the conditions of the rules start, and programs where those
	// do that rules share.
	roots, programs []int32
	steps           []step
	atoms           []atom
	// tests are the numbers of the atoms of all tests.
	tests map[*sigma.Test]int32
	// fields are the numbers of the names of fields. Number 0 is the whole event.
	fields names
	// filings are, by source, what its rules are found by.
	filings [][]filing
	// witnessed are the fields whose values may nominate rules.
	witnessed []int32
	// always are, by source, the rules that have no witness, and keyworded says
	// whether a rule of the source looks at the whole event.
	always    [][]int32
	keyworded []bool
	// none is the combination of no sources.
	none *combination

	// mu is for what follows: the combinations that events had so far, whose tables
	// are made when one is met first, by their sources; and how many sources and
	// needles those of several have together.
	mu           sync.Mutex
	combinations map[string]*combination
	merged       int
}

// everything is the number of the whole event among the fields.
const everything = 0

// Len returns the number of rules.
func (m *Matcher) Len() int { return len(m.rules) }

// Rule returns a rule by the number that Scratch.Match gives.
func (m *Matcher) Rule(i int32) *sigma.Rule { return m.rules[i] }

// node is a condition over atoms. Equal conditions of all rules are one node.
type node struct {
	op sigma.Op
	// shared says that the result is worth remembering.
	shared bool
	subs   []int32
	// atom is that of a Leaf.
	atom int32
}

// atom is a test that all rules share which ask the same. It is half a cache line:
// conditions jump from one to another.
type atom struct {
	kind  sigma.Kind
	cased bool
	// found says that looking for needles decides the atom for some source.
	found bool
	shape shape
	field int32
	// literal is the text of IsText when its shape is a simple one.
	literal string
	// more is what the other tests ask.
	more *question
}

// question is the part of a test that is no simple text.
type question struct {
	comparison sigma.Comparison
	part       sigma.TimePart
	other      int32
	complex    *glob
	number     float64
	re         *regexp.Regexp
	// required are folded texts of which one is in every match of re, and shortest
	// is how many bytes a match has at least.
	required []string
	shortest int
	// sequence are folded texts that every match of re has, one after the other.
	sequence []string
	// run is something else that every match has, nil when little is known.
	run     *bitap
	network netip.Prefix
}

// needle is a text whose presence in a field nominates rules. It is
// one cache line, which for most is all that is looked at.
type needle struct {
	// head is the beginning of text, so that a short one is at hand.
	head [24]byte
	text string
	// atom is the atom that the needle decides, -1 if it is only a hint.
	atom int32
	// only is the rule that it nominates when that is one; else it is -1, and from
	// and upto are the postings.
	only       int32
	from, upto int32
	_          [8]byte
}

// is reports whether the needle is a text.
func (n *needle) is(text string) bool {
	if len(text) != len(n.text) {
		return false
	}
	if len(text) <= len(n.head) {
		return string(n.head[:len(text)]) == text
	}
	return n.text == text
}
