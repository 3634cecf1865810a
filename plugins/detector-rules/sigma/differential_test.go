package sigma_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// event is a match.Event for tests. A nil value is null.
type event struct {
	sources []sigma.LogSource
	fields  []field
	lines   []string
}

type field struct {
	name  string
	value any
}

func (e *event) Sources(s *match.Scratch) {
	for _, source := range e.sources {
		s.Source(source)
	}
}

func (e *event) Values(s *match.Scratch) {
	for _, f := range e.fields {
		switch v := f.value.(type) {
		case nil:
			s.Null(f.name)
		case string:
			s.Text(f.name, v)
		case int:
			s.Int(f.name, int64(v))
		case float64:
			s.Float(f.name, v)
		case bool:
			s.Bool(f.name, v)
		}
	}
	for _, line := range e.lines {
		s.Line(line)
	}
}

// reference is the event as the reference sees it.
func (e *event) reference() *refEvent {
	out := &refEvent{fields: map[string][]*string{}, lines: e.lines}
	for _, f := range e.fields {
		var text *string
		switch v := f.value.(type) {
		case nil:
		case float64:
			decimal := strconv.FormatFloat(v, 'f', -1, 64)
			text = &decimal
		default:
			s := fmt.Sprint(v)
			text = &s
		}
		out.fields[f.name] = append(out.fields[f.name], text)
	}
	out.belongs = func(category, product, service string) bool {
		return slices.ContainsFunc(e.sources, func(s sigma.LogSource) bool {
			return (category == "" || category == s.Category) && (product == "" || product == s.Product) && (service == "" || service == s.Service)
		})
	}
	return out
}

