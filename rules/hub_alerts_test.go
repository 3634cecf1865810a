package rules_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// attack is a class of attack and the address that it came from; the address is
// empty for what happens on the host itself.
type attack struct{ class, address string }

func (a attack) String() string {
	if a.address == "" {
		return a.class + " on the host"
	}
	return a.class + " from " + a.address
}

// indistinguishable are the expectations that contradict another one: a case whose
// lines are those of the case beside it, in which no alert is expected.
var indistinguishable = map[string]string{"auditd-base64-exec": "auditd-logs"}

// TestHubAlerts runs the rules of this folder over the attack logs of the hub. Nine
// of ten of the expected attacks have to be found. No alert may name an address that
// no attack is expected from; where a case expects nothing, or says nothing about
// alerts, there may be none at all. A class that the hub does not assert of an address that does attack is only
// told: the hub ran one scenario per case.
func TestHubAlerts(t *testing.T) {
	set := engine.Compile(load(t))
	expected, found := 0, 0
	for _, c := range hubCases {
		want := hubAttacks(t, c.name)
		got := hubAlerts(t, set, c.name, c.log, c.format)
		expected += len(want)
		for _, a := range sorted(want) {
			switch {
			case got[a] != nil:
				found++
			case indistinguishable[c.name] != "":
				t.Logf("%s: missed %s; its lines are those of %s, where none is expected", c.name, a, indistinguishable[c.name])
			default:
				t.Logf("%s: missed %s", c.name, a)
			}
		}
		addresses := map[string]bool{}
		for a := range want {
			addresses[a.address] = true
		}
		for _, a := range sorted(got) {
			switch {
			case want[a] != nil:
			case addresses[a.address]:
				t.Logf("%s: also %s, by %s", c.name, a, strings.Join(got[a], ", "))
			default:
				t.Errorf("%s: unexpected %s, by %s", c.name, a, strings.Join(got[a], ", "))
			}
		}
	}
	t.Logf("%d of %d expected attacks, %.1f %%", found, expected, 100*float64(found)/float64(expected))
	if found*100 < expected*90 {
		t.Errorf("got %d of %d, want 90 %%", found, expected)
	}
}

func sorted(attacks map[attack][]string) []attack {
	return slices.SortedFunc(maps.Keys(attacks), func(a, b attack) int { return strings.Compare(a.String(), b.String()) })
}

// hubAlerts are the attacks that the rules find in the log of a case, and which
// rules do.
func hubAlerts(t *testing.T, set *engine.Set, name, log, format string) map[attack][]string {
	t.Helper()
	stream := &event.Stream{ID: 1, Name: log, Format: format, TimeZone: "UTC", Provenance: event.ProvenanceHost}
	events := hubEvents(t, name, log, format)
	e := engine.New(set, engine.Options{})
	got := map[attack][]string{}
	for i := range events {
		ev := &events[i]
		ev.Stream, ev.Sequence = stream, uint64(i)
		e.Log(ev, func(a *event.AlertEvent) {
			found := attack{class: classOf(a), address: a.Entity("src_ip")}
			if !slices.Contains(got[found], a.RuleID) {
				got[found] = append(got[found], a.RuleID)
			}
		})
	}
	return got
}

// hubAttacks are the attacks that a case asserts.
func hubAttacks(t *testing.T, name string) map[attack][]string {
	t.Helper()
	if !slices.Contains(hubFiles(t, name), "scenario.assert") {
		return nil
	}
	classes := hubClasses(t)
	scenarios, sources := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(string(hubFile(t, name, "scenario.assert"))) {
		if m := assertedScenario.FindStringSubmatch(line); m != nil {
			scenarios[m[1]] = m[2]
		}
		if m := assertedSource.FindStringSubmatch(line); m != nil {
			result, source := m[2]+m[3], m[1]+m[4]
			if _, err := netip.ParseAddr(source); err != nil {
				source = "" // a process or a program
			}
			sources[result] = append(sources[result], source)
		}
	}
	want := map[attack][]string{}
	for result, scenario := range scenarios {
		class := classes[scenario]
		if class == "" {
			t.Fatalf("%s: scenario %s has no class", name, scenario)
		}
		if len(sources[result]) == 0 {
			t.Fatalf("%s: result %s has no source", name, result)
		}
		for _, source := range sources[result] {
			want[attack{class, source}] = []string{scenario}
		}
	}
	return want
}

// The scenario of a result, and its sources, which are told in two ways.
var (
	assertedScenario = regexp.MustCompile(`^results\[(\d+)\]\.Overflow\.Alert\.GetScenario\(\) == "([^"]*)"`)
	assertedSource   = regexp.MustCompile(`^"([^"]*)" in results\[(\d+)\]\.Overflow\.GetSources\(\)|^results\[(\d+)\]\.Overflow\.Sources\["([^"]*)"\]`)
)

// hubClasses reads which class each scenario is of.
func hubClasses(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/hub-classes.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]string{}
	for _, row := range rows[1:] {
		classes[row[0]] = row[1]
	}
	return classes
}

// classOf is the class that the rule of an alert names in its tags.
func classOf(a *event.AlertEvent) string {
	for _, tag := range a.Tags {
		if class, ok := strings.CutPrefix(tag, "class."); ok {
			return class
		}
	}
	return fmt.Sprintf("(%s)", a.RuleID)
}
