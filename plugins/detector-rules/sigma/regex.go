package sigma

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// CompileRegexp compiles a pattern within the bounds; flags are those of RE2, such
// as "i". When it is refused, code and reason say why. Patterns are RE2's: their
// time is linear in the text.
func CompileRegexp(pattern, flags string) (re *regexp.Regexp, code, reason string) {
	if pattern == "" {
		return nil, CodeRegexInvalid, "the pattern is empty and fits everything; to ask whether there is a field use the modifier exists"
	}
	if n := utf8.RuneCountInString(pattern); n > MaxRegex {
		return nil, CodeRegexTooLong, fmt.Sprintf("the pattern has %d characters, allowed are %d; split it into several", n, MaxRegex)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		code, reason = refused(pattern, err)
		return nil, code, reason
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, CodeRegexInvalid, err.Error()
	}
	if len(program.Inst) > MaxRegexProgram {
		return nil, CodeRegexTooLong, fmt.Sprintf("the pattern repeats itself into %d steps, allowed are %d; use smaller counts", len(program.Inst), MaxRegexProgram)
	}
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	re, err = regexp.Compile(pattern)
	if err != nil {
		return nil, CodeRegexInvalid, err.Error()
	}
	return re, "", ""
}

// refused explains an error of the RE2 reader. It stops at the construct that it
// does not know, and quotes it from there.
func refused(pattern string, err error) (code, reason string) {
	syntaxErr := (*syntax.Error)(nil)
	if !errors.As(err, &syntaxErr) {
		return CodeRegexInvalid, err.Error()
	}
	at := syntaxErr.Expr
	switch {
	case hasPrefix(at, "(?=", "(?!", "(?<=", "(?<!"):
		sign := at[:3]
		if strings.HasPrefix(at, "(?<") {
			sign = at[:4]
		}
		return CodeRegexLookaround, fmt.Sprintf("the pattern %q looks around with %s, which RE2 has not; say it with a second test beside it, which is negated for %s",
			document.Clip(pattern), sign, strings.TrimSuffix(sign, "=")+"!")
	case syntaxErr.Code == syntax.ErrInvalidEscape && len(at) == 2 && at[1] >= '1' && at[1] <= '9', hasPrefix(at, `\k`, "(?P="):
		return CodeRegexBackref, fmt.Sprintf("the pattern %q refers back with %s, which RE2 has not; write out what may be repeated", document.Clip(pattern), document.Clip(at))
	case hasPrefix(at, "(?>"):
		return CodeRegexInvalid, fmt.Sprintf("the pattern %q has an atomic group (?>...), which RE2 does not need; write (?:...)", document.Clip(pattern))
	case syntaxErr.Code == syntax.ErrInvalidRepeatOp:
		return CodeRegexInvalid, fmt.Sprintf("the pattern %q has %s, and RE2 knows no possessive or doubled repetition; write it with one sign", document.Clip(pattern), document.Clip(at))
	}
	return CodeRegexInvalid, fmt.Sprintf("the pattern %q is none: %s at %q", document.Clip(pattern), syntaxErr.Code, document.Clip(at))
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
