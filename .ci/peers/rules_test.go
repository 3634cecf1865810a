package peers

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	peer "github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"

	"github.com/ironpost/ironpost/host/benchtest"
	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/winevent"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// draws is how many times rules are drawn at random for each count; the median
	// of them is told. A single draw depends much on whether it has one of the few
	// rules that ask every event something.
	draws = 15
	// rounds is how often the events are matched for each draw. The quickest
	// round counts: what disturbs one only adds to it.
	rounds = 25
	// perRound is how many events a round has at least.
	perRound = 2000
)

// TestBenchRules measures what an event costs by the number of rules, and beside a
// library that asks one rule after the other.
func TestBenchRules(t *testing.T) {
	quiet(t)
	files := unpack(t, "sigma-rules.tar.gz")
	loaded := rule.Load(files).Rules
	recorded, documents := windows(t)
	lines := openSSH(t)
	report := &benchtest.Report{Name: "rules"}
	// reading is what it costs, in ns, to make an event of its text. The recordings are
	// attacks on these very rules, so that the rules that hold grow with their number.
	// The kinds without a limit tell what other events cost: the few recorded ones that
	// are no attack, and all with texts that no rule was written for.
	kinds := []struct {
		name    string
		limit   float64
		events  []match.Event
		parsed  []*event.LogEvent
		reading float64
	}{
		{"Windows event", 10_000, boxed(recorded), windowsLogs(recorded), readWindows(t, documents, len(recorded))},
		{"syslog event", 2_000, boxed(lines), syslogLogs(t, old(lines)), parse(t, old(lines))},
		{name: "Windows event, no rule holds", events: boxed(harmless(loaded, recorded))},
		{name: "Windows event, other letters", events: boxed(changed(recorded))},
	}
	allRules := make([]float64, len(kinds))
	few, many := make([]float64, len(kinds)), make([]float64, len(kinds))
	fewInEngine, manyInEngine := make([]float64, len(kinds)), make([]float64, len(kinds))
	for _, n := range []int{10, 100, 300, 1000, 3000, len(loaded)} {
		costs, allocations, hits := make([][]float64, len(kinds)), make([]float64, len(kinds)), make([]int, len(kinds))
		inEngine, withAlerts, alerts := make([][]float64, len(kinds)), make([][]float64, len(kinds)), make([]float64, len(kinds))
		for draw := range draws {
			rules := drawn(loaded, n, uint64(draw))
			for i, kind := range kinds {
				if kind.parsed == nil {
					continue
				}
				c, _ := engineCost(rules, kind.parsed, rule.Limit{Count: 1, Timeframe: 1e6 * time.Hour})
				inEngine[i] = append(inEngine[i], c)
				c, a := engineCost(rules, kind.parsed, rule.Limit{})
				withAlerts[i], alerts[i] = append(withAlerts[i], c), alerts[i]+a/draws
			}
			s := match.Compile(conditions(rules)).NewScratch()
			runtime.GC()
			for i, kind := range kinds {
				costs[i] = append(costs[i], cost(len(kind.events), func(j int) { s.Match(kind.events[j]) }))
				for _, e := range kind.events {
					hits[i] += len(s.Match(e))
				}
				allocations[i] = max(allocations[i], testing.AllocsPerRun(2, func() {
					for _, e := range kind.events {
						s.Match(e)
					}
				})/float64(len(kind.events)))
			}
		}
		for i, kind := range kinds {
			name, metric := fmt.Sprintf("%s, %d rules", kind.name, n), "ns"
			middle := benchtest.Median(costs[i])
			switch n {
			case 300:
				few[i] = middle
			case 3000:
				many[i] = middle
			}
			if kind.parsed == nil {
				report.Add(name, "cost", middle, metric)
				report.Add(name, "rules that hold", float64(hits[i])/float64(draws*len(kind.events)), "per event")
				continue
			}
			if n == len(loaded) {
				allRules[i] = middle
				report.Target(t, name, "cost", middle, metric, middle <= kind.limit, fmt.Sprintf("<= %.0f", kind.limit))
				report.Target(t, name, "allocations", allocations[i], "per event", allocations[i] <= 2, "<= 2")
			} else {
				report.Add(name, "cost", middle, metric)
				report.Add(name, "cost of the cheapest draw", slices.Min(costs[i]), metric)
				report.Add(name, "cost of the dearest draw", slices.Max(costs[i]), metric)
			}
			report.Add(name, "rules that hold", float64(hits[i])/float64(draws*len(kind.events)), "per event")
			whole := benchtest.Median(inEngine[i])
			if n == len(loaded) {
				report.Target(t, name, "cost in the engine", whole, metric, whole <= kind.limit, fmt.Sprintf("<= %.0f", kind.limit))
			} else {
				report.Add(name, "cost in the engine", whole, metric)
			}
			report.Add(name, "cost in the engine, with all alerts", benchtest.Median(withAlerts[i]), metric)
			report.Add(name, "alerts", alerts[i], "per event")
			switch n {
			case 300:
				fewInEngine[i] = whole
			case 3000:
				manyInEngine[i] = whole
			}
		}
	}
	for i, kind := range kinds {
		ratio := many[i] / few[i]
		if kind.parsed == nil {
			report.Add(kind.name, "events", float64(len(kind.events)), "events")
			report.Add(kind.name, "3,000 rules by 300", ratio, "times")
			continue
		}
		report.Target(t, kind.name, "3,000 rules by 300", ratio, "times", ratio <= 1.5, "<= 1.5")
		report.Add(kind.name, "3,000 rules by 300, in the engine", manyInEngine[i]/fewInEngine[i], "times")
		report.Add(kind.name, "cost to read it from its text", kind.reading, "ns")
		report.Add(kind.name, "3,000 rules by 300, with reading it", (many[i]+kind.reading)/(few[i]+kind.reading), "times")
		report.Add(kind.name, "3,000 rules by 300, in the engine, with reading it", (manyInEngine[i]+kind.reading)/(fewInEngine[i]+kind.reading), "times")
	}
	all, routed, rules := sigmaGo(t, files, recorded)
	report.Add("sigma-go, Windows event", "rules that it reads", float64(rules), "rules")
	report.Add("sigma-go, Windows event", "cost", all, "ns")
	report.Add("sigma-go, Windows event, rules of its log source alone", "cost", routed, "ns")
	report.Target(t, "sigma-go, Windows event", "times the cost", all/allRules[0], "times", all/allRules[0] >= 500, ">= 500")
	report.Add("sigma-go, Windows event, rules of its log source alone", "times the cost", routed/allRules[0], "times")
	report.Write(t)
}

