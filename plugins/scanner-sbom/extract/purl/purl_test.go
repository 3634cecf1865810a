package purl_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/purl"
)

// What is escaped is the same text when it is read as a URL, and a name and a version
// of any bytes are those of the package URL that they are put into.
func FuzzAppendEscaped(f *testing.F) {
	for _, seed := range []string{"", "serde", "@babel", "a/b", "1.0+build~1:2", "%2F", "\x00\xff", "日本", "a b?c=d#e@f", "..", "+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := string(purl.AppendEscaped([]byte("x"), s))
		if back, err := url.PathUnescape(got[1:]); err != nil || back != s || strings.ContainsAny(got, "/@?# ") {
			t.Fatalf("%q is escaped as %q, which is %q, error %v", s, got, back, err)
		}
		if s == "" || strings.Trim(s, "/") != s {
			return
		}
		whole := "pkg:generic/name@" + got[1:]
		p, err := packageurl.FromString(whole)
		if err != nil || p.Version != s || p.Name != "name" {
			t.Errorf("%q in %s: version %q, name %q, error %v", s, whole, p.Version, p.Name, err)
		}
	})
}
