package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// feeder appends numbered lines to a log until it is stopped.
type feeder struct {
	lines atomic.Int64
	stop  func() int // and returns how many there are
}

// feed appends about a thousand lines every 20 ms.
func feed(t *testing.T, path string) *feeder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &feeder{}
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			var lines strings.Builder
			for range 1000 {
				process := "ninth"
				if f.lines.Load()%1000 == 0 {
					process = "thousandth"
				}
				fmt.Fprintf(&lines, "2024-03-01T00:00:00Z web1 %s[1]: line %d\n", process, f.lines.Add(1))
			}
			appendTo(t, path, lines.String())
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	f.stop = func() int {
		cancel()
		running.Wait()
		return int(f.lines.Load())
	}
	t.Cleanup(func() { f.stop() })
	return f
}

const thousandthRule = "id: thousandth\ntitle: Thousandth\nseverity: low\ndetection:\n  conditions:\n    - {field: process, value: thousandth}\n"

// TestReloadAndUpgradeLoseNothing replaces every plugin of a flow at full speed,
// with the same bytes and with others. Every line is recorded once.
func TestReloadAndUpgradeLoseNothing(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	record := hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/sink-record")
	drop(t, record, filepath.Join(dir, "sink-record"))
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules"}, PluginDirs: []string{dir}, NoStart: true,
	})
	rules := writeFiles(t, map[string]string{"thousandth.yaml": thousandthRule})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), "")+fmt.Sprintf("[rules]\npaths = [%q]\n", rules))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	f := feed(t, h.Log("a.log"))
	h.Wait(30*time.Second, "lines flow", func() bool { return len(recordedLines(t, h, "a.log")) > 0 })

	changed := func(name string, before hosttest.Plugin) {
		t.Helper()
		p := h.Plugin(name)
		if p.State != "running" || p.PID == before.PID || p.Restarts != before.Restarts {
			t.Errorf("%s: got %s with pid %d after %d restarts, want it running in another process than %d, and not restarted",
				name, p.State, p.PID, p.Restarts, before.PID)
		}
	}
	names := []string{"parser-syslog", "detector-rules", "sink-record", "source-file"}
	for range 3 {
		for _, name := range names {
			before := h.Plugin(name)
			began := time.Now()
			if _, err := h.CLI("plugin", "reload", name); err != nil {
				t.Error(err)
			}
			t.Logf("reload of %s took %v", name, time.Since(began).Round(time.Millisecond))
			changed(name, before)
		}
	}
	for name, path := range map[string]string{
		"parser-syslog":  filepath.Join(h.Dir, "plugins", "parser-syslog"),
		"detector-rules": filepath.Join(h.Dir, "plugins", "detector-rules"),
		"sink-record":    filepath.Join(dir, "sink-record"),
	} {
		before := h.Plugin(name)
		next := t.TempDir()
		hosttest.Duplicate(t, path, next, name)
		drop(t, filepath.Join(next, name), path)
		p := h.Plugin(name)
		if p.State != "changed" || p.PID != before.PID {
			t.Errorf("%s: got %s with pid %d, want it changed, and the old bytes running as %d", name, p.State, p.PID, before.PID)
		}
		began := time.Now()
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Error(err)
		}
		t.Logf("upgrade of %s took %v", name, time.Since(began).Round(time.Millisecond))
		changed(name, before)
		if p = h.Plugin(name); p.SHA256 == before.SHA256 {
			t.Errorf("%s has the SHA-256 that it had before", name)
		}
	}

	total := f.stop()
	var lines map[string]int
	h.Wait(60*time.Second, "every line is recorded", func() bool {
		lines = recordedLines(t, h, "a.log")
		return len(lines) >= total
	})
	var s statusLine
	h.JSON(&s, "status")
	if s.Received != uint64(total) || s.Parsed != uint64(total) || len(s.Dropped) != 0 || len(s.CoverageGaps) != 0 {
		t.Errorf("got %+v, want %d received and parsed, nothing dropped, no gaps", s, total)
	}
	if want := uint64(total / 1000); s.Alerts != want {
		t.Errorf("got %d alerts, want %d", s.Alerts, want)
	}
	for line, times := range lines {
		if times != 1 {
			t.Errorf("%s was recorded %d times, want once", line, times)
		}
	}
	t.Logf("%d lines", total)
}

