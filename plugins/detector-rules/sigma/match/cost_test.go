package match

import (
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// oneField is an event of one field.
type oneField struct{ text string }

func (oneField) Sources(s *Scratch)  { s.Source(sigma.LogSource{Category: "c"}) }
func (e oneField) Values(s *Scratch) { s.Text("a", e.text) }

// TestCost: events that are timed give what others give, and a rule that never is a
// candidate costs nothing.
func TestCost(t *testing.T) {
	const rules = `
title: heavy
logsource: {category: c}
detection: {s: {a|re: 'x(a|b|ab)*y$'}, condition: s}
---
title: never
logsource: {category: c}
detection: {s: {a|contains: unheard}, condition: s}
`
	loaded := sigma.Parse("r.yaml", []byte(rules), sigma.Options{})
	if len(loaded.Rules) != 2 {
		t.Fatal(loaded.Problems)
	}
	s := Compile(loaded.Rules).NewScratch()
	e := oneField{"x" + strings.Repeat("ab", 4000) + "y"}
	for i := range 4 * sampleEvery {
		if got := s.Match(e); len(got) != 1 || got[0] != 0 {
			t.Fatalf("event %d: got %v, want rule 0", i, got)
		}
	}
	if s.Cost(0) <= 0 || s.Cost(1) != 0 {
		t.Errorf("got costs %v and %v, want some and none", s.Cost(0), s.Cost(1))
	}
}
