//go:build bench

package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
)

const (
	idleSettle = 15 * time.Second // until start-up is over and its memory given back
	idleSpan   = 30 * time.Second
)

// TestBenchIdle measures a host with every plugin that has nothing to do.
func TestBenchIdle(t *testing.T) {
	h := hosttest.Start(t, hosttest.Options{})
	var plugins []hosttest.Plugin
	h.JSON(&plugins, "plugin", "list")
	pids := map[string]int{"host": h.PID()}
	for _, p := range plugins {
		if p.PID == 0 {
			t.Errorf("plugin %s is %s (%s), want it to run", p.Name, p.State, p.LastError)
			continue
		}
		pids[p.Name] = p.PID
	}
	<-time.After(idleSettle) // nothing shows that a process has become idle
	addCommands(t, pids)
	before := make(map[string]threadUsage)
	for name, pid := range pids {
		before[name] = usageOfThreads(t, pid)
	}
	began := time.Now()
	<-time.After(idleSpan)
	seconds := time.Since(began).Seconds()

	r := &benchtest.Report{Name: "idle"}
	var memory, cpu, wakeups float64
	for _, name := range sortedKeys(pids) {
		u := usageOfThreads(t, pids[name])
		pss := float64(proportionalMemory(t, pids[name])) / (1 << 20)
		percent := float64(u.cpu-before[name].cpu) / 1e9 / seconds * 100
		wakes := float64(u.switches-before[name].switches) / seconds
		r.Add(name, "proportional_memory", pss, "MiB")
		r.Add(name, "cpu", percent, "% of a core")
		r.Add(name, "wakeups", wakes, "1/s")
		memory, cpu, wakeups = memory+pss, cpu+percent, wakeups+wakes
	}
	r.Target(t, "all", "proportional_memory", memory*(1<<20)/1e6, "MB", memory*(1<<20) <= 150e6, "<= 150")
	r.Target(t, "all", "cpu", cpu, "% of a core", cpu <= 0.5, "<= 0.5")
	r.Add("all", "wakeups", wakeups, "1/s")
	r.Write(t)
}

// addCommands adds what the host runs for its plugins, such as journalctl.
func addCommands(t *testing.T, pids map[string]int) {
	t.Helper()
	known := slices.Collect(maps.Values(pids))
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		head, rest, _ := strings.Cut(string(text), " (")
		end := strings.LastIndexByte(rest, ')')
		pid, err := strconv.Atoi(head)
		if err != nil || end < 0 || slices.Contains(known, pid) {
			continue
		}
		if parent := strings.Fields(rest[end+1:])[1]; parent == strconv.Itoa(pids["host"]) {
			pids["command "+rest[:end]] = pid
		}
	}
}

// threadUsage sums over the threads of a process.
type threadUsage struct {
	cpu      int64 // ns
	switches int64 // voluntary: each ends a sleep
}

func usageOfThreads(t *testing.T, pid int) threadUsage {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	var u threadUsage
	for _, dir := range threads {
		stat, err := os.ReadFile(filepath.Join(dir, "schedstat"))
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		u.cpu += ns
		u.switches += procField(t, filepath.Join(dir, "status"), "voluntary_ctxt_switches:")
	}
	return u
}

// proportionalMemory is the memory of a process in bytes, in which a page that n
// processes share counts for a n-th.
func proportionalMemory(t *testing.T, pid int) int64 {
	t.Helper()
	return procField(t, fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") << 10
}

// procField reads the number after a name at the beginning of a line.
func procField(t *testing.T, path, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

func sortedKeys(m map[string]int) []string {
	return slices.Sorted(maps.Keys(m))
}
