package sigma_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// FuzzParse feeds anything to the loader. What it takes compiles and matches, and
// every problem says what a person needs.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/documents/*.yml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	e := &event{
		sources: []sigma.LogSource{{Category: "process_creation", Product: "windows", Service: "sysmon"}},
		fields:  []field{{"Image", `C:\Windows\cmd.exe`}, {"CommandLine", "cmd /c whoami"}, {"EventID", 1}, {"User", nil}},
		lines:   []string{"cmd /c whoami"},
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := sigma.Parse("rule.yml", data, sigma.Options{Placeholders: map[string][]string{"users": {"a*", "b"}}})
		for _, p := range append(got.Problems, got.Warnings...) {
			if p.Line < 1 || p.Code == "" || p.Reason == "" || p.File != "rule.yml" {
				t.Errorf("got the problem %+v", p)
			}
		}
		for _, r := range got.Rules {
			if r.ID == "" || r.When == nil || r.Hash == "" || r.LogSource == (sigma.LogSource{}) {
				t.Errorf("got the rule %+v", r)
			}
		}
		match.Compile(got.Rules).NewScratch().Match(e)
	})
}

// FuzzCondition compares conditions over four search identifiers with the
// reference, for every combination of what holds.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{
		"a", "not a", "a and b or c", "a or b and not c", "(a or b) and c", "1 of them", "all of them", "1 of a*", "all of *1",
		"not 1 of ab*", "not (a and (b or not c))", "NOT a AND b", "any of them", "a | count() > 5", "2 of them", "all of b*1", "((a))", "a b", "not not a", "1 of _x",
	} {
		f.Add(seed)
	}
	names := []string{"a", "ab1", "b1", "_x"}
	f.Fuzz(func(t *testing.T, condition string) {
		if strings.ContainsAny(condition, "[]\\/?'\"") {
			return // path.Match of the reference gives them a meaning
		}
		var b strings.Builder
		b.WriteString("title: t\nlogsource: {product: p}\ndetection:\n")
		for _, name := range names {
			fmt.Fprintf(&b, "  %s: {F_%s: x}\n", name, name)
		}
		fmt.Fprintf(&b, "  condition: %q\n", condition)
		got := sigma.Parse("rule.yml", []byte(b.String()), sigma.Options{})
		if len(got.Rules) == 0 {
			return
		}
		reference, err := refParse([]byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		s := match.Compile(got.Rules).NewScratch()
		for set := range 1 << len(names) {
			e := &event{sources: []sigma.LogSource{{Product: "p"}}}
			for i, name := range names {
				if set>>i&1 != 0 {
					e.fields = append(e.fields, field{"F_" + name, "x"})
				}
			}
			if got, want := len(s.Match(e)) == 1, reference.fires(e.reference()); got != want {
				t.Errorf("%q with %v: got %v, want %v", condition, e.fields, got, want)
			}
		}
	})
}

// FuzzText writes what it reads, and reads that back.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", `C:\Windows\*`, `\*`, `\\*`, `\\\*`, `\\\\`, `a?b**c`, `\`, `*\`, `\\?`, "é\xff*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > sigma.MaxText {
			return
		}
		read := sigma.ParseText(s)
		if again := sigma.ParseText(read.String()); !slices.Equal(read, again) {
			t.Errorf("%q is written as %q, which is read as %v, want %v", s, read, again, read)
		}
	})
}

func FuzzRegexp(f *testing.F) {
	f.Add(`x(?!y)`, "")
	f.Add(`((a{10}){10}){10}`, "i")
	f.Add(`(?P<n>a)(?P=n)`, "s")
	f.Add(`\Qa`, "m")
	f.Fuzz(func(t *testing.T, pattern, flags string) {
		re, code, reason := sigma.CompileRegexp(pattern, flags)
		if (code == "") != (reason == "") || (code == "") != (re != nil) {
			t.Errorf("got %v, code %q with reason %q", re, code, reason)
		}
	})
}
