package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// ledgerPlugins take part in the test of the ledger. Each may be killed at any
// time; of the fragile ones each has records that end it at once.
var ledgerPlugins = []string{"source-file", "parser-syslog", "fragile-parser", "detector-rules", "fragile-detector", "sink-record"}

// quarantineLine is what quarantine list says of one record.
type quarantineLine struct {
	ID       string `json:"id"`
	Plugin   string `json:"plugin"`
	Kind     string `json:"kind"`
	Stream   string `json:"stream"`
	Sequence int    `json:"sequence"`
	Reason   string `json:"reason"`
	Time     string `json:"time"`
	Replayed string `json:"replayed"`
	Record   string `json:"record"`
	Text     string `json:"text"`
	Bytes    string `json:"bytes"`
}

// startLedger starts a host with the plugins above. What stands in fragile.log is
// parsed by the fragile parser.
func startLedger(t *testing.T) (h *hosttest.Host, record string) {
	t.Helper()
	dir := writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce})
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/sink-record", filepath.Join(plugins, "sink-record"), "-ldflags=-s -w")
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/fragile"), plugins, "fragile-parser", "fragile-detector")
	h = hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"source-file", "parser-syslog", "detector-rules"},
		PluginDirs: []string{plugins},
		NoStart:    true,
	})
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\n[log_pipeline.routes]\n%q = \"fragile\"\n", filepath.Join(dir, "rules"), h.Log("fragile.log"))+
		follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	for _, name := range []string{"sink-record", "fragile-parser", "fragile-detector"} {
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Fatal(err)
		}
	}
	return h, filepath.Join(h.Dir, "data", "sink-record", "record")
}

// line appends one line that is numbered like the others, and returns its number.
func (w *numbered) line(t *testing.T, text string) int {
	t.Helper()
	w.n++
	w.at = w.at.Add(100 * time.Millisecond)
	w.count.add(w.at, "")
	appendTo(t, w.path, fmt.Sprintf("%s web1 app[7]: %s\n", w.at.Format("2006-01-02T15:04:05.000000Z07:00"), text))
	return w.n
}

// ledger says how much is sent through a host.
type ledger struct {
	lines int // in each of two files
	pace  time.Duration
	most  time.Duration
}

// TestLedger sends numbered lines through source, parser, detectors and sink,
// with a SIGKILL of a random plugin every 200 ms and poison among the lines.
// Nothing may be lost, the alerts are those of an undisturbed run, and of all
// records the poison alone is in quarantine.
func TestLedger(t *testing.T) {
	needRoot(t)
	t.Parallel()
	runLedger(t, ledger{lines: 50_000, pace: 50 * time.Millisecond, most: 2 * time.Minute})
}

