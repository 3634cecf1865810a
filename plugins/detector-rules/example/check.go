package example

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/explain"
	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// The codes of sdk.RuleTestFailure, beside those of the loader for rules that it
// rejects.
const (
	// CodeFile: the file of examples cannot be read.
	CodeFile = "bad_examples"
	// CodeRule: the rule that it is about is not there.
	CodeRule = "unknown_rule"
	// CodeParser: there is no parser for its format.
	CodeParser = "no_parser"
	// CodeAlerts: the alerts are not those that must be.
	CodeAlerts = "alerts_differ"
	// CodeQuiet: an alert came where there must be quiet.
	CodeQuiet = "not_quiet"
)

// isExamples tells files of examples from rules, which may lie in the same folder.
var isExamples = regexp.MustCompile(`(?m)^cases:`)

// Test runs the examples among files over the rules that were loaded from them.
func Test(files fs.FS, res *rule.Result, parse sdk.ParseLines) (sdk.RuleTestReport, error) {
	var report sdk.RuleTestReport
	for _, p := range res.Problems {
		report.Failed = append(report.Failed, sdk.RuleTestFailure{File: p.File, Line: p.Line, Rule: p.Rule, Code: p.Code, Reason: p.Reason})
	}
	rules := NewRules(res.Rules, res.Mappings...)
	tested := map[string]bool{}
	var failed error
	document.Walk(files, rule.MaxFiles, func(name string, data []byte) bool {
		if !isExamples.Match(data) {
			return true
		}
		report.Files++
		f, err := Parse(data)
		if problem := (*Problem)(nil); errors.As(err, &problem) {
			report.Failed = append(report.Failed, sdk.RuleTestFailure{File: name, Line: problem.Line, Code: CodeFile, Reason: problem.Reason})
			return true
		}
		tested[f.Rule] = true
		report.Examples += len(f.Cases)
		wrong, err := rules.Check(f, parse)
		if err != nil {
			failed = fmt.Errorf("run the examples of %s: %w", name, err)
			return false
		}
		report.Passed += len(f.Cases) - len(wrong)
		for _, w := range wrong {
			w.File = name
			report.Failed = append(report.Failed, w)
		}
		return true
	}, func(string, error) {}) // the loader has said so
	parts := Parts(res.Rules)
	for _, r := range res.Rules {
		if !tested[r.ID] && !parts[r.ID] {
			report.Untested = append(report.Untested, r.ID)
		}
	}
	return report, failed
}

// Parts returns the ids of the rules that only correlations use: they raise no alert
// that an example could have.
func Parts(rules []*rule.Rule) map[string]bool {
	parts, generates := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		if r.Correlation == nil || r.Disabled() {
			continue
		}
		for _, id := range r.Correlation.Rules {
			parts[id] = true
			generates[id] = generates[id] || r.Correlation.Generate
		}
	}
	maps.DeleteFunc(parts, func(id string, _ bool) bool { return generates[id] })
	return parts
}

// Rules are rules that examples are run over.
type Rules struct {
	byID map[string]*rule.Rule
	set  *engine.Set
	why  *explain.Rules
}

// NewRules takes rules, and the mappings that say what they speak of. Disabled ones run too: their examples must hold when
// somebody enables them.
func NewRules(loaded []*rule.Rule, mappings ...*mapping.Mapping) *Rules {
	out := &Rules{byID: map[string]*rule.Rule{}}
	rules := slices.Clone(loaded)
	for i, r := range rules {
		if r.Disabled() {
			other := *r
			other.Status = ""
			rules[i] = &other
		}
		out.byID[r.ID] = rules[i]
	}
	out.set = engine.Compile(rules, mappings...)
	out.why = explain.New(rules, explain.NewNames(mappings))
	return out
}

// Check runs the cases of a file and returns those that are not as they must be.
// The lines count as a log of this host. An error is about the parser, not about
// the examples.
func (r *Rules) Check(f *File, parse sdk.ParseLines) (wrong []sdk.RuleTestFailure, err error) {
	for i := range f.Cases {
		c := &f.Cases[i]
		w := sdk.RuleTestFailure{Line: c.Line, Rule: f.Rule, Example: c.Name}
		if r.byID[f.Rule] == nil && f.Quiet == "" {
			w.Code, w.Reason = CodeRule, "there is no rule "+f.Rule
			wrong = append(wrong, w)
			continue
		}
		events, err := read(f, c, parse)
		switch {
		case errors.Is(err, sdk.ErrNoParser):
			w.Code, w.Reason = CodeParser, fmt.Sprintf("the lines of format %q cannot be parsed: %v", f.Format, err)
		case err != nil:
			return nil, err
		case f.Quiet != "":
			r.quiet(f, events, &w)
		default:
			r.compare(f, c, events, &w)
		}
		if w.Code != "" {
			wrong = append(wrong, w)
		}
	}
	return wrong, nil
}

