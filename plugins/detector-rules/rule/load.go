package rule

import (
	"errors"
	"fmt"
	"io/fs"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// The bounds of what is read. What exceeds one is a Problem.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = document.MaxFile
	// MaxFiles is how many YAML files a tree may have.
	MaxFiles = 10_000
	// MaxFolders is how deep folders may be nested.
	MaxFolders = document.MaxFolders
	// MaxRules is how many rules a tree may have.
	MaxRules = 100_000
	// MaxNodes is how many YAML nodes a document may have, aliases followed.
	MaxNodes = 100_000
	// MaxDepth is how deep a document may be nested.
	MaxDepth = 64
	// MaxRegex is the length of a regular expression in characters.
	MaxRegex = 1000
	// MaxRegexProgram is how many instructions it may compile to.
	MaxRegexProgram = 20_000
)

// Result is what Load found.
type Result struct {
	// Rules are the rules that may be run, in the order of their files.
	Rules []*Rule
	// Problems are the rules and files that were rejected, in the same order.
	Problems []Problem
	// Files counts the YAML files that were looked at, Skipped the documents in
	// them that are no rules.
	Files, Skipped int
}

// Load reads every .yml and .yaml file of a tree, in the order of their paths.
// Files and folders whose name begins with a dot are left out. Load has no
// error: what goes wrong is a Problem, and the rest is loaded.
func Load(fsys fs.FS) *Result {
	l := &loader{seen: map[string]*Rule{}}
	l.Files = document.Walk(fsys, MaxFiles, l.file, l.refuse)
	return &l.Result
}

// Parse reads the rules of one file; name is only for the problems.
func Parse(name string, data []byte) *Result {
	l := &loader{seen: map[string]*Rule{}}
	l.Files = 1
	if len(data) > MaxFile {
		l.refuse(name, document.ErrFileTooLarge)
	} else {
		l.file(name, data)
	}
	return &l.Result
}

// loader collects the result and the ids that are taken.
type loader struct {
	Result
	seen map[string]*Rule
}

func (l *loader) reject(file string, line int, code, format string, args ...any) {
	l.Problems = append(l.Problems, Problem{File: file, Line: line, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// refuse says why a file or folder is not read.
func (l *loader) refuse(name string, err error) {
	switch {
	case errors.Is(err, document.ErrTooDeep):
		l.reject(name, 1, CodeTooDeep, "folders are nested more than %d deep", MaxFolders)
	case errors.Is(err, document.ErrTooManyFiles):
		l.reject(name, 1, CodeTooManyFiles, "more than %d files; this one and those after it are not read", MaxFiles)
	case errors.Is(err, document.ErrFileTooLarge):
		l.reject(name, 1, CodeFileTooLarge, "the file is larger than %d bytes", MaxFile)
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
		if len(l.Rules) == MaxRules {
			l.reject(name, max(root.Line, 1), CodeTooManyRules, "more than %d rules; this one and those after it are not loaded", MaxRules)
			return false
		}
		l.document(name, root)
	}
	return true
}

// document reads one document: the form decides who does.
func (l *loader) document(name string, root *yaml.Node) {
	r := &reader{file: name, budget: MaxNodes}
	root = document.Deref(root)
	form := formOf(root)
	if form == formNone {
		l.Skipped++
		return
	}
	r.id = idOf(root)
	err := r.check(root, 0)
	var rule *Rule
	if err == nil {
		switch form {
		case formSigma:
			err = r.problem(root, CodeUnsupportedSigma, "this is a rule in the Sigma language, which is not read yet; write it with detection.conditions")
		case formCorrelation:
			err = r.problem(root, CodeUnsupportedSigma, "this is a Sigma correlation, which is not read yet; write it with detection.threshold")
		default:
			rule, err = r.rule(root)
		}
	}
	if err == nil {
		if first := l.seen[rule.ID]; first != nil {
			err = r.problem(value(root, "id"), CodeDuplicateID, "the id %q is taken by %s:%d", rule.ID, first.File, first.Line)
		}
	}
	if err != nil {
		problem := (*Problem)(nil)
		if !errors.As(err, &problem) {
			problem = &Problem{File: name, Rule: r.id, Line: max(root.Line, 1), Code: CodeInvalidValue, Reason: err.Error()}
		}
		l.Problems = append(l.Problems, *problem)
		return
	}
	l.seen[rule.ID] = rule
	l.Rules = append(l.Rules, rule)
}

// form is the language that a document is written in.
type form int

const (
	formNone form = iota
	formNative
	formSigma
	formCorrelation
)

// formOf tells rules from other YAML. A mapping with "detection" or
// "correlation" is a rule; so is one with two of the words that nearly every
// rule has, so that a misspelled "detection" is reported and not passed over.
func formOf(root *yaml.Node) form {
	if root.Kind != yaml.MappingNode {
		return formNone
	}
	if value(root, "correlation") != nil {
		return formCorrelation
	}
	if d := value(root, "detection"); d != nil {
		d = document.Deref(d)
		if d.Kind == yaml.MappingNode && value(d, "conditions") == nil && value(d, "condition") != nil {
			return formSigma
		}
		return formNative
	}
	words := 0
	for _, word := range []string{"id", "title", "severity", "level", "logsource", "conditions", "threshold"} {
		if value(root, word) != nil {
			words++
		}
	}
	if words >= 2 {
		return formNative
	}
	return formNone
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
