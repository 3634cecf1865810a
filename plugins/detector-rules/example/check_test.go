package example_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// plain reads a line as "PROCESS MESSAGE", one a second.
func plain(format, _ string, lines []byte) (out []*event.LogEvent, err error) {
	if format != "plain" {
		return nil, fmt.Errorf("%w for %s", sdk.ErrNoParser, format)
	}
	at := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for line := range strings.Lines(string(lines)) {
		process, message, _ := strings.Cut(strings.TrimSpace(line), " ")
		out = append(out, &event.LogEvent{Time: at, ObservedTime: at, Process: process, Message: message})
		at = at.Add(time.Second)
	}
	return out, nil
}

const (
	twice = `{id: twice, title: Twice, severity: high, detection: {conditions: [{field: message, operator: contains, value: fail}], threshold: {count: 2, timeframe_secs: 60, group_by: process}}}`
	off   = `{id: off, title: Off, status: disabled, detection: {conditions: [{field: message, value: x}]}}`
)

func TestTest(t *testing.T) {
	head := "rule: twice\nformat: plain\ncases:\n  - name: one\n    input: |\n"
	for _, tt := range []struct {
		name, file string
		want       sdk.RuleTestFailure
	}{
		{"it holds", head + "      a fail\n      a fail\n    alerts: [{group: a, count: 2, severity: high, entities: {process: a, user: ''}}]\n", sdk.RuleTestFailure{}},
		{"an alert is missing", head + "      a fail\n      b fail\n    alerts: [{group: a}]\n", sdk.RuleTestFailure{
			Line: 4, Rule: "twice", Example: "one", Code: "alerts_differ", Reason: "0 of 1 alerts came", Wanted: []string{`alert of group "a"`},
			Hint: `2 of 2 lines match; process "a": wanted are events gte 2 within 1m0s, found 1 events, missing 1 more events`,
		}},
		{"nothing matches", head + "      a good\n    alerts: [{group: a}]\n", sdk.RuleTestFailure{
			Line: 4, Rule: "twice", Example: "one", Code: "alerts_differ", Reason: "0 of 1 alerts came", Wanted: []string{`alert of group "a"`},
			Hint: `no line matches; line 1: message contains: message is "good"; wanted: contains "fail"`,
		}},
		{"an alert too many", head + "      a fail\n      a fail\n    alerts: []\n", sdk.RuleTestFailure{
			Line: 4, Rule: "twice", Example: "one", Code: "alerts_differ", Reason: "an alert came, and none must", Got: []string{`alert of group "a", on "fail"`},
		}},
		{"another alert", head + "      a fail\n      a fail\n    alerts: [{group: a, severity: low}]\n", sdk.RuleTestFailure{
			Line: 4, Rule: "twice", Example: "one", Code: "alerts_differ", Reason: "an alert says something else",
			Wanted: []string{`alert of group "a", severity low`}, Got: []string{`alert of group "a", severity high`},
		}},
		{"a disabled rule is tested", "rule: off\nformat: plain\ncases: [{name: one, input: a x, alerts: [{group: ''}]}]\n", sdk.RuleTestFailure{}},
		{"no such rule", "rule: none\nformat: plain\ncases: [{name: one, input: a}]\n", sdk.RuleTestFailure{
			Line: 3, Rule: "none", Example: "one", Code: "unknown_rule", Reason: "there is no rule none",
		}},
		{"no such format", "rule: twice\nformat: odd\ncases: [{name: one, input: a}]\n", sdk.RuleTestFailure{
			Line: 3, Rule: "twice", Example: "one", Code: "no_parser", Reason: `the lines of format "odd" cannot be parsed: no parser for odd`,
		}},
		{"not quiet", "quiet: high\nformat: plain\ncases: [{name: one, input: \"a fail\\na fail\"}]\n", sdk.RuleTestFailure{
			Line: 3, Rule: "twice", Example: "one", Code: "not_quiet", Reason: "no alert of severity high or above may come of ordinary input",
			Got: []string{`twice alerts with severity high on "fail"`},
		}},
		{"an unknown key", "rule: twice\ncases: [{nane: one, input: a}]\n", sdk.RuleTestFailure{
			Line: 2, Code: "bad_examples", Reason: "field nane not found in type example.Case",
		}},
		{"no input", "rule: twice\ncases:\n  - name: one\n", sdk.RuleTestFailure{Line: 3, Code: "bad_examples", Reason: `the case "one" has no input`}},
		{"no YAML", "rule: [\ncases:\n", sdk.RuleTestFailure{Line: 2, Code: "bad_examples"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{"twice.yaml": {Data: []byte(twice)}, "off.yaml": {Data: []byte(off)}, "examples/e.yaml": {Data: []byte(tt.file)}}
			res := rule.Load(fstest.MapFS{"twice.yaml": files["twice.yaml"], "off.yaml": files["off.yaml"]})
			got, err := example.Test(files, res, plain)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Code == "" {
				if len(got.Failed) > 0 || got.Passed != 1 || got.Examples != 1 || got.Files != 1 || len(got.Untested) != 1 {
					t.Errorf("got %+v, want one example, passed", got)
				}
				return
			}
			if len(got.Failed) != 1 {
				t.Fatalf("got %+v, want one failure", got)
			}
			tt.want.File = "examples/e.yaml"
			if tt.want.Reason == "" {
				tt.want.Reason = got.Failed[0].Reason // YAML's own words
			}
			if d := cmp.Diff(tt.want, got.Failed[0]); d != "" || got.Passed != 0 {
				t.Errorf("%d passed, failure differs (-want +got):\n%s", got.Passed, d)
			}
		})
	}
}
