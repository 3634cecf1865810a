package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// tailFaults says how hard the tail is treated.
type tailFaults struct {
	lines     int // of all logs together
	rotations int // of each log
	pace      time.Duration
	kills     time.Duration // between two
	most      time.Duration
}

// TestTailFaults writes numbered lines into a log for each thing that happens to
// logs, which happens to it again and again, while source, parser, detector, both
// sinks and the host are killed in turn. No line may be missing, and a line that
// comes again has the id that it had.
func TestTailFaults(t *testing.T) {
	needRoot(t)
	t.Parallel()
	runTailFaults(t, tailFaults{lines: 50_000, rotations: 5, pace: 20 * time.Millisecond, kills: 300 * time.Millisecond, most: 2 * time.Minute})
}

// faultyLog is one log, to which one thing happens.
type faultyLog struct {
	t    *testing.T
	name string
	// dir is the log's own; path is what is written to.
	dir, path string
	n, round  int
	at        time.Time
	// rotate happens to it; settled waits until all that was written is safe,
	// for what destroys lines.
	rotate func(w *faultyLog)
	// record makes the text of one line, or of the lines of one record.
	record  func(w *faultyLog) string
	settled func(w *faultyLog)
}

func (w *faultyLog) stamped(text string) string {
	w.at = w.at.Add(time.Millisecond)
	return w.at.Format("2006-01-02T15:04:05.000000Z07:00") + " web1 app[7]: " + text + "\n"
}

// write appends n records, a few at a time, as programs do.
func (w *faultyLog) write(n int) {
	w.t.Helper()
	for n > 0 {
		var text strings.Builder
		for range min(n, 100) {
			w.n++
			text.WriteString(w.record(w))
			n--
		}
		appendTo(w.t, w.path, text.String())
	}
}

func (w *faultyLog) must(err error) {
	w.t.Helper()
	if err != nil && !os.IsNotExist(err) {
		w.t.Errorf("%s: %v", w.name, err)
	}
}

// shift makes room for PATH.1.
func (w *faultyLog) shift() {
	w.t.Helper()
	for i := 50; i >= 1; i-- {
		for _, suffix := range []string{"", ".gz"} {
			w.must(os.Rename(fmt.Sprintf("%s.%d%s", w.path, i, suffix), fmt.Sprintf("%s.%d%s", w.path, i+1, suffix)))
		}
	}
}

func (w *faultyLog) rename() {
	w.t.Helper()
	w.shift()
	w.must(os.Rename(w.path, w.path+".1"))
}

func (w *faultyLog) gzip(path string) {
	w.t.Helper()
	if out, err := exec.Command("gzip", path).CombinedOutput(); err != nil {
		w.t.Errorf("%s: gzip: %v: %s", w.name, err, out)
	}
}

