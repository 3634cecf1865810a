package pattern

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// fileOf returns a file with one pattern.
func fileOf(t testing.TB, text, more string) *File {
	t.Helper()
	f, problem := Parse("a.yaml", fmt.Appendf(nil, "name: a\nprograms: [p]\npatterns:\n  - pattern: %q\n%s", text, more))
	if problem != nil {
		t.Fatal(problem)
	}
	return f
}

// read returns the fields that a pattern gives for a message, "key=value".
func read(t testing.TB, text, more, message string) []string {
	t.Helper()
	set, problem := Compile(fileOf(t, text, more))
	if problem != nil {
		t.Fatal(problem)
	}
	out := event.LogEvent{Process: "p", Message: message}
	set.Apply(&out)
	var got []string
	for _, f := range out.Fields {
		got = append(got, f.Key+"="+f.Value)
	}
	return got
}

func TestLanguage(t *testing.T) {
	for _, tc := range []struct {
		name, pattern, message string
		want                   []string
	}{
		{"text", "from <a> to <b>", "from x y to z", []string{"a=x y", "b=z"}},
		{"the shortest", "from <a> to <b>", "from x to y to z", []string{"a=x", "b=y to z"}},
		{"the longest", "from <a+> to <b>", "from x to y to z", []string{"a=x to y", "b=z"}},
		{"at least one character", "from <a> to <b>", "from  to z", nil},
		{"none", "from <a?> to <b?>", "from  to ", nil},
		{"none, and a constant", "from <a?>.", "from .", nil},
		{"word", "user <a:word> x", "user bob x", []string{"a=bob"}},
		{"word with a blank", "user <a:word> x", "user b ob x", nil},
		{"word to a character", "user <a:word>@<b:word> x", "user bob@h x", []string{"a=bob", "b=h"}},
		{"word to the last character", "user <a+:word>@<b:word> x", "user bob@h@i x", []string{"a=bob@h", "b=i"}},
		{"address", "from <src_ip>.", "from 192.0.2.7.", []string{"src_ip=192.0.2.7"}},
		{"address that is none", "from <src_ip>.", "from 192.0.2.777.", nil},
		{"address made canonical", "from <src_ip> x", "from 2001:DB8:0::7 x", []string{"src_ip=2001:db8::7"}},
		{"address before a colon", "from <src_ip>: x", "from 2001:db8::7: x", []string{"src_ip=2001:db8::7"}},
		{"address with a port", "from <src_ip>:<src_port> x", "from 192.0.2.7:80 x", []string{"src_ip=192.0.2.7", "src_port=80"}},
		{"port out of range", "port <src_port>.", "port 65536.", nil},
		{"host that is an address", "from <src:host> x", "from 192.0.2.7 x", []string{"src_ip=192.0.2.7"}},
		{"host that is a name", "from <src:host> x", "from h.example x", []string{"src_host=h.example"}},
		{"number", "took <a:int> s", "took -12 s", []string{"a=-12"}},
		{"number that is none", "took <a:int> s", "took 1.2 s", nil},
		{"blanks", "a<_:blank>b <c>", "a \t b x", []string{"c=x"}},
		{"thrown away", "a <_> b <c>", "a x b y", []string{"c=y"}},
		{"optional part", "a <b>[ (<c>)]", "a x (y)", []string{"b=x", "c=y"}},
		{"optional part that is not there", "a <b>[ (<c>)]", "a x", []string{"b=x"}},
		{"two optional parts", "ab[ c=<c>][ d=<d>]", "ab d=1", []string{"d=1"}},
		{"escapes", `a \[<b>\] \<<c>\> \\`, `a [x] <y> \`, []string{"b=x", "c=y"}},
		{"not the whole message", "a <b:word>", "a x y", nil},
		{"another start", "a <b>", "b x", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, read(t, tc.pattern, "", tc.message)); diff != "" {
				t.Errorf("%q over %q (-want +got):\n%s", tc.pattern, tc.message, diff)
			}
		})
	}
}

func TestTwoReadings(t *testing.T) {
	for _, tc := range []struct {
		name, pattern, more, message string
		want                         []string
	}{
		{"one reading", "by <u> from <src_ip> end", "", "by x from 198.51.100.8 from 192.0.2.7 end", []string{"u=x from 198.51.100.8", "src_ip=192.0.2.7"}},
		{"two addresses", "by <u> from <src_ip>[: <_>]", "", "by x from 198.51.100.8: y from 192.0.2.7", []string{"ambiguous=src_ip"}},
		{"the same address twice", "by <u> from <src_ip>[: <_>]", "", "by x from 192.0.2.7: y from 192.0.2.7", []string{"u=x", "src_ip=192.0.2.7"}},
		{"text alone", "by <a> to <b>", "", "by x to y to z", []string{"a=x", "b=y to z"}},
		{"another form of address in the reading that counts", "by <u> from <src_ip> end", "", "by x from 192.0.2.1 from ::ffff:192.0.2.7 end", []string{"u=x from 192.0.2.1", "src_ip=192.0.2.7"}},
		{"another form of address in what is not one", "by <u> from <src_ip>[: <_>]", "", "by x from 2001:DB8::7: y from 192.0.2.7 x", []string{"u=x", "src_ip=2001:db8::7"}},
		{"text that is watched", "by <a> to <b>", "    guard: [b]\n", "by x to y to z", []string{"ambiguous=b", "a=x", "b=y to z"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, read(t, tc.pattern, tc.more, tc.message)); diff != "" {
				t.Errorf("%q over %q (-want +got):\n%s", tc.pattern, tc.message, diff)
			}
		})
	}
}

// TestNothingLeft gives messages of which nothing is left once a start or an end is
// cut.
func TestNothingLeft(t *testing.T) {
	f, problem := Parse("a.yaml", []byte("name: a\nprograms: [p]\nstrip_start: ['error: ', '\\[<_>\\] ']\nstrip_end: [' [x]']\nprefix: 'mod(<m:word>): '\npatterns:\n  - pattern: 'ab <c>'\n"))
	if problem != nil {
		t.Fatal(problem)
	}
	set, problem := Compile(f)
	if problem != nil {
		t.Fatal(problem)
	}
	for _, message := range []string{"error: ", "[a] ", "error: [a]", " [x]", "mod(a): ", "error: mod(a): ", "a", "mod(", " "} {
		out := event.LogEvent{Process: "p", Message: message}
		set.Apply(&out)
		if c, ok := out.Get("c"); ok {
			t.Errorf("%q: got c %q, want none", message, c)
		}
	}
}

// TestFirstTexts holds patterns apart that begin alike, and those that begin with a
// word.
func TestFirstTexts(t *testing.T) {
	f, problem := Parse("a.yaml", []byte(`
name: a
programs: [p]
patterns:
  - {pattern: 'accepted password <a>', set: {n: '1'}}
  - {pattern: 'accepted publickey <a>', set: {n: '2'}}
  - {pattern: 'accepted <a>', set: {n: '3'}}
  - {pattern: 'ac', set: {n: '4'}}
  - {pattern: '<u:word> accepted <a>', set: {n: '5'}}
  - {pattern: '<u?:word> <a> accepted', set: {n: '6'}}
  - {pattern: '<u> accepts', set: {n: '7'}}
`))
	if problem != nil {
		t.Fatal(problem)
	}
	set, problem := Compile(f)
	if problem != nil {
		t.Fatal(problem)
	}
	for message, want := range map[string]string{
		"accepted password x": "1", "accepted publickey x": "2", "accepted publickeys": "3", "accepted x": "3", "ac": "4", "acc": "",
		"accepted accepted": "3", "bob accepted x": "5", "bob  accepted": "", "bob is accepted": "6", "bob accepts": "7", "a b accepts": "7", "accepted": "", " x accepted": "",
	} {
		out := event.LogEvent{Process: "p", Message: message}
		set.Apply(&out)
		if got, _ := out.Get("n"); got != want {
			t.Errorf("%q: got pattern %q, want %q", message, got, want)
		}
	}
}

// TestStepsAreBounded gives a pattern more places to try than it may.
func TestStepsAreBounded(t *testing.T) {
	const text = "ab <a> b <b> b <c> b <d> b <e:int> end"
	got := read(t, text, "", "ab "+strings.Repeat("x b ", 5000)+"x end")
	if diff := cmp.Diff([]string{"extract_defect=too_many_steps"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What lacks a text of the pattern does not fit, wherever the fields would be.
	for _, message := range []string{"ab " + strings.Repeat("x b ", 5000), "ab " + strings.Repeat("x ", 5000) + " end"} {
		if got := read(t, text, "", message); got != nil {
			t.Errorf("%.20q...: got %q, want nothing", message, got)
		}
	}
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name, text, code, reason string
		line                     int
	}{
		{"no YAML", "name: a\n  b: c", CodeYAML, "mapping", 2},
		{"empty", "", CodeYAML, "empty", 1},
		{"a list", "- a", CodeValue, "want keys", 1},
		{"unknown key", "name: a\nprogram: b", CodeKey, "no key program", 2},
		{"a key twice", "name: a\nname: b", CodeKey, "stands twice", 2},
		{"no name", "programs: [a]\npatterns: [{pattern: abc}]", CodeNotThere, "name", 1},
		{"no programs", "name: a\npatterns: [{pattern: abc}]", CodeNotThere, "programs", 1},
		{"nothing", "name: a\nprograms: [b]", CodeNotThere, "neither", 1},
		{"no pattern", "name: a\nprograms: [b]\npatterns:\n  - set: {x: y}", CodeNotThere, "pattern is missing", 4},
		{"an open field", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c'", CodePattern, "at byte 4: < without >", 4},
		{"an open part", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab [c'", CodePattern, "has no ]", 4},
		{"a nested part", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab [c[d]]'", CodePattern, "nested", 4},
		{"a part that begins with a field", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab [<c>]'", CodePattern, "begins with text", 4},
		{"two fields side by side", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c><d>'", CodePattern, "nothing between", 4},
		{"a field twice", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c> <c>'", CodePattern, "taken twice", 4},
		{"a type", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c:regex>'", CodePattern, `no type "regex"`, 4},
		{"a field's name", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <User>'", CodePattern, "a-z", 4},
		{"a reserved field", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <ambiguous>'", CodePattern, "not for patterns", 4},
		{"a field of lines", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <message>'", CodePattern, "lines alone", 4},
		{"an optional number", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c?:int>'", CodePattern, "only text, word and host", 4},
		{"set and taken", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c>'\n    set: {c: d}", CodePattern, "set twice", 4},
		{"a backslash", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab \\d'", CodePattern, "backslash", 4},
		{"every program", "name: a\nprograms: ['*']\npatterns:\n  - pattern: '<a> bcd'", CodePattern, "at least 3", 4},
		{"no text", "name: a\nprograms: [b]\npatterns:\n  - pattern: '<a>'", CodePattern, "at least 2", 4},
		{"a guard that is no field", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab <c>'\n    guard: d", CodePattern, "no field d", 4},
		{"a program", "name: a\nprograms: ['a*b*']\npatterns:\n  - pattern: 'ab <c>'", CodeValue, "at most one star", 1},
		{"an alias", "name: &x a\nprograms: [b]\npatterns:\n  - pattern: *x", CodeYAML, "aliases", 1},
		{"too long", "name: a\nprograms: [b]\npatterns:\n  - pattern: '" + strings.Repeat("x", MaxPattern+1) + "'", CodePattern, "1001 bytes", 4},
		{"too many fields", "name: a\nprograms: [b]\npatterns:\n  - pattern: '" + manyFields(MaxCaptures+1) + "'", CodePattern, "more than 16 fields", 4},
		{"too many parts", "name: a\nprograms: [b]\npatterns:\n  - pattern: 'ab" + strings.Repeat("[c]", MaxOptional+1) + "'", CodePattern, "more than 16 optional", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, p := Parse("a.yaml", []byte(tc.text))
			if p == nil {
				t.Fatal("got no problem")
			}
			if p.Code != tc.code || p.Line != tc.line || !strings.Contains(p.Reason, tc.reason) {
				t.Errorf("got %s (%s), want line %d, code %s and %q in it", p, p.Code, tc.line, tc.code, tc.reason)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "ab <f%d> ", i)
	}
	return b.String()
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ name, examples, want string }{
		{"right", "[{line: ab x, fields: {c: x}}]", ""},
		{"another value", "[{line: ab x, fields: {c: y}}]", `c is "x", want "y"`},
		{"one too many", "[{line: ab x, fields: {}}]", `c is "x", want none`},
		{"one too few", "[{line: ab x, fields: {c: x, d: y}}]", `d is missing, want "y"`},
		{"not read", "[{line: b x, fields: {}}]", "the pattern of line 0 reads it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := fileOf(t, "ab <c>", "    examples: "+tc.examples+"\n")
			set, _ := Compile(f)
			got := ""
			for _, p := range set.Check(f, true) {
				got += p.Error() + "\n"
			}
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
		})
	}
}

func TestLoadLimits(t *testing.T) {
	tree := fstest.MapFS{
		"a.yaml": {Data: []byte("name: a\nprograms: [p]\npatterns: [{pattern: abc}]")},
		"b.yaml": {Data: []byte("name: a\nprograms: [p]\npatterns: [{pattern: abc}]")},
		"c.yaml": {Data: []byte(strings.Repeat("#", MaxFileBytes+1))},
		"d.txt":  {Data: []byte("not read")},
	}
	files, problems := Load(tree)
	var got []string
	for _, p := range problems {
		got = append(got, p.File+" "+p.Code)
	}
	if diff := cmp.Diff([]string{"b.yaml " + CodeTwice, "c.yaml " + CodeLimit}, got); diff != "" || len(files) != 1 {
		t.Errorf("got %d files, problems (-want +got):\n%s", len(files), diff)
	}
}

// readings lists all readings of a message by a pattern, the slow way.
func readings(p *program, s string) (all []map[string]string) {
	var walk func(op, at int, got map[string]string)
	seen := map[string]bool{}
	walk = func(op, at int, got map[string]string) {
		if len(all) > 64 {
			return
		}
		if op == len(p.ops) {
			if key := fmt.Sprint(got); at == len(s) && !seen[key] {
				seen[key] = true
				all = append(all, got)
			}
			return
		}
		o := &p.ops[op]
		with := func(end int) {
			next := maps.Clone(got)
			if o.slot >= 0 {
				next[p.names[o.slot]] = s[at:end]
			}
			walk(op+1, end, next)
		}
		switch o.kind {
		case opLiteral:
			if strings.HasPrefix(s[at:], o.lit) {
				walk(op+1, at+len(o.lit), got)
			}
		case opOpen:
			before := len(all)
			walk(op+1, at, got)
			if len(all) == before {
				walk(o.skip, at, got)
			}
		case opText, opWord, opHost:
			for end := at + o.least; end <= len(s); end++ {
				if o.kind == opText || !strings.Contains(s[at:end], " ") {
					with(end)
				}
			}
		case opAddress:
			n := ipv4(s[at:])
			if n == 0 {
				n = addressLen(s[at:])
			}
			if n > 0 {
				with(at + n)
			}
		case opPort:
			if n := portLen(s[at:]); n > 0 {
				with(at + n)
			}
		case opNumber:
			if n := numberLen(s[at:]); n > 0 {
				with(at + n)
			}
		}
	}
	walk(0, 0, map[string]string{})
	return all
}

// FuzzReadings holds the matcher to the slow way: it finds a reading where there
// is one, its first is one of them, and it takes an address only where all of them
// agree on it.
func FuzzReadings(f *testing.F) {
	patterns := []string{
		"by <u> from <src_ip> port <src_port>[ ssh2][: <v>]", "by <u?> from <src_ip>[ port <src_port>]", "by <u+> a <v>", "by <u:word>@<src:host>[, <w>]",
		"by <u> : [A=<a> ; ][B=<b> ; ]C=<c>", "by <u:int> [x]y <v?>", "by <u> from <src_ip> port <src_port> ssh2[: <v:word> <w:word>]",
	}
	for i := range patterns {
		for _, message := range []string{
			"x from 192.0.2.7 port 22 ssh2: y from 198.51.100.8 port 22", "  from ::1", "x a y a z", "a@b@192.0.2.7, c", "u : A=1 ; B=2 ; C=3 ; C=4", "12 xy z", "12 y ",
			"x from 192.0.2.7 port 22 ssh2: from 198.51.100.8 port 1 ssh2",
		} {
			f.Add(uint8(i), message)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, message string) {
		if len(message) > 60 {
			return
		}
		text := patterns[int(which)%len(patterns)]
		message = "by " + message
		file := fileOf(t, text, "")
		set, problem := Compile(file)
		if problem != nil {
			t.Fatal(problem)
		}
		p := file.entries[0].texts[0].prog
		all := readings(p, message)
		var m matcher
		section := &set.programs["p"].sections[0]
		m.begin(section.groups[section.first['b']][0].pattern, message, false)
		if got := m.match(); got != (len(all) > 0) {
			t.Fatalf("%q over %q: got %v, want %d readings", text, message, got, len(all))
		}
		if len(all) == 0 || len(all) > 64 {
			return
		}
		got := map[string]string{}
		for slot, name := range p.names {
			if m.reading().set&(1<<slot) != 0 {
				got[name] = m.text(m.reading().at[slot])
			}
		}
		found := false
		for _, r := range all {
			found = found || cmp.Equal(r, got)
		}
		if !found {
			t.Fatalf("%q over %q: got %v, want one of %v", text, message, got, all)
		}
		out := event.LogEvent{Process: "p", Message: message}
		set.Apply(&out)
		ip, ok := out.Get("src_ip")
		for _, r := range all {
			if other := r["src_ip"]; ok && other != "" {
				if canonical, _ := Address(other); canonical != ip {
					t.Fatalf("%q over %q: took %s, but %v is another reading", text, message, ip, r)
				}
			}
		}
	})
}

// FuzzParse reads files of patterns.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"name: a\nprograms: [b, 'c*', '<d>e']\nprefix: 'x<y:word> '\nstrip_start: ['[<_>]']\npatterns:\n  - pattern: ['ab <c>[ d]', 'ab<_?>']\n    set: {x: y}\n    guard: c\n    examples: [{line: a, fields: {b: c}}]",
		"name: a\nlines:\n  - pattern: '<time> <pid:int> <level:word> <message>'\n    process: x\n    examples: [{line: a, fields: {}}]",
		"name: [", "&a [*a]", "name: a\npatterns: {}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problem := Parse("a.yaml", data)
		if (file == nil) == (problem == nil) {
			t.Fatalf("got %v and %v", file, problem)
		}
		if problem != nil {
			if problem.Line < 1 || problem.Code == "" || problem.Reason == "" {
				t.Fatalf("got %+v, want a line, a code and a reason", problem)
			}
			return
		}
		set, problem := Compile(file)
		if problem != nil {
			return
		}
		set.Check(file, true)
		out := event.LogEvent{Process: "b", Message: string(data)}
		set.Apply(&out)
	})
}
