package rule

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/mapping"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// The bounds of what is read. What exceeds one is a Problem.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = document.MaxFile
	// MaxFiles is how many YAML files a tree may have.
	MaxFiles = 20_000
	// MaxFolders is how deep folders may be nested.
	MaxFolders = document.MaxFolders
	// MaxRules is how many rules, filters and correlations a tree may have.
	MaxRules = 100_000
	// MaxNodes is how many YAML nodes a document may have, aliases followed.
	MaxNodes = sigma.MaxNodes
	// MaxDepth is how deep a document may be nested.
	MaxDepth = sigma.MaxDepth
	// MaxRegex is the length of a regular expression in characters.
	MaxRegex = sigma.MaxRegex
	// MaxRegexProgram is how many instructions it may compile to.
	MaxRegexProgram = sigma.MaxRegexProgram
)

// Result is what Load found.
type Result struct {
	// Rules are the rules that may be run, in the order of their files: those of
	// both languages, correlations among them, with their filters applied.
	Rules []*Rule
	// Filters are the filters that are right.
	Filters []*sigma.Filter
	// Mappings say what rules speak of; they are no rules.
	Mappings []*mapping.Mapping
	// Problems are the rules and files that were rejected, in the same order; a
	// correlation that names what is not there comes after them.
	Problems []Problem
	// Warnings are about documents that were not rejected.
	Warnings []Problem
	// Files counts the YAML files that were looked at, Skipped the documents in
	// them that are no rules.
	Files, Skipped int
}

// Options say what Load takes from elsewhere.
type Options struct {
	// Placeholders are the values of %name% in values with expand.
	Placeholders map[string][]string
}

// Load reads every .yml and .yaml file of a tree, in the order of their paths.
// Files and folders whose name begins with a dot are left out. Load has no
// error: what goes wrong is a Problem, and the rest is loaded.
func Load(fsys fs.FS) *Result { return LoadWith(fsys, Options{}) }

// LoadWith is Load with options.
func LoadWith(fsys fs.FS, opts Options) *Result {
	l := newLoader(opts)
	l.Files = document.Walk(fsys, MaxFiles, l.file, l.refuse)
	return l.finish()
}

// Parse reads the rules of one file; name is only for the problems.
func Parse(name string, data []byte) *Result {
	l := newLoader(Options{})
	l.Files = 1
	if len(data) > MaxFile {
		l.refuse(name, document.ErrFileTooLarge)
	} else {
		l.file(name, data)
	}
	return l.finish()
}

// loader collects the result.
type loader struct {
	Result
	ids   document.IDs
	sigma *sigma.Collector
	found []found
}

// found is a document that is right by itself.
type found struct {
	// simple is one in the simple form, beside its condition as Sigma has it.
	simple      *Rule
	rule        *sigma.Rule
	correlation *sigma.Correlation
	own         extension
}

func newLoader(opts Options) *loader {
	l := &loader{}
	l.sigma = sigma.NewCollector(sigma.Options{Placeholders: opts.Placeholders}, &l.ids)
	return l
}