// generator makes rules and events that have much in common.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// word is a value, of pieces that make overlaps, prefixes and other cases likely.
func (g generator) word() string {
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(pick(g, "a", "ab", "Ab", "B", "cmd.exe", "CMD", `\`, `\\`, "windows", "System32", " -f", "/c ", "-x", "é", "É", "\u212a", "k", "ſ", "s", "ß", "®", "10.0.0.1", "5", "12", "\n", "aaaaaaa", "%", "ф", "Ф"))
	}
	return b.String()
}

// pattern is a word with wildcards and escapes.
func (g generator) pattern() string {
	var b strings.Builder
	for range 1 + g.IntN(3) {
		b.WriteString(g.word())
		b.WriteString(pick(g, "", "", "", "*", "?", `\*`, `\?`, `\\*`, "**", "?*"))
	}
	return b.String()
}

func (g generator) source() sigma.LogSource {
	return sigma.LogSource{Category: pick(g, "", "c1", "c2"), Product: pick(g, "p1", "p1", "p2"), Service: pick(g, "", "", "s1")}
}

var generatedFields = []string{"A", "B", "C.d", "E", "Num", "Time", "Ip"}

func (g generator) event() *event {
	e := &event{}
	for range 1 + g.IntN(2) {
		e.sources = append(e.sources, g.source())
	}
	for range g.IntN(9) {
		name := pick(g, generatedFields...)
		var v any
		switch name {
		case "Num":
			v = pick[any](g, 5, 12, -1, 1.5, 1e21, "5", "12", "x", true, "5.0", "0x5", nil)
		case "Time":
			v = pick[any](g, "2024-01-01T00:30:00Z", "2024-12-31 23:59:59.123", "2021-01-03", "2024-06-15T12:00:00+02:00", "nonsense", nil)
		case "Ip":
			v = pick[any](g, "10.0.0.1", "10.255.0.1", "192.168.1.1", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1", "x", "")
		default:
			v = g.word()
			if g.IntN(12) == 0 {
				v = pick[any](g, nil, 5, true, false, "")
			}
		}
		e.fields = append(e.fields, field{name, v})
	}
	for range g.IntN(2) {
		e.lines = append(e.lines, g.word()+g.word())
	}
	return e
}

// item writes one key with its value or values.
func (g generator) item() string {
	quote := func(s string) string { return strconv.Quote(s) }
	name := pick(g, "A", "B", "C.d", "E")
	value := func() string { return quote(g.pattern()) }
	chain := ""
	switch g.IntN(16) {
	case 0:
		return fmt.Sprintf("%s|exists: %v", pick(g, generatedFields...), pick(g, true, false))
	case 1:
		name, chain = "Num", pick(g, "", "|lt", "|lte", "|gt", "|gte", "|neq")
		value = func() string { return pick(g, "5", "12", "-1", "1.5", "1.50", "05.0", "1e21") }
	case 2:
		name, chain = "Time", pick(g, "|hour", "|minute", "|day", "|week", "|month", "|year", "|hour|gte", "|week|lt", "|year|neq")
		value = func() string { return pick(g, "1", "12", "23") }
	case 3:
		name, chain = "Ip", "|cidr"
		value = func() string {
			return quote(pick(g, "10.0.0.0/8", "10.0.0.0/16", "2001:db8::/32", "192.168.0.0/16", "fe80::/10"))
		}
	case 4:
		chain = pick(g, "|re", "|re|i", "|re|m", "|re|s", "|re|i|s", "|re|neq")
		value = func() string {
			return quote(pick(g, "a+", "^ab", "cmd\\.exe$", "a.*b", "[Aa]b|windows", "(cmd|sys)[a-z.]+", "^.{3}$", "k", "\\\\[a-z]+\\\\?", "a.b.*c", "x{2,}", "^$", "é+", "a\nb", "(?i)AB.*cmd"))
		}
	case 5:
		chain = "|fieldref" + pick(g, "", "|contains", "|startswith", "|endswith", "|cased", "|neq")
		value = func() string { return pick(g, "A", "B", "C.d", "missing") }
	case 6:
		chain = pick(g, "|windash", "|windash|contains", "|contains|windash", "|windash|endswith")
		value = func() string { return quote(pick(g, "-f", " -f", "a-b", "/c a", "-x -f", "–f", "*-x", "-é")) }
	case 7:
		chain = pick(g, "|base64", "|base64|contains", "|base64offset|contains", "|wide|base64offset|contains", "|utf16|base64", "|utf16be|contains", "|utf16le")
		value = func() string { return quote(pick(g, "ab", "cmd", "abc", "abcd", "é", "a")) }
	case 8:
		return fmt.Sprintf("%s: %s", name, pick(g, "null", "''", "true", "5", "[null, '']", "[a, null]"))
	default:
		chain = pick(g, "", "", "|contains", "|startswith", "|endswith", "|contains", "|cased", "|contains|cased", "|endswith|cased", "|neq", "|contains|neq")
	}
	values := []string{value()}
	for range pick(g, 0, 0, 1, 2, 8) {
		values = append(values, value())
	}
	if len(values) == 1 {
		return fmt.Sprintf("%s%s: %s", name, chain, values[0])
	}
	return fmt.Sprintf("%s%s: [%s]", name, chain+pick(g, "", "", "|all"), strings.Join(values, ", "))
}

// search writes the body of a search identifier.
func (g generator) search() string {
	items := func(indent string) string {
		used := map[string]bool{}
		var b strings.Builder
		for range 1 + g.IntN(3) {
			item := g.item()
			key, _, _ := strings.Cut(item, ":")
			if !used[key] {
				used[key] = true
				fmt.Fprintf(&b, "\n%s%s", indent, item)
			}
		}
		return b.String()
	}
	switch g.IntN(7) {
	case 0:
		return fmt.Sprintf("\n      - %q\n      - %q", g.pattern()+"x", g.word()+"a")
	case 1:
		return fmt.Sprintf("\n      '|%s': [%q, %q]", pick(g, "all", "re", "cased", "startswith|all"), pick(g, "a", "ab"), pick(g, "cmd", "b"))
	case 2:
		return strings.Replace(items("        "), "\n        ", "\n      - ", 1) + strings.Replace(items("        "), "\n        ", "\n      - ", 1)
	}
	return items("      ")
}

func (g generator) condition(names []string, depth int) string {
	switch {
	case depth == 0 || g.IntN(4) == 0:
		return pick(g, append(slices.Clone(names), "1 of sel*", "all of sel*", "1 of them", "all of them", "1 of *1")...)
	case g.IntN(4) == 0:
		return "not " + g.condition(names, depth-1)
	case g.IntN(3) == 0:
		return "(" + g.condition(names, depth-1) + ")"
	}
	return g.condition(names, depth-1) + pick(g, " and ", " or ", " AND not ") + g.condition(names, depth-1)
}

func (g generator) rule(number int) string {
	source := g.source()
	var b strings.Builder
	fmt.Fprintf(&b, "title: generated\nid: rule-%d\nlogsource:\n", number)
	for _, part := range []struct{ key, value string }{{"category", source.Category}, {"product", source.Product}, {"service", source.Service}} {
		if part.value != "" {
			fmt.Fprintf(&b, "  %s: %s\n", part.key, part.value)
		}
	}
	b.WriteString("detection:\n")
	names := []string{"sel1", "sel2", "flt1", "_hidden"}
	for _, name := range names {
		fmt.Fprintf(&b, "  %s:%s\n", name, strings.ReplaceAll(g.search(), "\n    ", "\n  "))
	}
	fmt.Fprintf(&b, "  condition: %s\n", g.condition(names, 3))
	return b.String()
}

// compare runs generated rules over generated events, and wants the verdicts of
// the reference.
func compare(t *testing.T, seed uint64) (loaded, rejected, hits int) {
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	var all []*sigma.Rule
	var references []*refRule
	var texts []string
	for i := range 1 + g.IntN(30) {
		text := g.rule(i)
		result := sigma.Parse("rule.yml", []byte(text), sigma.Options{})
		if len(result.Rules) != 1 {
			rejected++
			continue
		}
		reference, err := refParse([]byte(text))
		if err != nil {
			t.Fatalf("the loader took what is no YAML: %v\n%s", err, text)
		}
		all, references, texts = append(all, result.Rules[0]), append(references, reference), append(texts, text)
	}
	s := match.Compile(all).NewScratch()
	for range 20 {
		e := g.event()
		got := slices.Clone(s.Match(e))
		var want []int32
		for i, r := range references {
			if r.fires(e.reference()) {
				want = append(want, int32(i))
			}
		}
		hits += len(want)
		if !slices.Equal(want, got) {
			for i, r := range texts {
				if slices.Contains(want, int32(i)) != slices.Contains(got, int32(i)) {
					t.Errorf("seed %d: the reference says %v for\n%q\nand\n%s", seed, slices.Contains(want, int32(i)), e, r)
				}
			}
			t.FailNow()
		}
	}
	return len(all), rejected, hits
}

// Generated rules have the verdicts of the reference on generated events.
func TestGeneratedRulesEqualReference(t *testing.T) {
	rounds := uint64(60)
	if testing.Short() {
		rounds = 10
	}
	loaded, rejected, hits := 0, 0, 0
	for seed := range rounds {
		l, r, h := compare(t, seed)
		loaded, rejected, hits = loaded+l, rejected+r, hits+h
	}
	t.Logf("%d rules on 20 events each: %d hits; %d more were rejected", loaded, hits, rejected)
	if hits < loaded || rejected > loaded/2 {
		t.Errorf("got %d hits and %d rejections for %d rules; the generator no longer tests much", hits, rejected, loaded)
	}
}

// FuzzMatch compares the matcher with the reference on what a seed generates.
func FuzzMatch(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed) })
}
