package rule

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// Problem says why a rule, or a whole file, was rejected.
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
	CodeUnknownKey      = "unknown_key"
	CodeDuplicateKey    = "duplicate_key"
	CodeMissingKey      = "missing_key"
	CodeWrongType       = "wrong_type"
	CodeInvalidID       = "invalid_id"
	CodeDuplicateID     = "duplicate_id"
	CodeInvalidSeverity = "invalid_severity"
	CodeInvalidValue    = "invalid_value"
	CodeOutOfRange      = "out_of_range"
	CodeUnknownOperator = "unknown_operator"
	CodeConflict        = "conflicting_keys"
	CodeRegexInvalid    = "regex_invalid"
	CodeRegexTooLong    = "regex_too_long"
	CodeRegexLookaround = "regex_lookaround"
	CodeRegexBackref    = "regex_backreference"
)

// meant returns a hint at the nearest known name, or at all of them.
func meant(word string, known []string) string {
	if n := document.Nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	sorted := slices.Clone(known)
	slices.Sort(sorted)
	return fmt.Sprintf("known are %v", sorted)
}
