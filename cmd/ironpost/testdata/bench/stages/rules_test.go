package stages

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/lines"
	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/parser-syslog/syslog"
	"github.com/ironpost/ironpost/sdk/event"
)

// shipped are the rules that come with Ironpost.
func shipped(tb testing.TB) []*rule.Rule {
	tb.Helper()
	loaded := rule.Load(os.DirFS("../../../../../rules"))
	if len(loaded.Rules) == 0 || len(loaded.Problems) > 0 {
		tb.Fatalf("%d rules, problems %v", len(loaded.Rules), loaded.Problems)
	}
	marker := rule.Parse("marker.yaml", []byte(lines.MarkerRule))
	if len(marker.Problems) > 0 {
		tb.Fatal(marker.Problems)
	}
	return append(loaded.Rules, marker.Rules...)
}

// copies are n rules like those on single events among the given, with other values.
func copies(rules []*rule.Rule, n int) []*rule.Rule {
	var other func(x *sigma.Expr, suffix string) *sigma.Expr
	other = func(x *sigma.Expr, suffix string) *sigma.Expr {
		c := &sigma.Expr{Op: x.Op, Label: x.Label, Line: x.Line}
		for _, s := range x.Subs {
			c.Subs = append(c.Subs, other(s, suffix))
		}
		if x.Test != nil {
			t := *x.Test
			t.Text = slices.Clone(t.Text)
			for i := range t.Text {
				if t.Text[i].Wild == sigma.Literal {
					t.Text[i].Text += suffix
				}
			}
			c.Test = &t
		}
		return c
	}
	rules = slices.DeleteFunc(slices.Clone(rules), func(r *rule.Rule) bool { return r.When == nil })
	var out []*rule.Rule
	for i := range n {
		c := *rules[i%len(rules)]
		c.ID = fmt.Sprint(c.ID, "_", i)
		c.When = other(c.When, fmt.Sprint(" ", i/len(rules)))
		out = append(out, &c)
	}
	return out
}

// parsed are n lines of the log that the benchmarks of the pipeline run on, as
// the parser of syslog sees them, and the time that they span.
func parsed(tb testing.TB, n int, attack bool) ([]*event.LogEvent, time.Duration) {
	tb.Helper()
	const perSecond, burst = 200, 6
	log := lines.New(attack)
	stream := &event.Stream{ID: 1, Name: "bench", Format: "syslog", Provenance: event.ProvenanceHost}
	var p syslog.Parser
	for range burst { // which would be too many of so few lines
		log.Next()
	}
	now := time.Now()
	var out []*event.LogEvent
	for i := range n {
		ev := &event.LogEvent{}
		if err := p.Parse(event.RawLog{Stream: stream, Sequence: uint64(i), ObservedTime: now, Line: log.Next()}, ev); err != nil {
			tb.Fatal(err)
		}
		ev.Stream, ev.Sequence, ev.ObservedTime = stream, uint64(i), now
		out = append(out, ev.Clone())
	}
	return out, time.Duration(n) * time.Second / perSecond
}

// BenchmarkLines is the log of the pipeline's benchmarks under the rules that
// are shipped, and with more beside them.
func BenchmarkLines(b *testing.B) {
	for _, bench := range []struct {
		name   string
		more   int
		attack bool
	}{{"shipped", 0, false}, {"more=500", 500, false}, {"more=20000", 20000, false}, {"attack", 0, true}} {
		b.Run(bench.name, func(b *testing.B) {
			rules := shipped(b)
			rules = append(rules, copies(rules, bench.more)...)
			e := engine.New(engine.Compile(rules), engine.Options{})
			events, span := parsed(b, 2000, bench.attack)
			alerts, i := 0, 0
			raise := func(*event.AlertEvent) { alerts++ }
			b.ReportAllocs()
			for b.Loop() {
				ev := events[i]
				e.Log(ev, raise)
				ev.Time = ev.Time.Add(span)
				if i++; i == len(events) {
					i = 0
				}
			}
			b.ReportMetric(float64(alerts)/float64(b.N), "alerts/op")
		})
	}
}

// BenchmarkHostile is a line of 64 KiB that was made to be slow to look through.
func BenchmarkHostile(b *testing.B) {
	fill := func(s string) string { return strings.Repeat(s, event.MaxRecord/len(s)) }
	for _, bench := range []struct{ name, message string }{
		{"ordinary", fill("Accepted publickey for anna03 from 99.147.126.198 port 55878 ssh2: ")},
		{"anchors", fill("w")},
		{"beginnings", fill("failed passwor")},
		{"pieces", fill("ssword f")},
		{"letters", fill("ж")},
		{"long s", fill("failed pa\u017fswor")},
	} {
		for _, more := range []int{0, 2000} {
			b.Run(fmt.Sprint(bench.name, "/more=", more), func(b *testing.B) {
				rules := shipped(b)
				e := engine.New(engine.Compile(append(rules, copies(rules, more)...)), engine.Options{})
				events, _ := parsed(b, 1, false)
				ev := events[0]
				ev.Message = bench.message
				b.SetBytes(int64(len(ev.Message)))
				b.ReportAllocs()
				for b.Loop() {
					e.Log(ev, func(*event.AlertEvent) { b.Fatal("an alert") })
				}
			})
		}
	}
}
