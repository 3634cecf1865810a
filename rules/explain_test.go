package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/example"
	"github.com/ironpost/ironpost/plugins/detector-rules/explain"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestExplanations: for every line of every example the literal reading of all rules
// says of the same rules that they hold as the engine does.
func TestExplanations(t *testing.T) {
	t.Parallel()
	loaded := load(t)
	var single []*rule.Rule
	for _, r := range loaded {
		if r.Correlation == nil {
			single = append(single, r)
		}
	}
	names, err := filepath.Glob("examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := engine.Compile(single)
	literal := explain.New(single, explain.NewNames(nil))
	total, matched := 0, 0
	seen := map[string]bool{} // inputs, which rules share
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := example.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		var events []*event.LogEvent
		for _, c := range f.Cases {
			if seen[c.Input] {
				continue
			}
			seen[c.Input] = true
			parsed, err := parseLines(f.Format, f.Stream, []byte(c.Input))
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, parsed...)
		}
		stream := &event.Stream{Name: f.Stream, Format: f.Format, Provenance: event.ProvenanceHost}
		for _, e := range events {
			e.Stream = stream
		}
		fast := engine.New(set, engine.Options{})
		for _, e := range events {
			fast.Log(e, func(*event.AlertEvent) {})
		}
		want, got := map[string]int{}, map[string]int{}
		for _, s := range fast.Rules() {
			want[s.Rule.ID] = int(s.Hits)
		}
		for _, r := range single {
			if r.Disabled() {
				continue
			}
			x, err := literal.Rule(sdk.RuleQuestion{Rule: r.ID, Events: events})
			if err != nil {
				t.Fatal(err)
			}
			got[r.ID] = x.Matched
			matched += x.Matched
		}
		total += len(events)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: matches of rules differ (-engine +literal):\n%s", name, d)
		}
	}
	if total < 500 || matched < 100 || !slices.Contains(names, "examples/ordinary.yaml") {
		t.Errorf("%d events and %d matches are too few to tell", total, matched)
	}
	t.Logf("%d events, %d rules, %d matches", total, len(single), matched)
}