// TestAnUpgradeThatDoesNotStartChangesNothing.
func TestAnUpgradeThatDoesNotStartChangesNothing(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/misbehave"), dir, "misbehave-idle")
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{}, PluginDirs: []string{dir}})
	const name = "misbehave-idle"
	if _, err := h.CLI("plugin", "enable", name); err != nil {
		t.Fatal(err)
	}
	before := h.Plugin(name)
	refuses := filepath.Join(t.TempDir(), name)
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/misbehave", refuses, "-ldflags=-s -w -X main.refuses=yes")
	drop(t, refuses, filepath.Join(dir, name))
	_, err := h.CLI("plugin", "enable", name)
	if err == nil || !strings.Contains(err.Error(), "no configuration is good enough") {
		t.Errorf("enable: got %v, want why it does not start", err)
	}
	p := h.Plugin(name)
	if p.State != "changed" || p.PID != before.PID || p.Restarts != 0 {
		t.Errorf("got %+v, want it changed, and the process of before running on as %d", p, before.PID)
	}
	// It was never approved, so a restart of the host does not run it either.
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	h.Start()
	if p = h.Plugin(name); p.State != "changed" || p.PID != 0 {
		t.Errorf("got %+v after a restart, want it changed, and no process", p)
	}
}

// TestPluginsAreChangedIndependently has one plugin hold the flow up, so that a
// second cannot be disabled, and changes others.
func TestPluginsAreChangedIndependently(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/misbehave"), dir, "misbehave-late", "misbehave-idle")
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog"}, PluginDirs: []string{dir}, NoStart: true,
		Config: "answer_timeout = \"1h\"\ndrain_timeout = \"500ms\"\n[bus]\nretained_bytes = \"1MiB\"\ncredits = 4\n",
	})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	for _, name := range []string{"misbehave-late", "misbehave-idle"} {
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Fatal(err)
		}
	}
	var lines strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&lines, "2024-03-01T00:00:00Z web1 app[1]: line %d\n", i)
	}
	appendTo(t, h.Log("a.log"), lines.String())
	last := uint64(0)
	h.Wait(60*time.Second, "nothing flows any more", func() bool {
		<-time.After(300 * time.Millisecond)
		var s statusLine
		h.JSON(&s, "status")
		still := s.Parsed == last && last > 0
		last = s.Parsed
		return still
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	disabled := make(chan error, 1)
	go func() {
		_, err := h.CLIContext(ctx, "plugin", "disable", "parser-syslog")
		disabled <- err
	}()
	h.Wait(10*time.Second, "the parser is on its way out", func() bool { return h.Plugin("parser-syslog").State != "running" })
	quick := func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := h.CLIContext(ctx, args...); err != nil {
			t.Error(err)
		}
	}
	quick("plugin", "reload", "misbehave-idle")
	quick("plugin", "disable", "misbehave-idle")
	quick("plugin", "enable", "misbehave-idle")
	select {
	case err := <-disabled:
		t.Errorf("the parser was disabled (%v) although nothing takes what it parsed: this tests nothing", err)
	default:
	}
	quick("plugin", "disable", "misbehave-late")
	if err := <-disabled; err != nil {
		t.Errorf("disable the parser, once the flow goes on: %v", err)
	}
}

// TestAnOpenCircuitOutlivesTheHost restarts the host of a plugin that keeps
// failing.
func TestAnOpenCircuitOutlivesTheHost(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, nil)
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/misbehave"), dir, "misbehave-quits")
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{}, PluginDirs: []string{dir}})
	const name = "misbehave-quits"
	if _, err := h.CLI("plugin", "enable", name); err != nil {
		t.Fatal(err)
	}
	failed := func() bool {
		p := h.Plugin(name)
		return p.State == "failed" && p.Code == "IP132" && strings.Contains(p.LastError, "exit code 3")
	}
	h.Wait(30*time.Second, "it is given up", failed)
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	h.Start()
	if p := h.Plugin(name); !failed() || p.Restarts != 0 || p.PID != 0 {
		t.Errorf("got %+v in the next host, want it failed at once, for the reason of before", p)
	}
	out, err := h.CLI("plugin", "logs", name)
	if err != nil || !strings.Contains(out, "plugin reload "+name) {
		t.Errorf("plugin logs: got %q, %v; want what is to be done", out, err)
	}
	if _, err := h.CLI("plugin", "reload", name); err != nil {
		t.Errorf("reload: %v", err)
	}
	h.Wait(30*time.Second, "it is tried again", func() bool { return h.Plugin(name).Restarts > 0 })
}