// harmless are the recorded events for which no rule holds.
func harmless(rules []*rule.Rule, events []*winevent.Event) (out []*winevent.Event) {
	s := match.Compile(conditions(rules)).NewScratch()
	for _, e := range events {
		if len(s.Match(e)) == 0 {
			out = append(out, e)
		}
	}
	return out
}

// strange is a recorded event with other texts of the same length: each letter is the
// one that lies 13 farther in the alphabet. It is of the same log sources.
type strange struct {
	*winevent.Event
	fields []winevent.Field
}

// Values implements match.Event.
func (e *strange) Values(s *match.Scratch) {
	for _, f := range e.fields {
		if f.Null {
			s.Null(f.Name)
		} else {
			s.Text(f.Name, f.Text)
		}
	}
}

// changed are events with other letters, but where it says what kind of event it is.
func changed(events []*winevent.Event) (out []*strange) {
	for _, e := range events {
		c := &strange{Event: e}
		for _, f := range e.Fields() {
			if f.Name != "Channel" && f.Name != "Provider_Name" {
				f.Text = otherLetters(f.Text)
			}
			c.fields = append(c.fields, f)
		}
		out = append(out, c)
	}
	return out
}

// otherLetters turns the letters of a text into others.
func otherLetters(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, text)
}

// conditions are the rules as the matcher takes them: those that ask single events.
func conditions(rules []*rule.Rule) []*sigma.Rule {
	var out []*sigma.Rule
	for _, r := range rules {
		if r.When != nil {
			out = append(out, &sigma.Rule{ID: r.ID, LogSource: r.LogSource, When: r.When})
		}
	}
	return out
}

// engineCost is what an event costs in the engine of the detector, from the record
// that a parser made to the verdicts, and to as many alerts of each rule as the limit
// lets pass; in ns. It returns too how many alerts an event raises.
func engineCost(rules []*rule.Rule, events []*event.LogEvent, limit rule.Limit) (ns, alerts float64) {
	debug.SetGCPercent(100) // alerts allocate
	defer debug.SetGCPercent(-1)
	e := engine.New(engine.Compile(rules), engine.Options{RateLimit: limit})
	raised, seen := 0, 0
	raise := func(*event.AlertEvent) { raised++ }
	runtime.GC()
	ns = cost(len(events), func(i int) {
		seen++
		e.Log(events[i], raise)
	})
	return ns, float64(raised) / float64(seen)
}

