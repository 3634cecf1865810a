package match

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzFold: two texts fold alike exactly when they differ in case alone.
func FuzzFold(f *testing.F) {
	f.Add("Straße", "STRASSE")
	f.Add("\u212a\xff\xe2", "k")
	f.Add("aBCDEFGHijklmnopQRSTUVWX", "AbcdefghIJKLMNOPqrstuvwx")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := foldString(a), foldString(b)
		if len(x) > len(a) {
			t.Errorf("%q folds to %q, which is longer", a, x)
		}
		if foldString(x) != x {
			t.Errorf("%q folds to %q, and that to %q", a, x, foldString(x))
		}
		if utf8.ValidString(a) && utf8.ValidString(b) && (x == y) != strings.EqualFold(a, b) {
			t.Errorf("%q and %q: fold says equal %v", a, b, x == y)
		}
		if isFolded(a) && x != a {
			t.Errorf("%q is said to be folded, and folds to %q", a, x)
		}
	})
}
