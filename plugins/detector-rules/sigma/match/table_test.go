package match

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// many is an event of several products.
type many struct {
	products []int
	text     string
}

func (e many) Sources(s *Scratch) {
	for _, p := range e.products {
		s.Source(sigma.LogSource{Product: fmt.Sprint("p", p)})
	}
}

func (e many) Values(s *Scratch) { s.Text("A", e.text) }

// perProduct makes a rule for each of n products, which all look for the same text.
func perProduct(t *testing.T, n int) *Matcher {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\ntitle: t\nid: r%d\nlogsource: {product: p%d}\ndetection: {s: {'A|contains': evil text, B: null}, t: {'A|endswith': '%d'}, condition: s or t}\n", i, i, i)
	}
	got := sigma.Parse("rules.yml", []byte(text.String()), sigma.Options{})
	if len(got.Problems) != 0 {
		t.Fatalf("got %v", got.Problems)
	}
	return Compile(got.Rules)
}

// Whoever writes events may have them belong to any log sources. The tables that are
// made for combinations stay within a bound, and rules hold all the same.
func TestCombinationsAreBounded(t *testing.T) {
	const products = 12
	m := perProduct(t, products)
	s := m.NewScratch()
	all, largest := 0, 0
	for _, f := range m.filings {
		all += 1 + len(f)
	}
	for set := 1; set < 1<<products; set += 7 {
		e := many{text: "some EVIL text"}
		var want []int32
		for i := range products {
			if set>>i&1 != 0 {
				e.products, want = append(e.products, i), append(want, int32(i))
			}
		}
		if got := s.Match(e); !slices.Equal(got, want) {
			t.Fatalf("products %v: got %v, want %v", e.products, got, want)
		}
		e.text = fmt.Sprint("harmless ", e.products[0])
		if got := s.Match(e); !slices.Contains(got, int32(e.products[0])) {
			t.Fatalf("products %v: got %v, want %d among them", e.products, got, e.products[0])
		}
		largest = max(largest, len(s.at.tables))
	}
	if m.merged > maxMerged*all {
		t.Errorf("got %d sources and needles in tables of several sources, want at most %d", m.merged, maxMerged*all)
	}
	if largest < 2 {
		t.Error("the bound was not reached")
	}
	if len(m.combinations) > maxMerged*all+products+1 {
		t.Errorf("got %d combinations", len(m.combinations))
	}
}

// A text that decides a test makes nobody read a value in smaller steps.
func TestHintsDoNotShortenSteps(t *testing.T) {
	got := sigma.Parse("rules.yml", []byte(`
title: t
id: r
logsource: {product: p}
detection:
  s: {'A|contains': a witness that is long}
  t: {'A|contains': ['xqzj', 'another that is long']}
  condition: s and not t
`), sigma.Options{})
	m := Compile(got.Rules)
	s := m.NewScratch()
	for text, want := range map[string]int{
		"has a witness that is long":                           1,
		"has a witness that is long and xqzj":                  0,
		"has a witness that is long, another that is long too": 0,
	} {
		if got := s.Match(value1(text)); len(got) != want {
			t.Errorf("%q: got %d hits, want %d", text, len(got), want)
		}
	}
	index := &s.only.index[s.only.local[m.Field("A")]]
	if index.grams.step != longestStep {
		t.Errorf("got steps of %d, want %d", index.grams.step, longestStep)
	}
}
