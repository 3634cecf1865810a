package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const twoFailures = `id: two
title: Two failures
severity: high
tags: [a]
detection:
  conditions: [{field: process, value: sshd}]
  threshold: {count: 2, timeframe_secs: 60, group_by: src_ip}
`

func line(seq uint64) *event.LogEvent {
	at := time.Date(2025, 3, 1, 0, 0, int(seq), 0, time.UTC)
	ev := &event.LogEvent{Stream: &event.Stream{ID: 1}, Sequence: seq, Time: at, ObservedTime: at, Process: "sshd"}
	ev.Set("src_ip", "192.0.2.1")
	return ev
}

func load(t *testing.T, d *detector, files fstest.MapFS, check bool) sdk.BundleReport {
	t.Helper()
	report, err := d.LoadBundle(t.Context(), bundleName, files, check)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestBundle(t *testing.T) {
	cfg := defaults()
	d := newDetector(&cfg)
	if err := d.health(t.Context()); err == nil {
		t.Error("healthy without a rule")
	}
	files := fstest.MapFS{
		"two.yaml":    {Data: []byte(twoFailures)},
		"off.yaml":    {Data: []byte("id: off\ntitle: Off\nstatus: disabled\ndetection: {conditions: [{field: a, value: b}]}\n")},
		"broken.yaml": {Data: []byte("id: broken\ntitle: x\nsevrity: low\n")},
	}
	want := sdk.BundleReport{Files: 3, Rules: 3, Loaded: 2, Rejected: []sdk.BundleProblem{{
		File: "broken.yaml", Rule: "broken", Line: 3, Code: "unknown_key", Reason: `the rule has no key "sevrity"; did you mean "severity"?`,
	}}}
	if d := cmp.Diff(want, load(t, d, files, true)); d != "" {
		t.Errorf("report of the check differs (-want +got):\n%s", d)
	}
	if rules, _ := d.ListRules(t.Context()); len(rules) != 0 {
		t.Errorf("got %d rules after a check, want none in force", len(rules))
	}
	if d := cmp.Diff(want, load(t, d, files, false)); d != "" {
		t.Errorf("report differs (-want +got):\n%s", d)
	}
	if err := d.health(t.Context()); err != nil {
		t.Errorf("got health %v, want none", err)
	}
	d.engine.Log(line(3), func(*event.AlertEvent) {})
	got, err := d.ListRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := []sdk.RuleInfo{
		{ID: "off", Title: "Off", File: "off.yaml", Severity: event.SeverityMedium, Status: "disabled", LogSource: "*/ironpost/*"},
		{ID: "two", Title: "Two failures", File: "two.yaml", Severity: event.SeverityHigh, Tags: []string{"a"}, Hits: 1, LastHit: line(3).Time.UnixNano(), LogSource: "*/ironpost/*"},
	}
	if d := cmp.Diff(list, got); d != "" {
		t.Errorf("rules differ (-want +got):\n%s", d)
	}
	if _, err := d.LoadBundle(t.Context(), "other", files, false); err == nil {
		t.Error("a bundle of another name was taken")
	}
}

// TestRestoreBeforeRules: the state may come before the rules do.
func TestRestoreBeforeRules(t *testing.T) {
	cfg := defaults()
	store := map[string][]byte{}
	save := func(d *detector) {
		d.Save(sdk.NewChanges(func(key string, value []byte, deleted bool) {
			if deleted {
				delete(store, key)
			} else {
				store[key] = append([]byte(nil), value...)
			}
		}))
	}
	files := fstest.MapFS{"two.yaml": {Data: []byte(twoFailures)}}
	first := newDetector(&cfg)
	load(t, first, files, false)
	first.engine.Log(line(0), func(*event.AlertEvent) { t.Error("an alert after one failure") })
	save(first)

	second := newDetector(&cfg)
	if err := second.Restore(maps.All(store)); err != nil {
		t.Fatal(err)
	}
	load(t, second, files, false)
	n := 0
	second.engine.Log(line(1), func(a *event.AlertEvent) {
		n++
		if len(a.Logs) != 2 {
			t.Errorf("got %d cited events, want 2", len(a.Logs))
		}
	})
	if n != 1 {
		t.Errorf("got %d alerts, want 1", n)
	}
}

// TestABrokenFileKeepsItsVersion: a rule whose file is broken by an edit goes on as
// it was, with its window, and is named; a file that is gone takes its rules along.
func TestABrokenFileKeepsItsVersion(t *testing.T) {
	const shell = "title: Shell\nid: shell\nlogsource: {product: ironpost, service: log}\ndetection: {s: {process: sh}, condition: s}\n"
	cfg := defaults()
	d := newDetector(&cfg)
	ids := func() (out []string) {
		for _, r := range d.rules {
			out = append(out, r.ID)
		}
		return out
	}
	push := func(files map[string]string) (problems []string) {
		bundle := fstest.MapFS{}
		for name, text := range files {
			bundle[name] = &fstest.MapFile{Data: []byte(text)}
		}
		for _, p := range load(t, d, bundle, false).Rejected {
			problems = append(problems, p.File+" "+p.Code+" "+strconv.FormatBool(strings.HasSuffix(p.Reason, keptNote)))
		}
		return problems
	}
	push(map[string]string{"a/two.yaml": twoFailures, "shell.yml": shell, "never.yml": "title: x\ncorrelation: {}\n"})
	d.engine.Log(line(0), func(*event.AlertEvent) { t.Error("an alert after one failure") })
	broken := map[string]string{
		"a/two.yaml": twoFailures + "  nonsense: [", "shell.yml": strings.Replace(shell, "condition: s", "condition: t", 1),
		"never.yml": "title: y\ncorrelation: {}\n",
	}
	for range 2 { // also when it is pushed again
		want := []string{"a/two.yaml yaml_syntax true", "never.yml missing_key false", "shell.yml unknown_search_identifier true"}
		if d := cmp.Diff(want, push(broken)); d != "" {
			t.Errorf("problems differ (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{"two", "shell"}, ids()); d != "" {
			t.Errorf("rules differ (-want +got):\n%s", d)
		}
	}
	n := 0
	d.engine.Log(line(1), func(*event.AlertEvent) { n++ })
	if n != 1 {
		t.Errorf("got %d alerts at the second failure, want 1: the window was lost", n)
	}
	delete(broken, "shell.yml")
	broken["a/two.yaml"] = twoFailures
	push(broken)
	if d := cmp.Diff([]string{"two"}, ids()); d != "" {
		t.Errorf("rules after the mend differ (-want +got):\n%s", d)
	}
}

// TestFilesBesideTheRules wants rules to see what lists say, and placeholders to have
// their values, also when the files have changed.
func TestFilesBesideTheRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("bad.netset", "# known attackers\n192.0.2.0/28\n")
	write("admins.txt", "alice\n")
	cfg := defaults()
	cfg.IPLists, cfg.Placeholders = []string{filepath.Join(dir, "bad.netset")}, []string{filepath.Join(dir, "admins.txt")}
	d := newDetector(&cfg)
	if err := d.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	report := load(t, d, fstest.MapFS{
		"listed.yaml": {Data: []byte("title: A listed address\nid: 7d2c1f5a-93b1-4f0c-a6d0-3a4d1c7f9f01\nlogsource: {product: ironpost, service: log}\ndetection:\n  s:\n    source.threat.list: bad\n  condition: s\n")},
		"admin.yaml":  {Data: []byte("title: An administrator\nid: 7d2c1f5a-93b1-4f0c-a6d0-3a4d1c7f9f02\nlogsource: {product: ironpost, service: log}\ndetection:\n  s:\n    user|expand: '%admins%'\n  condition: s\n")},
	}, false)
	if report.Loaded != 2 {
		t.Fatalf("got %+v, want two rules", report)
	}
	alerts := func(address, user string) string {
		var titles []string
		ev := line(1)
		ev.Set("src_ip", address)
		ev.Set("user", user)
		d.mu.Lock()
		d.engine.Log(ev, func(a *event.AlertEvent) { titles = append(titles, a.Title) })
		d.mu.Unlock()
		slices.Sort(titles)
		return strings.Join(titles, ", ")
	}
	if got, want := alerts("192.0.2.1", "alice"), "A listed address, An administrator"; got != want {
		t.Errorf("got alerts %q, want %q", got, want)
	}
	if got := alerts("198.51.100.1", "bob"); got != "" {
		t.Errorf("got alerts %q for an address and a user of no list, want none", got)
	}

	write("bad.netset", "198.51.100.1\n192.0.2.64/26\n")
	write("admins.txt", "bob\ncarol\n")
	// A file is read when it is the same at two looks.
	d.enricher.Refresh()
	d.enriched(d.enricher.Refresh())
	if got, want := alerts("198.51.100.1", "bob"), "A listed address, An administrator"; got != want {
		t.Errorf("after a change: got alerts %q, want %q", got, want)
	}
	if got := alerts("192.0.2.1", "alice"); got != "" {
		t.Errorf("after a change: got alerts %q for what is on no list any more, want none", got)
	}

	write("bad.netset", "this is no list\n")
	d.enricher.Refresh()
	d.enriched(d.enricher.Refresh())
	if got := alerts("198.51.100.1", "x"); got != "A listed address" {
		t.Errorf("after a broken version: got alerts %q, want the version before in force", got)
	}
	if err := d.health(t.Context()); err == nil || !strings.Contains(err.Error(), "bad.netset") {
		t.Errorf("got health %v, want the broken list named", err)
	}
}
