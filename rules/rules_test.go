// Package rules_test runs the examples of the rules in this folder with the
// parser that reads such lines in earnest.
package rules_test

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
)

// load reads the rules of this folder, all of which must be right.
func load(t *testing.T) []*rule.Rule {
	t.Helper()
	res := rule.Load(os.DirFS("."))
	for _, p := range res.Problems {
		t.Error(p.Error())
	}
	return res.Rules
}

// parser returns what reads a line of each format.
func parser() example.ParseLine {
	var p syslog.Parser
	observed := time.Date(2025, 3, 2, 0, 0, 0, 0, time.UTC)
	return func(format, line string, ev *event.LogEvent) error {
		if format != "syslog" {
			return errors.New("no parser for the format " + format)
		}
		return p.Parse(event.RawLog{ObservedTime: observed, Line: []byte(line)}, ev)
	}
}

func TestExamples(t *testing.T) {
	rules := load(t)
	files, err := fs.Glob(os.DirFS("."), "examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]bool{}
	for _, name := range files {
		t.Run(strings.TrimSuffix(path.Base(name), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := example.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			must, mustNot := false, false
			for _, c := range f.Cases {
				must = must || len(c.Alerts) > 0
				mustNot = mustNot || len(c.Alerts) == 0
			}
			if f.Quiet == "" && !(must && mustNot) {
				t.Error("want a case that alerts and one that does not")
			}
			covered[f.Rule] = true
			for _, wrong := range example.Check(f, rules, parser()) {
				t.Error(wrong)
			}
		})
	}
	for _, r := range rules {
		if !covered[r.ID] {
			t.Errorf("rule %s has no examples/%s.yaml", r.ID, r.ID)
		}
		if want := r.ID + ".yaml"; r.File != want {
			t.Errorf("rule %s stands in %s, want %s", r.ID, r.File, want)
		}
	}
}
