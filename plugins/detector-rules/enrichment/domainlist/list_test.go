package domainlist

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show writes the entries of a list.
func show(l *List) string {
	var out []string
	for _, e := range l.entries {
		text := string(e.name)
		if e.below {
			text = "." + text
		}
		if !e.itself {
			text = "*" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"names", "example.com\nA.Example.NET.\n_dmarc.example.org\n", "example.com a.example.net _dmarc.example.org"},
		{"names below", "*.example.com\n.example.net\n||example.org^\n", "*.example.com .example.net .example.org"},
		{"comments", "\ufeff# head\r\n! blocker's\n[Adblock Plus]\nexample.com # here\r\n; and here\n", "example.com"},
		{"hosts", "127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\n0.0.0.0\ta.example b.example #x\n", "a.example b.example"},
		{"not of hosts", "a.example b.example\n", `line 1: "a.example b.example" is neither a name nor a line of a hosts file`},
		{"below in hosts", "0.0.0.0 *.a.example\n", `line 1: "0.0.0.0 *.a.example" is no line of a hosts file, which is an address and names`},
		{"an error page", "<html>\n<body>\n", `line 1: "<html>" is no name of a host; names beyond ASCII are written in Punycode (xn--); 2 of 2 lines are wrong`},
		{"beyond ASCII", "bücher.example\n", `line 1: "bücher.example" is no name of a host; names beyond ASCII are written in Punycode (xn--)`},
		{"a wildcard inside", "a.*.example\n", `line 1: "a.*.example" is no name of a host; names beyond ASCII are written in Punycode (xn--)`},
		{"a long label", strings.Repeat("a", 64) + "\n", `line 1: "` + strings.Repeat("a", 60) + `..." is no name of a host; names beyond ASCII are written in Punycode (xn--)`},
		{"a long line", strings.Repeat("x", 5000), "line 1: the line is longer than 4096 bytes; is this a list of names?"},
		{"nothing", "# x\n", "it holds no entry; a list that is to end is removed, or its path taken out of the configuration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Parse([]byte(tt.in))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = show(l)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// on returns the lists that a name is on, sorted and once each.
func on(x *Index, name string) []string {
	var out []string
	x.Lookup(name, func(s Set) { out = append(out, x.Names(s)...) })
	slices.Sort(out)
	return slices.Compact(out)
}

func TestLookup(t *testing.T) {
	l, err := Parse([]byte("a.example\n*.b.example\n.c.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := (*Index)(nil).With("l", l)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"a.example": true, "A.Example.": true, "x.a.example": false, "example": false, "xa.example": false,
		"b.example": false, "x.b.example": true, "y.x.b.example": true, "xb.example": false,
		"c.example": true, "x.c.example": true, "": false, ".": false, "a..example": false, strings.Repeat("a.", 130): false,
		"x.c.example..": false, "192.0.2.1": false,
	} {
		if got := on(x, name) != nil; got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
	if got := on(nil, "a.example"); got != nil {
		t.Errorf("an index without lists has a name: %v", got)
	}
}

// random makes a list of names of few letters.
func random(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString([]string{"", "", "*.", "."}[r.IntN(4)])
		for i := range 1 + r.IntN(4) {
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteByte("abcD"[r.IntN(4)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// naive reports whether a name is on a list, line by line.
func naive(list, name string) bool {
	name = strings.ToLower(name)
	for line := range strings.Lines(strings.ToLower(list)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*."):
			if strings.HasSuffix(name, line[1:]) {
				return true
			}
		case strings.HasPrefix(line, "."):
			if name == line[1:] || strings.HasSuffix(name, line) {
				return true
			}
		case name == line:
			return true
		}
	}
	return false
}

// TestAgainstLinesOneByOne changes lists of an index at random, and asks it and the
// lines themselves.
func TestAgainstLinesOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1)) //nolint:gosec // the same each time
	texts := map[string]string{}
	var x *Index
	for range 200 {
		list := fmt.Sprint("list", r.IntN(6))
		var parsed *List
		if delete(texts, list); r.IntN(5) > 0 {
			texts[list] = random(r, 1+r.IntN(30))
			var err error
			if parsed, err = Parse([]byte(texts[list])); err != nil {
				t.Fatal(err)
			}
		}
		next, err := x.With(list, parsed)
		if err != nil {
			t.Fatal(err)
		}
		x = next
		for range 50 {
			name := strings.Trim(random(r, 1), "*.\n")
			var want []string
			for list, text := range texts {
				if naive(text, name) {
					want = append(want, list)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, on(x, name)); diff != "" {
				t.Fatalf("lists of %s (-want +got):\n%s", name, diff)
			}
		}
	}
	for list := range texts {
		var err error
		if x, err = x.With(list, nil); err != nil {
			t.Fatal(err)
		}
	}
	if x.names+len(x.records) != 0 || len(x.sets) != 1 {
		t.Errorf("an index whose lists have ended has %d names, %d bytes, %d sets", x.names, len(x.records), len(x.sets))
	}
}

func TestBounds(t *testing.T) {
	l, err := Parse([]byte("a.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	var x *Index
	for i := range MaxLists {
		if x, err = x.With(fmt.Sprint(i), l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.With("one more", l); !errors.Is(err, ErrTooManyLists) {
		t.Errorf("got %v, want %v", err, ErrTooManyLists)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"example.com\n", "*.example.com", ".example.com.", "||a^\n", "0.0.0.0 a.b c.d", "::1 localhost", "\xff\x00", "a..b", "!\n[x]\n# y", "\ufeffa",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("the error takes %d bytes", len(err.Error()))
			}
			return
		}
		x, err := (*Index)(nil).With("l", l)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.entries {
			if e.itself && on(x, string(e.name)) == nil {
				t.Errorf("%q: %q is not on the list", b, e.name)
			}
			if below := "x." + string(e.name); e.below && len(below) <= maxName && on(x, below) == nil {
				t.Errorf("%q: %q is not on the list", b, below)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	const n = 1_000_000
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	var text strings.Builder
	asked := make([]string, 0, 2*n)
	for range n {
		name := fmt.Sprintf("h%07x.x%02x.example", r.Uint32N(1<<28), r.Uint32N(256))
		fmt.Fprintln(&text, name)
		asked = append(asked, name, "x"+name)
	}
	r.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	for i := range asked {
		asked[i] = strings.Clone(asked[i]) // one behind the other in memory, as they come
	}
	l, err := Parse([]byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	x, err := (*Index)(nil).With("l", l)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i, hits := 0, 0
	for b.Loop() {
		x.Lookup(asked[i], func(Set) { hits++ })
		if i++; i == len(asked) {
			i = 0
		}
	}
	b.ReportMetric(float64(x.Bytes())/1e6, "MB")
	b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
}
