package search

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []Term
	}{
		{"failed root", []Term{{Words: []string{"failed"}}, {Words: []string{"root"}}}},
		{`"Failed Password" x`, []Term{{Words: []string{"failed", "password"}}, {Words: []string{"x"}}}},
		{`"not closed`, []Term{{Words: []string{"not", "closed"}}}},
		{"10.0.0.7", []Term{{Words: []string{"10\ue0010\ue0010\ue0017"}}}},
		{`"10.0.0.7"`, []Term{{Words: []string{"10\ue0010\ue0010\ue0017"}}}},
		{"10.0.0.7*", []Term{{Words: []string{"10", "0", "0", "7"}, Prefix: true}}},
		{`"from 10.0.0.7"`, []Term{{Words: []string{"from", "10", "0", "0", "7"}}}},
		{"10.0.0.7.5", []Term{{Words: []string{"10", "0", "0", "7", "5"}}}},
		{"auth*", []Term{{Words: []string{"auth"}, Prefix: true}}},
		{`"invalid user adm*"`, []Term{{Words: []string{"invalid", "user", "adm"}, Prefix: true}}},
		{`"invalid user"*`, []Term{{Words: []string{"invalid", "user"}, Prefix: true}}},
		{"a-* b", []Term{{Words: []string{"a"}}, {Words: []string{"b"}}}},
		{"* a ( OR) NOT NEAR", []Term{{Words: []string{"a"}}, {Words: []string{"or"}}, {Words: []string{"not"}}, {Words: []string{"near"}}}},
		{`a"b c"d`, []Term{{Words: []string{"a"}}, {Words: []string{"b", "c"}}, {Words: []string{"d"}}}},
		{"Grüße CAFE\u0301 Ж", []Term{{Words: []string{"gruße"}}, {Words: []string{"cafe"}}, {Words: []string{"ж"}}}},
		{"title:x col^2", []Term{{Words: []string{"title", "x"}}, {Words: []string{"col", "2"}}}},
	} {
		got, err := Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, diff)
		}
	}
	for _, bad := range []string{"", " ", `""`, "--- *", "\u0301", strings.Repeat("a", MaxText+1), strings.Repeat("a ", MaxTerms+1)} {
		if got, err := Parse(bad); !errors.Is(err, ErrText) {
			t.Errorf("%.20q: got %v and %v, want ErrText", bad, got, err)
		}
	}
}

func TestWords(t *testing.T) {
	got := slices.Collect(Words("Failed\x00password for\xffroot_x " + strings.Repeat("é", 300)))
	want := []string{"failed", "password", "for", "root", "x", strings.Repeat("e", 256)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string][]string{
		"from 10.0.0.7 port 22":                              {"10.0.0.7"},
		"rhost=10.0.0.7, 10.0.0.8.":                          {"10.0.0.7", "10.0.0.8"},
		"10.0.0.7:22 > [::1]:80":                             {"10.0.0.7", "::1"},
		"addr:10.0.0.7:ssh":                                  {"10.0.0.7"},
		"10.0.0.1:10.0.0.2":                                  {"10.0.0.1", "10.0.0.2"},
		"2001:DB8:0:0:0:0:0:1":                               {"2001:db8::1"},
		"fe80::1%eth0: fe80::.":                              {"fe80::1", "fe80::"},
		"::ffff:10.0.0.7":                                    {"10.0.0.7"},
		"10.0.0.0/8":                                         {"10.0.0.0"},
		"10.0.0.7.5 x10.0.0.7 10.0.0.7x":                     nil,
		"10.0.0.7.example.org h.10.0.0.7":                    nil,
		"256.0.0.1 10.0.0 00:11:22:33:44:55 12:30:01 :: ...": nil,
		"é10.0.0.7 10.0.0.7é":                                nil,
	} {
		var words []string
		for _, a := range want {
			w, is := asAddress(a)
			if !is {
				t.Fatalf("%s is no address", a)
			}
			words = append(words, w)
		}
		if diff := cmp.Diff(words, slices.Collect(Addresses(text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`a "b c*" *`)
	f.Fuzz(func(t *testing.T, text string) {
		terms, err := Parse(text)
		if err != nil {
			return
		}
		for _, term := range terms {
			for _, w := range term.Words {
				// A word is its own only word.
				if got := slices.Collect(Words(w)); len(got) != 1 || w == "" || len(w) > MaxWord {
					t.Errorf("%q: word %q is %q", text, w, got)
				}
			}
		}
	})
}

func TestMatches(t *testing.T) {
	texts := []string{"Failed password for root", "from 10.0.0.7"}
	for text, want := range map[string]bool{
		"root failed": true, `"failed password for"`: true, "fail": false, "fail*": true, `"root from"`: false, "10.0.0.7 root": true,
		`"password fo*"`: true, "missing root": false, "10.0*": true, `"10 0 0 7 8"`: false,
		"10.0.0.7": true, "::ffff:10.0.0.7": true, `"from 10.0.0.7"`: true, "10.0.0.7*": true, "10.0.0.70": false, "0.0.7": true,
	} {
		terms, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Matches(terms, texts...); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
