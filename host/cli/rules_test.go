//go:build linux

package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// explained is what a detector says about two records and a window.
func explained(c ExplainConfig) *ironpostv1.RuleExplanation {
	at := uint64(began.UnixNano())
	x := &ironpostv1.RuleExplanation{
		Id: "r1", Title: "Title" + hostile, File: "rules/r1.yaml", Line: 3, Kind: "threshold", Status: "disabled", LogSource: "*/linux/sshd",
		Filters: []string{"office"}, Events: 2, Matched: 1, Ungrouped: 1,
		Findings: []*ironpostv1.EventExplanation{
			{Number: 1, Time: at, Message: "Failed", Matched: true, Finding: &ironpostv1.RuleFinding{Op: "all", Holds: true, Parts: []*ironpostv1.RuleFinding{
				{Op: "logsource", Holds: true, Present: true, Found: []string{"*/linux/sshd"}, Wanted: []string{"*/linux/sshd"}},
				{Op: "test", Name: "selection", Line: 9, Holds: true, Field: "message", Present: true, Found: []string{"Failed"}, Wanted: []string{"fail"}, Relation: "starts with", More: 2},
			}}},
			{Number: 2, Time: at, Message: hostile, Finding: &ironpostv1.RuleFinding{Op: "all", Parts: []*ironpostv1.RuleFinding{
				{Op: "all", Name: "selection", Line: 9, More: 1, Parts: []*ironpostv1.RuleFinding{
					{Op: "test", Name: "user", Field: "user", Wanted: []string{"root", "admin"}, Relation: "is"},
				}},
			}}},
		},
		Windows: []*ironpostv1.WindowExplanation{{
			Group: map[string]string{"src_ip": "192.0.2.1"}, Wanted: "events gte 5 within 1m0s", Found: "1 events", From: at, Upto: at + 2e9, Events: 1,
			Missing: []string{"4 more events"},
		}},
	}
	if c.All {
		x.Alerts = 7
	}
	return x
}

// covered is what a detector says of four rules: more can fire without a host.
func covered(c CoverageConfig) []*ironpostv1.RuleCoverage {
	out := []*ironpostv1.RuleCoverage{
		{Id: "ssh_brute_force", Title: "A", LogSource: "*/ironpost/*", CanFire: true, Formats: []string{"syslog"}},
		{Id: "w1", Title: "B", LogSource: "*/windows/security", Code: "not_fed", Reason: "no stream has events of it"},
		{Id: "w2", Title: "C" + hostile, LogSource: "*/windows/security", Code: "not_fed", Reason: hostile},
		{Id: "f1", Title: "D", LogSource: "*/linux/sshd", Code: "no_field", Reason: "no parser gives it", Missing: []string{"cookie"}},
	}
	if c.Streams == nil {
		out[1].CanFire, out[1].Code, out[1].Formats = true, "", []string{"json"}
	}
	return out
}

func TestCost(t *testing.T) {
	for _, tt := range []struct {
		ns   float64
		want string
	}{{0, "-"}, {0.004, "0.00ns"}, {0.5, "0.50ns"}, {12.345, "12.3ns"}, {1234, "1.2us"}} {
		if got := cost(tt.ns); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.ns, got, tt.want)
		}
	}
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct {
		name        string
		wanted, got []string
		want        []string
	}{
		{"nothing", nil, nil, nil},
		{"one is missing", []string{"a", "b"}, []string{"b"}, []string{"- a", "  b"}},
		{"one too many", []string{"b"}, []string{"a", "b", "c"}, []string{"+ a", "  b", "+ c"}},
		{"another", []string{"a"}, []string{"b"}, []string{"- a", "+ b"}},
	} {
		if d := cmp.Diff(tt.want, difference(tt.wanted, tt.got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