// readWindows is what it costs to read a Windows event from JSON.
func readWindows(t *testing.T, files [][]byte, events int) float64 {
	t.Helper()
	debug.SetGCPercent(100) // it allocates
	defer debug.SetGCPercent(-1)
	all := cost(len(files), func(i int) {
		if _, err := winevent.ParseAll(files[i]); err != nil {
			t.Fatal(err)
		}
	})
	return all * float64(len(files)) / float64(events)
}

// quiet lets nothing else of the process run beside what is measured: one
// processor, and no collection but the one that is asked for.
func quiet(t *testing.T) {
	before, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(2 << 30)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(before)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

func boxed[E match.Event](events []E) []match.Event {
	out := make([]match.Event, len(events))
	for i, e := range events {
		out[i] = e
	}
	return out
}

// drawn draws n rules, and keeps their order.
func drawn(rules []*rule.Rule, n int, seed uint64) []*rule.Rule {
	at := rand.New(rand.NewPCG(seed, uint64(n))).Perm(len(rules))[:n]
	slices.Sort(at)
	out := make([]*rule.Rule, n)
	for i, number := range at {
		out[i] = rules[number]
	}
	return out
}

// cost is how long one of n things takes, in ns.
func cost(n int, do func(int)) float64 {
	passes := max(1, (perRound+n-1)/n)
	least := time.Duration(1 << 62)
	for range rounds {
		begin := time.Now()
		for range passes {
			for i := range n {
				do(i)
			}
		}
		least = min(least, time.Since(begin))
	}
	return float64(least) / float64(passes*n)
}

// sigmaGo is what an event costs there with all rules, with those of its log source
// alone, and how many rules it reads. The events are what it wants, maps, which are
// made beforehand. The rules are asked one by one, as its ForRules does too: the
// tries that it builds are not used in this version.
func sigmaGo(t *testing.T, files fstest.MapFS, events []*winevent.Event) (all, routed float64, rules int) {
	t.Helper()
	type sourced struct {
		source sigma.LogSource
		rule   *evaluator.RuleEvaluator
	}
	ctx := context.Background()
	flat := make([]map[string]any, len(events))
	for i, e := range events {
		flat[i] = map[string]any{}
		for _, f := range e.Fields() {
			if !f.Null {
				flat[i][f.Name] = f.Text
			}
		}
	}
	var read []sourced
	for name, f := range sorted(files) {
		if path.Ext(name) != ".yml" {
			continue
		}
		parsed, err := peer.ParseRule(f.Data)
		if err != nil {
			continue
		}
		source := sigma.LogSource{Category: parsed.Logsource.Category, Product: parsed.Logsource.Product, Service: parsed.Logsource.Service}
		read = append(read, sourced{source, evaluator.ForRule(parsed)})
	}
	measure := func(asks func(sigma.LogSource, *winevent.Event) bool) float64 {
		asked := make([][]*evaluator.RuleEvaluator, len(events))
		for i, e := range events {
			for _, r := range read {
				if asks(r.source, e) {
					asked[i] = append(asked[i], r.rule)
				}
			}
		}
		runtime.GC()
		begin := time.Now()
		for i := range events {
			for _, r := range asked[i] {
				// It refuses some rules only when they are asked.
				_, _ = r.Matches(ctx, flat[i])
			}
		}
		return float64(time.Since(begin)) / float64(len(events))
	}
	debug.SetGCPercent(100) // it allocates
	all = measure(func(sigma.LogSource, *winevent.Event) bool { return true })
	routed = measure(func(source sigma.LogSource, e *winevent.Event) bool {
		return slices.ContainsFunc(e.LogSources(), source.Covers)
	})
	return all, routed, len(read)
}

// sorted gives the files in the order of their names.
func sorted(files fstest.MapFS) iter.Seq2[string, *fstest.MapFile] {
	return func(yield func(string, *fstest.MapFile) bool) {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if !fs.ValidPath(name) || !yield(name, files[name]) {
				return
			}
		}
	}
}
