// Package rules_test runs the examples of the rules in this folder with the
// parser that reads such lines in earnest.
package rules_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/parser-auditd/audit"
	"github.com/ironpost/ironpost/plugins/parser-json/jsonlog"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/plugins/parser-text/text"
	"github.com/ironpost/ironpost/plugins/parser-web/web"
	"github.com/ironpost/ironpost/sdk"
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

// parser returns what reads a record of each format.
func parser() func(format, record string, ev *event.LogEvent) error {
	var (
		sys syslog.Parser
		txt text.Parser
		www web.Parser
		aud audit.Parser
		jsn jsonlog.Parser
	)
	parsers := map[string]func(event.RawLog, *event.LogEvent) error{
		"syslog": sys.Parse, "text": txt.Parse, "web": www.Parse, "auditd": aud.Parse, "json": jsn.Parse,
	}
	observed := time.Date(2025, 3, 2, 0, 0, 0, 0, time.UTC)
	return func(format, record string, ev *event.LogEvent) error {
		parse := parsers[format]
		if parse == nil {
			return fmt.Errorf("%w for the format %s", sdk.ErrNoParser, format)
		}
		return parse(event.RawLog{ObservedTime: observed, Line: []byte(record)}, ev)
	}
}

// parseLines is parser for the lines of an example.
func parseLines(format, _ string, lines []byte) (out []*event.LogEvent, err error) {
	parse := parser()
	for _, record := range records(format, string(lines)) {
		ev := &event.LogEvent{}
		if err := parse(format, record, ev); err != nil {
			return nil, fmt.Errorf("parse %q: %w", record, err)
		}
		out = append(out, ev)
	}
	return out, nil
}

// auditID is what the records of one event of audit have in common.
var auditID = regexp.MustCompile(`\bmsg=audit\([0-9.:]+\)`)

// records cuts a log into records: lines, of which those of one event of audit are
// together, as a source gives them.
func records(format, log string) (out []string) {
	last := ""
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		id := ""
		if format == "auditd" {
			id = auditID.FindString(line)
		}
		if id != "" && id == last {
			out[len(out)-1] += "\n" + line
		} else {
			out = append(out, line)
		}
		last = id
	}
	return out
}

func TestExamples(t *testing.T) {
	loaded := load(t)
	rules := example.NewRules(loaded)
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
			failed, err := rules.Check(f, parseLines)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range failed {
				t.Errorf("%+v", wrong)
			}
		})
	}
	parts := example.Parts(loaded)
	for _, r := range loaded {
		if parts[r.ID] {
			continue
		}
		if !covered[r.ID] {
			t.Errorf("rule %s has no examples/%s.yaml", r.ID, r.ID)
		}
		if want := r.ID + ".yaml"; r.File != want {
			t.Errorf("rule %s stands in %s, want %s", r.ID, r.File, want)
		}
	}
}
