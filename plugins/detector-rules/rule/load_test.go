package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

const sigmaRule = "id: r\ntitle: x\nlogsource: {product: linux}\ndetection: {selection: {a: b}, condition: selection}\n"

const head = "id: r\ntitle: T\nseverity: high\n"

func TestSSHBruteForce(t *testing.T) {
	const text = `id: ssh_brute_force
title: SSH Brute Force Attack
severity: high
detection:
  conditions:
    - field: process
      operator: equals
      value: sshd
    - field: message
      operator: contains
      value: "Failed password"
  threshold:
    count: 5
    timeframe_secs: 60
    group_by: src_ip
`
	res := Parse("ssh_brute_force.yaml", []byte(text))
	if len(res.Problems) != 0 || len(res.Rules) != 1 {
		t.Fatalf("got %d rules and problems %v, want 1 and none", len(res.Rules), res.Problems)
	}
	got := *res.Rules[0]
	want := Rule{
		ID: "ssh_brute_force", Title: "SSH Brute Force Attack", Severity: event.SeverityHigh, Kinds: Logs | Packets,
		LogSource: sigma.LogSource{Product: "ironpost"},
		When: &sigma.Expr{Op: sigma.And, Subs: []*sigma.Expr{
			{Test: &sigma.Test{Field: "process", Text: sigma.Text{{Text: "sshd"}}}, Label: "process equals", Line: 6},
			{
				Test:  &sigma.Test{Field: "message", Text: sigma.Text{{Wild: sigma.Many}, {Text: "Failed password"}, {Wild: sigma.Many}}},
				Label: "message contains", Line: 9,
			},
		}},
		Threshold: &Threshold{Count: 5, Timeframe: time.Minute, GroupBy: []string{"src_ip"}},
		File:      "ssh_brute_force.yaml", Line: 1, Hash: got.Hash,
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("rule differs (-want +got):\n%s", d)
	}
	if len(got.Hash) != 16 {
		t.Errorf("got hash %q, want 16 digits", got.Hash)
	}
}

