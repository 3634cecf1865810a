package match_test

import (
	"slices"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// sourced is an event of several products.
type sourced struct {
	products []string
	fields   event
}

func (e sourced) Sources(s *match.Scratch) {
	for _, product := range e.products {
		s.Source(sigma.LogSource{Product: product})
	}
}

func (e sourced) Values(s *match.Scratch) {
	for i := 0; i < len(e.fields); i += 2 {
		s.Text(e.fields[i], e.fields[i+1])
	}
}

// Rules of different log sources that ask the same are decided by those of the
// event, whether their own source looks for the text or asks for it in the end.
func TestSourcesShareTests(t *testing.T) {
	const rules = `
title: looks for it
id: a
logsource: {product: p}
detection: {s: {A|contains: some text}, condition: s}
---
title: asks for it
id: b
logsource: {product: q}
detection: {s: {B: x, A|contains: some text}, condition: s}
---
title: asks for its absence
id: c
logsource: {product: q}
detection: {s: {B: x}, t: {A|contains: some text}, condition: s and not t}
---
title: whole event
id: d
logsource: {product: p}
detection: {s: [some text], condition: s}
`
	got := sigma.Parse("rules.yml", []byte(rules), sigma.Options{})
	if len(got.Problems) != 0 {
		t.Fatalf("got %v", got.Problems)
	}
	m := match.Compile(got.Rules)
	s := m.NewScratch()
	with, without := event{"A", "There is Some Text", "B", "x"}, event{"A", "there is none", "B", "X"}
	for range 3 { // what one event leaves is no part of the next
		for _, c := range []struct {
			products []string
			fields   event
			want     []int32
		}{
			{[]string{"p"}, with, []int32{0, 3}},
			{[]string{"q"}, with, []int32{1}},
			{[]string{"p", "q"}, with, []int32{0, 1, 3}},
			{[]string{"q", "p"}, with, []int32{0, 1, 3}},
			{[]string{"r"}, with, nil},
			{[]string{"p"}, without, nil},
			{[]string{"q"}, without, []int32{2}},
			{[]string{"p", "q"}, without, []int32{2}},
		} {
			if got := s.Match(sourced{c.products, c.fields}); !slices.Equal(got, c.want) {
				t.Errorf("%v %v: got %v, want %v", c.products, c.fields, got, c.want)
			}
		}
	}
}

// lined is an event with a record.
type lined struct {
	event
	line string
}

func (e lined) Values(s *match.Scratch) {
	for i := 0; i < len(e.event); i += 2 {
		s.Text(e.event[i], e.event[i+1])
	}
	s.Line(e.line)
}

// Keywords are found in the record, in a message that is the end of it, and in one
// that is not; and not where two texts meet.
func TestKeywordsInRecords(t *testing.T) {
	s := compile(t, `[some keyword]`, `{A|re: 'message'}`).NewScratch()
	for _, c := range []struct {
		message, line string
		want          []int32
	}{
		{"a message with Some Keyword", "Dec 10 06:55:46 host app: a message with Some Keyword", []int32{0, 1}},
		{"a message with some keyword", "Dec 10 06:55:46 host app: and another text that is longer", []int32{0, 1}},
		{"a message without that word", "Dec 10 06:55:46 some keyword: a message without that word", []int32{0, 1}},
		{"a message without that word", "Dec 10 06:55:46 host app: a message without that word", []int32{1}},
		{"a message that ends in some", " keyword: another text that is longer than the message", []int32{1}},
		{"some keyword", "some keyword", []int32{0}},
		{"some keyword", "", []int32{0}},
		{"", "some keyword", []int32{0}},
	} {
		if got := s.Match(lined{event{"A", c.message}, c.line}); !slices.Equal(got, c.want) {
			t.Errorf("%q in %q: got %v, want %v", c.message, c.line, got, c.want)
		}
	}
}
