package match_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

type event []string // name, value, name, value, ...

func (e event) Sources(s *match.Scratch) { s.Source(sigma.LogSource{Product: "p"}) }

func (e event) Values(s *match.Scratch) {
	for i := 0; i < len(e); i += 2 {
		s.Text(e[i], e[i+1])
	}
	s.Int("Number", 4625)
	s.Float("Ratio", 1.5)
	s.Bool("Signed", true)
	s.Null("User")
	s.Line("a raw line")
}

// compile makes a rule of every selection.
func compile(t testing.TB, selections ...string) *match.Matcher {
	t.Helper()
	var text strings.Builder
	for i, selection := range selections {
		fmt.Fprintf(&text, "---\ntitle: t\nid: r%d\nlogsource: {product: p}\ndetection:\n  s: %s\n  condition: s\n", i, selection)
	}
	got := sigma.Parse("rules.yml", []byte(text.String()), sigma.Options{})
	if len(got.Problems) != 0 {
		t.Fatalf("got %v", got.Problems)
	}
	return match.Compile(got.Rules)
}

// many are selections of every kind.
var many = []string{
	`{A: cmd.exe}`, `{A|endswith: '\cmd.exe'}`, `{A|startswith: 'c:\win'}`, `{A|contains: 'dows\sys'}`, `{A: 'c:*cmd.???'}`,
	`{A|re: '(?i)system\d+'}`, `{A|re: '[a-z]{30}'}`, `{Number: 4625}`, `{Number|gt: 5}`, `{Ratio: 1.5}`, `{Signed: true}`, `{User: null}`, `{B: null}`,
	`{A|cidr: 10.0.0.0/8}`, `{A|fieldref: B}`, `{A|hour: 5}`, `[raw, other]`, `{'|all': [a raw, line]}`, `{A|contains: [a, b, c, d, e, f, gh, ij, kl, mn]}`,
	`{A|contains|cased: System}`, `{A|exists: true}`, `{A|contains: ['` + strings.Join(words(40), "', '") + `']}`,
}

func words(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("word number %d", i))
	}
	return out
}

// In the steady state nothing is allocated.
func TestMatchAllocatesNothing(t *testing.T) {
	s := compile(t, many...).NewScratch()
	events := []event{{"A", `C:\Windows\System32\cmd.exe`}, {"A", strings.Repeat("é long text ", 500), "B", "x"}, {"C", "unknown"}}
	run := func() {
		for _, e := range events {
			s.Match(e)
		}
	}
	run()
	// Events are given as an interface once.
	boxed := make([]match.Event, len(events))
	for i, e := range events {
		boxed[i] = e
	}
	if got := testing.AllocsPerRun(100, func() {
		for _, e := range boxed {
			s.Match(e)
		}
	}); got != 0 {
		t.Errorf("got %v allocations for 3 events, want 0", got)
	}
}

// One Matcher serves any number of goroutines, each with a Scratch.
func TestMatchConcurrently(t *testing.T) {
	m := compile(t, many...)
	e := event{"A", `C:\Windows\System32\cmd.exe`}
	want := slices.Clone(m.NewScratch().Match(e))
	if len(want) < 8 {
		t.Fatalf("got %v, want more hits", want)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			s := m.NewScratch()
			for range 200 {
				if got := s.Match(e); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
					return
				}
				s.Match(event{"A", "other"})
			}
		})
	}
	group.Wait()
}

// Nothing of an event is seen in the next.
func TestMatchForgets(t *testing.T) {
	s := compile(t, `{A|contains: evil}`, `{A: null}`, `{A|re: 'ev.l'}`).NewScratch()
	for range 3 {
		if got := s.Match(event{"A", "evil"}); !slices.Equal(got, []int32{0, 2}) {
			t.Errorf("got %v, want 0 and 2", got)
		}
		if got := s.Match(event{}); !slices.Equal(got, []int32{1}) {
			t.Errorf("got %v, want 1", got)
		}
	}
}

// A value of a megabyte is looked at as any other.
func TestMatchLongValues(t *testing.T) {
	s := compile(t, `{A|endswith: needle}`, `{A|contains: 'a*needle'}`, `{A: 'x*y*z*needle'}`).NewScratch()
	long := strings.Repeat("a haystack with ® in it ", 50_000) + "Needle"
	if got := s.Match(event{"A", long}); !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("got %v, want 0 and 1", got)
	}
}
