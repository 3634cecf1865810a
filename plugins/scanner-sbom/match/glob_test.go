package match

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzGlob compares with a regular expression of the same meaning.
func FuzzGlob(f *testing.F) {
	for _, pair := range [][2]string{
		{"a*c", "abc"},
		{"a*c", "a/c"},
		{"a**c", "a/b/c"},
		{"**", ""},
		{"?", "/"},
		{"***a", "x/a"},
		{"*", ""},
		{"a*b*c", "abbbc"},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 50 || len(text) > 200 || strings.ContainsFunc(pattern+text, func(r rune) bool { return r >= 0x80 }) {
			return
		}
		expression := regexp.QuoteMeta(pattern)
		expression = regexp.MustCompile(`(\\\*){2,}`).ReplaceAllString(expression, "(?s:.*)")
		expression = strings.ReplaceAll(expression, `\*`, "[^/]*")
		expression = strings.ReplaceAll(expression, `\?`, "[^/]")
		want := regexp.MustCompile(`\A` + expression + `\z`).MatchString(text)
		if got := glob(pattern, text); got != want {
			t.Errorf("%q in %q: got %v, want %v", text, pattern, got, want)
		}
	})
}