func runLedger(t *testing.T, l ledger) {
	h, record := startLedger(t)
	plain, fragile := newNumbered(h.Log("plain.log"), 1), newNumbered(h.Log("fragile.log"), 2)
	logs := []*numbered{plain, fragile}
	const steps = 200
	var poison []quarantineLine
	var asked []string // alerts that lines ask the fragile detector for
	var step atomic.Int64
	written := make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(written)
		pace := time.NewTicker(l.pace)
		defer pace.Stop()
		for i := range steps {
			<-pace.C
			for _, w := range logs {
				name := filepath.Base(w.path)
				w.write(t, l.lines/steps/2)
				if i%10 == 5 {
					text := fmt.Sprintf("alert %s %d", name, i)
					w.line(t, text)
					asked = append(asked, "fragile "+text)
				}
				if i == 60 || i == 140 {
					n := w.line(t, fmt.Sprintf("poison for detectors %d", i))
					poison = append(poison, quarantineLine{Plugin: "fragile-detector", Kind: "detector", Stream: w.path, Sequence: n, Reason: "exit code 9", Record: "log"})
				}
				if i == 100 && w == fragile {
					n := w.line(t, "poison for parsers")
					poison = append(poison, quarantineLine{Plugin: "fragile-parser", Kind: "parser", Stream: w.path, Sequence: n, Reason: "exit code 7", Record: "raw"})
				}
				w.write(t, l.lines/steps-l.lines/steps/2)
			}
			step.Store(int64(i))
		}
	}()

	kills := 0
	random := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var got recorded
	for done := false; !done; {
		<-tick.C
		if time.Since(begun) > l.most {
			out, _ := h.CLI("status")
			list, _ := h.CLI("plugin", "list")
			t.Fatalf("not all is recorded after %v, %d kills:\n%s\n%s\n%s", l.most, kills, missingFrom(got, logs), out, list)
		}
		var plugins []hosttest.Plugin
		h.JSON(&plugins, "plugin", "list")
		name := ledgerPlugins[random.IntN(len(ledgerPlugins))]
		for _, p := range plugins {
			if p.Name == name && p.PID != 0 && syscall.Kill(p.PID, syscall.SIGKILL) == nil {
				kills++
			}
		}
		select {
		case <-written:
			if kills%10 == 0 {
				got = readRecord(t, record)
				done = missingFrom(got, logs) == ""
			}
		default:
		}
	}
	t.Logf("%d lines in %v, with %d kills", plain.n+fragile.n, time.Since(begun).Round(time.Millisecond), kills)

	want := slices.Clone(asked)
	for _, w := range logs {
		for _, a := range w.count.alerts {
			want = append(want, "ssh_brute_force "+a)
		}
	}
	if len(want) < l.lines/500 {
		t.Errorf("the lines hold %d attacks: the test tests little", len(want))
	}
	var quarantined []quarantineLine
	alerts := func() []string {
		var out []string
		for _, a := range readRecord(t, record).alerts {
			if strings.HasPrefix(a, "fragile ") {
				a = a[:strings.LastIndex(a, " x")]
			}
			out = append(out, a)
		}
		slices.Sort(out)
		return out
	}
	slices.Sort(want)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		h.JSON(&quarantined, "quarantine", "list")
		if len(quarantined) >= len(poison) && len(alerts()) >= len(want) {
			break
		}
	}
	if diff := cmp.Diff(want, alerts()); diff != "" {
		t.Errorf("alerts, and those of an undisturbed run (-want +got):\n%s", diff)
	}

	got = readRecord(t, record)
	unparsed := 0
	for _, bad := range got.bad {
		if strings.HasSuffix(bad, "is not parsed: quarantined") {
			unparsed++
			continue
		}
		t.Error(bad)
	}
	if unparsed == 0 {
		t.Error("the record that no parser can parse did not reach the sink unparsed")
	}
	for _, w := range logs {
		wrong := 0
		for message, sequence := range got.sequences[filepath.Base(w.path)] {
			var n uint64
			if _, err := fmt.Sscanf(message, "line %d", &n); err == nil && n != sequence {
				if wrong++; wrong <= 5 {
					t.Errorf("%s: line %d has sequence %d", w.path, n, sequence)
				}
			}
		}
	}
	checkQuarantine(t, h, poison)
	var s statusLine
	h.JSON(&s, "status")
	if len(s.CoverageGaps) != 0 {
		t.Errorf("got coverage gaps %v, want none", s.CoverageGaps)
	}
	for _, d := range s.Dropped {
		if d.Stage != "detector" || d.Reason != "quarantined" || d.Count != 4 {
			t.Errorf("got drops %v, want the detector's 4 records in quarantine alone", s.Dropped)
		}
	}
}

// missingFrom says which lines are not recorded, "" when all are.
func missingFrom(got recorded, logs []*numbered) (text string) {
	for _, w := range logs {
		if have := got.sequences[filepath.Base(w.path)]; len(have) < w.n {
			text += fmt.Sprintf("%s: %s\n", w.path, absent(have, w.n))
		}
	}
	return text
}

// checkQuarantine compares the quarantine with the poison, and works its verbs.
func checkQuarantine(t *testing.T, h *hosttest.Host, poison []quarantineLine) {
	t.Helper()
	var list []quarantineLine
	h.JSON(&list, "quarantine", "list")
	brief := func(list []quarantineLine) map[string]bool {
		out := map[string]bool{}
		for _, q := range list {
			out[fmt.Sprintf("%s %s %s %d", q.Plugin, q.Kind, q.Stream, q.Sequence)] = true
		}
		return out
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(brief(poison))), slices.Sorted(maps.Keys(brief(list)))); diff != "" {
		t.Errorf("in quarantine, and the poison (-want +got):\n%s", diff)
	}
	for _, q := range list {
		var shown quarantineLine
		h.JSON(&shown, "quarantine", "show", q.ID)
		if !strings.Contains(shown.Text, "poison for "+q.Kind+"s") || shown.Reason == "" {
			t.Errorf("quarantine show %s: got %+v, want the poison's text and how the plugin ended", q.ID, shown)
		}
		raw, err := hex.DecodeString(shown.Bytes)
		if q.Kind == "parser" && (err != nil || !strings.HasSuffix(string(raw), " web1 app[7]: poison for parsers") || shown.Record != "raw") {
			t.Errorf("quarantine show %s: got bytes %q of a %s record, want the line", q.ID, raw, shown.Record)
		}
	}
	if len(list) == 0 {
		return
	}
	if _, err := h.CLI("quarantine", "drop", list[0].ID); err != nil {
		t.Error(err)
	}
	for _, verb := range []string{"show", "replay", "drop"} {
		if _, err := h.CLI("quarantine", verb, list[0].ID); hosttest.ExitCode(err) != 1 {
			t.Errorf("quarantine %s of what was dropped: got %v, want exit code 1", verb, err)
		}
	}
	before := list[len(list)-1]
	if _, err := h.CLI("quarantine", "replay", before.ID); err != nil {
		t.Error(err)
	}
	h.Wait(30*time.Second, "the replayed record ends its plugin again, and is back", func() bool {
		var now quarantineLine
		h.JSON(&now, "quarantine", "show", before.ID)
		return now.Time != before.Time && h.Plugin(now.Plugin).State == "running"
	})
}
