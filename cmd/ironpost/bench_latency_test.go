//go:build bench

package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// latencyLines is how many lines are measured; each raises an alert.
const latencyLines = 200

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
	var journal, sink []float64
	for n := range latencyLines {
		began := write(n)
		at := awaitAlert(t, alerts, fmt.Sprintf("line %d", n))
		journal = append(journal, float64(at.Sub(began).Microseconds())/1000)
	}
	// What `alerts list` finds, the time of the command included.
	var before []json.RawMessage
	h.JSON(&before, "alerts", "list", "--limit", "1000")
	for n := range 20 {
		n += latencyLines
		began := write(n)
		h.Wait(latencyLimit, "the sink has the alert", func() bool {
			var list []json.RawMessage
			return h.Try(&list, "alerts", "list", "--limit", "1000") == nil && len(list) > len(before)+n-latencyLines
		})
		sink = append(sink, float64(time.Since(began).Microseconds())/1000)
		awaitAlert(t, alerts, fmt.Sprintf("line %d", n))
	}
	r := &benchReport{name: "latency"}
	const c = "line appended -> alert journaled and shown"
	r.add(c, "p50", benchQuantile(journal, 0.50), "ms")
	p99 := benchQuantile(journal, 0.99)
	r.target(t, c, "p99", p99, "ms", p99 <= 100, "<= 100")
	r.add(c, "lines", latencyLines, "")
	r.add("line appended -> ironpost alerts list prints it", "p50", benchQuantile(sink, 0.50), "ms")
	r.write(t)
}

// shownAlert is an alert and when it was read.
type shownAlert struct {
	message string
	at      time.Time
}

// followLatencyAlerts reads the alerts from ironpost events tail, which follows
// the journal.
func followLatencyAlerts(t *testing.T, h *hosttest.Host) <-chan shownAlert {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(hosttest.Build(), "ironpost"), "--socket", h.Socket, "events", "tail", "--kind", "alert")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	alerts := make(chan shownAlert, 2*latencyLines)
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewScanner(stdout)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			at := time.Now()
			var a struct {
				Events []struct {
					Message string `json:"message"`
				} `json:"events"`
			}
			if json.Unmarshal(in.Bytes(), &a) == nil && len(a.Events) == 1 {
				alerts <- shownAlert{a.Events[0].Message, at}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait() // it was killed
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
