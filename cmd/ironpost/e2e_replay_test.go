package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// alertLine is what the tests read of an alert.
type alertLine struct {
	ID       string            `json:"id"`
	Time     time.Time         `json:"time"`
	Severity string            `json:"severity"`
	RuleID   string            `json:"rule_id"`
	Title    string            `json:"title"`
	Detector string            `json:"detector"`
	Group    string            `json:"group"`
	Entities map[string]string `json:"entities"`
	Count    uint64            `json:"count"`
	State    string            `json:"state"`
	TraceID  string            `json:"trace_id"`
}

func parseAlerts(t *testing.T, ndjson string) []alertLine {
	t.Helper()
	var out []alertLine
	for line := range strings.Lines(ndjson) {
		var a alertLine
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("a line of stdout is no alert: %v in %q", err, line)
		}
		out = append(out, a)
	}
	return out
}

// bruteForcers are the addresses of OpenSSH_2k.log with five failed passwords
// within less than a minute, counted with awk.
var bruteForcers = []string{
	"103.99.0.122", "112.95.230.3", "119.4.203.64", "123.235.32.19", "183.62.140.253",
	"185.190.58.151", "187.141.143.180", "5.188.10.180", "60.2.12.12",
}

func TestReplayFindsTheBruteForcers(t *testing.T) {
	t.Parallel()
	log := dataFile(t, "loghub/OpenSSH_2k.log")
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	got := run(t, ironpost(t, "replay", "--format", "syslog", "--rules", rules, log))
	if got.code != 0 {
		t.Fatalf("got exit code %d, want 0\n%s", got.code, got.stderr)
	}
	sources := map[string]bool{}
	for _, a := range parseAlerts(t, got.stdout) {
		if a.RuleID != "ssh_brute_force" || a.Severity != "high" || a.Count != 5 || len(a.ID) != 32 || len(a.TraceID) != 32 {
			t.Errorf("got alert %+v, want one of 5 events of ssh_brute_force, high, with ids", a)
		}
		sources[a.Entities["src_ip"]] = true
	}
	want := map[string]bool{}
	for _, address := range bruteForcers {
		want[address] = true
	}
	if diff := cmp.Diff(want, sources); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if summary := "1 files, 2000 records, 2000 parsed, 0 unparsed, 0 late, "; !strings.Contains(got.stderr, summary) {
		t.Errorf("got stderr %q, want it to say %q", got.stderr, summary)
	}
}

func TestReplayExitCodes(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"rules/ssh.yaml":  bruteForce,
		"broken/bad.yaml": "id: broken\ntitle: Broken\nseverity: loud\ndetection:\n  conditions: []\n",
		"junk.log":        "no syslog at all\n\xff\xfe\n",
		"a.xz":            "\xfd7zXZ\x00",
		"rules/empty/.x":  "",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"lines that cannot be parsed are no error", []string{"--format", "syslog", "--rules", at("rules"), at("junk.log")}, 0, "invalid_utf8 1"},
		{"no file", []string{"--format", "syslog", at("absent.log")}, 2, "absent.log"},
		{"nothing in a directory", []string{"--format", "syslog", "--rules", at("rules"), at("rules/empty")}, 0, "0 files, 0 records"},
		{"compressed in another way", []string{"--format", "syslog", "--rules", at("rules"), at("a.xz")}, 2, "decompress it first"},
		{"no such format", []string{"--format", "cobol", "--rules", at("rules"), at("junk.log")}, 2, "json"},
		{"no rules folder", []string{"--format", "syslog", "--rules", at("absent"), at("junk.log")}, 2, "absent"},
		{"nothing named", nil, 2, "PATH"},
		{"a bad reference time", []string{"--reference-time", "yesterday-ish", at("junk.log")}, 2, "--reference-time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, ironpost(t, append([]string{"replay"}, tt.args...)...))
			if got.code != tt.code {
				t.Errorf("got exit code %d, want %d", got.code, tt.code)
			}
			if !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got stderr %q, want %q in it", got.stderr, tt.stderr)
			}
			if got.stdout != "" {
				t.Errorf("got stdout %q, want nothing", got.stdout)
			}
		})
	}
}

// TestReplayOfDirectories reads the generations of a log as one, the oldest first,
// compressed or not.
func TestReplayOfDirectories(t *testing.T) {
	t.Parallel()
	line := func(n int) string {
		return fmt.Sprintf("2025-03-01T12:00:%02d+00:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port %d ssh2\n", n, 4000+n)
	}
	var old bytes.Buffer
	z := gzip.NewWriter(&old)
	_, err := z.Write([]byte(line(1) + line(2)))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	dir := writeFiles(t, map[string]string{
		"rules/ssh.yaml": bruteForce, "log/auth.log.2.gz": old.String(), "log/auth.log.1": line(3), "log/auth.log": line(4) + line(5),
		"log/wtmp": "\x07\x00\x00\x00tty1",
	})
	rules := filepath.Join(dir, "rules")
	got := run(t, ironpost(t, "replay", "--rules", rules, filepath.Join(dir, "log")))
	alerts := parseAlerts(t, got.stdout)
	if got.code != 0 || len(alerts) != 1 || alerts[0].Count != 5 || !strings.Contains(got.stderr, "3 files (1 left out or damaged), 5 records, 5 parsed, 0 unparsed, 0 late, 1 alerts") {
		t.Errorf("got exit code %d, alerts %+v, stderr %q; want one alert about 5 events of 3 files", got.code, alerts, got.stderr)
	}
	if want := "left out: " + filepath.Join(dir, "log", "wtmp") + ": it holds no text"; !strings.Contains(got.stderr, want) {
		t.Errorf("got stderr %q, want %q in it", got.stderr, want)
	}
	// What is named alone, and what is piped, is decompressed as well.
	got = run(t, ironpost(t, "replay", "--rules", rules, filepath.Join(dir, "log", "auth.log.2.gz")))
	if !strings.Contains(got.stderr, "1 files, 2 records, 2 parsed") {
		t.Errorf("a compressed file: got stderr %q, want 2 records", got.stderr)
	}
	got = run(t, ironpost(t, "rules", "explain", "--rules", rules, "--rule", "ssh_brute_force", "--event", filepath.Join(dir, "log", "auth.log.2.gz")))
	if !strings.Contains(got.stdout, "2 events, 2 match") {
		t.Errorf("explain of a compressed file: got %q, want 2 events that match", got.stdout)
	}
}

