package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// allowed says what may stand at the key.
func (f *field) allowed() string {
	switch f.Type {
	case Int:
		return "a whole number" + strings.TrimPrefix(f.span(func(n int64) string { return strconv.FormatInt(n, 10) }), ",")
	case Float:
		switch {
		case f.flo != nil && f.fhi != nil:
			return "a number from " + f.Min + " to " + f.Max
		case f.flo != nil:
			return "a number from " + f.Min
		case f.fhi != nil:
			return "a number up to " + f.Max
		}
		return "a finite number"
	case Bool:
		return "true or false"
	case Duration:
		return `a duration such as "250ms" or "1h30m"` + f.span(func(n int64) string { return formatDuration(time.Duration(n)) })
	case Size:
		return `a size such as 4096 or "128KiB"` + f.span(formatSize)
	case Strings:
		return "a list of " + f.elements("strings") + f.count()
	case Map:
		return "a table name = " + f.elements("string") + f.count()
	}
	switch {
	case f.Secret:
		return `a string, "file:/absolute/path" or "env:NAME"`
	case len(f.Enum) > 0 || f.Format != AnyText:
		return f.elements("")
	case *f.lo > 0:
		return fmt.Sprintf("a string of %d to %d bytes", *f.lo, *f.hi)
	}
	return fmt.Sprintf("a string of at most %d bytes", *f.hi)
}

// elements says what text may be, as the plain noun when nothing narrows it.
func (f *field) elements(noun string) string {
	if len(f.Enum) > 0 {
		quoted := make([]string, len(f.Enum))
		for i, e := range f.Enum {
			quoted[i] = strconv.Quote(e)
		}
		return strings.Join(quoted, ", ")
	}
	if f.Format != AnyText {
		return f.Format.describe()
	}
	return noun
}

// span is the bounds in words, with a leading comma.
func (f *field) span(show func(int64) string) string {
	switch {
	case f.lo != nil && f.hi != nil:
		return ", from " + show(*f.lo) + " to " + show(*f.hi)
	case f.lo != nil && *f.lo != 0:
		return ", from " + show(*f.lo)
	case f.hi != nil:
		return ", up to " + show(*f.hi)
	}
	return ""
}

func (f *field) count() string {
	if f.Min != "" {
		return fmt.Sprintf(", %d to %d of them", *f.lo, *f.hi)
	}
	return fmt.Sprintf(", at most %d", *f.hi)
}

// describe names the kind of a decoded TOML value.
func describe(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case nil:
		return "nothing"
	default:
		return "a date or a time"
	}
}

// quote shows text from outside, cut to a bounded length.
func quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.Quote(strings.ToValidUTF8(s[:limit], "")) + "..."
	}
	return strconv.Quote(s)
}

func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return "did you mean " + word + "?"
}

// isName reports whether s is a letter followed by letters, digits and "_", all
// lower case; dash allows "-" too.
func isName(s string, dash bool) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_' || dash && c == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// plainText reports whether s is valid UTF-8 of characters that print, tab
// among them.
func plainText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '\t' && r != ' ' && !unicode.IsPrint(r) })
}

// printable quotes text from outside unless it is a bare name, and cuts it, so
// that messages carry no control characters and have a bounded length.
func printable(s string) string {
	const limit = 64
	cut := ""
	if len(s) > limit {
		s, cut = strings.ToValidUTF8(s[:limit], ""), "..."
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			continue
		}
		return strconv.Quote(s) + cut
	}
	if s == "" {
		return `""`
	}
	return s + cut
}
