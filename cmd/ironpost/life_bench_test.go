//go:build bench

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
)

// restartRounds is how often each plugin of TestBenchRestart is killed.
const restartRounds = 40

// restartLimit is how long a single restart may take before the benchmark gives
// up.
const restartLimit = 10 * time.Second

// restartPause is the time between two kills: the plugin got something done in
// between, so that each restart is the first.
const restartPause = 300 * time.Millisecond

// TestBenchRestart measures the time from the SIGKILL of a plugin to the first
// event that went through its next process.
func TestBenchRestart(t *testing.T) {
	h := hosttest.Start(t, hosttest.Options{NoStart: true, Plugins: []string{"source-file", "parser-syslog", "detector-rules"}})
	log := h.Log("auth.log")
	rules := filepath.Join(h.Dir, "rules")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	rule := "id: restart\ntitle: Restart\nseverity: low\ndetection:\n  conditions:\n    - {field: process, value: bench}\n"
	if err := os.WriteFile(filepath.Join(rules, "restart.yaml"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(string(config) + fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n[rules]\npaths = [%q]\n", log, rules))
	h.Start()

	r := &benchtest.Report{Name: "restart"}
	for _, c := range []struct{ plugin, kind string }{{"parser-syslog", "log"}, {"detector-rules", "alert"}, {"source-file", "log"}} {
		events := followMessages(t, h, c.kind)
		n := 0
		write := func() string {
			n++
			message := fmt.Sprintf("%s line %d", c.plugin, n)
			appendBench(t, log, fmt.Sprintf("%s bench-host bench[1]: %s\n", time.Now().Format(time.Stamp), message))
			return message
		}
		h.Wait(restartLimit, "the first event", func() bool { return seen(events, write(), time.Second) })
		pause := time.NewTicker(restartPause)
		defer pause.Stop()
		var took, undisturbed []float64
		for range restartRounds {
			began := time.Now()
			if m := write(); !seen(events, m, restartLimit) {
				t.Fatalf("%s: no event with %q", c.plugin, m)
			}
			undisturbed = append(undisturbed, float64(time.Since(began).Microseconds())/1000)
			<-pause.C
			p := h.Plugin(c.plugin)
			began = time.Now()
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if m := write(); !seen(events, m, restartLimit) {
				t.Fatalf("%s: no event with %q after the kill", c.plugin, m)
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
		name := "SIGKILL of " + c.plugin + " -> first event through its next process"
		p50 := benchtest.Quantile(took, 0.50)
		if c.kind == "log" {
			r.Target(t, name, "p50", p50, "ms", p50 <= 25, "<= 25")
		} else { // what is seen is an alert, once it is flushed to the journal
			r.Add(name, "p50", p50, "ms")
		}
		r.Add(name, "p90", benchtest.Quantile(took, 0.90), "ms")
		r.Add(name, "max", took[len(took)-1], "ms")
		r.Add(name, "p50 without a kill", benchtest.Quantile(undisturbed, 0.50), "ms")
	}
	r.Write(t)
}

func appendBench(t *testing.T, path, line string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// seen reports whether an event with the message came in time.
func seen(events <-chan string, message string, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case m := <-events:
			if strings.HasSuffix(m, message) {
				return true
			}
		case <-timer.C:
			return false
		}
	}
}

// followMessages reads the messages of events, and of those that alerts cite,
// as they pass.
func followMessages(t *testing.T, h *hosttest.Host, kind string) <-chan string {
	t.Helper()
	messages := make(chan string, 1024)
	benchFollow(t, h, kind, func(ctx context.Context, line []byte) {
		var e struct {
			Message string `json:"message"`
			Events  []struct {
				Message string `json:"message"`
			} `json:"events"`
		}
		if json.Unmarshal(line, &e) != nil {
			return
		}
		for _, cited := range e.Events {
			e.Message = cited.Message
		}
		select {
		case messages <- e.Message:
		case <-ctx.Done():
		}
	})
	return messages
}

// Rounds and size of TestBenchStart.
const (
	startRounds  = 7
	startPlugins = 20
)

// TestBenchStart measures how long a host takes to have twenty plugins running,
// from the start of its process: the first time, when each has to be copied and
// asked what it is, and every other time.
func TestBenchStart(t *testing.T) {
	dir := t.TempDir()
	for path := dir; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for i := range startPlugins {
		names = append(names, fmt.Sprintf("misbehave-idle%d", i))
	}
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/misbehave"), dir, names...)
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{}, PluginDirs: []string{dir}})
	first := time.Now()
	for _, name := range names {
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("enabled one by one in %v", time.Since(first).Round(time.Millisecond))
	up := regexp.MustCompile(`plugins are up: plugins=(\d+) not_up=(\d+) took=(\S+)`)
	var took []float64
	for range startRounds {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
		began := len(h.Output())
		h.Start()
		m := up.FindStringSubmatch(h.Output()[began:])
		if m == nil || m[1] != fmt.Sprint(startPlugins) || m[2] != "0" {
			t.Fatalf("got %q, want %d plugins up\n%s", m, startPlugins, h.Output()[began:])
		}
		d, err := time.ParseDuration(m[3])
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, float64(d.Microseconds())/1000)
	}
	r := &benchtest.Report{Name: "start"}
	c := fmt.Sprintf("start of a host -> %d plugins run", startPlugins)
	p50 := benchtest.Quantile(took, 0.5)
	r.Target(t, c, "p50", p50, "ms", p50 < 1000, "< 1000")
	r.Add(c, "max", took[len(took)-1], "ms")
	r.Write(t)
}