// faultyLogs are the logs below dir, each with what happens to it.
func faultyLogs(t *testing.T, dir string, settled func(*faultyLog)) []*faultyLog {
	t.Helper()
	one := func(w *faultyLog) string { return w.stamped(fmt.Sprintf("line %d", w.n)) }
	logs := []*faultyLog{
		{name: "new files of a glob", rotate: func(w *faultyLog) {
			w.path = filepath.Join(w.dir, fmt.Sprintf("app%c.log", 'a'+w.round))
		}},
		{name: "renamed", rotate: (*faultyLog).rename},
		{name: "renamed, a writer stays", rotate: func(w *faultyLog) {
			w.rename()
			// Another one begins the new file, and both go on.
			fresh := w.path
			for range 3 {
				w.write(5)
				w.path = fresh + ".1"
				w.write(5)
				w.path = fresh
			}
		}},
		{name: "copied and truncated", rotate: func(w *faultyLog) {
			w.shift()
			hosttest.Copy(w.t, w.path, w.path+".1")
			w.must(os.Truncate(w.path, 0))
		}},
		{name: "renamed and compressed", rotate: func(w *faultyLog) {
			w.rename()
			w.gzip(w.path + ".1")
		}},
		{name: "compressed a rotation later", rotate: func(w *faultyLog) {
			w.rename()
			if _, err := os.Stat(w.path + ".2"); err == nil {
				w.gzip(w.path + ".2")
			}
		}},
		{name: "deleted, inode used again", rotate: func(w *faultyLog) {
			w.settled(w)
			info, err := os.Stat(w.path)
			w.must(err)
			w.must(os.Remove(w.path))
			w.sameInode(info.Sys().(*syscall.Stat_t).Ino)
		}},
		{name: "truncated and rewritten", rotate: func(w *faultyLog) {
			w.settled(w)
			w.must(os.Truncate(w.path, 0))
		}},
		{name: "symbolic link swapped", rotate: func(w *faultyLog) {
			target := filepath.Join(w.dir, fmt.Sprintf("app-202603%02d", w.round+1))
			w.must(os.WriteFile(target, nil, 0o644))
			w.must(os.Symlink(target, w.path+".new"))
			w.must(os.Rename(w.path+".new", w.path))
		}},
		{name: "the same beginning", rotate: func(w *faultyLog) {
			if w.round > 0 {
				w.rename()
			}
			// More than what the beginning of a file is told by.
			appendTo(w.t, w.path, strings.Repeat("2026-03-01T00:00:00Z web1 app[7]: the same header in every file\n", 40))
		}},
		{
			name: "records of several lines", rotate: (*faultyLog).rename,
			record: func(w *faultyLog) string {
				return w.stamped(fmt.Sprintf("line %d", w.n)) + "  at one()\n  at two()\n"
			},
		},
	}
	for i, w := range logs {
		w.t, w.settled = t, settled
		w.dir = filepath.Join(dir, fmt.Sprintf("%02d", i))
		w.path = filepath.Join(w.dir, "app.log")
		w.at = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		if w.record == nil {
			w.record = one
		}
		if err := os.Mkdir(w.dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return logs
}

// sameInode makes the log anew with an inode, where the file system gives it.
func (w *faultyLog) sameInode(inode uint64) {
	var wrong []string
	for i := range 200 {
		path := fmt.Sprintf("%s-try%d", w.path, i)
		w.must(os.WriteFile(path, nil, 0o644))
		info, err := os.Stat(path)
		w.must(err)
		if i == 199 || info.Sys().(*syscall.Stat_t).Ino == inode {
			w.must(os.Rename(path, w.path))
			break
		}
		wrong = append(wrong, path)
	}
	for _, path := range wrong {
		w.must(os.Remove(path))
	}
}

func runTailFaults(t *testing.T, e tailFaults) {
	h, record := startRecorded(t, "[sink_sqlite]\nkeep_events = true\n")
	y := &tally{path: record, logs: map[string]*tallied{}, ids: map[string]map[uint64]int{}, run: map[string]int{}}
	y.restartWith(t, h)
	stop := make(chan struct{})
	logs := faultyLogs(t, filepath.Join(h.Dir, "log"), func(w *faultyLog) {
		// What a source loses with its file it must have got rid of before: into
		// every sink, and then as a position into the host's state. Nothing says
		// when that was: it is given a second in which nothing is killed.
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		wait := func(ok func() bool) {
			for !ok() {
				select {
				case <-tick.C:
				case <-stop:
					return
				}
			}
		}
		wait(func() bool {
			y.read(t)
			return y.has(w) == w.n && storedLines(t, h, w) == w.n
		})
		y.calm.RLock()
		defer y.calm.RUnlock()
		wait(func() bool { return allRun(h) })
		quiet := 0
		wait(func() bool { quiet++; return quiet > 20 })
	})
	begun := time.Now()
	written := make(chan struct{})
	var writers sync.WaitGroup
	for _, w := range logs {
		writers.Go(func() {
			pace := time.NewTicker(e.pace)
			defer pace.Stop()
			each := (e.lines + len(logs) - 1) / len(logs)
			const steps = 20
			if w.name == "symbolic link swapped" || w.name == "the same beginning" {
				w.rotate(w)
			}
			// A file that is rotated away before it was ever seen is not followed. Of
			// several lines one is emitted after its time.
			w.write(1)
			w.settled(w)
			for w.round = 1; w.round <= e.rotations+1; w.round++ {
				for i := range steps {
					<-pace.C
					reached := each * ((w.round-1)*steps + i + 1) / ((e.rotations + 1) * steps)
					w.write(max(0, reached-w.n))
				}
				if w.round <= e.rotations {
					w.rotate(w)
				}
			}
		})
	}
	go func() {
		writers.Wait()
		close(written)
	}()

	kills := y.killInTurn(t, h, e, written, logs)
	close(stop)
	<-written
	took := time.Since(begun).Round(100 * time.Millisecond)
	kept := storedLogs(t, h)
	y.report(t, e, logs, kills, took, kept)
}

// restartWith has the host follow each log by its own configuration.
func (y *tally) restartWith(t *testing.T, h *hosttest.Host) {
	t.Helper()
	text, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(h.Dir, "log")
	old := fmt.Sprintf("paths = [%q]\nstart", filepath.Join(dir, "*.log"))
	config := strings.Replace(string(text), old, fmt.Sprintf("paths = [%q, %q]\nstart", filepath.Join(dir, "*", "app.log"), filepath.Join(dir, "00", "app?.log")), 1)
	if config == string(text) {
		t.Fatalf("the configuration has no %q:\n%s", old, text)
	}
	config += fmt.Sprintf("[source_file.multiline]\n%q = '^\\d'\n", filepath.Join(dir, "10", "app.log"))
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(config)
	h.Start()
}

// killInTurn kills one process after the other until every line was recorded, and
// returns how often each was killed.
func (y *tally) killInTurn(t *testing.T, h *hosttest.Host, e tailFaults, written <-chan struct{}, logs []*faultyLog) map[string]int {
	t.Helper()
	processes := []string{"source-file", "parser-syslog", "detector-rules", "sink-record", "sink-sqlite", "host"}
	kills := map[string]int{}
	deadline := time.Now().Add(e.most)
	tick := time.NewTicker(e.kills)
	defer tick.Stop()
	// One that was killed again and again before it got anything done would be
	// left alone: each is killed when new lines were recorded since the last kill.
	total := func() (n int) {
		for _, w := range logs {
			n += y.has(w)
		}
		return n
	}
	for i, before, done := 0, 0, false; !done; {
		<-tick.C
		y.read(t)
		name := processes[i%len(processes)]
		now := total()
		if now-before < len(logs) {
			name = ""
		} else {
			i, before = i+1, now
		}
		y.calm.Lock()
		if name == "host" {
			h.Kill()
			h.Start()
			kills[name]++
		} else if name == "" {
			// It waits.
		} else if p, ok := pluginOf(h, name); ok && p.PID != 0 && syscall.Kill(p.PID, syscall.SIGKILL) == nil {
			kills[name]++
		}
		y.calm.Unlock()
		select {
		case <-written:
			done = !slices.ContainsFunc(logs, func(w *faultyLog) bool { return y.has(w) < w.n })
		default:
		}
		if t.Failed() || time.Now().After(deadline) {
			t.Errorf("not everything was recorded after %v", e.most)
			break
		}
	}
	return kills
}

// allRun reports whether all plugins of a host run.
func allRun(h *hosttest.Host) bool {
	var list []hosttest.Plugin
	return h.Try(&list, "plugin", "list") == nil &&
		!slices.ContainsFunc(list, func(p hosttest.Plugin) bool { return p.State != "running" })
}

// pluginOf returns a plugin of a host that may be starting.
func pluginOf(h *hosttest.Host, name string) (hosttest.Plugin, bool) {
	var list []hosttest.Plugin
	if err := h.Try(&list, "plugin", "list"); err != nil {
		return hosttest.Plugin{}, false
	}
	i := slices.IndexFunc(list, func(p hosttest.Plugin) bool { return p.Name == name })
	if i < 0 {
		return hosttest.Plugin{}, false
	}
	return list[i], true
}
