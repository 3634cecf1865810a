//go:build bench

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/server"
	"github.com/ironpost/ironpost/host/benchtest"
)

// What is wanted of the whole way from a line in a file to its alert in SQLite.
const (
	wantedRate    = 150_000                // lines a second
	latencyRate   = wantedRate / 2         // at which
	wantedLatency = 100 * time.Millisecond // is met by 99 of 100 alerts
	// wantedGrowth bounds the memory of all processes in the second half of the lines
	// by that in the first. When lines come as fast as they are worked on it is chance
	// how full the queues between the plugins are, up to 64 MiB each, and how much the
	// garbage collectors have left lying: 5 % in runs of 25 and 30 million lines, in
	// which nothing grew from the tenth million on.
	wantedGrowth = 1.10
	// judgedLines is from how many lines on memory is judged: rules need two million of
	// them, three hours of the log's time, to have as many windows as they will have.
	judgedLines = 10_000_000
)

// latencySpan is how long lines are written at latencyRate, in the long run.
const latencySpan = time.Minute

// sustainedLimit is how long a run may take before the benchmark gives up.
const sustainedLimit = 5 * time.Minute

// TestSustained measures a host whose source-file follows a growing and rotated
// log, with its parser, all rules, and the database of alerts as they are in
// production, and rsyslog, which copies the same log.
func TestSustained(t *testing.T) {
	lines := 10_000_000
	if text := os.Getenv("LINES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100_000 {
			t.Fatalf("LINES=%s: write a number of lines, 100000 or more", text)
		}
		lines = n
	}
	span := latencySpan * time.Duration(lines) / 10_000_000
	r := &benchtest.Report{Name: "sustained"}
	loads := []rulesLoad{shippedLoad()}
	if sigma, ok := sigmaRules(t); ok {
		loads = append(loads, sigma)
	} else {
		t.Log("NOT MEASURED with SigmaHQ's rules: IRONPOST_TEST_DATA names no folder with sigma-rules.tar.gz")
	}
	const peer = "rsyslog, file -> file"
	var copied sustainedRun
	t.Run("Rsyslog", func(t *testing.T) {
		copied = copyByRsyslog(t, lines)
		r.Add(peer, "rate", copied.rate, "lines/s")
		copied.report(r, peer)
	})
	t.Run("Rate", func(t *testing.T) {
		for _, load := range loads {
			c := "file -> SQLite, " + load.name
			run := sustain(t, load, lines)
			r.Target(t, c, "rate", run.rate, "lines/s", run.rate >= wantedRate, fmt.Sprintf(">= %d", wantedRate))
			run.report(r, c)
			most, median := run.memory.report(t, r, c)
			if lines >= judgedLines {
				r.Target(t, c, "memory, maximum, second half : first half", most, "x", most <= wantedGrowth, fmt.Sprintf("<= %.2f", wantedGrowth))
				r.Target(t, c, "memory, median, second half : third to fifth tenth", median, "x", median <= wantedGrowth, fmt.Sprintf("<= %.2f", wantedGrowth))
			}
			if copied.rate > 0 {
				r.Add(c+" : "+peer, "rate_ratio", run.rate/copied.rate, "x")
				r.Add(c+" : "+peer, "cpu_ratio", run.total()/copied.total(), "x")
			}
		}
	})
	t.Run("Latency", func(t *testing.T) {
		for _, load := range loads {
			c := fmt.Sprintf("line written -> alert read from SQLite, %d lines/s, %s", latencyRate, load.name)
			took := paced(t, load, span)
			r.Add(c, "alerts", float64(len(took.whole)), "")
			r.Add(c, "p50", benchtest.Quantile(took.whole, 0.50), "ms")
			r.Add(c, "p90", benchtest.Quantile(took.whole, 0.90), "ms")
			p99, most := benchtest.Quantile(took.whole, 0.99), float64(wantedLatency.Milliseconds())
			r.Target(t, c, "p99", p99, "ms", p99 <= most, fmt.Sprintf("<= %.0f", most))
			r.Add(c, "max", benchtest.Quantile(took.whole, 1), "ms")
			for _, part := range []struct {
				name string
				ms   []float64
			}{{"line read", took.read}, {"alert at the host", took.raised}, {"alert stored", took.stored}} {
				r.Add(c, "of it, to the "+part.name+", p50", benchtest.Quantile(part.ms, 0.50), "ms")
				r.Add(c, "of it, to the "+part.name+", p99", benchtest.Quantile(part.ms, 0.99), "ms")
			}
		}
	})
	r.Write(t)
}

