package match

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
)

// What every match has is found in exactly the texts that have it, whichever way
// they are read.
func TestBitap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pattern := range []string{`\s[a-f0-9]{64}\s[a-f0-9]{16}`, `[ab]{9}c`, `c[ab]{9}`, `(?:ab){20}`, `\d{2}\.\d{2}-[a-z]{4}`} {
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		b := newBitap(tree)
		if b == nil {
			t.Errorf("%s: nothing is known of its matches", pattern)
			continue
		}
		re, run := regexp.MustCompile(pattern), strings.Repeat("0123456789abcdef", 4)
		for range 2000 {
			var text strings.Builder
			for text.Len() < 120 {
				switch random.IntN(6) {
				case 0:
					text.WriteString(" " + run + " " + run[:16])
				case 1:
					text.WriteString("c" + strings.Repeat("ab", 5)[:9+random.IntN(2)] + "c")
				case 2:
					text.WriteString(strings.Repeat("ab", 19+random.IntN(2)))
				case 3:
					text.WriteString("12.34-abcd")
				default:
					text.WriteByte(" abc1.-"[random.IntN(7)])
				}
			}
			got, slow := b.in(text.String()), b.after(text.String())
			if got != slow {
				t.Fatalf("%s in %q: got %v, want %v", pattern, text.String(), got, slow)
			}
			if !got && re.MatchString(text.String()) {
				t.Fatalf("%s matches %q, and what it must have is not there", pattern, text.String())
			}
		}
	}
}

// A text that is made to be read again and again is read a bounded number of times.
func TestBitapIsLinear(t *testing.T) {
	tree, err := syntax.Parse(`[ab]{63}c`, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	b := newBitap(tree)
	long := strings.Repeat("ab", 1<<15)
	if b.in(long) || !b.in(long+"c") {
		t.Error("the run is not told from a text that lacks its end")
	}
}
