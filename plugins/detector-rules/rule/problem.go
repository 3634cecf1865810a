package rule

import (
	"fmt"
	"slices"
)

// Problem says why a rule, or a whole file, was rejected.
type Problem struct {
	File string `json:"file"`
	// Rule is the id of the rule, empty when it could not be read.
	Rule string `json:"rule"`
	// Line counts from 1.
	Line int `json:"line"`
	// Code is one of the Code constants: stable, for programs.
	Code string `json:"code"`
	// Reason is for people.
	Reason string `json:"reason"`
}

// Error returns "file:line: reason (code)".
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s (%s)", p.File, p.Line, p.Reason, p.Code)
}

// The codes of a Problem.
const (
	CodeUnreadable       = "unreadable"
	CodeFileTooLarge     = "file_too_large"
	CodeTooManyFiles     = "too_many_files"
	CodeTooManyRules     = "too_many_rules"
	CodeTooDeep          = "too_deep"
	CodeTooLarge         = "too_large"
	CodeSyntax           = "yaml_syntax"
	CodeUnknownKey       = "unknown_key"
	CodeDuplicateKey     = "duplicate_key"
	CodeMissingKey       = "missing_key"
	CodeWrongType        = "wrong_type"
	CodeInvalidID        = "invalid_id"
	CodeDuplicateID      = "duplicate_id"
	CodeInvalidSeverity  = "invalid_severity"
	CodeInvalidValue     = "invalid_value"
	CodeOutOfRange       = "out_of_range"
	CodeUnknownOperator  = "unknown_operator"
	CodeConflict         = "conflicting_keys"
	CodeRegexInvalid     = "regex_invalid"
	CodeRegexTooLong     = "regex_too_long"
	CodeRegexLookaround  = "regex_lookaround"
	CodeRegexBackref     = "regex_backreference"
	CodeUnsupportedSigma = "unsupported_sigma"
)

// nearest returns the name of known that is closest to word, or "" when none
// is close enough to be what was meant.
func nearest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	for _, name := range known {
		if d := distance(word, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is the number of single-character edits between two words, a swap
// of neighbours counting as one. Long words are cut, so that hostile input
// costs no more than the names it is compared with.
func distance(a, b string) int {
	const longest = 64
	x, y := []rune(a[:min(len(a), longest)]), []rune(b[:min(len(b), longest)])
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}

// meant returns a hint at the nearest known name, or at all of them.
func meant(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	return fmt.Sprintf("known are %v", sorted)
}
