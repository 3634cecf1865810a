package explain_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/detector-rules/explain"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const rules = `
id: login
title: Login
logsource: {product: linux, service: sshd}
detection:
  selection:
    message|startswith: Accepted
    user: [root, admin]
  office: {src_ip|cidr: 10.0.0.0/8}
  condition: selection and not office
---
id: failure
title: Failure
logsource: {product: linux, service: sshd}
detection:
  selection: {message|contains: Failed}
  condition: selection
---
id: guessed
title: Guessed
correlation:
  type: temporal_ordered
  rules: [failure, login]
  group-by: [src_ip]
  timespan: 1m
---
id: many
title: Many
correlation:
  type: event_count
  rules: [failure]
  group-by: src_ip
  timespan: 1m
  condition: {gte: 3}
---
id: users
title: Users
correlation:
  type: value_count
  rules: [failure]
  group-by: src_ip
  timespan: 1m
  condition: {field: user, gte: 2}
---
id: slow
title: Slow
detection:
  conditions:
    - {field: message, operator: contains, value: Failed}
  threshold: {count: 2, timeframe_secs: 10, group_by: src_ip}
`

var began = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// line is what sshd says after some seconds.
func line(after int, message, user, address string) *event.LogEvent {
	e := &event.LogEvent{Time: began.Add(time.Duration(after) * time.Second), Process: "sshd", Message: message}
	if user != "" {
		e.Set("user", user)
	}
	if address != "" {
		e.Set("src_ip", address)
	}
	return e
}

func ask(t *testing.T, q sdk.RuleQuestion) sdk.RuleExplanation {
	t.Helper()
	res := rule.Parse("r.yaml", []byte(rules))
	if len(res.Problems) > 0 {
		t.Fatal(res.Problems)
	}
	if q.Limit == 0 {
		q.Limit = 10
	}
	x, err := explain.New(res.Rules, explain.NewNames(nil)).Rule(q)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestFindings: what decided is named with the value found and the value wanted.
func TestFindings(t *testing.T) {
	unnumbered := cmpopts.IgnoreFields(sdk.RuleFinding{}, "Line")
	source := sdk.RuleFinding{
		Op: "logsource", Holds: true, Present: true, Relation: "is",
		Found: []string{"*/linux/syslog", "*/linux/sshd", "*/linux/auth"}, Wanted: []string{"*/linux/sshd"},
	}
	for _, tt := range []struct {
		name string
		line *event.LogEvent
		all  bool
		want sdk.RuleFinding
	}{
		{"a match shows what holds", line(0, "Accepted password", "Root", "192.0.2.1"), false, sdk.RuleFinding{Op: "all", Holds: true, Parts: []sdk.RuleFinding{
			source,
			{Op: "all", Holds: true, Parts: []sdk.RuleFinding{
				{Op: "all", Name: "selection", Holds: true, Parts: []sdk.RuleFinding{
					{Op: "test", Name: "message|startswith", Holds: true, Field: "message", Present: true, Found: []string{"Accepted password"}, Wanted: []string{"Accepted"}, Relation: "starts with"},
					{Op: "test", Name: "user", Holds: true, Field: "user", Present: true, Found: []string{"Root"}, Wanted: []string{"root"}, Relation: "is", More: 1},
				}},
				{Op: "not", Holds: true, Parts: []sdk.RuleFinding{
					{Op: "all", Name: "office", Parts: []sdk.RuleFinding{
						{Op: "test", Name: "src_ip|cidr", Field: "src_ip", Present: true, Found: []string{"192.0.2.1"}, Wanted: []string{"10.0.0.0/8"}, Relation: "is in"},
					}},
				}},
			}},
		}}},
		{"the first that does not hold", line(0, "Accepted password", "bob", "192.0.2.1"), false, sdk.RuleFinding{Op: "all", More: 1, Parts: []sdk.RuleFinding{
			{Op: "all", More: 1, Parts: []sdk.RuleFinding{
				{Op: "all", Name: "selection", More: 1, Parts: []sdk.RuleFinding{
					{Op: "test", Name: "user", Field: "user", Present: true, Found: []string{"bob"}, Wanted: []string{"root", "admin"}, Relation: "is"},
				}},
			}},
		}}},
		{"a field that is not there", line(0, "Accepted password", "", "192.0.2.1"), false, sdk.RuleFinding{Op: "all", More: 1, Parts: []sdk.RuleFinding{
			{Op: "all", More: 1, Parts: []sdk.RuleFinding{
				{Op: "all", Name: "selection", More: 1, Parts: []sdk.RuleFinding{
					{Op: "test", Name: "user", Field: "user", Wanted: []string{"root", "admin"}, Relation: "is"},
				}},
			}},
		}}},
		{"what must not hold does", line(0, "Accepted password", "root", "10.1.1.1"), false, sdk.RuleFinding{Op: "all", More: 1, Parts: []sdk.RuleFinding{
			{Op: "all", More: 1, Parts: []sdk.RuleFinding{
				{Op: "not", Parts: []sdk.RuleFinding{
					{Op: "all", Name: "office", Holds: true, Parts: []sdk.RuleFinding{
						{Op: "test", Name: "src_ip|cidr", Holds: true, Field: "src_ip", Present: true, Found: []string{"10.1.1.1"}, Wanted: []string{"10.0.0.0/8"}, Relation: "is in"},
					}},
				}},
			}},
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := ask(t, sdk.RuleQuestion{Rule: "login", Events: []*event.LogEvent{tt.line}, All: tt.all})
			if d := cmp.Diff(tt.want, x.Findings[0].Finding, unnumbered, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("finding differs (-want +got):\n%s", d)
			}
		})
	}
}

// TestWindows: how near each came and what is missing.
func TestWindows(t *testing.T) {
	events := []*event.LogEvent{
		line(0, "Failed password", "root", "192.0.2.1"),
		line(1, "Failed password", "root", "192.0.2.1"),
		line(2, "Failed password", "root", ""),
		line(3, "Accepted password", "root", "192.0.2.9"),
		line(50, "Failed password", "bob", "192.0.2.2"),
		line(55, "Failed password", "ann", "192.0.2.2"),
		line(58, "Accepted password", "root", "192.0.2.2"),
	}
	group := func(address string) map[string]string { return map[string]string{"src_ip": address} }
	at := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
	for _, tt := range []struct {
		rule      string
		ungrouped int
		want      []sdk.WindowExplanation
	}{
		{"guessed", 1, []sdk.WindowExplanation{
			{Group: group("192.0.2.2"), Complete: true, Wanted: "all of failure, login, in this order, within 1m0s", Found: "failure, login", From: at(50), Upto: at(58), Events: 3},
			{Group: group("192.0.2.1"), Wanted: "all of failure, login, in this order, within 1m0s", Found: "failure", From: at(0), Upto: at(1), Events: 2, Missing: []string{"login"}},
			{Group: group("192.0.2.9"), Wanted: "all of failure, login, in this order, within 1m0s", Found: "login", From: at(3), Upto: at(3), Events: 1, Missing: []string{"failure (in order: after the beginning)", "login"}},
		}},
		{"many", 1, []sdk.WindowExplanation{
			{Group: group("192.0.2.1"), Wanted: "events gte 3 within 1m0s", Found: "2 events", From: at(0), Upto: at(1), Events: 2, Missing: []string{"1 more events"}},
			{Group: group("192.0.2.2"), Wanted: "events gte 3 within 1m0s", Found: "2 events", From: at(50), Upto: at(55), Events: 2, Missing: []string{"1 more events"}},
		}},
		{"users", 1, []sdk.WindowExplanation{
			{Group: group("192.0.2.2"), Complete: true, Wanted: "different values gte 2 within 1m0s", Found: "2 different values", From: at(50), Upto: at(55), Events: 2},
			{Group: group("192.0.2.1"), Wanted: "different values gte 2 within 1m0s", Found: "1 different values", From: at(0), Upto: at(1), Events: 2, Missing: []string{"1 more different values"}},
		}},
		{"slow", 1, []sdk.WindowExplanation{
			{Group: group("192.0.2.1"), Complete: true, Wanted: "events gte 2 within 10s", Found: "2 events", From: at(0), Upto: at(1), Events: 2},
			{Group: group("192.0.2.2"), Complete: true, Wanted: "events gte 2 within 10s", Found: "2 events", From: at(50), Upto: at(55), Events: 2},
		}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			x := ask(t, sdk.RuleQuestion{Rule: tt.rule, Events: events})
			if d := cmp.Diff(tt.want, x.Windows, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("windows differ (-want +got):\n%s", d)
			}
			if x.Ungrouped != tt.ungrouped {
				t.Errorf("got %d ungrouped, want %d", x.Ungrouped, tt.ungrouped)
			}
		})
	}
}

// TestLimit: all events count, those that match are shown first.
func TestLimit(t *testing.T) {
	var events []*event.LogEvent
	for range 5 {
		events = append(events, line(0, "Closed", "", ""), line(0, "Failed", "", ""))
	}
	x := ask(t, sdk.RuleQuestion{Rule: "failure", Events: events, Limit: 6})
	var numbers []int
	for _, f := range x.Findings {
		numbers = append(numbers, f.Number)
	}
	if d := cmp.Diff([]int{1, 2, 4, 6, 8, 10}, numbers); d != "" || x.Events != 10 || x.Matched != 5 {
		t.Errorf("got %d events, %d matched, shown (-want +got):\n%s", x.Events, x.Matched, d)
	}
}

func TestUnknown(t *testing.T) {
	_, err := explain.New(nil, explain.NewNames(nil)).Rule(sdk.RuleQuestion{Rule: "x"})
	if !errors.Is(err, sdk.ErrNoRule) {
		t.Errorf("got %v, want ErrNoRule", err)
	}
}