// seedsPerFile spreads the seeds over a few files, each a stream of its own.
const seedsPerFile = 250

// TestReplayCountsAsAnIndependentCountDoes replays logs with random addresses,
// gaps, bursts and lines out of order. A thousand seeds share four files: each
// has an hour and addresses of its own, so that none touches another.
func TestReplayCountsAsAnIndependentCountDoes(t *testing.T) {
	t.Parallel()
	const seeds = 1000
	for first := 0; first < seeds; first += seedsPerFile {
		t.Run(fmt.Sprintf("seeds %d to %d", first, first+seedsPerFile-1), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce}), "generated.log")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w := bufio.NewWriter(f)
			var c counter
			for seed := first; seed < first+seedsPerFile; seed++ {
				generate(seed, func(line string, at time.Time, failed string) {
					fmt.Fprintln(w, line)
					c.add(at, failed)
				})
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			got := run(t, ironpost(t, "replay", "--format", "syslog", "--rules", filepath.Join(filepath.Dir(path), "rules"), path))
			if got.code != 0 {
				t.Fatalf("got exit code %d, want 0\n%s", got.code, got.stderr)
			}
			var alerts []string
			for _, a := range parseAlerts(t, got.stdout) {
				alerts = append(alerts, fmt.Sprintf("%s x%d %s", a.Entities["src_ip"], a.Count, a.Time.UTC().Format(time.RFC3339Nano)))
			}
			if len(c.alerts) < seedsPerFile {
				t.Errorf("the generated lines hold %d attacks, want at least one a seed: the test tests little", len(c.alerts))
			}
			slices.Sort(alerts)
			slices.Sort(c.alerts)
			if diff := cmp.Diff(c.alerts, alerts); diff != "" {
				t.Errorf("alerts (-counted +replayed):\n%s", diff)
			}
			if late := fmt.Sprintf(" %d late, ", c.late); !strings.Contains(got.stderr, late) {
				t.Errorf("got stderr %q, want %q in it", got.stderr, late)
			}
		})
	}
}

// generate writes the log of one seed: up to eight addresses that try
// passwords in bursts and with pauses, other lines between them, and stamps
// that go back up to eight seconds. failed is the address that a line counts
// for, "" for none.
func generate(seed int, emit func(line string, at time.Time, failed string)) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0x1705))
	now := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seed) * time.Hour)
	addresses := make([]string, 1+rng.IntN(8))
	for i := range addresses {
		if rng.IntN(4) == 0 {
			addresses[i] = fmt.Sprintf("2001:db8:%x::%x", seed+1, i+1)
		} else {
			addresses[i] = fmt.Sprintf("10.%d.%d.%d", seed/250+1, seed%250, i+1)
		}
	}
	for range 40 + rng.IntN(80) {
		switch rng.IntN(10) {
		case 0: // a gap
			now = now.Add(time.Duration(20+rng.IntN(100)) * time.Second)
		case 1, 2, 3, 4: // a burst
			now = now.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
		default:
			now = now.Add(time.Duration(rng.IntN(10000)) * time.Millisecond)
		}
		at := now
		if rng.IntN(4) == 0 {
			at = now.Add(-time.Duration(rng.IntN(8000)) * time.Millisecond)
		}
		address := addresses[rng.IntN(len(addresses))]
		text, failed := "Failed password for root from "+address+" port 4711 ssh2", address
		switch rng.IntN(6) {
		case 0:
			text, failed = "Accepted publickey for root from "+address+" port 4711 ssh2", ""
		case 1:
			text = "Failed password for invalid user admin from " + address + " port 4711 ssh2"
		}
		emit(at.Format("2006-01-02T15:04:05.000000Z07:00")+" web1 sshd[4711]: "+text, at, failed)
	}
}

// counter is the independent count: it knows nothing but the words of the
// specification. A line counts unless it is more than five seconds behind the
// newest of its stream. Five that lie in some (t - 60 s, t] are an alert at the
// time of the last of them, on the arrival of the fifth, and begin anew.
type counter struct {
	newest time.Time
	lines  map[string][]time.Time
	alerts []string
	late   int
}

func (c *counter) add(at time.Time, address string) {
	if at.Before(c.newest.Add(-5 * time.Second)) {
		c.late++
		return
	}
	if at.After(c.newest) {
		c.newest = at
	}
	if address == "" {
		return
	}
	if c.lines == nil {
		c.lines = make(map[string][]time.Time)
	}
	c.lines[address] = append(c.lines[address], at)
	ends := slices.SortedFunc(slices.Values(c.lines[address]), time.Time.Compare)
	for _, end := range ends {
		n := 0
		for _, other := range ends {
			if !other.After(end) && other.After(end.Add(-time.Minute)) {
				n++
			}
		}
		if n >= 5 {
			c.alerts = append(c.alerts, fmt.Sprintf("%s x5 %s", address, end.Format(time.RFC3339Nano)))
			delete(c.lines, address)
			return
		}
	}
}
