package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestStoreOnAFullDisk fills the file system of sink-sqlite, which keeps log events. The
// others go on: every line is parsed and every attack raises its alert. What the store says
// it lacks keeps it from being taken for stuck. Log events are given up and counted; alerts
// wait, and are there when there is room. Each log event is there or was counted.
func TestStoreOnAFullDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite"}, NoStart: true})
	small := filepath.Join(h.Dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	resize := func(flags uintptr, size string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", small, "tmpfs", flags, "mode=777,size="+size); err != nil {
			t.Fatalf("a file system of %s: %v", size, err)
		}
	}
	resize(0, "4m")
	t.Cleanup(func() {
		h.Kill()
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	appendConfig(t, h, fmt.Sprintf(`answer_timeout = "1s"
[bus]
retained_bytes = "2MiB"
batch_bytes = "64KiB"
[rules]
paths = [%q]
[sink_sqlite]
dir = %q
keep_events = true
`, filepath.Join(dir, "rules"), filepath.Join(small, "db"))+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	pid := h.Plugin("sink-sqlite").PID

	attacks, lines, at := uint64(0), uint64(0), time.Now().UTC().Add(-2*time.Hour).Truncate(time.Second)
	write := func(others int) {
		t.Helper()
		var text strings.Builder
		attacks++
		for range 5 {
			at = at.Add(time.Second)
			fmt.Fprintf(&text, "%s web1 sshd[8]: Failed password for root from 10.9.0.%d port 4711 ssh2\n", at.Format(time.RFC3339), attacks)
		}
		for n := range others {
			fmt.Fprintf(&text, "%s web1 app[9]: request %d of many was answered in time\n", at.Format(time.RFC3339), n)
		}
		lines += uint64(5 + others)
		appendTo(t, h.Log("auth.log"), text.String())
	}
	var s statusLine
	gone := func() (events uint64) {
		for _, gap := range s.CoverageGaps {
			if gap.Plugin != "sink-sqlite" {
				t.Fatalf("%s missed %d events, which has all it wants", gap.Plugin, gap.Events)
			}
			events += gap.Events
		}
		return events
	}
	raised := func() bool { // an alert about a gap is one more
		h.JSON(&s, "status")
		return s.Parsed == lines && s.Alerts >= attacks
	}
	for tries := 0; gone() == 0; tries++ {
		if tries == 60 {
			t.Fatalf("nothing was given up after %d lines: %+v", lines, s)
		}
		write(20_000)
		h.Wait(time.Minute, "detection goes on", raised)
	}
	write(0)
	h.Wait(time.Minute, "an attack on a full disk is found", raised)
	full := h.Plugin("sink-sqlite")
	if full.PID != pid || full.Restarts != 0 || full.Health == "ok" {
		t.Errorf("on a full disk: got %+v, want the process that there was, and its health say so", full)
	}
	t.Logf("%d lines, %d events given up so far, health %s", lines, gone(), full.Health)

	resize(syscall.MS_REMOUNT, "1g")
	stored := func(args ...string) uint64 {
		out, err := h.CLI(append(args, "-o", "json")...)
		if err != nil {
			t.Fatal(err)
		}
		return uint64(strings.Count(out, `"observed_time":`)) // one in each event
	}
	h.Wait(time.Minute, "there is room, and the store is well", func() bool { return h.Plugin("sink-sqlite").Health == "ok" })
	h.Wait(time.Minute, "every attack's alert is stored", func() bool {
		var found []struct{}
		h.JSON(&found, "alerts", "list", "--limit", "1000", "--where", "rule_id=ssh_brute_force")
		return uint64(len(found)) == attacks
	})
	h.Wait(time.Minute, "every log event is stored or counted as missed, once", func() bool {
		h.JSON(&s, "status")
		return stored("events", "search", "time", "--limit", "100000")+stored("events", "search", "failed", "--limit", "100000")+gone() == lines
	})
	if p := h.Plugin("sink-sqlite"); p.PID != pid || p.Restarts != 0 {
		t.Errorf("afterwards: got %+v, want the process that there was", p)
	}
}
