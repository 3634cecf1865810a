package match

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// Two needles that are shorter than all others do not shorten the steps. They are found
// at every place of texts of every length, in any case, in values that are kept and in
// the whole event.
func TestFewShortNeedlesAreLookedForApart(t *testing.T) {
	needles := []string{"scp ", "akz ", `\a keyword that is long_\`, "another one of them"}
	for _, c := range []struct{ name, detection string }{
		{"field", `{s: {'A|contains': ['scp ', 'akz ', '\a keyword that is long_\', another one of them]}, condition: s}`},
		{"keywords", `{s: ['scp ', 'akz ', '\a keyword that is long_\', another one of them], condition: s}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sigma.Parse("rules.yml", fmt.Appendf(nil, "title: t\nid: r\nlogsource: {product: p}\ndetection: %s\n", c.detection), sigma.Options{})
			if len(got.Problems) != 0 {
				t.Fatal(got.Problems)
			}
			m := Compile(got.Rules)
			s := m.NewScratch()
			check := func(text string, want bool) {
				t.Helper()
				if got := len(s.Match(value1(text))) == 1; got != want {
					t.Errorf("%q: got %t, want %t", text, got, want)
				}
			}
			for before := range 30 {
				for after := range 12 {
					for _, filler := range []string{".", "s", "c", "p", "f", " ", "S", "P", "é"} {
						head, tail := strings.Repeat(filler, before), strings.Repeat(filler, after)
						check(head+"sc_ "+tail, false)
						check(head+"akz"+strings.TrimSpace(tail), false)
						for _, n := range needles {
							check(head+n+tail, true)
							check(head+strings.ToUpper(n)+tail, true)
						}
					}
				}
			}
			// The long s is one in another case, and takes two bytes; the sign of Kelvin is
			// a k, of three.
			for before := range 12 {
				check(strings.Repeat("x", before)+"ſcp ", true)
				check(strings.Repeat("x", before)+"a\u212az ", true)
				check(strings.Repeat("x", before)+"ſcp", false)
			}
			field := m.Field("A")
			if c.name == "keywords" {
				field = everything
			}
			grams := s.only.index[s.only.local[field]].grams
			if grams.step != longestStep || grams.lone == nil || len(grams.lone.needles) != 2 {
				t.Errorf("got steps of %d and %+v beside, want %d and two needles", grams.step, grams.lone, longestStep)
			}
		})
	}
}

// Short needles that are many set the step, as long ones do.
func TestManyShortNeedlesSetTheStep(t *testing.T) {
	needles := make([]needle, 3)
	for i, text := range []string{"scp ", "ftp ", "ssh "} {
		needles[i].text = text
	}
	if g := newGrams(needles, []int32{0, 1, 2}); g.step != 1 || g.lone != nil {
		t.Errorf("got steps of %d and %+v beside, want 1 and none", g.step, g.lone)
	}
	if g := newGrams(needles[:1], []int32{0}); g.step != 1 || g.lone != nil {
		t.Errorf("got steps of %d and %+v beside for a single needle, want 1 and none", g.step, g.lone)
	}
}
