package explain_test

import (
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/explain"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// seen gives a literal event to the matcher.
type seen struct{ *explain.Event }

func (s seen) Sources(m *match.Scratch) {
	for _, source := range s.Event.Sources {
		m.Source(source)
	}
}

func (s seen) Values(m *match.Scratch) {
	for _, f := range s.Fields {
		if f.Null {
			m.Null(f.Name)
		} else {
			m.Text(f.Name, f.Text)
		}
	}
	for _, l := range s.Lines {
		m.Line(l)
	}
}

// condition reads a rule whose selection is given.
func condition(tb testing.TB, selection string) *sigma.Rule {
	tb.Helper()
	text := "title: t\nlogsource: {category: c}\ndetection:\n  s:\n    " + strings.ReplaceAll(selection, "\n", "\n    ") + "\n  condition: s\n"
	res := sigma.Parse("r.yaml", []byte(text), sigma.Options{})
	if len(res.Problems) > 0 {
		tb.Fatalf("%v in\n%s", res.Problems, text)
	}
	return res.Rules[0]
}

func field(name, text string) explain.Field { return explain.Field{Name: name, Text: text} }

// TestHolds has one case for each thing that a test can ask. The matcher must say
// the same.
func TestHolds(t *testing.T) {
	for _, tt := range []struct {
		selection string
		fields    []explain.Field
		want      bool
	}{
		{`a: Word`, []explain.Field{field("a", "wORD")}, true},
		{`a: Word`, []explain.Field{field("a", "words")}, false},
		{`a: Word`, []explain.Field{field("b", "word")}, false},
		{`a|cased: Word`, []explain.Field{field("a", "wORD")}, false},
		{`a: [x, y]`, []explain.Field{field("a", "z"), field("a", "Y")}, true},
		{`a: w*d`, []explain.Field{field("a", "weird")}, true},
		{`a: w?rd`, []explain.Field{field("a", "wörd")}, true},
		{`a: w\*d`, []explain.Field{field("a", "w*d")}, true},
		{`a: w\*d`, []explain.Field{field("a", "word")}, false},
		{`a: straße`, []explain.Field{field("a", "STRAßE")}, true},
		{`a: kelvin`, []explain.Field{field("a", "\u212aelvin")}, true},
		{`a|contains|all: [x, y]`, []explain.Field{field("a", "1y2x3")}, true},
		{`a|contains|all: [x, y]`, []explain.Field{field("a", "1y2z3")}, false},
		{`a|startswith: ab`, []explain.Field{field("a", "ABc")}, true},
		{`a|endswith: bc`, []explain.Field{field("a", "abcd")}, false},
		{`a: ''`, []explain.Field{field("a", "")}, true},
		{`a: ''`, nil, false},
		{`a: null`, nil, true},
		{`a: null`, []explain.Field{field("a", "")}, false},
		{`a: null`, []explain.Field{{Name: "a", Null: true}}, true},
		{`a|exists: true`, []explain.Field{{Name: "a", Null: true}}, true},
		{`a|exists: false`, nil, true},
		{`a|neq: x`, nil, true},
		{`a|re: ^b.d$`, []explain.Field{field("a", "bad")}, true},
		{`a|re: ^b.d$`, []explain.Field{field("a", "BAD")}, false},
		{`a|re|i: ^b.d$`, []explain.Field{field("a", "BAD")}, true},
		{`a|gte: 3`, []explain.Field{field("a", "3.0")}, true},
		{`a|lt: 3`, []explain.Field{field("a", "x2")}, false},
		{`a|lt: 3`, []explain.Field{field("a", "0x2")}, false},
		{`a|lt: 3`, []explain.Field{field("a", "-inf")}, false},
		{`a: 3`, []explain.Field{field("a", "3")}, true},
		{`a|cidr: 192.0.2.0/24`, []explain.Field{field("a", "::ffff:192.0.2.7")}, true},
		{`a|cidr: 192.0.2.0/24`, []explain.Field{field("a", "198.51.100.1")}, false},
		{`a|cidr: fe80::/10`, []explain.Field{field("a", "fe80::1%eth0")}, false},
		{`a|hour: 23`, []explain.Field{field("a", "2024-02-30T23:59:00Z")}, true},
		{`a|hour|gte: 22`, []explain.Field{field("a", "2024-02-01 23:59")}, true},
		{`a|week: 53`, []explain.Field{field("a", "2021-01-01")}, true},
		{`a|minute: 5`, []explain.Field{field("a", "2021-01-01")}, false},
		{`a|month: 12`, []explain.Field{field("a", "2021-13-01")}, false},
		{`a|fieldref: b`, []explain.Field{field("a", "X"), field("b", "x")}, true},
		{`a|fieldref|startswith: b`, []explain.Field{field("a", "xyz"), field("b", "XY")}, true},
		{`a|fieldref: b`, []explain.Field{field("a", "x")}, false},
		{"- needle", []explain.Field{field("b", "a Needle here")}, true},
		{"- needle", []explain.Field{field("needle", "x")}, false},
		{`a|contains: "\xC3"`, []explain.Field{field("a", "\xc3")}, false},
	} {
		r := condition(t, tt.selection)
		e := &explain.Event{Sources: []sigma.LogSource{{Category: "c"}}, Fields: tt.fields}
		if got := explain.Holds(r.When, e); got != tt.want {
			t.Errorf("%s over %v: got %v, want %v", tt.selection, tt.fields, got, tt.want)
		}
		fast := match.Compile([]*sigma.Rule{r}).NewScratch().Match(seen{e})
		if got := len(fast) == 1; got != tt.want {
			t.Errorf("%s over %v: the matcher says %v, want %v", tt.selection, tt.fields, got, tt.want)
		}
	}
}

// FuzzHolds holds the literal reading and the matcher together.
func FuzzHolds(f *testing.F) {
	f.Add("contains", "A*b", "xa__by", "z")
	f.Add("re", "a+b?", "xaab", "")
	f.Add("startswith", `\*`, "*x", "\xff")
	f.Add("endswith", "ß", "STRASSE", "straß")
	f.Add("cidr", "10.0.0.0/8", "10.1.2.3", "::ffff:10.0.0.1")
	f.Fuzz(func(t *testing.T, modifier, want, first, second string) {
		quoted := "'" + strings.ReplaceAll(want, "'", "''") + "'"
		text := "title: t\nlogsource: {category: c}\ndetection:\n  s:\n    a|" + modifier + ": " + quoted + "\n  k: [" + quoted + "]\n  condition: s or not k\n"
		res := sigma.Parse("r.yaml", []byte(text), sigma.Options{})
		if len(res.Rules) != 1 {
			return
		}
		e := &explain.Event{Sources: []sigma.LogSource{{Category: "c"}}, Fields: []explain.Field{field("a", first), field("a", second)}}
		literal := explain.Holds(res.Rules[0].When, e)
		fast := match.Compile(res.Rules).NewScratch().Match(seen{e})
		if literal != (len(fast) == 1) {
			t.Fatalf("%q over %q and %q: the literal reading says %v, the matcher does not", text, first, second, literal)
		}
	})
}
