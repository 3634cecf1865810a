package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// startRecorded starts a host whose test sink records every log event and every
// alert in the file that it returns.
func startRecorded(t *testing.T, config string) (h *hosttest.Host, record string) {
	t.Helper()
	dir := writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce})
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/sink-record", filepath.Join(plugins, "sink-record"), "-ldflags=-s -w")
	h = hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite"},
		PluginDirs: []string{plugins},
		NoStart:    true,
	})
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\n", filepath.Join(dir, "rules"))+
		follow(filepath.Join(h.Dir, "log"), config))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	return h, filepath.Join(h.Dir, "data", "sink-record", "record")
}

// recorded is what the test sink has written.
type recorded struct {
	// sequences holds the sequence of each message, by stream. messages counts
	// how often each came, which is more than once after a death.
	sequences map[string]map[string]uint64
	alerts    map[string]string // "RULE GROUP COUNT TIME" by id
	bad       []string
}

func readRecord(t *testing.T, path string) recorded {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := recorded{sequences: map[string]map[string]uint64{}, alerts: map[string]string{}}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		var stream, reason, message, id, rule, group string
		var sequence, count uint64
		var at int64
		if n, _ := fmt.Sscanf(line, "log %q %d %q %q", &stream, &sequence, &reason, &message); n == 4 {
			name := filepath.Base(stream)
			if r.sequences[name] == nil {
				r.sequences[name] = map[string]uint64{}
			}
			if before, ok := r.sequences[name][message]; ok && before != sequence {
				r.bad = append(r.bad, fmt.Sprintf("%s: %q has sequences %d and %d", name, message, before, sequence))
			}
			if reason != "" {
				r.bad = append(r.bad, fmt.Sprintf("%s: sequence %d is not parsed: %s", name, sequence, reason))
			}
			r.sequences[name][message] = sequence
		} else if n, _ := fmt.Sscanf(line, "alert %q %q %q %d %d", &id, &rule, &group, &count, &at); n == 5 {
			r.alerts[id] = fmt.Sprintf("%s %s x%d %s", rule, group, count, time.Unix(0, at).UTC().Format(time.RFC3339Nano))
		} else {
			// The sink was killed in the middle of a write: the batch came again.
			continue
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}

// orphans returns the processes that execute a file of the directory.
func orphans(dir string) []string {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	var out []string
	for _, link := range exes {
		if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, dir) {
			out = append(out, link+" -> "+exe)
		}
	}
	return out
}

// numbered writes one log: numbered lines, among them failed passwords, each
// stamped a tenth of a second after the one before. Stamps are old, so that
// nothing depends on when it runs.
type numbered struct {
	path  string
	net   int // second octet of its attackers
	n     int
	count counter
	at    time.Time
	text  strings.Builder
}

func newNumbered(path string, net int) *numbered {
	return &numbered{path: path, net: net, at: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)}
}

// write appends lines.
func (w *numbered) write(t *testing.T, lines int) {
	t.Helper()
	w.text.Reset()
	for range lines {
		w.n++
		w.at = w.at.Add(100 * time.Millisecond)
		text, failed := fmt.Sprintf("web1 app[7]: line %d", w.n), ""
		if w.n%9 == 0 {
			// Slow enough that some addresses never complete a window.
			failed = fmt.Sprintf("10.%d.%d.%d", w.net, w.n/5000%250, w.n/9%(11+w.n/1000%17)+1)
			text = fmt.Sprintf("web1 sshd[8]: Failed password for root from %s port %d ssh2", failed, 1024+w.n%60_000)
		}
		fmt.Fprintf(&w.text, "%s %s\n", w.at.Format("2006-01-02T15:04:05.000000Z07:00"), text)
		w.count.add(w.at, failed)
	}
	appendTo(t, w.path, w.text.String())
}

