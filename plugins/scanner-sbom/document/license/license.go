package license

import (
	_ "embed" // the lists
	"strings"
	"sync"
)

// A Kind says in what way a licence may be written into a document.
type Kind int

// The kinds.
const (
	// None is what says that nothing is known: "", "NONE", "NOASSERTION".
	None Kind = iota
	// Name is any text that is not of SPDX.
	Name
	// ID is an identifier that every published list has from version 3.17 on, and
	// so every validator of CycloneDX knows.
	ID
	// Expression is a valid SPDX expression, or a lone identifier that younger
	// lists alone have.
	Expression
)

// License is a licence as a document may say it.
type License struct {
	Kind Kind
	// Text is the canonical form of identifiers and expressions (SPDX compares
	// without regard to case), and for a name what was declared.
	Text string
	// Compound is true for an expression with AND or OR outside of parentheses.
	Compound bool
	// Refs are the LicenseRef- identifiers that an expression has. A document of SPDX
	// must say what they mean.
	Refs []string
}

const (
	// maxExpression is how long an expression may be, in bytes, and maxDepth how
	// deep its parentheses: what is beyond is a name. Real ones have below 1 KiB
	// and three levels.
	maxExpression = 8 << 10
	maxDepth      = 32
)

// Parse tells what a declared licence is. It never fails: what SPDX does not know is
// a name.
func Parse(declared string) License {
	text := strings.TrimSpace(declared)
	if Unknown(text) {
		return License{}
	}
	if known, ok := lists().licenses[fold(text)]; ok {
		if known.settled {
			return License{Kind: ID, Text: known.id}
		}
		return License{Kind: Expression, Text: known.id}
	}
	if len(text) <= maxExpression {
		p := parser{rest: text, lists: lists()}
		if p.expression(0) && p.next() == "" && p.rest == "" {
			return License{Kind: Expression, Text: p.out.String(), Compound: p.compound, Refs: p.refs}
		}
	}
	return License{Kind: Name, Text: declared}
}

// Unknown is true for the words that say that nothing is known of a licence.
func Unknown(text string) bool {
	return text == "" || text == "NONE" || text == "NOASSERTION"
}

var (
	//go:embed settled.txt
	settled string
	//go:embed recent.txt
	recent string
	//go:embed exceptions.txt
	exceptions string
)

type identifier struct {
	id      string
	settled bool
}

type index struct {
	licenses   map[string]identifier
	exceptions map[string]string
}

// lists are made when the first licence is asked for: most trees have none.
var lists = sync.OnceValue(func() *index {
	x := &index{licenses: map[string]identifier{}, exceptions: map[string]string{}}
	for id := range strings.FieldsSeq(settled) {
		x.licenses[fold(id)] = identifier{id, true}
	}
	for id := range strings.FieldsSeq(recent) {
		x.licenses[fold(id)] = identifier{id, false}
	}
	for id := range strings.FieldsSeq(exceptions) {
		x.exceptions[fold(id)] = id
	}
	return x
})

// fold returns the form under which identifiers are compared. They are ASCII: a
// letter of another script that folds to an ASCII one is none of theirs.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
