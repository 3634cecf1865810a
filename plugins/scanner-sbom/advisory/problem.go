package advisory

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Problem says why a file, or the rest of a source, is not in the result.
type Problem struct {
	// Code is a stable word for programs, Reason is for people.
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Error makes a Problem an error.
func (p *Problem) Error() string { return p.Code + ": " + p.Reason }

// Codes of problems.
const (
	CodeNotRecord  = "not_record"  // a file of another kind: a licence, a list
	CodeMalformed  = "malformed"   // a record that cannot be understood
	CodeTooLarge   = "too_large"   // beyond Limits.FileBytes
	CodeTooDeep    = "too_deep"    // beyond Limits.Depth of braces, or of folders
	CodeTooMany    = "too_many"    // beyond Limits.Files: the rest was not read
	CodeExpands    = "expands"     // an archive holds more than it may: the rest was not read
	CodeNested     = "nested"      // an archive in an archive
	CodeUnreadable = "unreadable"  // the system refused, or the archive is cut
	CodeNotRegular = "not_regular" // a link or a device
)

func fail(code, format string, args ...any) error {
	return &Problem{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// malformed is a parser's error, cut and without what does not print.
func malformed(err error) error {
	reason := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, err.Error())
	return fail(CodeMalformed, "%.300s", reason)
}

// problem makes any error a problem.
func problem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Code: CodeUnreadable, Reason: err.Error()}
}
