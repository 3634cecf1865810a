package sigma_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// The escapes are those of the specification, "Escaping".
func TestParseText(t *testing.T) {
	literal := func(s string) sigma.Piece { return sigma.Piece{Wild: sigma.Literal, Text: s} }
	one, many := sigma.Piece{Wild: sigma.One}, sigma.Piece{Wild: sigma.Many}
	for _, c := range []struct {
		name, in string
		want     sigma.Text
	}{
		{"empty", ``, nil},
		{"a plain backslash", `C:\Windows\x`, sigma.Text{literal(`C:\Windows\x`)}},
		{"a double backslash is one", `a\\b`, sigma.Text{literal(`a\b`)}},
		{"a backslash at the end", `a\`, sigma.Text{literal(`a\`)}},
		{"wildcards", `prog?.e*`, sigma.Text{literal("prog"), one, literal(".e"), many}},
		{"an escaped wildcard", `a\*b\?`, sigma.Text{literal(`a*b?`)}},
		{"a backslash before a wildcard", `a\\*`, sigma.Text{literal(`a\`), many}},
		{"a backslash and a plain wildcard", `a\\\*`, sigma.Text{literal(`a\*`)}},
		{"three are two", `\\\x`, sigma.Text{literal(`\\x`)}},
		{"four are two", `\\\\x`, sigma.Text{literal(`\\x`)}},
		{"many wildcards are one", `a**`, sigma.Text{literal("a"), many}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, sigma.ParseText(c.in)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// oneRule makes a rule of a detection, whose lines are indented by two.
func oneRule(t *testing.T, detection string, options sigma.Options) *sigma.Rule {
	t.Helper()
	text := "title: t\nlogsource: {product: p}\ndetection:\n" + detection
	got := sigma.Parse("rule.yml", []byte(text), options)
	if len(got.Rules) != 1 {
		t.Fatalf("got %v for\n%s", got.Problems, text)
	}
	return got.Rules[0]
}

func holds(r *sigma.Rule, lines []string, fields ...field) bool {
	e := &event{sources: []sigma.LogSource{{Product: "p"}}, fields: fields, lines: lines}
	return len(match.Compile([]*sigma.Rule{r}).NewScratch().Match(e)) == 1
}

// What a selection with one key says about values of the field F. A missing field
// is the value none.
func TestValues(t *testing.T) {
	type none struct{}
	f := func(values ...any) []any { return values }
	for _, c := range []struct {
		item     string
		yes, not []any
	}{
		// Strings regard no case and are the whole value.
		{`F: Cmd.exe`, f("cmd.EXE"), f("cmd.exe ", "xcmd.exe", "", nil, none{})},
		{`F: 'ÄÖ'`, f("äö"), f("ao")},
		{`F: prog?.exe`, f("progA.exe", "progé.exe"), f("prog.exe", "progAB.exe")},
		{`F: 'a*V*.exe'`, f("av.exe", "antivirus_V21.2.1.exe"), f("a.exe", "av.exe.txt")},
		{`F: '*'`, f("", "x"), f(nil, none{})},
		{`F: [a, b]`, f("a", "B"), f("ab")},
		{`F: ''`, f(""), f(" ", nil, none{})},
		{`F: null`, f(nil, none{}), f("", "null")},
		{`F: [null, '']`, f(nil, none{}, ""), f("x")},
		{`F|exists: true`, f("", nil, "x"), f(none{})},
		{`F|exists: false`, f(none{}), f("", nil, "x")},
		// Numbers and booleans.
		{`F: 4688`, f(4688, "4688", 4688.0), f("04688", 4689, nil)},
		{`F: '4688'`, f(4688, "4688"), f(46880)},
		{`F: 1.50`, f(1.5, "1.5", "1.50"), f("1.500", 15)},
		{`F: true`, f(true, "True"), f(false, 1, "yes")},
		{`F|lt: 5`, f(4, "4.9", -1), f(5, "x", "", nil, none{})},
		{`F|lte: 5`, f(5, "5.0"), f(6)},
		{`F|gt: 5`, f(6, "5.1"), f(5)},
		{`F|gte: 5`, f(5, 7), f(4)},
		// Modifiers of text.
		{`F|contains: b?d`, f("abcde", "BxD"), f("bd", "ace")},
		{`F|startswith: ab`, f("ABc"), f("cab")},
		{`F|endswith: '\cmd.exe'`, f(`C:\CMD.EXE`), f(`cmd.exe`, `\cmd.exe2`)},
		{`F|contains|all: [a, b]`, f("ab", "b a"), f("a", "b")},
		{`F|all: ['*a*', '*b*']`, f("ab"), f("a")},
		{`F|cased: Ab`, f("Ab"), f("ab", "AB")},
		{`F|contains|cased: Ab`, f("xAbx"), f("xabx")},
		{`F|cased|contains: Ab`, f("xAbx"), f("xabx")},
		{`F|neq: a`, f("b", "", nil, none{}), f("a", "A")},
		{`F|neq: [a, b]`, f("c", none{}), f("a", "b")},
		{`F|contains|neq: a`, f("b"), f("xax")},
		{`F|neq: 5`, f(6, "x"), f(5, "5")},
		{`F|windash|contains: ' -f'`, f("a -f", "a /f", "a –f", "a —f", "a ―f"), f("a f", "a-f")},
		{`F|contains|windash: '-a-b /c'`, f("-a-b -c", "/a-b /c", "—a-b –c"), f("/a/b /c")},
		{`F|windash: '/x'`, f("-x", "/x"), f("x")},
		{`F|re: 'a.c'`, f("xabcx"), f("xABCx", "ac", "a\nc")},
		{`F|re|i: 'a.c'`, f("xABCx"), f("ac")},
		{`F|re|s: 'a.c'`, f("a\nc"), f("ac")},
		{`F|re|m: '^b$'`, f("a\nb\nc"), f("abc")},
		{`F|re: '^$'`, f(""), f("x", nil, none{})},
		{`F|re: ['^a', 'b$']`, f("ax", "xb"), f("bxa")},
		// echo -n 'cmd' | base64; the offsets are those of the specification's
		// example for foobar, Zm9vYmFy, Zvb2Jhc and mb29iYX.
		{`F|base64: cmd`, f("Y21k"), f("xY21k")},
		{`F|base64|contains: cmd`, f("xY21kx"), f("cmd")},
		{`F|base64offset|contains: foobar`, f("xxZm9vYmFyxx", "Zvb2Jhc", "mb29iYX"), f("foobar", "b29iY")},
		{`F|utf16le: cmd`, f("c\x00m\x00d\x00"), f("cmd")},
		{`F|wide: cmd`, f("c\x00m\x00d\x00"), f("\x00c\x00m\x00d")},
		{`F|utf16be: cmd`, f("\x00c\x00m\x00d"), f("c\x00m\x00d\x00")},
		{`F|utf16: cmd`, f("\xff\xfec\x00m\x00d\x00"), f("c\x00m\x00d\x00")},
		// printf cmd | iconv -t utf-16le | base64 is YwBtAGQA.
		{`F|wide|base64: cmd`, f("YwBtAGQA"), f("Y21k")},
		{`F|cidr: 10.0.0.0/8`, f("10.1.2.3", "::ffff:10.1.2.3"), f("11.0.0.1", "x", "10.1.2", "")},
		{`F|cidr: [192.168.0.0/16, 'fe80::/10']`, f("192.168.1.1", "fe80::1"), f("2001:db8::1")},
		{`F|cidr: 127.0.0.1`, f("127.0.0.1"), f("127.0.0.2")},
		{`F|minute: 30`, f("2024-01-02T10:30:00Z", "2024-01-02 10:30:59.123"), f("2024-01-02T10:31:00Z", "2024-01-02", "x")},
		{`F|hour|gte: 22`, f("2024-01-02T23:00:00+05:00"), f("2024-01-02T21:59:59Z")},
		{`F|gte|hour: 22`, f("2024-01-02T22:00:00Z"), f("2024-01-02T21:59:59Z")},
		{`F|day: [1, 31]`, f("2024-01-31"), f("2024-01-30")},
		{`F|month: 12`, f("2024-12-01"), f("2024-11-30")},
		{`F|year|lt: 2024`, f("2023-12-31T23:59:59Z"), f("2024-01-01T00:00:00Z")},
		{`F|week: 1`, f("2024-12-31", "2024-01-01"), f("2024-01-08")}, // 2024-12-31 lies in week 1 of 2025 (ISO 8601)
		{`F|expand: '%one%'`, f("x", "X"), f("%one%", "y")},
		{`F|expand: 'a%many%\%z'`, f("ab%z", "acc%z"), f("a%z", "abc")},
		{`F|contains|expand: '%one%'`, f("axb"), f("ab")},
		{`F|expand|cidr: '%net%'`, f("10.9.9.9"), f("11.0.0.1")},
		{`F|re|expand: '^%many%$'`, f("b", "cccc"), f("d")},
		{`F: '%one%'`, f("%one%"), f("x")},
	} {
		t.Run(c.item, func(t *testing.T) {
			r := oneRule(t, "  selection:\n    "+c.item+"\n  condition: selection\n", sigma.Options{
				Placeholders: map[string][]string{"one": {"x"}, "many": {"b", "c*"}, "net": {"10.0.0.0/8"}},
			})
			for want, values := range map[bool][]any{true: c.yes, false: c.not} {
				for _, v := range values {
					fields := []field{{"F", v}}
					if _, missing := v.(none); missing {
						fields = nil
					}
					if got := holds(r, nil, fields...); got != want {
						t.Errorf("%#v: got %v, want %v", v, got, want)
					}
				}
			}
		})
	}
}

func TestFieldReferences(t *testing.T) {
	for _, c := range []struct {
		item string
		a, b any
		want bool
	}{
		{"A|fieldref: B", "x", "X", true},
		{"A|fieldref: B", "x", "y", false},
		{"A|fieldref: B", nil, nil, false},
		{"A|fieldref|cased: B", "x", "X", false},
		{"A|fieldref|neq: B", "x", "y", true},
		{"A|fieldref|neq: B", "x", "x", false},
		{"A|fieldref|startswith: B", "xyz", "XY", true},
		{"A|fieldref|endswith: B", "xyz", "yz", true},
		{"A|fieldref|contains: B", "xyz", "Y", true},
		{"A|fieldref|contains: B", "Y", "xyz", false},
	} {
		r := oneRule(t, "  selection: {'"+strings.Replace(c.item, ": ", "': ", 1)+"}\n  condition: selection\n", sigma.Options{})
		if got := holds(r, nil, field{"A", c.a}, field{"B", c.b}); got != c.want {
			t.Errorf("%s with %v and %v: got %v, want %v", c.item, c.a, c.b, got, c.want)
		}
	}
}

// A field with several values fits when one of them does, for each value of the
// rule by itself.
func TestSeveralValues(t *testing.T) {
	r := oneRule(t, "  selection: {'F|contains|all': [a, b]}\n  condition: selection\n", sigma.Options{})
	if !holds(r, nil, field{"F", "xa"}, field{"F", "xb"}) || holds(r, nil, field{"F", "xa"}, field{"F", "xc"}) {
		t.Error("all over several values of a field does not ask each of them")
	}
	r = oneRule(t, "  selection: {F: null}\n  condition: selection\n", sigma.Options{})
	if !holds(r, nil, field{"F", "x"}, field{"F", nil}) || holds(r, nil, field{"F", "x"}, field{"F", "y"}) {
		t.Error("null is not found among several values")
	}
}

func TestSearches(t *testing.T) {
	a, b := field{"A", "1"}, field{"B", "2"}
	for _, c := range []struct {
		name, body string
		fields     []field
		lines      []string
		want       bool
	}{
		{"a map is and", "\n    A: 1\n    B: 2", []field{a, b}, nil, true},
		{"a map is and, one missing", "\n    A: 1\n    B: 2", []field{a}, nil, false},
		{"a list of maps is or", "\n    - A: 1\n    - B: 2", []field{b}, nil, true},
		{"a map in a list is and", "\n    - A: 1\n      B: 2\n    - A: 3", []field{a}, nil, false},
		{"keywords are or", "\n    - EvilService\n    - 'svchost.exe -n evil'", nil, []string{"the EVILSERVICE was started"}, true},
		{"keywords are found in fields", "\n    - evil", []field{{"X", "an evil value"}}, nil, true},
		{"keywords are not found in names", "\n    - evil", []field{{"evil", "x"}}, nil, false},
		{"keywords with wildcards", "\n    - 'wget *sh'", nil, []string{"wget http://x | sh "}, true},
		{"keywords with plain wildcards", "\n    - 'select \\*'", nil, []string{"SELECT * FROM t"}, true},
		{"a keyword alone", " evil", nil, []string{"evil"}, true},
		{"a number is a keyword", "\n    - 4625", []field{{"X", 4625}}, nil, true},
		{"all keywords", "\n    '|all': [one, two]", []field{{"X", "one"}}, []string{"two"}, true},
		{"all keywords, one missing", "\n    '|all': [one, two]", []field{{"X", "one"}}, nil, false},
		{"keywords by pattern", "\n    '|re': 'o.e'", nil, []string{"xonex"}, true},
		{"keywords at the start", "\n    '|startswith': one", nil, []string{"xone"}, false},
		{"keywords and maps in a list", "\n    - evil\n    - A: 1", []field{a}, nil, true},
		{"a nested name", "\n    user.name: x", []field{{"user.name", "X"}}, nil, true},
		{"names regard case", "\n    a: 1", []field{a}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := oneRule(t, "  selection:"+c.body+"\n  condition: selection\n", sigma.Options{})
			if got := holds(r, c.lines, c.fields...); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	// The fields sel_a, sel_b, flt and _off say which search identifiers hold.
	for _, c := range []struct {
		condition, on string
		want          bool
	}{
		{"sel_a or sel_b and flt", "sel_a", true},
		{"sel_a or sel_b and flt", "sel_b", false},
		{"(sel_a or sel_b) and flt", "sel_a", false},
		{"not sel_a and sel_b", "sel_b", true},
		{"not (sel_a and sel_b)", "sel_a", true},
		{"not not sel_a", "sel_a", true},
		{"1 of sel_*", "sel_b", true},
		{"all of sel_*", "sel_b", false},
		{"all of sel_*", "sel_a sel_b", true},
		{"all of sel_* and not 1 of flt*", "sel_a sel_b flt", false},
		{"1 of them", "_off", false},
		{"1 of them", "flt", true},
		{"all of them", "sel_a sel_b flt", true},
		{"1 of *_b", "sel_b", true},
		{"1 of s*_*a", "sel_a", true},
		{"any of sel_*", "sel_a", true},
		{"1 of sel_* AND NOT flt", "sel_a", true},
		{"_off", "_off", true},
		{"[sel_a and sel_b, flt]", "flt", true},
		{"[sel_a and sel_b, flt]", "sel_a", false},
	} {
		detection := ""
		for _, name := range []string{"sel_a", "sel_b", "flt", "_off"} {
			detection += fmt.Sprintf("  %s: {%s: on}\n", name, name)
		}
		r := oneRule(t, detection+"  condition: "+c.condition+"\n", sigma.Options{})
		var fields []field
		for name := range strings.FieldsSeq(c.on) {
			fields = append(fields, field{name, "on"})
		}
		if got := holds(r, nil, fields...); got != c.want {
			t.Errorf("%s with %s: got %v, want %v", c.condition, c.on, got, c.want)
		}
	}
}

// A rule is for events of log sources that have every part that it asks for.
func TestLogSources(t *testing.T) {
	windows := sigma.LogSource{Category: "process_creation", Product: "windows", Service: "sysmon"}
	for _, c := range []struct {
		source string
		want   bool
	}{
		{"{category: process_creation, product: windows}", true},
		{"{product: windows}", true},
		{"{category: process_creation}", true},
		{"{product: windows, service: sysmon, definition: needs Sysmon}", true},
		{"{category: process_creation, product: linux}", false},
		{"{category: file_event, product: windows}", false},
		{"{product: windows, service: security}", false},
	} {
		text := "title: t\nlogsource: " + c.source + "\ndetection: {s: {A: x}, condition: s}\n"
		got := sigma.Parse("rule.yml", []byte(text), sigma.Options{})
		if len(got.Rules) != 1 {
			t.Fatalf("%s: %v", c.source, got.Problems)
		}
		e := &event{sources: []sigma.LogSource{windows}, fields: []field{{"A", "x"}}}
		if hit := len(match.Compile(got.Rules).NewScratch().Match(e)) == 1; hit != c.want {
			t.Errorf("%s: got %v, want %v", c.source, hit, c.want)
		}
	}
}
