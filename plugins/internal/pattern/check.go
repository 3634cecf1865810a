package pattern

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// exampleTime is when examples count as read.
var exampleTime = time.Date(2025, 3, 2, 0, 0, 0, 0, time.UTC)

// Check runs the examples of a file by the set that the file is part of, and
// returns one problem for each that does not give exactly its fields, or that
// another pattern reads. Strict also wants an example for each pattern.
func (s *Set) Check(f *File, strict bool) []*Problem {
	var problems []*Problem
	for _, e := range f.entries {
		covered := map[int]bool{}
		for _, x := range e.examples {
			line, problem := s.checkMessage(f, x)
			covered[line] = true
			if problem == nil && !slices.ContainsFunc(e.texts, func(t text) bool { return t.line == line }) {
				problem = &Problem{f.Path, x.line, CodeExample, fmt.Sprintf("the pattern of line %d reads it, not this one", line)}
			}
			if problem != nil {
				problems = append(problems, problem)
			}
		}
		problems = append(problems, uncovered(f, e, covered, strict)...)
	}
	for _, e := range f.lines {
		covered := map[int]bool{}
		for _, x := range e.examples {
			line, problem := s.checkLine(f, x)
			covered[line] = true
			if problem == nil && !slices.ContainsFunc(e.texts, func(t text) bool { return t.line == line }) {
				problem = &Problem{f.Path, x.line, CodeExample, fmt.Sprintf("the form of line %d reads it, not this one", line)}
			}
			if problem != nil {
				problems = append(problems, problem)
			}
		}
		problems = append(problems, uncovered(f, e, covered, strict)...)
	}
	for _, x := range f.examples {
		if _, problem := s.checkMessage(f, x); problem != nil {
			problems = append(problems, problem)
		}
	}
	return problems
}

func uncovered(f *File, e entry, covered map[int]bool, strict bool) (problems []*Problem) {
	for _, t := range e.texts {
		if strict && !covered[t.line] {
			problems = append(problems, &Problem{f.Path, t.line, CodeExample, "the pattern has no example that it reads"})
		}
	}
	return problems
}

// checkMessage reads a message and returns the line of the pattern that did.
func (s *Set) checkMessage(f *File, x example) (line int, problem *Problem) {
	process := x.process
	if process == "" && len(f.Programs) > 0 {
		process = f.Programs[0]
	}
	out := event.LogEvent{Process: process, Message: strings.TrimSpace(x.input)}
	if p := s.read(&out, true); p != nil && p.file == f.Path {
		line = p.line
	}
	return line, compare(f, x, &out)
}

// checkLine reads a whole line and returns the line of the form that did.
func (s *Set) checkLine(f *File, x example) (line int, problem *Problem) {
	var out event.LogEvent
	ref := stamp.Reference{Observed: exampleTime, Location: time.UTC}
	for _, l := range s.lines {
		if l.Read(x.input, &ref, &out) {
			line = l.line
			if l.file != f.Path {
				line = 0
			}
			s.Apply(&out)
			return line, compare(f, x, &out)
		}
	}
	return 0, &Problem{f.Path, x.line, CodeExample, "no form of a line reads it"}
}

// compare says how an event differs from an example's fields: those of the event,
// and of a line its members as well.
func compare(f *File, x example, out *event.LogEvent) *Problem {
	want := map[string]string{}
	for _, kv := range x.fields {
		want[kv[0]] = kv[1]
	}
	got := map[string]string{}
	for _, kv := range out.Fields {
		got[kv.Key] = kv.Value
	}
	for key, value := range map[string]string{"process": out.Process, "message": out.Message, "host": out.Host} {
		if _, asked := want[key]; asked {
			got[key] = value
		}
	}
	if _, asked := want["pid"]; asked && out.PID != 0 {
		got["pid"] = fmt.Sprint(out.PID)
	}
	if _, asked := want["time"]; asked && !out.Time.IsZero() {
		got["time"] = out.Time.UTC().Format(time.RFC3339Nano)
	}
	var wrong []string
	for key, value := range want {
		if text, ok := got[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is missing, want %q", key, value))
		} else if text != value {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", key, text, value))
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want none", key, value))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return &Problem{f.Path, x.line, CodeExample, strings.Join(wrong, "; ")}
}
