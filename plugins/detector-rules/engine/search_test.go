package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needlesOf are the needles of a list that are in a text once both are folded,
// in the order of the list, as the scanner finds them.
func needlesOf(needles []string, text string) []int32 {
	texts := map[string][]int32{}
	for i, n := range needles {
		if n = foldString(n); n != "" {
			texts[n] = append(texts[n], int32(i))
		}
	}
	set := &Set{rules: make([]*program, len(needles)), needles: len(texts)}
	m := newMatcher(set)
	m.begin()
	if f := (fieldIndex{scanner: newScanner(texts, 0)}); f.scanner != nil {
		f.look(m, text)
	}
	return slices.Sorted(slices.Values(m.candidates))
}

// FuzzScanner: a needle is found exactly when it is in the folded text.
func FuzzScanner(f *testing.F) {
	f.Add("Failed password for\nsession opened\nroot\nab\nmessages!\nlong s", "xx \u017fession opened by FAILED PA\u017fSWORD for root")
	f.Add("kkkkkkkkkkkkkkkk\nss\n\u212a\nkkkk\nkkkkkkkk", "kkkkkkkk\u212akkkkkkkkkkkkkkkkk")
	f.Add("неверный пароль\nпароль\n\xff\xfeab", "Неверный ПАРОЛЬ \xff\xfeAB")
	f.Add("zzzzzzzzzzzzzzzzzzzzzzy", strings.Repeat("z", 100))
	f.Fuzz(func(t *testing.T, list, text string) {
		needles := strings.Split(list, "\n")
		var want []int32
		for i, n := range needles {
			if n = foldString(n); n != "" && strings.Contains(foldString(text), n) {
				want = append(want, int32(i))
			}
		}
		if d := cmp.Diff(want, needlesOf(needles, text)); d != "" {
			t.Errorf("%q in %q (-want +got):\n%s", needles, text, d)
		}
	})
}

// TestScanner does what FuzzScanner does for needles of every length at every
// place, alone and among others of all lengths.
func TestScanner(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letters := func(n int, alphabet string) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	var crowd []string
	for i := range 40 {
		crowd = append(crowd, letters(1+i, "mnopq-"))
	}
	for n := 1; n <= 40; n++ {
		for before := range 20 {
			needle := letters(n, "abwKS[")
			text := letters(before, "xyz@{") + strings.ToUpper(needle) + letters(r.IntN(12), "xyz@{")
			for _, needles := range [][]string{{needle}, append([]string{needle}, crowd...)} {
				if got := needlesOf(needles, text); !slices.Equal(got, []int32{0}) {
					t.Fatalf("got %v in %q among %d needles, want %q alone", got, text, len(needles), needle)
				}
				if got := needlesOf(needles, text[:before]+text[before+1:]); slices.Contains(got, 0) && !strings.Contains(foldString(text[:before]+text[before+1:]), foldString(needle)) {
					t.Fatalf("got %q in %q", needle, text[:before]+text[before+1:])
				}
			}
		}
	}
}

// FuzzPattern: what a pattern is sure of is what the folded texts say, and it is
// sure of ASCII unless its anchors were in vain too often.
func FuzzPattern(f *testing.F) {
	f.Add("Failed password", "x failed PASSWORD for")
	f.Add("kelvin", "\u212aelvin")
	f.Add("straße", "STRASSE")
	f.Add("wx", strings.Repeat("w", 40)+"wx")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p := newPattern(foldString(pattern))
		folded := foldString(text)
		for _, c := range []struct {
			name        string
			found, want bool
			sure        bool
		}{
			{name: "begins", want: strings.HasPrefix(folded, p.text)},
			{name: "ends", want: strings.HasSuffix(folded, p.text)},
			{name: "is", want: folded == p.text},
			{name: "in", want: strings.Contains(folded, p.text)},
		} {
			switch c.name {
			case "begins":
				c.found, c.sure = p.begins(text)
			case "ends":
				c.found, c.sure = p.ends(text)
			case "is":
				c.found, c.sure = p.is(text)
			case "in":
				c.found, c.sure = p.in(text)
			}
			if c.sure && c.found != c.want {
				t.Errorf("%q %s %q: got %v, want %v", p.text, c.name, text, c.found, c.want)
			}
			if ascii := strings.IndexFunc(text, func(r rune) bool { return r > 127 }) < 0; ascii && !c.sure && c.name != "in" {
				t.Errorf("%q %s %q: not sure", p.text, c.name, text)
			}
		}
	})
}

// TestUnsure: a text of nothing but anchors is given up, so that its cost stays
// within that of folding it.
func TestUnsure(t *testing.T) {
	p := newPattern("qa")
	if found, sure := p.in(strings.Repeat("q", unsureAfter-1)); found || !sure {
		t.Errorf("got %v, %v; want surely not", found, sure)
	}
	if _, sure := p.in(strings.Repeat("qQ", unsureAfter) + "qa"); sure {
		t.Error("it is sure of a text of anchors")
	}
}

// FuzzExact: a value nominates the rules of the text that it folds to.
func FuzzExact(f *testing.F) {
	f.Add("root\nadmin\n[a\n{a\n", "ROOT")
	f.Add("kelvin\nstrasse12345678", "\u212aelvin")
	f.Add("aaaaaaaakbbbbbbbb", "AAAAAAAA\u212aBBBBBBBB")
	f.Add("{", "[")
	f.Fuzz(func(t *testing.T, list, value string) {
		texts, want := map[string][]int32{}, []int32(nil)
		for i, s := range strings.Split(list, "\n") {
			s = foldString(s)
			texts[s] = append(texts[s], int32(i))
			if s == foldString(value) {
				want = append(want, int32(i))
			}
		}
		m := newMatcher(&Set{rules: make([]*program, 1+strings.Count(list, "\n"))})
		m.begin()
		f := fieldIndex{exact: newExactIndex(texts)}
		f.look(m, value)
		if d := cmp.Diff(want, slices.Clone(m.candidates)); d != "" && len(want)+len(m.candidates) > 0 {
			t.Errorf("%q in %q (-want +got):\n%s", value, list, d)
		}
	})
}

// TestNames: names of every length are found, and others are not.
func TestNames(t *testing.T) {
	fields := map[string]int32{}
	for i := range 200 {
		fields[strings.Repeat("field_of_rule_", 3)[:i%40+1]+fmt.Sprint(i/40)] = int32(i)
	}
	odd := func(id int32) bool { return id%2 == 1 }
	table := newNames(fields, odd)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		want := int32(absent)
		if odd(fields[key]) {
			want = fields[key]
		}
		if got := table.find(key); got != want {
			t.Errorf("%q: got %d, want %d", key, got, want)
		}
	}
	// The middle of a long name is neither its head nor its tail.
	for _, key := range []string{"", "f", "field_of_rule_fie!d_of_rule_1", "field_of_rule_field_of_rule_field_of_rul"} {
		if _, known := fields[key]; !known && table.find(key) != absent {
			t.Errorf("%q is found", key)
		}
	}
}
