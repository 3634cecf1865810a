// Package example runs the examples that stand beside rules: input lines, and
// the alerts that a rule must and must not raise for them.
//
// A file of examples is YAML:
//
//	rule: ssh_brute_force
//	format: syslog
//	cases:
//	  - name: five failures within a minute
//	    input: |
//	      2025-03-01T12:00:00+00:00 web1 sshd[1]: Failed password for ...
//	    alerts:
//	      - {group: 192.0.2.1, count: 5, entities: {src_ip: 192.0.2.1}}
//	  - name: four are none
//	    input: |
//	      ...
//	    alerts: []
//
// The alerts are those of that rule, in their order. A file with "quiet: medium"
// in place of "rule" holds ordinary input, for which no rule at all may raise an
// alert of that severity or above.
//
// Who calls Check brings the parser, so that this package depends on no format.
package example

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// File is one file of examples.
type File struct {
	Rule   string `yaml:"rule"`
	Quiet  string `yaml:"quiet"`
	Format string `yaml:"format"`
	Cases  []Case `yaml:"cases"`
}

// Case is one input and what it must give.
type Case struct {
	Name   string  `yaml:"name"`
	Input  string  `yaml:"input"`
	Alerts []Alert `yaml:"alerts"`
}

// Alert is what an alert must say. Entities that are not named here are not
// looked at; one that is named with an empty text must be absent.
type Alert struct {
	Group    string            `yaml:"group"`
	Count    uint64            `yaml:"count"`
	Severity string            `yaml:"severity"`
	Entities map[string]string `yaml:"entities"`
}

// Parse reads a file of examples; unknown keys are errors.
func Parse(data []byte) (*File, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	f := &File{}
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	if (f.Rule == "") == (f.Quiet == "") {
		return nil, fmt.Errorf("read examples: want one of the keys rule and quiet")
	}
	for _, c := range f.Cases {
		if strings.TrimSpace(c.Input) == "" {
			return nil, fmt.Errorf("read examples: case %q has no input", c.Name)
		}
	}
	return f, nil
}

// ParseLine fills in ev from one line, as the parser of the format does.
type ParseLine func(format, line string, ev *event.LogEvent) error

// Check runs the cases of a file over rules and returns what is not as it must
// be, one sentence each. The lines count as a log of this host.
func Check(f *File, rules []*rule.Rule, parse ParseLine) []string {
	var wrong []string
	set := engine.Compile(rules)
	for _, c := range f.Cases {
		alerts, err := run(f, c, set, parse)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("case %q: %v", c.Name, err))
			continue
		}
		for _, w := range compare(f, c, alerts) {
			wrong = append(wrong, fmt.Sprintf("case %q: %s", c.Name, w))
		}
	}
	return wrong
}

// run gives the lines of a case to a fresh engine.
func run(f *File, c Case, set *engine.Set, parse ParseLine) (alerts []*event.AlertEvent, err error) {
	e := engine.New(set, engine.Options{})
	stream := &event.Stream{ID: 1, Name: "example", Format: f.Format, Provenance: event.ProvenanceHost}
	for i, line := range strings.Split(strings.TrimRight(c.Input, "\n"), "\n") {
		ev := &event.LogEvent{}
		if err := parse(f.Format, line, ev); err != nil {
			return nil, fmt.Errorf("parse line %d %q: %w", i+1, line, err)
		}
		ev.Stream, ev.Sequence = stream, uint64(i)
		if ev.ObservedTime.IsZero() {
			ev.ObservedTime = ev.Time.Add(time.Millisecond)
		}
		e.Log(ev, func(a *event.AlertEvent) { alerts = append(alerts, a) })
	}
	return alerts, nil
}

func compare(f *File, c Case, alerts []*event.AlertEvent) (wrong []string) {
	if f.Quiet != "" {
		limit, ok := event.ParseSeverity(f.Quiet)
		if !ok {
			return []string{fmt.Sprintf("quiet is %q, no severity", f.Quiet)}
		}
		for _, a := range alerts {
			if a.Severity >= limit {
				wrong = append(wrong, fmt.Sprintf("rule %s alerts with severity %s on %q", a.RuleID, a.Severity, message(a)))
			}
		}
		return wrong
	}
	alerts = slices.DeleteFunc(alerts, func(a *event.AlertEvent) bool { return a.RuleID != f.Rule })
	for i, want := range c.Alerts {
		if i >= len(alerts) {
			wrong = append(wrong, fmt.Sprintf("alert %d of group %q is missing", i+1, want.Group))
			continue
		}
		wrong = append(wrong, differences(i, want, alerts[i])...)
	}
	for i := len(c.Alerts); i < len(alerts); i++ {
		wrong = append(wrong, fmt.Sprintf("alert %d of group %q must not be, on %q", i+1, alerts[i].Group, message(alerts[i])))
	}
	return wrong
}

func differences(i int, want Alert, got *event.AlertEvent) (wrong []string) {
	differ := func(what, want, got string) {
		if want != got {
			wrong = append(wrong, fmt.Sprintf("alert %d: %s is %q, want %q", i+1, what, got, want))
		}
	}
	differ("group", want.Group, got.Group)
	if want.Count != 0 {
		differ("count", fmt.Sprint(want.Count), fmt.Sprint(got.Count))
	}
	if want.Severity != "" {
		differ("severity", want.Severity, got.Severity.String())
	}
	for name, value := range want.Entities {
		differ(name, value, got.Entity(name))
	}
	return wrong
}

func message(a *event.AlertEvent) string {
	if len(a.Logs) == 0 {
		return ""
	}
	return a.Logs[len(a.Logs)-1].Message
}