func TestRejections(t *testing.T) {
	conditions := func(s string) string { return head + "detection:\n  conditions:\n" + s }
	ok := head + "detection:\n  conditions:\n    - {field: a, value: x}\n"
	tests := []struct {
		name, yaml string
		line       int
		code, in   string
	}{
		{"unclosed list", "id: r\ntitle: [x\nseverity: high\n", 2, CodeSyntax, "expected ',' or ']'"},
		{"tab", "id: r\n\ttitle: x\n", 2, CodeSyntax, "tab"},
		{"unclosed quote", "id: r\ntitle: \"x\n", 2, CodeSyntax, "unexpected end"},
		{"list in a mapping", "id: r\n- b\n", 2, CodeSyntax, "expected key"},
		{"first line", "id: a: b\n", 1, CodeSyntax, "not allowed"},
		{"invalid UTF-8", "id: r\ntitle: \xff\n", 2, CodeSyntax, "UTF-8"},
		{"NUL byte", "id: r\ntitle: a\nseverity: \x00\n", 3, CodeSyntax, "control"},
		{"unknown anchor", "id: r\ntitle: *nope\n", 2, CodeSyntax, "nope"},
		{"unknown key", ok + "sevrity: low\n", 7, CodeUnknownKey, `did you mean "severity"?`},
		{"misspelled detection", head + "detecton:\n  conditions: []\n", 4, CodeUnknownKey, `"detection"`},
		{"no detection", head, 1, CodeMissingKey, `"detection"`},
		{"no id", "title: x\ndetection:\n  conditions: []\n", 1, CodeMissingKey, `"id"`},
		{"no title", "id: x\ndetection:\n  conditions: []\n", 1, CodeMissingKey, `"title"`},
		{"key twice", "id: r\ntitle: a\ntitle: b\nseverity: low\n", 3, CodeDuplicateKey, "title"},
		{"id with spaces", "id: a b\ntitle: x\nseverity: low\ndetection: {conditions: [{field: a, value: b}]}\n", 1, CodeInvalidID, "a b"},
		{"severity", "id: r\ntitle: x\nseverity: huge\ndetection: {conditions: [{field: a, value: b}]}\n", 3, CodeInvalidSeverity, "critical"},
		{"severity and level", ok + "level: low\n", 7, CodeConflict, "both"},
		{"detection is a list", head + "detection: []\n", 4, CodeWrongType, "a list"},
		{"no conditions", head + "detection:\n  threshold: {count: 1, timeframe_secs: 1}\n", 5, CodeMissingKey, "conditions"},
		{"empty conditions", head + "detection:\n  conditions: []\n", 5, CodeInvalidValue, "empty list"},
		{"operator", conditions("    - field: a\n      operator: containz\n      value: x\n"), 7, CodeUnknownOperator, `did you mean "contains"?`},
		{"operator of Sigma", conditions("    - field: a\n      operator: startswith\n      value: x\n"), 7, CodeUnknownOperator, `"starts_with"`},
		{"no field", conditions("    - operator: equals\n      value: x\n"), 6, CodeMissingKey, "field"},
		{"no value", conditions("    - field: a\n      operator: equals\n"), 6, CodeMissingKey, "value"},
		{"null value", conditions("    - field: a\n      value:\n"), 7, CodeWrongType, "empty"},
		{"value is a mapping", conditions("    - field: a\n      value: {x: y}\n"), 7, CodeWrongType, "a mapping"},
		{"empty contains", conditions("    - field: a\n      operator: contains\n      value: ''\n"), 8, CodeInvalidValue, "exists"},
		{"exists what", conditions("    - field: a\n      operator: exists\n      value: 3\n"), 8, CodeWrongType, "true or false"},
		{"look-ahead", conditions("    - field: a\n      operator: regex\n      value: 'x(?!y)'\n"), 8, CodeRegexLookaround, "(?!"},
		{"look-behind", conditions("    - field: a\n      operator: regex\n      value: '(?<=y)x'\n"), 8, CodeRegexLookaround, "(?<="},
		{"back reference", conditions("    - field: a\n      operator: regex\n      value: '(x)\\1'\n"), 8, CodeRegexBackref, `\1`},
		{"bad regex", conditions("    - field: a\n      operator: regex\n      value: '(x'\n"), 8, CodeRegexInvalid, "missing closing )"},
		{"long regex", conditions("    - field: a\n      operator: regex\n      value: '" + strings.Repeat("x", 1001) + "'\n"), 8, CodeRegexTooLong, "1001"},
		{"regex that grows", conditions("    - field: a\n      operator: regex\n      value: '" + strings.Repeat("x{1000}", 21) + "'\n"), 8, CodeRegexTooLong, "steps"},
		{"second value of a list", conditions("    - field: a\n      operator: regex\n      value:\n        - x\n        - '('\n"), 10, CodeRegexInvalid, "missing"},
		{"number", conditions("    - field: a\n      operator: gt\n      value: ten\n"), 8, CodeWrongType, "numbers"},
		{"prefix", conditions("    - field: a\n      operator: cidr\n      value: 10.0.0.0/99\n"), 8, CodeInvalidValue, "10.0.0.0/99"},
		{"negated twice", conditions("    - field: a\n      operator: not_equals\n      value: x\n      not: true\n"), 9, CodeConflict, "twice"},
		{"nested without not", conditions("    - operator: equals\n      conditions: [{field: a, value: x}]\n"), 7, CodeConflict, "not"},
		{"case of a number", conditions("    - field: a\n      operator: gt\n      value: 1\n      case_sensitive: true\n"), 9, CodeConflict, "case_sensitive"},
		{"count of zero", ok + "  threshold:\n    count: 0\n    timeframe_secs: 5\n", 8, CodeOutOfRange, "0"},
		{"no timeframe", ok + "  threshold:\n    count: 2\n", 8, CodeMissingKey, "timeframe_secs"},
		{"timeframe text", ok + "  threshold:\n    count: 2\n    timeframe_secs: 1m\n", 9, CodeWrongType, "1m"},
		{"group twice", ok + "  threshold:\n    count: 2\n    timeframe_secs: 1\n    group_by: [a, a]\n", 10, CodeInvalidValue, "twice"},
		{"fleet of one", ok + "  threshold: {count: 1, timeframe_secs: 1, scope: fleet}\n", 7, CodeOutOfRange, "2 to 1024"},
		{"fleet of too many", ok + "  threshold: {count: 1025, timeframe_secs: 1, scope: fleet}\n", 7, CodeOutOfRange, "2 to 1024"},
		{"unknown scope", ok + "  threshold: {count: 5, timeframe_secs: 1, scope: world}\n", 7, CodeInvalidValue, "fleet"},
		{"scope of a rule without window", sigmaRule + "ironpost: {scope: fleet}\n", 5, CodeUnknownKey, "scope"},
		{"suppress group beside a threshold", ok + "  threshold: {count: 2, timeframe_secs: 1}\nsuppress:\n  timeframe_secs: 5\n  group_by: a\n", 9, CodeConflict, "threshold"},
		{"sigma without a condition", "id: r\ntitle: x\nlogsource: {product: linux}\ndetection:\n  selection: {a: b}\n", 5, CodeMissingKey, "condition"},
		{"sigma correlation", "title: x\nid: r\ncorrelation: {type: event_count}\n", 3, CodeMissingKey, "rules"},
		{"sigma with an unknown extension", sigmaRule + "ironpost: {disable: true}\n", 5, CodeUnknownKey, `"disabled"`},
		{"correlation with groups of suppression", "title: x\nid: r\ncorrelation: {type: event_count}\nironpost: {suppress: {timeframe_secs: 5, group_by: a}}\n", 4, CodeConflict, "group-by"},
		{"deep", head + "detection:\n  conditions: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n", 5, CodeTooDeep, "deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := Parse("f.yaml", []byte(tt.yaml))
			if len(res.Rules) != 0 || len(res.Problems) != 1 {
				t.Fatalf("got %d rules, problems %v, want one problem alone", len(res.Rules), res.Problems)
			}
			p := res.Problems[0]
			if p.Line != tt.line || p.Code != tt.code || !strings.Contains(p.Reason, tt.in) || p.File != "f.yaml" {
				t.Errorf("got %+v, want line %d, code %s, reason with %q", p, tt.line, tt.code, tt.in)
			}
			if p.Code != CodeSyntax && strings.Contains(tt.yaml, "id: r\n") && p.Rule != "r" {
				t.Errorf("got rule %q, want r", p.Rule)
			}
		})
	}
}

