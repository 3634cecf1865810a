package sigma

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
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
	MaxNodes = 100_000
	// MaxDepth is how deep a document, or a condition, may be nested.
	MaxDepth = 64
	// MaxTests is how many tests the values of a rule may become.
	MaxTests = 20_000
	// MaxText is the length of a value in bytes.
	MaxText = 16 << 10
	// MaxWildcards is how many wildcards a value may have.
	MaxWildcards = 64
	// MaxField is the length of the name of a field in bytes.
	MaxField = 256
	// MaxCondition is the length of a condition in bytes.
	MaxCondition = 8 << 10
	// MaxRegex is the length of a regular expression in characters.
	MaxRegex = 1000
	// MaxRegexProgram is how many instructions it may compile to.
	MaxRegexProgram = 20_000
	// MaxTitle and MaxDescription are lengths in bytes; the specification counts
	// the same numbers in characters.
	MaxTitle       = 4 * 256
	MaxDescription = 4 * 65_535
)

// Options are what rules may need from outside. The zero value has none of it.
type Options struct {
	// Placeholders are the values for %name% in values with the modifier expand.
	// They may have wildcards. A rule that needs one without a value is rejected.
	Placeholders map[string][]string
}

// Result is what Load found.
type Result struct {
	// Rules are the rules that may be run, in the order of their files, with
	// their filters applied.
	Rules []*Rule
	// Filters and Correlations are the other documents that are right.
	Filters      []*Filter
	Correlations []*Correlation
	// Problems are the documents and files that were rejected, in the order in
	// which that was found.
	Problems []Problem
	// Warnings are about documents that were not rejected.
	Warnings []Problem
	// Files counts the YAML files that were looked at, Skipped the documents in
	// them that are neither rule, filter nor correlation.
	Files, Skipped int
}

// Load reads every .yml and .yaml file of a tree, in the order of their paths.
// Files and folders whose name begins with a dot are left out. Load has no
// error: what goes wrong is a Problem, and the rest is loaded.
func Load(fsys fs.FS, options Options) *Result {
	l := newLoader(options)
	l.Files = document.Walk(fsys, MaxFiles, l.file, l.refuse)
	return l.finish()
}

// Parse reads one file; name is only for the problems.
func Parse(name string, data []byte, options Options) *Result {
	l := newLoader(options)
	l.Files = 1
	if len(data) > MaxFile {
		l.refuse(name, document.ErrFileTooLarge)
	} else {
		l.file(name, data)
	}
	return l.finish()
}

// loader collects the result and the ids that are taken.
type loader struct {
	Result
	options Options
	seen    map[string]place
	count   int
}

// place is where something begins.
type place struct {
	file string
	line int
}

func newLoader(options Options) *loader {
	return &loader{options: options, seen: map[string]place{}}
}

func (l *loader) reject(file, code, format string, args ...any) {
	l.Problems = append(l.Problems, Problem{File: file, Line: 1, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// finish joins what names each other.
func (l *loader) finish() *Result {
	l.applyFilters()
	l.resolve()
	return &l.Result
}

// refuse says why a file or folder is not read.
func (l *loader) refuse(name string, err error) {
	switch {
	case errors.Is(err, document.ErrTooDeep):
		l.reject(name, CodeTooDeep, "folders are nested more than %d deep; what is in this one is not read", MaxFolders)
	case errors.Is(err, document.ErrTooManyFiles):
		l.reject(name, CodeTooManyFiles, "more than %d files; this one and those after it are not read", MaxFiles)
	case errors.Is(err, document.ErrFileTooLarge):
		l.reject(name, CodeFileTooLarge, "the file is larger than %d bytes; split it", MaxFile)
	default:
		l.reject(name, CodeUnreadable, "read %s: %v", name, err)
	}
}

// file reads the documents of one file. It reports whether more rules may be
// loaded.
func (l *loader) file(name string, data []byte) (more bool) {
	for root, err := range document.All(data) {
		if err != nil {
			line, text := document.Locate(err, data)
			l.Problems = append(l.Problems, Problem{File: name, Line: line, Code: CodeSyntax, Reason: text})
			return true
		}
		if l.count == MaxRules {
			l.reject(name, CodeTooManyRules, "more than %d rules; this one and those after it are not loaded", MaxRules)
			return false
		}
		l.document(name, root)
	}
	return true
}