// shift makes room for NAME.1 as logrotate does.
func (w *numbered) shift(t *testing.T) {
	t.Helper()
	for i := 20; i >= 1; i-- {
		from := fmt.Sprintf("%s.%d", w.path, i)
		if err := os.Rename(from, fmt.Sprintf("%s.%d", w.path, i+1)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// rename rotates by renaming.
func (w *numbered) rename(t *testing.T) {
	t.Helper()
	w.shift(t)
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		t.Fatal(err)
	}
}

// copyTruncate rotates by copying and truncating; nobody writes meanwhile.
func (w *numbered) copyTruncate(t *testing.T) {
	t.Helper()
	w.shift(t)
	hosttest.Copy(t, w.path, w.path+".1")
	if err := os.Truncate(w.path, 0); err != nil {
		t.Fatal(err)
	}
}

// endurance says how hard a host is treated.
type endurance struct {
	lines     int // in each of two files
	rotations int // of each file
	kills     int // of the parser and of the detector
	hostKills int
	pace      time.Duration // between the two hundred steps of the writer
	most      time.Duration
}

// TestNothingIsLost writes numbered lines into two files, one rotated by
// renaming and one by copying and truncating, while the parser, the detector
// and the host are killed.
func TestNothingIsLost(t *testing.T) {
	needRoot(t)
	t.Parallel()
	endure(t, endurance{lines: 100_000, rotations: 5, kills: 10, hostKills: 1, pace: 25 * time.Millisecond, most: time.Minute})
}

func endure(t *testing.T, e endurance) {
	h, record := startRecorded(t, "")
	logs := []*numbered{newNumbered(h.Log("renamed.log"), 1), newNumbered(h.Log("copied.log"), 2)}
	const steps = 200
	killed := map[string]int{}
	kill := func(name string) {
		h.Wait(time.Minute, name+" runs and is killed", func() bool {
			p := h.Plugin(name)
			if p.State != "running" || p.PID == 0 || p.PID == killed[name] {
				return false
			}
			killed[name] = p.PID
			return syscall.Kill(p.PID, syscall.SIGKILL) == nil
		})
	}
	// The writers go on while the host is down and while others are killed.
	var step atomic.Int64
	written := make(chan struct{})
	go func() {
		defer close(written)
		pace := time.NewTicker(e.pace)
		defer pace.Stop()
		for i := range steps {
			<-pace.C
			for _, w := range logs {
				w.write(t, e.lines/steps)
			}
			if every := steps / (e.rotations + 1); i%every == every-1 && i < steps-every {
				logs[0].rename(t)
				logs[1].copyTruncate(t)
			}
			step.Store(int64(i))
		}
	}()
	for i := range e.kills {
		reached := int64(steps * i / e.kills)
		h.Wait(e.most, "the writer goes on", func() bool { return step.Load() >= reached })
		kill("parser-syslog")
		kill("detector-rules")
		if first := e.kills / 2; i >= first && i < first+e.hostKills {
			h.Kill()
			h.Wait(10*time.Second, "the plugins end with the host", func() bool { return len(orphans(h.Dir)) == 0 })
			h.Start()
		}
	}
	<-written

	missing := func() (text string) {
		got := readRecord(t, record)
		for _, w := range logs {
			if have := got.sequences[filepath.Base(w.path)]; len(have) < w.n {
				text += fmt.Sprintf("%s: %s\n", w.path, absent(have, w.n))
			}
		}
		return text
	}
	defer func() {
		if text := missing(); text != "" {
			out, _ := h.CLI("status")
			t.Errorf("lines are missing:\n%s%s", text, out)
		}
	}()
	h.Wait(e.most, "every line is recorded", func() bool { return missing() == "" })
	var want []string
	for _, w := range logs {
		for _, a := range w.count.alerts {
			want = append(want, "ssh_brute_force "+a)
		}
	}
	slices.Sort(want)
	if len(want) < e.lines/1000 {
		t.Errorf("the lines hold %d attacks: the test tests little", len(want))
	}
	got := readRecord(t, record)
	settle := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for len(got.alerts) < len(want) && time.Now().Before(settle) {
		<-tick.C
		got = readRecord(t, record)
	}
	for _, bad := range got.bad[:min(len(got.bad), 10)] {
		t.Error(bad)
	}
	for _, w := range logs {
		name := filepath.Base(w.path)
		if n := len(got.sequences[name]); n != w.n {
			t.Errorf("%s: got %d different lines, want %d", name, n, w.n)
		}
		wrong := 0
		for message, sequence := range got.sequences[name] {
			var n uint64
			if _, err := fmt.Sscanf(message, "line %d", &n); err == nil && n != sequence {
				if wrong++; wrong <= 5 {
					t.Errorf("%s: line %d has sequence %d", name, n, sequence)
				}
			}
		}
	}
	unseen := map[string]bool{}
	for _, a := range want {
		unseen[a] = true
	}
	var extra []string
	for _, a := range got.alerts {
		if !unseen[a] {
			extra = append(extra, a)
		}
		delete(unseen, a)
	}
	if len(unseen)+len(extra) > 0 || len(got.alerts) != len(want) {
		t.Errorf("got %d alerts, want %d as of an undisturbed run; missing:\n%s\ntoo many:\n%s", len(got.alerts), len(want),
			strings.Join(slices.Sorted(maps.Keys(unseen)), "\n"), strings.Join(extra, "\n"))
	}
	var s statusLine
	h.JSON(&s, "status")
	if len(s.CoverageGaps) != 0 || len(s.Dropped) != 0 {
		t.Errorf("got coverage gaps %v and drops %v, want none", s.CoverageGaps, s.Dropped)
	}
}

// absent sums up which of n sequences are not there.
func absent(have map[string]uint64, n int) string {
	there := make([]bool, n+2)
	for _, sequence := range have {
		there[min(sequence, uint64(n+1))] = true
	}
	var ranges []string
	for from := 1; from <= n; from++ {
		to := from
		for to <= n && !there[to] {
			to++
		}
		if to > from {
			ranges = append(ranges, fmt.Sprintf("%d-%d", from, to-1))
			from = to
		}
	}
	return fmt.Sprintf("%d of %d lines, without the sequences %s, and %d beyond", len(have), n, strings.Join(ranges[:min(len(ranges), 20)], " "), map[bool]int{true: 1}[there[n+1]])
}

// TestStopUnderLoad stops a host with SIGTERM in the middle of its work: what
// it had taken over is recorded by then, and the rest comes after the start.
func TestStopUnderLoad(t *testing.T) {
	needRoot(t)
	t.Parallel()
	h, record := startRecorded(t, "")
	var before statusLine
	h.JSON(&before, "status")
	w := newNumbered(h.Log("a.log"), 3)
	for range 3 {
		w.write(t, 30_000)
		var s statusLine
		h.Wait(time.Minute, "lines flow", func() bool { h.JSON(&s, "status"); return s.Received > 0 })
		if err := h.Stop(); err != nil {
			t.Errorf("got %v from a stop under load, want exit code 0", err)
		}
		if left := orphans(h.Dir); len(left) != 0 {
			t.Errorf("processes are left: %v", left)
		}
		h.Start()
	}
	h.Wait(time.Minute, "every line is recorded", func() bool { return len(readRecord(t, record).sequences["a.log"]) >= w.n })
	if bad := readRecord(t, record).bad; len(bad) != 0 {
		t.Errorf("got %d records with another sequence or unparsed, such as %s", len(bad), bad[0])
	}
	var after statusLine
	h.JSON(&after, "status")
	if before.HostID == "" || after.HostID != before.HostID {
		t.Errorf("got host id %q after the restarts, want %q", after.HostID, before.HostID)
	}
	if len(after.CoverageGaps) != 0 || len(after.Dropped) != 0 {
		t.Errorf("got coverage gaps %v and drops %v, want none", after.CoverageGaps, after.Dropped)
	}
}

// TestAppendedLinesAlert appends a brute force to a followed file: the alert is
// in alerts list, with its entities.
func TestAppendedLinesAlert(t *testing.T) {
	needRoot(t)
	t.Parallel()
	h, _ := startRecorded(t, "")
	for i := range 5 {
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("%s web1 sshd[77]: Failed password for root from 192.0.2.9 port %d ssh2\n", time.Now().Format(time.RFC3339), 4000+i))
	}
	var list []alertLine
	h.Wait(30*time.Second, "the alert is listed", func() bool {
		h.JSON(&list, "alerts", "list")
		return len(list) > 0
	})
	a := list[0]
	if len(list) != 1 || a.RuleID != "ssh_brute_force" || a.Count != 5 || a.State != "open" || a.Severity != "high" ||
		a.Entities["src_ip"] != "192.0.2.9" || a.Entities["user"] != "root" || a.Entities["process"] != "sshd" {
		t.Errorf("got alerts %+v, want one of the brute force by 192.0.2.9", list)
	}
}
