package sigma_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

const filtered = `title: Whoami
id: one
name: whoami
logsource: {category: process_creation, product: windows}
detection:
  selection: {Image|endswith: whoami.exe}
  condition: selection
---
title: Hostname
id: two
logsource: {category: process_creation, product: linux}
detection:
  selection: {Image|endswith: hostname}
  condition: selection
---
`

// A filter is joined by and to the rules that it names, if its log source covers
// theirs.
func TestFilters(t *testing.T) {
	user := field{"User", "adm_x"}
	for _, c := range []struct {
		name, filter string
		fires        []bool // rule one, rule two, for an administrator
		warning      string
	}{
		{"by id", "logsource: {product: windows}\nfilter: {rules: [one], selection: {User|startswith: adm_}, condition: not selection}", []bool{false, true}, ""},
		{"by name", "logsource: {category: process_creation}\nfilter: {rules: whoami, selection: {User|startswith: adm_}, condition: not selection}", []bool{false, true}, ""},
		{"of any", "logsource: {category: process_creation}\nfilter: {rules: any, selection: {User|startswith: adm_}, condition: not selection}", []bool{false, false}, ""},
		{"of another log source", "logsource: {product: linux}\nfilter: {rules: [one], selection: {User|startswith: adm_}, condition: not selection}", []bool{true, true}, ""},
		{"of no rule", "logsource: {product: linux}\nfilter: {rules: [three], selection: {User|startswith: adm_}, condition: not selection}", []bool{true, true}, sigma.CodeFilterUntargets},
		{"that narrows", "logsource: {product: windows}\nfilter: {rules: [one], selection: {User|startswith: root}, condition: selection}", []bool{false, true}, sigma.CodeFilterNarrows},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sigma.Parse("rules.yml", []byte(filtered+"title: f\n"+c.filter+"\n"), sigma.Options{})
			if len(got.Problems) != 0 || len(got.Rules) != 2 || len(got.Filters) != 1 {
				t.Fatalf("got %v, %d rules, %d filters", got.Problems, len(got.Rules), len(got.Filters))
			}
			var warning string
			for _, w := range got.Warnings {
				warning = w.Code
			}
			if warning != c.warning {
				t.Errorf("got the warning %q, want %q", warning, c.warning)
			}
			s := match.Compile(got.Rules).NewScratch()
			for i, want := range c.fires {
				e := &event{sources: []sigma.LogSource{{Category: "process_creation", Product: []string{"windows", "linux"}[i]}}}
				e.fields = []field{{"Image", []string{`C:\whoami.exe`, "/bin/hostname"}[i]}, user}
				if fires := len(s.Match(e)) == 1; fires != want {
					t.Errorf("%s: got %v, want %v", got.Rules[i].ID, fires, want)
				}
				e.fields[1] = field{"User", "root"}
				if len(s.Match(e)) != 1 {
					t.Errorf("%s does not fire for another user", got.Rules[i].ID)
				}
			}
		})
	}
}

const related = `title: Failed login
id: a
name: failed
logsource: {product: p}
detection: {s: {A: x}, condition: s}
---
title: Successful login
id: b
name: successful
logsource: {product: p}
detection: {s: {A: y}, condition: s}
---
`

