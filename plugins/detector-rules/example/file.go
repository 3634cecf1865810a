package example

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/sdk/event"
)

// File is one file of examples.
type File struct {
	Rule   string `yaml:"rule"`
	Quiet  string `yaml:"quiet"`
	Format string `yaml:"format"`
	Stream string `yaml:"stream"`
	Cases  []Case `yaml:"cases"`
}

// Case is one input and what it must give.
type Case struct {
	Name string `yaml:"name"`
	// Recorded says where the input was recorded; nil when it was written by hand.
	Recorded *Recording `yaml:"recorded"`
	Input    string     `yaml:"input"`
	Alerts   []Alert    `yaml:"alerts"`
	// Line is where the case begins in the file, from 1.
	Line int `yaml:"-"`
}

// Recording is where the input of a case comes from. It is for people and changes
// nothing.
type Recording struct {
	// Tools are the programs that took part, with their versions.
	Tools string `yaml:"tools"`
	// Source is the source that delivered the lines, and its stream.
	Source string `yaml:"source"`
	// By is the script that records it, and Commands is what it does.
	By       string `yaml:"by"`
	Commands string `yaml:"commands"`
	// Note says what was not as it is in earnest.
	Note string `yaml:"note"`
}

// Alert is what an alert must say. Entities that are not named here are not
// looked at; one that is named with an empty text must be absent.
type Alert struct {
	Group    string            `yaml:"group"`
	Count    uint64            `yaml:"count"`
	Severity string            `yaml:"severity"`
	Entities map[string]string `yaml:"entities"`
}

// Problem is why a file of examples cannot be read.
type Problem struct {
	// Line counts from 1.
	Line   int
	Reason string
}

func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Reason) }

// Parse reads a file of examples; unknown keys are errors. Its error is a *Problem.
func Parse(data []byte) (*File, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, located(err, data)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	f := &File{}
	if err := d.Decode(f); err != nil {
		return nil, located(err, data)
	}
	wrong := func(line int, format string, args ...any) error {
		return &Problem{Line: max(line, 1), Reason: fmt.Sprintf(format, args...)}
	}
	if (f.Rule == "") == (f.Quiet == "") {
		return nil, wrong(1, "want one of the keys rule and quiet")
	}
	if _, ok := event.ParseSeverity(f.Quiet); f.Quiet != "" && !ok {
		return nil, wrong(1, "quiet is %q, which is no severity", f.Quiet)
	}
	if len(f.Cases) == 0 {
		return nil, wrong(1, "there are no cases")
	}
	lines := linesOf(&root)
	for i := range f.Cases {
		c := &f.Cases[i]
		if c.Line = 1; i < len(lines) {
			c.Line = lines[i]
		}
		if strings.TrimSpace(c.Input) == "" {
			return nil, wrong(c.Line, "the case %q has no input", c.Name)
		}
	}
	return f, nil
}

func located(err error, data []byte) error {
	var types *yaml.TypeError
	if errors.As(err, &types) && len(types.Errors) > 0 {
		var line int
		reason := types.Errors[0]
		if n, err := fmt.Sscanf(reason, "line %d:", &line); n == 1 && err == nil {
			_, reason, _ = strings.Cut(reason, ": ")
		}
		return &Problem{Line: max(line, 1), Reason: reason}
	}
	line, text := document.Locate(err, data)
	return &Problem{Line: line, Reason: text}
}

// linesOf returns where the cases begin.
func linesOf(root *yaml.Node) (lines []int) {
	if len(root.Content) == 0 {
		return nil
	}
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "cases" {
			for _, c := range top.Content[i+1].Content {
				lines = append(lines, c.Line)
			}
		}
	}
	return lines
}
