//go:build bench

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/benchtest"
)

// memoryPeriod is how often the memory of every process is read.
const memoryPeriod = 250 * time.Millisecond

// meter reads what processes take while lines are written.
type meter struct {
	pids  map[string]int
	lines int
	now   atomic.Int64 // lines written
	used  map[string]time.Duration
	quit  chan struct{}
	done  sync.WaitGroup
	tenths
}

// tenths are the memory of each process, and of all, in each tenth of the lines, in
// bytes, as often as it was read.
type tenths [10]map[string][]float64

// sustainedRun is what a run cost.
type sustainedRun struct {
	rate   float64            // lines a second
	cpu    map[string]float64 // ns a line, by process
	memory tenths
}

func startMeter(t *testing.T, pids map[string]int, lines int) *meter {
	t.Helper()
	m := &meter{pids: pids, lines: lines, used: make(map[string]time.Duration), quit: make(chan struct{})}
	for i := range m.tenths {
		m.tenths[i] = make(map[string][]float64)
	}
	for name, pid := range pids {
		m.used[name] = benchProcessTime(t, pid)
	}
	m.done.Go(func() {
		tick := time.NewTicker(memoryPeriod)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.sample(t)
			case <-m.quit:
				return
			}
		}
	})
	return m
}

// at tells how many lines are written.
func (m *meter) at(lines int) { m.now.Store(int64(lines)) }

func (m *meter) sample(t *testing.T) {
	tenth := m.tenths[min(int(m.now.Load())*len(m.tenths)/m.lines, len(m.tenths)-1)]
	var sum float64
	for name, pid := range m.pids {
		pss := float64(proportionalMemory(t, pid))
		tenth[name] = append(tenth[name], pss)
		sum += pss
	}
	tenth["all"] = append(tenth["all"], sum)
}

func (m *meter) stop(t *testing.T, lines int, took time.Duration) sustainedRun {
	t.Helper()
	close(m.quit)
	m.done.Wait()
	run := sustainedRun{rate: float64(lines) / took.Seconds(), cpu: make(map[string]float64), memory: m.tenths}
	for name, pid := range m.pids {
		run.cpu[name] = float64((benchProcessTime(t, pid) - m.used[name]).Nanoseconds()) / float64(lines)
	}
	return run
}

// total is the processor time of all processes, in ns a line.
func (s sustainedRun) total() (sum float64) {
	for _, ns := range s.cpu {
		sum += ns
	}
	return sum
}

func (s sustainedRun) report(r *benchtest.Report, c string) {
	r.Add(c, "cpu, all", s.total(), "ns/line")
	for _, name := range sustainedOrder {
		if ns, ok := s.cpu[name]; ok {
			r.Add(c, "cpu, "+name, ns, "ns/line")
		}
	}
}

// sustainedOrder is that of the table.
var sustainedOrder = []string{"source-file", "host", "parser-syslog", "detector-rules", "sink-sqlite", "rsyslog", "all"}

// settled is the tenth, from 0, in which every rule's windows are as full as they will
// be.
const settled = 2

// report adds the figures by process, and returns what all take in the second half by
// what they take in the first: the maximum, and the median from settled on.
func (h tenths) report(t *testing.T, r *benchtest.Report, c string) (most, median float64) {
	t.Helper()
	for _, name := range sustainedOrder {
		var halves [2][]float64
		var before []float64 // in the first half, from settled on
		var text strings.Builder
		for i, tenth := range h {
			if len(tenth[name]) == 0 {
				continue
			}
			half := &halves[i*2/len(h)]
			*half = append(*half, tenth[name]...)
			if i >= settled && i < len(h)/2 {
				before = append(before, tenth[name]...)
			}
			fmt.Fprintf(&text, " %.0f", benchtest.Median(tenth[name])/(1<<20))
		}
		if len(before) == 0 || len(halves[1]) == 0 {
			continue
		}
		t.Logf("%s, memory of %s, median MiB in each tenth of the lines:%s", c, name, text.String())
		for i, half := range []string{"first half", "second half"} {
			r.Add(c, "memory, "+name+", "+half+", median", benchtest.Median(halves[i])/(1<<20), "MiB")
			r.Add(c, "memory, "+name+", "+half+", maximum", slices.Max(halves[i])/(1<<20), "MiB")
		}
		most = slices.Max(halves[1]) / slices.Max(halves[0])
		median = benchtest.Median(halves[1]) / benchtest.Median(before)
	}
	return most, median
}

// copyByRsyslog has rsyslog copy as many lines of the same log to another file. Its
// queue is the direct one: with the usual one, between two threads, it takes three to
// six times as long, most of which goes into waiting for the lock of malloc. Its log
// is not rotated, since it takes a file that got the inode of a deleted one for that,
// and leaves lines out.
func copyByRsyslog(t *testing.T, lines int) sustainedRun {
	t.Helper()
	if _, err := exec.LookPath("rsyslogd"); err != nil {
		t.Skipf("nothing to compare with: %v", err)
	}
	dir := t.TempDir()
	log, out := filepath.Join(dir, "server.log"), filepath.Join(dir, "copy.log")
	config := filepath.Join(dir, "rsyslog.conf")
	text := fmt.Sprintf(`global(workDirectory=%q)
main_queue(queue.type="Direct")
module(load="imfile")
template(name="line" type="string" string="%%msg%%\n")
input(type="imfile" file=%q tag="bench" ruleset="copy")
ruleset(name="copy") { action(type="omfile" file=%q template="line") }
`, dir, log, out)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(dir, "pid")
	cmd := exec.Command("rsyslogd", "-n", "-f", config, "-i", pidFile)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("start rsyslogd: %v", err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	t.Cleanup(end)
	waitSustained(t, "rsyslog runs", func() bool { _, err := os.Stat(pidFile); return err == nil })
	copied := func() int64 {
		if info, err := os.Stat(out); err == nil {
			return info.Size()
		}
		return 0
	}
	w := newGrowingLog(t, log, lines, nil)
	m := startMeter(t, map[string]int{"rsyslog": cmd.Process.Pid}, lines)
	began := time.Now()
	for w.lines < lines {
		w.write(min(chunkLines, lines-w.lines))
		m.at(w.lines)
	}
	waitSustained(t, "rsyslog has copied everything", func() bool { return copied() >= w.bytes })
	run := m.stop(t, lines, time.Since(began))
	end()
	for _, path := range []string{log, out} {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
	return run
}

func waitSustained(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(sustainedLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", sustainedLimit, what)
		}
	}
}
