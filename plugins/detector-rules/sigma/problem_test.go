package sigma_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Every problem names the line, a stable code, what was found and the mend.
func TestProblems(t *testing.T) {
	// A detection is put below this head, so that it begins on line 5.
	const head = "title: t\nid: x\nlogsource: {product: p}\ndetection:\n"
	detection := func(lines ...string) string { return head + "  " + strings.Join(lines, "\n  ") + "\n" }
	item := func(text string) string { return detection("s: {"+text+"}", "condition: s") }
	for _, c := range []struct {
		name, text string
		line       int
		code       string
		reason     string
	}{
		{"no YAML", "title: [", 1, sigma.CodeSyntax, "did not find"},
		{"no title", "logsource: {product: p}\ndetection: {}\n", 1, sigma.CodeMissingKey, `no "title"`},
		{"an empty title", "title: ' '\nlogsource: {product: p}\ndetection: {}\n", 1, sigma.CodeInvalidValue, "title is empty"},
		{"no log source", "title: t\ndetection: {}\n", 1, sigma.CodeMissingKey, `no "logsource"; give it a category`},
		{"an empty log source", "title: t\nlogsource: {definition: x}\ndetection: {}\n", 2, sigma.CodeMissingKey, "no category, product or service"},
		{"a log source in capitals", "title: t\nlogsource: {product: Windows}\ndetection: {}\n", 2, sigma.CodeInvalidValue, `logsource.product is "Windows"; it is written in lower case`},
		{"no detection", "title: t\nlogsource: {product: p}\ndetecton: {}\n", 1, sigma.CodeMissingKey, `no "detection"; detecton is probably meant`},
		{"a wrong level", "title: t\nlevel: hgih\nlogsource: {product: p}\ndetection: {}\n", 2, sigma.CodeInvalidValue, `level is "hgih"; did you mean "high"?`},
		{"a wrong status", "title: t\nstatus: tset\nlogsource: {product: p}\ndetection: {}\n", 2, sigma.CodeInvalidValue, `status is "tset"; did you mean "test"?`},
		{"an old collection", "title: t\naction: global\nlogsource: {product: p}\ndetection: {}\n", 2, sigma.CodeOldCollection, "document of its own"},
		{"no condition", detection("s: {A: x}"), 5, sigma.CodeMissingKey, `detection has no "condition"`},
		{"no search identifier", detection("condition: s"), 5, sigma.CodeMissingKey, "detection has no search identifier"},
		{"an empty search identifier", detection("s: {}", "condition: s"), 5, sigma.CodeInvalidValue, "s has an empty map"},
		{"an empty list", detection("s: []", "condition: s"), 5, sigma.CodeInvalidValue, "s is empty"},
		{"a list in a list", detection("s: [[a]]", "condition: s"), 5, sigma.CodeWrongType, "has a list in it"},
		{"a map as value", item("A: {B: x}"), 5, sigma.CodeWrongType, "s.A must be a value or a list of values, this is a mapping; the name of a nested field is written with dots"},
		{"no values", item("A: []"), 5, sigma.CodeInvalidValue, "s.A has an empty list; write null"},
		{"a key twice", item("A: x, A: y"), 5, sigma.CodeDuplicateKey, `the key "A" twice, first on line 5`},
		{"an empty key", item("'': x"), 5, sigma.CodeInvalidValue, "write the name of a field"},
		{"an unknown modifier", item("A|contain: x"), 5, sigma.CodeUnknownModifier, `s.A|contain: there is no modifier "contain"; did you mean "contains"?`},
		{"a modifier twice", item("A|contains|contains: x"), 5, sigma.CodeModifier, "contains is given twice"},
		{"all of one value", item("A|contains|all: x"), 5, sigma.CodeModifier, "there is only one value; leave it out"},
		{"exists of a text", item("A|exists: 'true'"), 5, sigma.CodeModifier, "true or false without quotes"},
		{"exists beside another", item("A|exists|contains: true"), 5, sigma.CodeModifier, "contains is for texts, and the value is a question for the field alone"},
		{"lt of a text", item("A|lt: '5'"), 5, sigma.CodeModifier, `lt compares with a number, and the value is "5"; a number stands without quotes`},
		{"contains of null", item("A|contains: null"), 5, sigma.CodeModifier, "the value is null"},
		{"contains of a pattern", item("A|re|contains: x"), 5, sigma.CodeModifier, "leave contains out"},
		{"re after contains", item("A|contains|re: x"), 5, sigma.CodeModifier, "it comes before contains"},
		{"a flag without re", item("A|i: x"), 5, sigma.CodeModifier, "comes after re"},
		{"base64 after contains", item("A|contains|base64: x"), 5, sigma.CodeModifier, "put base64 before contains"},
		{"base64 of nothing", item("A|base64: ''"), 5, sigma.CodeModifier, "says nothing"},
		{"no network", item("A|cidr: 10.0.0.0/33"), 5, sigma.CodeInvalidValue, `"10.0.0.0/33" is no network; write 10.0.0.0/8`},
		{"no hour", item("A|hour: 24"), 5, sigma.CodeOutOfRange, "24 is no hour; it lies between 0 and 23"},
		{"fieldref of a pattern", item("A|fieldref: 'B*'"), 5, sigma.CodeModifier, "takes the name of a field"},
		{"fieldref of keywords", item("'|fieldref': B"), 5, sigma.CodeModifier, "this key names none"},
		{"a number as keyword test", item("'|lt': 5"), 5, sigma.CodeInvalidValue, "a keyword is a text or a regular expression"},
		{"an empty keyword", detection("s: ['*']", "condition: s"), 5, sigma.CodeInvalidValue, "an empty keyword is in every event"},
		{"a placeholder", item("A|expand: 'x%users%'"), 5, sigma.CodePlaceholder, "unresolved placeholder %users%"},
		{"an empty pattern", item("A|re: ''"), 5, sigma.CodeRegexInvalid, "use the modifier exists"},
		{"a broken pattern", item("A|re: '['"), 5, sigma.CodeRegexInvalid, `the pattern "[" is none: missing closing ]`},
		{"a look-ahead", item("A|re: 'a(?=b)'"), 5, sigma.CodeRegexLookaround, `the pattern "a(?=b)" looks around with (?=, which RE2 has not; say it with a second test beside it`},
		{"a negative look-ahead", item("A|re: 'a(?!b)'"), 5, sigma.CodeRegexLookaround, "looks around with (?!"},
		{"a look-behind", item("A|re: '(?<=a)b'"), 5, sigma.CodeRegexLookaround, "looks around with (?<="},
		{"a negative look-behind", item("A|re: '(?<!a)b'"), 5, sigma.CodeRegexLookaround, "looks around with (?<!"},
		{"a back-reference", item("A|re: '(a)\\1'"), 5, sigma.CodeRegexBackref, `refers back with \1`},
		{"an atomic group", item("A|re: '(?>a)'"), 5, sigma.CodeRegexInvalid, "write (?:...)"},
		{"a possessive sign", item("A|re: 'a++'"), 5, sigma.CodeRegexInvalid, "write it with one sign"},
		{"a long pattern", item("A|re: '" + strings.Repeat("a", sigma.MaxRegex+1) + "'"), 5, sigma.CodeRegexTooLong, "1001 characters"},
		{"a pattern that explodes", item("A|re: '(x{1000}){1000}'"), 5, sigma.CodeRegexInvalid, "repeat"},
		{"a long value", item("A: '" + strings.Repeat("a", sigma.MaxText+1) + "'"), 5, sigma.CodeOutOfRange, "16385 bytes"},
		{"many wildcards", item("A: '" + strings.Repeat("?a", sigma.MaxWildcards+1) + "'"), 5, sigma.CodeTooLarge, "65 wildcards, allowed are 64"},
		{"many options", item("A|windash: '" + strings.Repeat("-a ", 7) + "'"), 5, sigma.CodeTooLarge, "more than 20000 texts"},
		{"an empty condition", detection("s: {A: x}", "condition: ''"), 6, sigma.CodeCondition, "it is empty; name a search identifier"},
		{"an unknown search identifier", detection("selection: {A: x}", "condition: selectoin"), 6, sigma.CodeUnknownSearch, `no search identifier "selectoin"; did you mean "selection"?`},
		{"a pattern that fits nothing", detection("s: {A: x}", "condition: 1 of filter*"), 6, sigma.CodeUnknownSearch, `no search identifier fits "filter*"`},
		{"a pattern alone", detection("s: {A: x}", "condition: s*"), 6, sigma.CodeCondition, `needs "1 of" or "all of"`},
		{"two of", detection("s: {A: x}", "condition: 2 of s*"), 6, sigma.CodeCondition, `"2" cannot stand before of`},
		{"of nothing", detection("s: {A: x}", "condition: 1 of"), 6, sigma.CodeCondition, "not followed by them or a pattern"},
		{"an open bracket", detection("s: {A: x}", "condition: (s"), 6, sigma.CodeCondition, "a bracket is not closed"},
		{"a closed bracket", detection("s: {A: x}", "condition: s)"), 6, sigma.CodeCondition, `")" stands where and, or, or the end`},
		{"an operator at the end", detection("s: {A: x}", "condition: s and"), 6, sigma.CodeCondition, "it ends where a search identifier was expected"},
		{"no operator", detection("s: {A: x}", "t: {A: y}", "condition: s t"), 7, sigma.CodeCondition, `"t" stands where and, or`},
		{"deep brackets", detection("s: {A: x}", "condition: '"+strings.Repeat("(", 80)+"s"+strings.Repeat(")", 80)+"'"), 6, sigma.CodeTooDeep, "more than 64 deep"},
		{"an old aggregation", detection("s: {A: x}", "condition: s | count() by B > 5"), 6, sigma.CodeAggregation, "write a correlation (event_count"},
		{"an old timeframe", detection("s: {A: x}", "timeframe: 5m", "condition: s"), 6, sigma.CodeAggregation, "a correlation with a timespan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sigma.Parse("folder/rule.yml", []byte(c.text), sigma.Options{})
			if len(got.Problems) != 1 || len(got.Rules) != 0 {
				t.Fatalf("got %v and %d rules, want one problem", got.Problems, len(got.Rules))
			}
			p := got.Problems[0]
			if p.File != "folder/rule.yml" || p.Line != c.line || p.Code != c.code || !strings.Contains(p.Reason, c.reason) {
				t.Errorf("got %s\nwant line %d, %q with %q", p.Error(), c.line, c.code, c.reason)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	got := sigma.Parse("rule.yml", []byte("title: t\ndate: 2021/09/01\nlogsource: {product: p}\ndetection:\n  s: {A: x}\n  unused: {A: y}\n  condition: s\n"), sigma.Options{})
	var codes []string
	for _, w := range got.Warnings {
		codes = append(codes, fmt.Sprint(w.Line, " ", w.Code))
	}
	if diff := cmp.Diff([]string{"2 " + sigma.CodeDate, "6 " + sigma.CodeUnused}, codes); diff != "" || len(got.Rules) != 1 {
		t.Errorf("%d rules, -want +got:\n%s", len(got.Rules), diff)
	}
}

func TestLoadWalksATree(t *testing.T) {
	one := func(id string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("title: t\nid: " + id + "\nlogsource: {product: p}\ndetection: {s: {A: x}, condition: s}\n")}
	}
	got := rule.Load(fstest.MapFS{
		"b/two.yaml":      one("two"),
		"a/one.yml":       one("one"),
		"a/again.yml":     one("one"),
		"a/readme.md":     {Data: []byte("title: t")},
		"a/info.yml":      {Data: []byte("id: x\ndescription: y\n")},
		".git/hidden.yml": one("hidden"),
		"a/large.yml":     {Data: make([]byte, rule.MaxFile+1)},
		"a/bytes.yml":     {Data: []byte{0xff, 0xfe, 0xfd}},
		"c/docs.yml":      {Data: append(append([]byte{}, one("three").Data...), append([]byte("---\nnot: a rule\n---\n"), one("four").Data...)...)},
	})
	var ids, problems []string
	for _, r := range got.Rules {
		ids = append(ids, fmt.Sprint(r.File, ":", r.Line, " ", r.ID))
	}
	for _, p := range got.Problems {
		problems = append(problems, p.File+" "+p.Code)
	}
	wantIDs := []string{"a/again.yml:1 one", "b/two.yaml:1 two", "c/docs.yml:1 three", "c/docs.yml:8 four"}
	wantProblems := []string{"a/bytes.yml yaml_syntax", "a/large.yml file_too_large", "a/one.yml duplicate_id"}
	if diff := cmp.Diff(wantIDs, ids); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got.Files != 7 || got.Skipped != 2 {
		t.Errorf("got %d files and %d passed over, want 7 and 2", got.Files, got.Skipped)
	}
}

// The hash changes with what is detected and with nothing else.
func TestHash(t *testing.T) {
	const base = "title: t\nid: x\nlogsource: {product: p}\ndetection: {s: {A: x}, condition: s}\n"
	hash := func(text string) string {
		got := sigma.Parse("rule.yml", []byte(text), sigma.Options{})
		if len(got.Rules) != 1 {
			t.Fatalf("got %v", got.Problems)
		}
		return got.Rules[0].Hash
	}
	for text, same := range map[string]bool{
		strings.Replace(base, "title: t", "title: other\nlevel: high", 1):                                    true,
		strings.Replace(base, "A: x", "A: y", 1):                                                             false,
		strings.Replace(base, "product: p", "product: q", 1):                                                 false,
		strings.Replace(base, "condition: s", "condition: not s", 1):                                         false,
		strings.Replace(base, "A: x", "'A|cased': x", 1):                                                     false,
		base + "---\ntitle: f\nlogsource: {product: p}\nfilter: {rules: any, s: {B: x}, condition: not s}\n": true,
	} {
		if got := hash(text) == hash(base); got != same {
			t.Errorf("got the same hash %v, want %v, for\n%s", got, same, text)
		}
	}
}