// rulesLoad is what the detector is given.
type rulesLoad struct {
	name  string
	paths []string
	sigma bool // SigmaHQ's rules are among them
}

func shippedLoad() rulesLoad {
	return rulesLoad{name: "shipped rules", paths: []string{filepath.Join(hosttest.Root(), "rules")}}
}

// sigmaRules unpacks SigmaHQ's rules beside the shipped ones, where they are.
func sigmaRules(t *testing.T) (rulesLoad, bool) {
	t.Helper()
	archive := filepath.Join(os.Getenv("IRONPOST_TEST_DATA"), "sigma-rules.tar.gz")
	if _, err := os.Stat(archive); os.Getenv("IRONPOST_TEST_DATA") == "" || err != nil {
		return rulesLoad{}, false
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", archive, err, out)
	}
	load := shippedLoad()
	load.name, load.paths, load.sigma = "shipped rules and SigmaHQ's", append(load.paths, dir), true
	return load, true
}

// sustain has a host work through lines as fast as it can and checks that all of
// them, and every alert with what it cites, came out.
func sustain(t *testing.T, load rulesLoad, lines int) sustainedRun {
	t.Helper()
	h := startSustained(t, load)
	w := newGrowingLog(t, h.Log("server.log"), lines, func() int { return int(h.metric(t, receivedMetric)) })
	want := plantedAlerts(server.Completed(lines), load.sigma)
	meter := startMeter(t, h.pids, lines)
	began := time.Now()
	for w.lines < lines {
		w.write(min(chunkLines, lines-w.lines))
		meter.at(w.lines)
	}
	db := openAlerts(t, h.Host)
	h.Wait(sustainedLimit, "everything is in the database", func() bool {
		return int(h.metric(t, parsedMetric)) >= lines && db.count(t) >= len(want)
	})
	run := meter.stop(t, lines, time.Since(began))
	h.checkFlow(t, lines)
	db.check(t, want)
	h.end(t)
	return run
}

// latency is how long alerts took, in milliseconds: the whole, from the write of the
// line that completes the evidence to the reading from the database, and its parts.
type latency struct{ whole, read, raised, stored []float64 }

// paced writes at latencyRate and returns how long every alert took.
func paced(t *testing.T, load rulesLoad, span time.Duration) (l latency) {
	t.Helper()
	h := startSustained(t, load)
	lines := int(span.Seconds() * latencyRate)
	w := newGrowingLog(t, h.Log("server.log"), lines, func() int { return int(h.metric(t, receivedMetric)) })
	want := plantedAlerts(server.Completed(lines), load.sigma)
	db := openAlerts(t, h.Host)
	follower := followAlerts(t, db, len(want))
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.lines < lines {
		<-tick.C
		due := min(int(time.Since(began).Seconds()*latencyRate), lines)
		w.write(due - w.lines)
	}
	if took := time.Since(began); took > span+span/20 {
		t.Errorf("%d lines took %v to write, want %v: this machine did not keep the rate", lines, took, span)
	}
	seen := follower.wait(t)
	h.Wait(sustainedLimit, "every line is parsed", func() bool { return int(h.metric(t, parsedMetric)) >= lines })
	h.checkFlow(t, lines)
	db.check(t, want)
	since := func(later, earlier time.Time) float64 { return float64(later.Sub(earlier).Microseconds()) / 1000 }
	for i := range server.Completed(lines) {
		for _, a := range server.Incident(i).Alerts(load.sigma) {
			// When the evidence of an alert that comes before the incident's last line
			// was written is not kept.
			if got, ok := seen[alertKey(a.Rule, a.Messages)]; ok && a.Last {
				l.whole = append(l.whole, since(got.seen, w.completed[i]))
				l.read = append(l.read, since(got.read, w.completed[i]))
				l.raised = append(l.raised, since(got.raised, got.read))
				l.stored = append(l.stored, since(got.seen, got.raised))
			}
		}
	}
	h.end(t)
	return l
}
