package sigma

import (
	"fmt"
	"slices"
	"strings"
)

// Problem says why a document, or a whole file, was rejected, or what is doubtful
// about one that was not.
type Problem struct {
	File string `json:"file"`
	// Rule is the id of the rule, empty when it could not be read.
	Rule string `json:"rule"`
	// Line counts from 1.
	Line int `json:"line"`
	// Code is one of the Code constants: stable, for programs.
	Code string `json:"code"`
	// Reason is for people: the field, what was found there, and the mend.
	Reason string `json:"reason"`
}

// Error returns "file:line: reason (code)".
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d: %s (%s)", p.File, p.Line, p.Reason, p.Code)
}

// The codes of a Problem.
const (
	CodeUnreadable      = "unreadable"
	CodeFileTooLarge    = "file_too_large"
	CodeTooManyFiles    = "too_many_files"
	CodeTooManyRules    = "too_many_rules"
	CodeTooDeep         = "too_deep"
	CodeTooLarge        = "too_large"
	CodeSyntax          = "yaml_syntax"
	CodeDuplicateKey    = "duplicate_key"
	CodeDuplicateID     = "duplicate_id"
	CodeMissingKey      = "missing_key"
	CodeUnknownKey      = "unknown_key"
	CodeWrongType       = "wrong_type"
	CodeInvalidValue    = "invalid_value"
	CodeOutOfRange      = "out_of_range"
	CodeOldCollection   = "old_collection"
	CodeUnknownModifier = "unknown_modifier"
	CodeModifier        = "modifier_misused"
	CodePlaceholder     = "unresolved_placeholder"
	CodeRegexInvalid    = "regex_invalid"
	CodeRegexTooLong    = "regex_too_long"
	CodeRegexLookaround = "regex_lookaround"
	CodeRegexBackref    = "regex_backreference"
	CodeCondition       = "condition_invalid"
	CodeUnknownSearch   = "unknown_search_identifier"
	CodeAggregation     = "old_aggregation"
	CodeUnknownRule     = "unknown_rule"
	CodeCycle           = "correlation_cycle"
	// The rest are warnings alone.
	CodeDate            = "date_format"
	CodeUnused          = "unused_search_identifier"
	CodeFilterNarrows   = "filter_narrows"
	CodeFilterUntargets = "filter_without_rule"
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

// distance is the number of single-character edits between two words, a swap of
// neighbours counting as one (optimal string alignment). Long words are cut, so
// that hostile input costs no more than the names it is compared with.
func distance(a, b string) int {
	const longest = 64
	x, y := []rune(a[:min(len(a), longest)]), []rune(b[:min(len(b), longest)])
	above, row, twoAbove := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		twoAbove, above, row = above, row, twoAbove
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], twoAbove[j-1]+1)
			}
		}
	}
	return row[len(y)]
}

// meant returns a hint at the nearest known name, or at all of them.
func meant(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	if len(sorted) > 40 {
		sorted = append(sorted[:40], "...")
	}
	return "known are " + strings.Join(sorted, ", ")
}

// clip shortens text that is quoted in a reason.
func clip(s string) string {
	const longest = 60
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}
