package match

import (
	"strings"
	"testing"
)

// Names are told apart in every length, also by what lies between their ends.
func TestNames(t *testing.T) {
	texts := []string{""}
	for n := 1; n < 40; n++ {
		name := strings.Repeat("n", n)
		texts = append(texts, name, name+"x", "x"+name)
		if n > 2 {
			texts = append(texts, name[:n/2]+"y"+name[n/2+1:])
		}
	}
	n := newNames(texts)
	seen := map[string]int32{}
	for id, text := range texts {
		if id == everything {
			continue
		}
		if _, twice := seen[text]; twice {
			t.Fatalf("%q is there twice", text)
		}
		seen[text] = int32(id)
	}
	for text, id := range seen {
		if got := n.find(text); got != id {
			t.Errorf("%q: got number %d, want %d", text, got, id)
		}
		for at := range text {
			if other := text[:at] + "z" + text[at+1:]; n.find(other) != 0 {
				t.Errorf("%q: got number %d, want none", other, n.find(other))
			}
		}
	}
}

// What is looked for in a text before it is folded is never more than what is there
// after that.
func TestTextsThatAreNotFolded(t *testing.T) {
	s := perProduct(t, 1).NewScratch()
	for _, text := range []string{
		"Evil Text", "EVIL TEXT", "an evıl... evil text", strings.Repeat("é", 50) + "Evil Text", "evil te\u017ft or evil texT",
		strings.Repeat("A", 31) + "Evil texT", strings.Repeat("\x80", 9) + "eVil text",
	} {
		if got := s.Match(many{[]int{0}, text}); len(got) != 1 {
			t.Errorf("%q: got %v, want the rule", text, got)
		}
	}
	for _, text := range []string{"", "evi", "evil", "evil tex", "evil\x00text", "@EVIL`TEXT", "evil\ttext"} {
		if got := s.Match(many{[]int{0}, text}); len(got) != 0 {
			t.Errorf("%q: got %v, want none", text, got)
		}
	}
}
