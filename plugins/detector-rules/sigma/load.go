package sigma

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// The bounds of what is read. What exceeds one is a Problem.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = document.MaxFile
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

// Result is what a Collector was given.
type Result struct {
	// Rules are the rules that may be run, in the order of their files, with
	// their filters applied.
	Rules []*Rule
	// Filters and Correlations are the other documents that are right.
	Filters      []*Filter
	Correlations []*Correlation
	// Problems are the documents that were rejected, in the order in
	// which that was found.
	Problems []Problem
	// Warnings are about documents that were not rejected.
	Warnings []Problem
	// Skipped counts the documents that are neither rule, filter nor correlation.
	Skipped int
}

// Collector reads one document after the other, and joins at the end what names
// each other. It is for one goroutine.
type Collector struct {
	result  Result
	options Options
	ids     *document.IDs
}

// NewCollector makes a Collector. ids are those that are taken, to which it adds;
// nil starts afresh.
func NewCollector(options Options, ids *document.IDs) *Collector {
	if ids == nil {
		ids = new(document.IDs)
	}
	return &Collector{options: options, ids: ids}
}

// Document reads one document of a file, whose name is only for the problems. It
// returns the rule or correlation that was found right, nil for what is neither:
// a filter, a problem, or YAML that is none of ours. What it returns belongs to
// the Collector until Finish.
func (c *Collector) Document(name string, root *yaml.Node) (*Rule, *Correlation) {
	rules, correlations := len(c.result.Rules), len(c.result.Correlations)
	c.document(name, root)
	switch {
	case len(c.result.Rules) > rules:
		return c.result.Rules[rules], nil
	case len(c.result.Correlations) > correlations:
		return nil, c.result.Correlations[correlations]
	}
	return nil, nil
}

// Problems returns the problems so far. They belong to the Collector.
func (c *Collector) Problems() []Problem { return c.result.Problems }

// Filters returns the filters so far. Until Finish they may be changed; after that
// they are part of their rules.
func (c *Collector) Filters() []*Filter { return c.result.Filters }

// Finish applies the filters and finds the rules that correlations name. others are
// rules of another language that filters and correlations may name too; a filter
// changes their conditions. Nothing may be added after it.
func (c *Collector) Finish(others []*Rule) *Result {
	all := append(slices.Clip(others), c.result.Rules...)
	c.applyFilters(all)
	c.resolve(all)
	return &c.result
}

// Parse reads one file; name is only for the problems. What is right in a file
// that is no YAML behind some line is read up to that line.
func Parse(name string, data []byte, options Options) *Result {
	c := NewCollector(options, nil)
	for root, err := range document.All(data) {
		if err != nil {
			line, text := document.Locate(err, data)
			c.result.Problems = append(c.result.Problems, Problem{File: name, Line: line, Code: CodeSyntax, Reason: text})
			break
		}
		c.document(name, root)
	}
	return c.Finish(nil)
}