// TestBillionLaughs: each alias costs what it stands for, so that nine lines
// cannot make a billion nodes.
func TestBillionLaughs(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	b.WriteString("detection: {conditions: [{field: a, value: *a9}]}\n")
	began := time.Now()
	res := Parse("f.yaml", []byte(b.String()))
	if len(res.Problems) != 1 || res.Problems[0].Code != CodeTooLarge {
		t.Errorf("got %v, want one problem %s", res.Problems, CodeTooLarge)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	self := Parse("f.yaml", []byte(head+"detection: &d\n  conditions: *d\n"))
	if len(self.Rules) != 0 || len(self.Problems) != 1 {
		t.Errorf("an anchor that holds itself: got %d rules and %v, want one problem", len(self.Rules), self.Problems)
	}
}

func TestLoad(t *testing.T) {
	rule := func(id string) string {
		return "id: " + id + "\ntitle: T\nlevel: low\ndetection:\n  conditions:\n    - {field: a, value: x}\n"
	}
	fsys := fstest.MapFS{
		"a.yaml":           {Data: []byte(rule("one"))},
		"b/two.yml":        {Data: []byte("---\n" + rule("two") + "---\n" + rule("three") + "\n---\n")},
		"b/again.yaml":     {Data: []byte("# comment\n" + rule("one"))},
		"b/notes.yaml":     {Data: []byte("just: notes\n")},
		"b/list.yaml":      {Data: []byte("- a\n- b\n")},
		"c/half.yaml":      {Data: []byte(rule("four") + "---\nid: five\ntitle: x\nbad: 1\n---\n" + rule("six"))},
		"c/broken.yaml":    {Data: []byte(rule("seven") + "---\nid: [\n")},
		"d/readme.md":      {Data: []byte("id: no")},
		".git/x.yaml":      {Data: []byte("id: [")},
		"e/empty.yaml":     {Data: nil},
		"e/big.yaml":       {Data: make([]byte, MaxFile+1)},
		"e/exact.yaml":     {Data: []byte(rule("eight") + strings.Repeat("#", MaxFile-len(rule("eight"))))},
		"f/windows.yaml":   {Data: []byte("\ufeff" + strings.ReplaceAll(rule("nine"), "\n", "\r\n"))},
		"f/extension.YAML": {Data: []byte(rule("ten"))},
	}
	res := Load(fsys)
	var ids []string
	for _, r := range res.Rules {
		ids = append(ids, r.ID)
	}
	if d := cmp.Diff([]string{"one", "two", "three", "seven", "four", "six", "eight", "ten", "nine"}, ids); d != "" {
		t.Errorf("rules differ (-want +got):\n%s", d)
	}
	type short struct {
		File, Rule, Code string
		Line             int
	}
	var got []short
	for _, p := range res.Problems {
		got = append(got, short{p.File, p.Rule, p.Code, p.Line})
	}
	want := []short{
		{"b/again.yaml", "one", CodeDuplicateID, 2},
		{"c/broken.yaml", "", CodeSyntax, 8},
		{"c/half.yaml", "five", CodeUnknownKey, 10},
		{"e/big.yaml", "", CodeFileTooLarge, 1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems differ (-want +got):\n%s", d)
	}
	if res.Files != 12 || res.Skipped != 3 {
		t.Errorf("got %d files, %d skipped, want 12 and 3", res.Files, res.Skipped)
	}
}

func TestHash(t *testing.T) {
	base := "id: r\ntitle: T\nseverity: high\ndetection:\n  conditions:\n    - {field: a, value: [x, y]}\n  threshold: {count: 2, timeframe_secs: 5}\n"
	hash := func(s string) string {
		res := Parse("f", []byte(s))
		if len(res.Rules) != 1 {
			t.Fatalf("%s: %v", s, res.Problems)
		}
		return res.Rules[0].Hash
	}
	for old, replacement := range map[string]string{"T\n": "Other\n", "high": "low", "id: r": "id: q", "field: a, value: [x, y]": "value: [x, y], field: a"} {
		if hash(base) != hash(strings.Replace(base, old, replacement, 1)) {
			t.Errorf("%q for %q changes the hash", replacement, old)
		}
	}
	for old, replacement := range map[string]string{"[x, y]": "[xy]", "field: a": "field: b", "count: 2": "count: 3", "secs: 5": "secs: 6", "5}": "5, group_by: a}"} {
		if hash(base) == hash(strings.Replace(base, old, replacement, 1)) {
			t.Errorf("%q for %q leaves the hash", replacement, old)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "detection:\n  conditions:\n    - {field: a, operator: regex, value: 'x(?!y)'}\n"))
	f.Add([]byte("a: &a [*a]\ndetection: *a\nid: x"))
	f.Add([]byte("id: x\ntitle: y\ndetection: {conditions: [{not: {any: [{field: a, value: [1, 0x10, 1e3, true]}]}}]}\nsuppress: 5\nrate_limit: {count: 1, timeframe_secs: 1}\nevents: [log, alert]\n"))
	f.Add([]byte(sigmaRule + "ironpost: {suppress: 5, rate_limit: {count: 1, timeframe_secs: 1}, evidence: forgeable, disabled: true}\n---\ntitle: c\ncorrelation: {type: event_count, rules: r, timespan: 5m, condition: {gte: 3}}\n"))
	f.Add([]byte("? {a: b}\n: c\n---\n%YAML 9\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		res := Parse("f", data)
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + strings.Count(string(data), "\u0085")
		for _, p := range res.Problems {
			if p.Line < 1 || p.Line > lines+1 || p.Code == "" || p.Reason == "" {
				t.Errorf("problem %+v in %d lines", p, lines)
			}
		}
		for _, r := range res.Rules {
			if r.ID == "" || (r.When == nil) == (r.Correlation == nil) || len(r.Hash) != 16 {
				t.Errorf("rule is not whole: %+v", r)
			}
		}
	})
}

// counted is a correlation over a rule that is beside it.
func counted(kind, condition, scope string) string {
	return "title: x\nid: a\nlogsource: {product: linux}\ndetection: {selection: {a: b}, condition: selection}\n---\n" +
		"title: x\nid: r\ncorrelation: {type: " + kind + ", rules: [a], timespan: 1m, condition: " + condition + "}\nironpost: {scope: " + scope + "}\n"
}

// A rule of any kind may have its alerts suppressed and limited over all hosts.
func TestFleetAlerts(t *testing.T) {
	const both = "suppress: {timeframe_secs: 5, scope: fleet}, rate_limit: {count: 1, timeframe_secs: 5, scope: fleet}"
	simple := "id: r\ntitle: x\ndetection: {conditions: [{field: a, value: b}]}\n"
	for name, text := range map[string]string{
		"simple": simple + strings.ReplaceAll(both, ", rate", "\nrate") + "\n",
		"sigma":  "title: x\nid: r\nlogsource: {product: linux}\ndetection: {selection: {a: b}, condition: selection}\nironpost: {" + both + "}\n",
	} {
		res := Parse("f.yaml", []byte(text))
		if len(res.Problems) > 0 || len(res.Rules) != 1 || !res.Rules[0].Suppress.Fleet || !res.Rules[0].RateLimit.Fleet || !res.Rules[0].AsksFleet() {
			t.Errorf("%s: %+v, %v", name, res.Rules, res.Problems)
		}
	}
	for _, text := range []string{"suppress: {timeframe_secs: 5, scope: host}", "rate_limit: {count: 1, timeframe_secs: 5}", "suppress: 5"} {
		if res := Parse("f.yaml", []byte(simple+text+"\n")); len(res.Problems) > 0 || res.Rules[0].AsksFleet() {
			t.Errorf("%s: %+v, %v", text, res.Rules, res.Problems)
		}
	}
	for _, text := range []string{"suppress: {timeframe_secs: 5, scope: all}", "rate_limit: {count: 1, timeframe_secs: 5, scope: 1}"} {
		if res := Parse("f.yaml", []byte(simple+text+"\n")); len(res.Problems) != 1 || !strings.Contains(res.Problems[0].Reason, "fleet") {
			t.Errorf("%s: %v", text, res.Problems)
		}
	}
}

// What hosts cannot count together is rejected, and the rest is loaded.
func TestFleetScope(t *testing.T) {
	right := counted("value_count", "{field: u, gt: 3}", "fleet")
	if res := Parse("f.yaml", []byte(right)); len(res.Problems) > 0 || len(res.Rules) != 2 || !res.Rules[1].Fleet || res.Rules[1].FleetCount() != 4 {
		t.Errorf("a count of more than 3 values: %+v, %v", res.Rules, res.Problems)
	}
	if one, all := Parse("f.yaml", []byte(counted("event_count", "{gte: 3}", "host"))), Parse("f.yaml", []byte(counted("event_count", "{gte: 3}", "fleet"))); one.Rules[1].Hash == all.Rules[1].Hash {
		t.Error("the scope does not change what a rule is")
	}
	for _, tt := range []struct{ name, yaml, rule, in string }{
		{"no count", counted("value_sum", "{field: n, gte: 3}", "fleet"), "r", "event_count and value_count"},
		{"an upper bound", counted("event_count", "{lt: 3}", "fleet"), "r", "gte or gt"},
		{"a count of one", counted("event_count", "{gte: 1}", "fleet"), "r", "2 to 1024"},
		{"counted elsewhere", counted("event_count", "{gte: 3}", "fleet") +
			"---\ntitle: y\nid: chained\ncorrelation: {type: event_count, rules: [r], timespan: 1m, condition: {gte: 2}}\n", "chained", "without it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := Parse("f.yaml", []byte(tt.yaml))
			if len(res.Problems) != 1 || res.Problems[0].Rule != tt.rule || res.Problems[0].Code != CodeInvalidValue || !strings.Contains(res.Problems[0].Reason, tt.in) {
				t.Errorf("problems %+v, want one of %s about %q", res.Problems, tt.rule, tt.in)
			}
			if !slices.ContainsFunc(res.Rules, func(r *Rule) bool { return r.ID == "a" }) {
				t.Error("the rule beside it is not loaded")
			}
		})
	}
}
