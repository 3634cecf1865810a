//go:build bench

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
)

// latencyLines is how many lines are measured; each raises an alert.
const latencyLines = 200

// hopsLines are written at a steady rate, hopsPeriod apart: 200 a second for five
// seconds.
const (
	hopsLines  = 1000
	hopsPeriod = 5 * time.Millisecond
)

// relayed is how many processes a line passes before it is an alert at the host:
// source, host, parser, host, detector, host are five hops.
const relayed = 4

// sinkLines are looked for in the sink, and wholeLists is how often everything in
// it is listed.
const (
	sinkLines  = 100
	wholeLists = 50
)

// startLimit is how long after its start a plugin is at rest.
const startLimit = 5 * time.Second

// latencyLimit is how long a single alert may take before the benchmark gives
// up.
const latencyLimit = 10 * time.Second

// TestBenchLatency measures the time from a line's write(2) to the alert's
// arrival at a reader of the journal, and to its being found in the sink.
func TestBenchLatency(t *testing.T) {
	h := hosttest.Start(t, hosttest.Options{NoStart: true})
	log := h.Log("auth.log")
	rules := filepath.Join(h.Dir, "rules")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	rule := "id: latency\ntitle: Latency\nseverity: low\ndetection:\n  conditions:\n    - {field: process, value: bench}\n"
	if err := os.WriteFile(filepath.Join(rules, "latency.yaml"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	config, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(string(config) + fmt.Sprintf("[source_file]\npaths = [%q]\n[rules]\npaths = [%q]\n", log, rules))
	h.Start()

	alerts := followLatencyAlerts(t, h)
	write := func(n int) time.Time {
		line := fmt.Sprintf("%s bench-host bench[1]: line %d\n", time.Now().Format(time.Stamp), n)
		began := time.Now()
		if _, err := out.WriteString(line); err != nil {
			t.Fatal(err)
		}
		return began
	}
	// Until the file is found and the reader listens.
	h.Wait(latencyLimit, "the first alert", func() bool {
		write(-1)
		select {
		case <-alerts:
			return true
		case <-time.After(500 * time.Millisecond):
			return false
		}
	})
	// Plugins give back what only their start needed, once, three seconds later.
	h.Wait(2*latencyLimit, "the start is over", func() bool {
		return h.Plugin("detector-rules").UptimeSeconds > startLimit.Seconds()
	})
	var journal, sink []float64
	for n := range latencyLines {
		began := write(n)
		at := awaitAlert(t, alerts, fmt.Sprintf("line %d", n))
		journal = append(journal, float64(at.Sub(began).Microseconds())/1000)
	}
	// Source -> host -> parser -> host -> detector -> host, by the clocks of the
	// source and the host, which are one. Between two lines a byte goes through as
	// many processes that do nothing.
	chain := startRelays(t, relayed)
	var floor []float64
	tick := time.NewTicker(hopsPeriod / 2)
	for n := range hopsLines {
		<-tick.C
		write(n + latencyLines)
		<-tick.C
		floor = append(floor, float64(chain.pass(t).Microseconds())/1000)
	}
	tick.Stop()
	var hops []float64
	for len(hops) < hopsLines {
		select {
		case a := <-alerts:
			hops = append(hops, float64(a.hops.Microseconds())/1000)
		case <-time.After(latencyLimit):
			t.Fatalf("%d of %d alerts arrived", len(hops), hopsLines)
		}
	}
	// What `alerts list` finds, the time of the command included.
	for n := range sinkLines {
		n += latencyLines + hopsLines
		message := fmt.Sprintf("line %d", n)
		began := write(n)
		h.Wait(latencyLimit, "the sink has the alert", func() bool {
			var list []listedAlert
			return h.Try(&list, "alerts", "list") == nil && slices.ContainsFunc(list, func(a listedAlert) bool { return a.message() == message })
		})
		sink = append(sink, float64(time.Since(began).Microseconds())/1000)
		awaitAlert(t, alerts, message)
	}
	var whole []float64
	var all []json.RawMessage
	for range wholeLists {
		began := time.Now()
		h.JSON(&all, "alerts", "list", "--limit", "5000")
		whole = append(whole, float64(time.Since(began).Microseconds())/1000)
	}
	r := &benchtest.Report{Name: "latency"}
	const c = "line appended -> alert journaled and shown"
	r.Add(c, "p50", benchtest.Quantile(journal, 0.50), "ms")
	p99 := benchtest.Quantile(journal, 0.99)
	r.Target(t, c, "p99", p99, "ms", p99 <= 100, "<= 100")
	r.Add(c, "lines", latencyLines, "")
	const through = "line read -> alert received, 200 lines/s"
	r.Add(through, "p50", benchtest.Quantile(hops, 0.50), "ms")
	p99 = benchtest.Quantile(hops, 0.99)
	r.Target(t, through, "p99", p99, "ms", p99 <= 1, "<= 1")
	const least = "a byte through as many relays, between the lines"
	r.Add(least, "p50", benchtest.Quantile(floor, 0.50), "ms")
	r.Add(least, "p99", benchtest.Quantile(floor, 0.99), "ms")
	r.Add("200 lines/s : relays", "p50_ratio", benchtest.Quantile(hops, 0.50)/benchtest.Quantile(floor, 0.50), "x")
	r.Add("200 lines/s : relays", "p99_ratio", p99/benchtest.Quantile(floor, 0.99), "x")
	const listed = "line appended -> ironpost alerts list prints it"
	r.Add(listed, "p50", benchtest.Quantile(sink, 0.50), "ms")
	p99 = benchtest.Quantile(sink, 0.99)
	r.Target(t, listed, "p99", p99, "ms", p99 <= 100, "<= 100")
	const everything = "ironpost alerts list of every alert"
	r.Add(everything, "p50", benchtest.Quantile(whole, 0.50), "ms")
	r.Add(everything, "p99", benchtest.Quantile(whole, 0.99), "ms")
	r.Add(everything, "alerts", float64(len(all)), "")
	r.Write(t)
}

// listedAlert is what is read of an alert.
type listedAlert struct {
	Observed time.Time `json:"observed_time"`
	Events   []struct {
		Message  string    `json:"message"`
		Observed time.Time `json:"observed_time"`
	} `json:"events"`
}

// message is that of the event that it cites, "" when it cites several.
func (a *listedAlert) message() string {
	if len(a.Events) != 1 {
		return ""
	}
	return a.Events[0].Message
}

// shownAlert is an alert, when it was read, and how long its line took from the
// source's read to the host's receipt of the alert.
type shownAlert struct {
	message string
	at      time.Time
	hops    time.Duration
}

// followLatencyAlerts reads the alerts from ironpost events tail, which follows
// the journal.
func followLatencyAlerts(t *testing.T, h *hosttest.Host) <-chan shownAlert {
	t.Helper()
	alerts := make(chan shownAlert, 2*latencyLines+hopsLines)
	benchFollow(t, h, "alert", func(_ context.Context, line []byte) {
		at := time.Now()
		var a listedAlert
		if json.Unmarshal(line, &a) == nil && len(a.Events) == 1 {
			e := a.Events[0]
			alerts <- shownAlert{e.Message, at, a.Observed.Sub(e.Observed)}
		}
	})
	return alerts
}

func awaitAlert(t *testing.T, alerts <-chan shownAlert, message string) time.Time {
	t.Helper()
	limit := time.NewTimer(latencyLimit)
	defer limit.Stop()
	for {
		select {
		case a := <-alerts:
			if a.message == message {
				return a.at
			}
		case <-limit.C:
			t.Fatalf("no alert about %q within %v", message, latencyLimit)
		}
	}
}
