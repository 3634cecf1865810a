package rule

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// checkRegex returns the code and the reason of a pattern that is refused, two
// empty texts when it is right. Patterns are RE2's: their time is linear in the
// text, whatever they are.
func checkRegex(pattern string) (code, reason string) {
	if pattern == "" {
		return CodeRegexInvalid, "an empty pattern fits everything; to ask whether there is a value use the operator exists"
	}
	if n := utf8.RuneCountInString(pattern); n > MaxRegex {
		return CodeRegexTooLong, fmt.Sprintf("the pattern has %d characters, allowed are %d", n, MaxRegex)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err == nil {
		program, err := syntax.Compile(tree.Simplify())
		if err != nil {
			return CodeRegexInvalid, err.Error()
		}
		if len(program.Inst) > MaxRegexProgram {
			return CodeRegexTooLong, fmt.Sprintf("the pattern repeats itself into %d steps, allowed are %d", len(program.Inst), MaxRegexProgram)
		}
		return "", ""
	}
	// The reader of RE2 stops at the construct that it does not know, and
	// quotes it from there.
	syntaxErr := (*syntax.Error)(nil)
	if !errors.As(err, &syntaxErr) {
		return CodeRegexInvalid, err.Error()
	}
	switch at := syntaxErr.Expr; {
	case hasPrefix(at, "(?=", "(?!", "(?<=", "(?<!"):
		return CodeRegexLookaround, fmt.Sprintf("the pattern looks around with %s, which RE2 has not; say it with a second condition, operator regex or not_regex", construct(at))
	case syntaxErr.Code == syntax.ErrInvalidEscape && len(at) == 2 && at[1] >= '1' && at[1] <= '9', hasPrefix(at, `\k`, "(?P="):
		return CodeRegexBackref, fmt.Sprintf("the pattern refers back with %s, which RE2 has not", document.Clip(at))
	case hasPrefix(at, "(?>"):
		return CodeRegexInvalid, "the pattern has an atomic group (?>...), which RE2 does not need; write (?:...)"
	}
	return CodeRegexInvalid, err.Error()
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// construct is the look-around's own sign.
func construct(at string) string {
	if strings.HasPrefix(at, "(?<") {
		return at[:4]
	}
	return at[:3]
}