// read parses the lines of a case.
func read(f *File, c *Case, parse sdk.ParseLines) ([]*event.LogEvent, error) {
	name := f.Stream
	if name == "" {
		name = "example"
	}
	events, err := parse(f.Format, name, []byte(strings.TrimRight(c.Input, "\n")+"\n"))
	for i, e := range events {
		s := event.Stream{Format: f.Format}
		if e.Stream != nil {
			s = *e.Stream
		}
		s.Name, s.Provenance = name, event.ProvenanceHost
		e.Stream, e.Sequence = &s, uint64(i)
		if e.ObservedTime.IsZero() {
			e.ObservedTime = e.Time.Add(time.Millisecond)
		}
	}
	return events, err
}

// run gives events to a fresh engine.
func (r *Rules) run(events []*event.LogEvent) (alerts []*event.AlertEvent) {
	e := engine.New(r.set, engine.Options{})
	for _, ev := range events {
		e.Log(ev, func(a *event.AlertEvent) { alerts = append(alerts, a) })
	}
	return alerts
}

func (r *Rules) quiet(f *File, events []*event.LogEvent, w *sdk.RuleTestFailure) {
	limit, _ := event.ParseSeverity(f.Quiet)
	for _, a := range r.run(events) {
		if a.Severity >= limit {
			w.Rule = a.RuleID
			w.Got = append(w.Got, fmt.Sprintf("%s alerts with severity %s on %q", a.RuleID, a.Severity, message(a)))
		}
	}
	if len(w.Got) > 0 {
		w.Code, w.Reason = CodeQuiet, fmt.Sprintf("no alert of severity %s or above may come of ordinary input", f.Quiet)
	}
}

func (r *Rules) compare(f *File, c *Case, events []*event.LogEvent, w *sdk.RuleTestFailure) {
	alerts := slices.DeleteFunc(r.run(events), func(a *event.AlertEvent) bool { return a.RuleID != f.Rule })
	for i := range max(len(alerts), len(c.Alerts)) {
		var want Alert
		if i < len(c.Alerts) {
			want = c.Alerts[i]
			w.Wanted = append(w.Wanted, want.String())
		}
		if i < len(alerts) {
			text := seen(alerts[i], want)
			if i >= len(c.Alerts) {
				text += fmt.Sprintf(", on %q", message(alerts[i]))
			}
			w.Got = append(w.Got, text)
		}
	}
	if slices.Equal(w.Wanted, w.Got) {
		return
	}
	w.Code = CodeAlerts
	switch wanted, got := len(c.Alerts), len(alerts); {
	case got < wanted:
		w.Reason = fmt.Sprintf("%d of %d alerts came", got, wanted)
		w.Hint = r.why.Hint(f.Rule, events)
	case got > wanted && wanted == 0:
		w.Reason = "an alert came, and none must"
	case got > wanted:
		w.Reason = fmt.Sprintf("%d alerts came, and %d must", got, wanted)
	default:
		w.Reason = "an alert says something else"
	}
}

// String writes the alert as seen does.
func (a Alert) String() string {
	return describe(a, a.Group, a.Count, a.Severity, func(name string) string { return a.Entities[name] })
}

// seen writes what an alert says about that which is wanted.
func seen(a *event.AlertEvent, want Alert) string {
	return describe(want, a.Group, a.Count, a.Severity.String(), a.Entity)
}

func describe(want Alert, group string, count uint64, severity string, entity func(string) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "alert of group %q", group)
	if want.Count != 0 {
		fmt.Fprintf(&b, ", count %d", count)
	}
	if want.Severity != "" {
		b.WriteString(", severity " + severity)
	}
	for _, name := range slices.Sorted(maps.Keys(want.Entities)) {
		fmt.Fprintf(&b, ", %s %q", name, entity(name))
	}
	return b.String()
}

func message(a *event.AlertEvent) string {
	if len(a.Logs) == 0 {
		return ""
	}
	return a.Logs[len(a.Logs)-1].Message
}