func TestCorrelations(t *testing.T) {
	const text = related + `title: Many failed logins
id: c
name: many
level: high
correlation:
  type: event_count
  rules: [failed]
  group-by: [User, src]
  timespan: 90m
  aliases:
    src: {failed: SourceIp}
  condition: {gte: 10, lt: 100}
---
title: And then one
correlation:
  type: temporal_ordered
  rules: [many, b]
  group-by: [User]
  timespan: 1d
  generate: true
---
title: One without the other
correlation:
  type: temporal
  rules: [failed, successful]
  timespan: 30s
  condition: failed and not successful
---
title: Users
correlation:
  type: value_count
  rules: [failed]
  timespan: 1h
  condition: {field: [User, Domain], eq: 3}
---
title: Bytes
correlation:
  type: value_percentile
  rules: [failed]
  timespan: 1h
  condition: {field: bytes, percentile: 99, gt: 1.5}
`
	got := sigma.Parse("rules.yml", []byte(text), sigma.Options{})
	if len(got.Problems) != 0 {
		t.Fatalf("got %v", got.Problems)
	}
	type summary struct {
		ID         string
		Type       sigma.CorrelationType
		Rules      []string
		GroupBy    []string
		Aliases    map[string]map[string]string
		Timespan   time.Duration
		Conditions []sigma.Bound
		Fields     []string
		Percentile int
		Expression *sigma.RuleExpr
		Generate   bool
	}
	var all []summary
	for _, c := range got.Correlations {
		all = append(all, summary{c.ID, c.Type, c.Rules, c.GroupBy, c.Aliases, c.Timespan, c.Conditions, c.Fields, c.Percentile, c.Expression, c.Generate})
	}
	want := []summary{
		{
			ID: "c", Type: sigma.EventCount, Rules: []string{"a"}, GroupBy: []string{"User", "src"}, Timespan: 90 * time.Minute,
			Aliases: map[string]map[string]string{"src": {"a": "SourceIp"}}, Conditions: []sigma.Bound{{Op: "gte", Number: 10}, {Op: "lt", Number: 100}},
		},
		{ID: "And then one", Type: sigma.TemporalOrdered, Rules: []string{"c", "b"}, GroupBy: []string{"User"}, Timespan: 24 * time.Hour, Generate: true},
		{
			ID: "One without the other", Type: sigma.Temporal, Rules: []string{"a", "b"}, Timespan: 30 * time.Second,
			Expression: &sigma.RuleExpr{Op: sigma.And, Subs: []*sigma.RuleExpr{{Rule: "a"}, {Op: sigma.Not, Subs: []*sigma.RuleExpr{{Rule: "b"}}}}},
		},
		{ID: "Users", Type: sigma.ValueCount, Rules: []string{"a"}, Timespan: time.Hour, Fields: []string{"User", "Domain"}, Conditions: []sigma.Bound{{Op: "eq", Number: 3}}},
		{ID: "Bytes", Type: sigma.ValuePercentile, Rules: []string{"a"}, Timespan: time.Hour, Fields: []string{"bytes"}, Percentile: 99, Conditions: []sigma.Bound{{Op: "gt", Number: 1.5}}},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCorrelationProblems(t *testing.T) {
	const good = "type: event_count, rules: [failed], timespan: 5m, condition: {gte: 5}"
	for _, c := range []struct{ name, old, new, code, reason string }{
		{"an unknown type", "event_count", "event_cuont", sigma.CodeInvalidValue, `did you mean "event_count"?`},
		{"an unknown key", "timespan", "timesapn", sigma.CodeUnknownKey, `did you mean "timespan"?`},
		{"an unknown rule", "[failed]", "[faild]", sigma.CodeUnknownRule, `correlation.rules names "faild"`},
		{"no rules", "[failed]", "[]", sigma.CodeOutOfRange, "names 0 rules"},
		{"a rule twice", "[failed]", "[failed, failed]", sigma.CodeInvalidValue, "twice"},
		{"itself", "[failed]", "[x]", sigma.CodeCycle, "depends on itself"},
		{"no condition", ", condition: {gte: 5}", "", sigma.CodeMissingKey, `no "condition"`},
		{"no timespan", ", timespan: 5m", "", sigma.CodeMissingKey, `no "timespan"`},
		{"a timespan in weeks", "5m", "5w", sigma.CodeInvalidValue, `is "5w"; write a number and s, m, h or d`},
		{"a timespan of nothing", "5m", "0s", sigma.CodeOutOfRange, "allowed are 1s to 366d"},
		{"a quoted number", "gte: 5", "gte: '5'", sigma.CodeWrongType, "a number without quotes"},
		{"an unknown comparison", "gte: 5", "ge: 5", sigma.CodeUnknownKey, `did you mean`},
		{"a field of events", "gte: 5", "gte: 5, field: A", sigma.CodeInvalidValue, "use value_count"},
		{"values of no field", "event_count", "value_sum", sigma.CodeMissingKey, `no "field"`},
		{"an expression over events", "{gte: 5}", "failed", sigma.CodeWrongType, "must be a mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := related + "title: c\nid: x\ncorrelation: {" + strings.Replace(good, c.old, c.new, 1) + "}\n"
			got := sigma.Parse("rules.yml", []byte(text), sigma.Options{})
			if len(got.Problems) != 1 || len(got.Correlations) != 0 || len(got.Rules) != 2 {
				t.Fatalf("got %v", got.Problems)
			}
			if p := got.Problems[0]; p.Code != c.code || !strings.Contains(p.Reason, c.reason) || p.Rule != "x" {
				t.Errorf("got %s\nwant %q with %q", p.Error(), c.code, c.reason)
			}
		})
	}
}

// What names a correlation that is rejected is rejected too.
func TestCorrelationChainBreaks(t *testing.T) {
	text := related + "title: one\nname: one\ncorrelation: {type: event_count, rules: [two], timespan: 5m, condition: {gte: 5}}\n" +
		"---\ntitle: two\nname: two\ncorrelation: {type: event_count, rules: [missing], timespan: 5m, condition: {gte: 5}}\n"
	got := sigma.Parse("rules.yml", []byte(text), sigma.Options{})
	if len(got.Correlations) != 0 || len(got.Problems) != 2 {
		t.Errorf("got %d correlations and %v", len(got.Correlations), got.Problems)
	}
}
