package match

import (
	"math"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

type value1 string

func (v value1) Sources(s *Scratch) { s.Source(sigma.LogSource{Product: "p"}) }
func (v value1) Values(s *Scratch)  { s.Text("A", string(v)) }

// When the epochs begin again, what was seen in the first ones is forgotten.
func TestEpochsBeginAgain(t *testing.T) {
	got := sigma.Parse("r.yml", []byte("title: t\nlogsource: {product: p}\ndetection: {s: {'A|contains': evil}, t: {'A|re': 'e.il'}, condition: s and t}\n"), sigma.Options{})
	s := Compile(got.Rules).NewScratch()
	for range 2 {
		if len(s.Match(value1("evil"))) != 1 {
			t.Error("evil is not found")
		}
	}
	s.epoch = math.MaxUint32 - 1 // the last even one
	for range 3 {
		if len(s.Match(value1("good"))) != 0 {
			t.Error("good is found to be evil")
		}
	}
	if s.epoch != 6 {
		t.Errorf("got the epoch %d, want 6", s.epoch)
	}
	if len(s.Match(value1("evil"))) != 1 {
		t.Error("evil is not found")
	}
}

func TestAppendFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"ABCDEFGHIJ xyz@[`{":     "abcdefghij xyz@[`{",
		"Microsoft® Windows® OS": "microsoft® windows® os",
		"\u212aelvin ſharp":      "kelvin sharp",
		"\xffA\xfeB":             "\xffa\xfeb",
		"ABCDEFGH\u017fIJK":      "abcdefghsijk",
		"ABCDEFGHIJKLM\u0414":    "abcdefghijklm\u0414",
		"ABCDEFGHIJKLM\u0434":    "abcdefghijklm\u0414",
		"ABCDEFGHI\u2126JKLMNO":  "abcdefghi\u03a9jklmno",
	} {
		if got := foldString(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