func (l *loader) reject(file string, line int, code, format string, args ...any) {
	l.Problems = append(l.Problems, Problem{File: file, Line: line, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// refuse says why a file or folder is not read.
func (l *loader) refuse(name string, err error) {
	switch {
	case errors.Is(err, document.ErrTooDeep):
		l.reject(name, 1, CodeTooDeep, "folders are nested more than %d deep; what is in this one is not read", MaxFolders)
	case errors.Is(err, document.ErrTooManyFiles):
		l.reject(name, 1, CodeTooManyFiles, "more than %d files; this one and those after it are not read", MaxFiles)
	case errors.Is(err, document.ErrFileTooLarge):
		l.reject(name, 1, CodeFileTooLarge, "the file is larger than %d bytes; split it", MaxFile)
	default:
		l.reject(name, 1, CodeUnreadable, "read %s: %v", name, err)
	}
}

// file reads the documents of one file. It reports whether more rules may be
// loaded.
func (l *loader) file(name string, data []byte) (more bool) {
	for root, err := range document.All(data) {
		if err != nil {
			line, text := document.Locate(err, data)
			l.reject(name, line, CodeSyntax, "%s", text)
			return true
		}
		if len(l.found) == MaxRules {
			l.reject(name, max(root.Line, 1), CodeTooManyRules, "more than %d rules; this one and those after it are not loaded", MaxRules)
			return false
		}
		l.document(name, document.Deref(root))
	}
	return true
}

// document reads one document: the form decides who does.
func (l *loader) document(name string, root *yaml.Node) {
	r := &reader{file: name, id: idOf(root), budget: MaxNodes}
	switch {
	case mapping.Is(root):
		if err := r.check(root, 0); err != nil {
			l.problem(r, root, err)
		} else if m, problem := mapping.Parse(name, root); problem != nil {
			l.Problems = append(l.Problems, *problem)
		} else {
			l.Mappings = append(l.Mappings, m)
		}
	case isSimple(root):
		if err := l.simple(r, root); err != nil {
			l.problem(r, root, err)
		}
	case sigma.Is(root):
		own, err := r.extension(root)
		if err != nil {
			l.problem(r, root, err)
			return
		}
		before, filters := len(l.sigma.Problems()), len(l.sigma.Filters())
		rule, correlation := l.sigma.Document(name, root)
		for _, f := range l.sigma.Filters()[filters:] {
			own.expire(f)
		}
		l.Problems = append(l.Problems, l.sigma.Problems()[before:]...)
		l.found = append(l.found, found{rule: rule, correlation: correlation, own: own})
	default:
		l.Skipped++
	}
}

func (l *loader) problem(r *reader, root *yaml.Node, err error) {
	problem := (*Problem)(nil)
	if !errors.As(err, &problem) {
		problem = &Problem{File: r.file, Rule: r.id, Line: max(root.Line, 1), Code: CodeInvalidValue, Reason: err.Error()}
	}
	l.Problems = append(l.Problems, *problem)
}

// simple reads a rule in the simple form.
func (l *loader) simple(r *reader, root *yaml.Node) error {
	if err := r.check(root, 0); err != nil {
		return err
	}
	rule, err := r.rule(root)
	if err != nil {
		return err
	}
	if first, ok := l.ids.Take(rule.ID, document.Place{File: rule.File, Line: rule.Line}); !ok {
		return r.problem(value(root, "id"), CodeDuplicateID, "the id %q is taken by %s; give one of the two another", rule.ID, first)
	}
	l.found = append(l.found, found{simple: rule, rule: &sigma.Rule{ID: rule.ID, LogSource: rule.LogSource, When: rule.When}})
	return nil
}

// finish joins what names each other, and brings both languages together.
func (l *loader) finish() *Result {
	var simple []*sigma.Rule
	for _, f := range l.found {
		if f.simple != nil {
			simple = append(simple, f.rule)
		}
	}
	before := len(l.sigma.Problems())
	joined := l.sigma.Finish(simple)
	l.Filters, l.Warnings = joined.Filters, joined.Warnings
	l.Problems = append(l.Problems, joined.Problems[before:]...)
	l.Skipped += joined.Skipped
	resolved := map[*sigma.Correlation]bool{}
	for _, c := range joined.Correlations {
		resolved[c] = true
	}
	for _, f := range l.found {
		switch {
		case f.simple != nil:
			f.simple.When, f.simple.Filters = f.rule.When, f.rule.Filters
			l.Rules = append(l.Rules, f.simple)
		case f.rule != nil:
			l.Rules = append(l.Rules, fromSigma(f.rule, f.own))
		case resolved[f.correlation]:
			l.Rules = append(l.Rules, fromCorrelation(f.correlation, f.own))
		}
	}
	l.fleet()
	digestCorrelations(l.Rules)
	return &l.Result
}

// fleet rejects what asks for a window over all hosts and cannot have it. What counts the
// finds of such a rule would have to be where the window is completed, which is on any
// host.
func (l *loader) fleet() {
	over := make(map[string]bool)
	for _, r := range l.Rules {
		over[r.ID] = r.Fleet
	}
	l.Rules = slices.DeleteFunc(l.Rules, func(r *Rule) bool {
		c := r.Correlation
		if c == nil {
			return false
		}
		reason := ""
		if r.Fleet && r.FleetCount() == 0 {
			reason = fmt.Sprintf("scope: fleet goes with event_count and value_count whose one condition is gte or gt, and %d to %d", MinFleetCount, MaxFleetCount)
		}
		for _, id := range c.Rules {
			if over[id] {
				reason = fmt.Sprintf("it counts the finds of %s, which has scope: fleet; count those of a rule without it", document.Clip(id))
			}
		}
		if reason != "" {
			l.Problems = append(l.Problems, Problem{File: r.File, Rule: r.ID, Line: r.Line, Code: CodeInvalidValue, Reason: reason})
		}
		return reason != ""
	})
}

// isSimple tells the simple form from Sigma and from other YAML. What has
// detection.conditions is in the simple form; so is what has a detection that is
// neither that nor Sigma's, and what has two of the words that nearly every rule
// has and no logsource, so that a misspelled "detection" is reported and not passed
// over.
func isSimple(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode || value(root, "correlation") != nil || value(root, "action") != nil {
		return false
	}
	if d := value(root, "detection"); d != nil {
		d = document.Deref(d)
		return d.Kind != yaml.MappingNode || value(d, "conditions") != nil || value(d, "threshold") != nil ||
			value(d, "condition") == nil && value(root, "logsource") == nil
	}
	if value(root, "filter") != nil {
		return false
	}
	words := 0
	for _, word := range []string{"id", "title", "severity", "level", "conditions", "threshold"} {
		if value(root, word) != nil {
			words++
		}
	}
	return words >= 2 && value(root, "logsource") == nil
}

// value returns the value of a key of a mapping node, nil when it has none.
func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// idOf returns the id that a rule gives itself, right or wrong, for its
// problems.
func idOf(root *yaml.Node) string {
	if n := value(root, "id"); n != nil && document.Deref(n).Kind == yaml.ScalarNode {
		return document.Clip(document.Deref(n).Value)
	}
	return ""
}
