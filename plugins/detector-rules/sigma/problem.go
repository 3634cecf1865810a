package sigma

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// Problem says why a document, or a whole file, was rejected, or what is doubtful
// about one that was not. Its reason names the field, what was found there, and the
// mend.
type Problem = document.Problem

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

// meant returns a hint at the nearest known name, or at all of them.
func meant(word string, known []string) string {
	if n := document.Nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	if len(sorted) > 40 {
		sorted = append(sorted[:40], "...")
	}
	return "known are " + strings.Join(sorted, ", ")
}
