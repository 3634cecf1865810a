package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// rawKept is how much of a record that cannot be parsed is kept.
const rawKept = 4 << 10

// nested is a JSON document of many levels.
func nested(levels int) string {
	return `{"message":"deep","a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + "}"
}

// badLine is a record that no parser can make sense of.
type badLine struct {
	name   string
	line   string
	reason string
	kept   int // bytes of it that are kept
}

// badLines are what a syslog file must not break on.
func badLines() []badLine {
	const stamp = "2024-03-01T00:00:00Z web1 app[1]: "
	return []badLine{
		{"invalid UTF-8", stamp + "caf\xe9 \xff\xfe", "invalid_utf8", -1},
		{"NUL bytes", stamp + "a\x00b", "nul_byte", -1},
		{"an empty line", "", "empty", 0},
		{"a line of 10 MB", stamp + strings.Repeat("x", 10<<20), "too_long", rawKept},
		{"a priority of 999", "<999>1 2024-03-01T00:00:00Z web1 app 1 - - text", "bad_pri", -1},
		{"no syslog", "qwertz", "", -1},
	}
}

// unparsedLine is what the tests read of a log event.
type unparsedLine struct {
	Kind      string   `json:"kind"`
	Stream    string   `json:"stream"`
	Sequence  uint64   `json:"sequence"`
	Message   string   `json:"message"`
	Reason    string   `json:"reason"`
	Flags     []string `json:"flags"`
	RawBase64 string   `json:"raw_base64"`
}

// check compares an unparsed event with the line it stands for.
func (b badLine) check(t *testing.T, e unparsedLine) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(e.RawBase64)
	if err != nil {
		t.Errorf("raw_base64: %v", err)
	}
	kept := b.kept
	if kept < 0 {
		kept = len(b.line)
	}
	if !bytes.Equal(raw, []byte(b.line[:kept])) {
		t.Errorf("got %d raw bytes, want the first %d of the line", len(raw), kept)
	}
	if e.Reason == "" || b.reason != "" && e.Reason != b.reason {
		t.Errorf("got reason %q, want %q", e.Reason, b.reason)
	}
	if !strings.Contains(fmt.Sprint(e.Flags), "unparsed") {
		t.Errorf("got flags %v, want unparsed among them", e.Flags)
	}
}

func parseEvents(t *testing.T, ndjson string) []unparsedLine {
	t.Helper()
	var out []unparsedLine
	for line := range strings.Lines(ndjson) {
		var e unparsedLine
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("no JSON: %v in %q", err, line[:min(len(line), 200)])
		}
		out = append(out, e)
	}
	return out
}

func TestParseKeepsBadLines(t *testing.T) {
	t.Parallel()
	const good = "2024-03-01T00:00:00Z web1 app[1]: good"
	for _, bad := range badLines() {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			dir := writeFiles(t, map[string]string{"a.log": good + "\n" + bad.line + "\n" + good + "\n"})
			got := run(t, ironpost(t, "parse", "--format", "syslog", filepath.Join(dir, "a.log")))
			if got.code != 0 {
				t.Fatalf("got exit code %d, want 0\n%s", got.code, got.stderr)
			}
			events := parseEvents(t, got.stdout)
			if len(events) != 3 || events[0].Message != "good" || events[2].Message != "good" {
				t.Fatalf("got %d events, want a good, a bad and a good one", len(events))
			}
			bad.check(t, events[1])
		})
	}
}

func TestParseOddFiles(t *testing.T) {
	t.Parallel()
	binary, err := os.ReadFile(filepath.Join(hosttest.Build(), "plugins", "parser-syslog"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(binary, []byte("\n"))
	if !bytes.HasSuffix(binary, []byte("\n")) {
		lines++
	}
	tests := []struct {
		name, format, text string
		events             int
		parsed             int // -1: as it may be
	}{
		{"an empty file", "syslog", "", 0, 0},
		{"a binary file", "syslog", string(binary), lines, -1},
		{"JSON of 10,000 levels", "json", nested(10_000) + "\n" + `{"message":"good"}` + "\n", 2, 1},
		{"no line end", "syslog", "2024-03-01T00:00:00Z web1 app[1]: good", 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := writeFiles(t, map[string]string{"a.log": tt.text})
			got := run(t, ironpost(t, "parse", "--format", tt.format, filepath.Join(dir, "a.log")))
			if got.code != 0 {
				t.Fatalf("got exit code %d, want 0\n%s", got.code, got.stderr)
			}
			events := parseEvents(t, got.stdout)
			parsed := 0
			for i, e := range events {
				if e.Sequence != uint64(i+1) {
					t.Fatalf("event %d has sequence %d", i+1, e.Sequence)
				}
				if e.Reason == "" {
					parsed++
				}
			}
			if len(events) != tt.events || tt.parsed >= 0 && parsed != tt.parsed {
				t.Errorf("got %d events, %d of them parsed, want %d and %d", len(events), parsed, tt.events, tt.parsed)
			}
		})
	}
}

// TestBadInputLive sends everything that is wrong through a running host, with
// good lines around it: each is counted by its reason, and nothing stands still.
func TestBadInputLive(t *testing.T) {
	needRoot(t)
	t.Parallel()
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"source-file", "parser-syslog", "parser-json"}, NoStart: true})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	// The lines are written once the tail shows what passes.
	const stamp = "2024-03-01T00:00:00Z web1 app[1]: "
	bad := badLines()
	want := map[string]uint64{}
	wrote, marks := false, 0
	feed := func() {
		marks++
		appendTo(t, h.Log("mark.log"), fmt.Sprintf("%smark %d\n", stamp, marks))
	}
	seen := 0
	tailLogs(t, h, feed, func(e map[string]any) bool {
		text, _ := json.Marshal(e)
		var got unparsedLine
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if !wrote {
			wrote = true
			var b strings.Builder
			b.WriteString(stamp + "first\n")
			for _, l := range bad {
				b.WriteString(l.line + "\n" + stamp + "between\n")
			}
			b.WriteString(stamp + "last\n")
			appendTo(t, h.Log("bad.log"), b.String())
			appendTo(t, h.Log("empty.log"), "")
			appendTo(t, h.Log("deep.log"), `{"message":"shallow"}`+"\n"+nested(10_000)+"\n"+`{"message":"shallow"}`+"\n")
			return true
		}
		if filepath.Base(got.Stream) != "bad.log" {
			return true
		}
		if n := int(got.Sequence); n%2 == 0 && n/2 <= len(bad) {
			t.Run(bad[n/2-1].name, func(t *testing.T) { bad[n/2-1].check(t, got) })
			want[got.Reason]++
			seen++
		}
		return got.Message != "last"
	})
	if seen != len(bad) {
		t.Errorf("got %d unparsed events, want %d", seen, len(bad))
	}
	// A binary file is read to its end as well.
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, h.Log("program.log"), string(program)+"\n"+stamp+"behind the program\n")
	var s statusLine
	total := uint64(bytes.Count(program, []byte("\n"))+2) + uint64(2*len(bad)+2) + 3 + uint64(marks)
	h.Wait(30*time.Second, "every line is accounted for", func() bool {
		h.JSON(&s, "status")
		return s.Parsed+s.Unparsed == total
	})
	for reason, n := range want {
		if s.UnparsedReasons[reason] < n {
			t.Errorf("got %d unparsed for %s in status, want %d or more", s.UnparsedReasons[reason], reason, n)
		}
	}
	if s.Received != total || len(s.Dropped) != 0 {
		t.Errorf("got %d received and drops %v, want %d and none", s.Received, s.Dropped, total)
	}
	for _, p := range candidates(h, t, func(hosttest.Plugin) bool { return true }) {
		if p.State != "running" || p.Restarts != 0 {
			t.Errorf("%s is %s after %d restarts, want it running since the start", p.Name, p.State, p.Restarts)
		}
	}
}

const brokenRule = `id: broken
title: Broken
severity: high
detection:
  conditions:
    - field: message
      operator: resembles
      value: x
`

// TestBrokenRules: a broken file is named with line and reason, the others are
// in force, and a mended file is at once.
func TestBrokenRules(t *testing.T) {
	needRoot(t)
	t.Parallel()
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce, "broken.yaml": brokenRule, "torn.yaml": "id: [\n"})
	got := run(t, ironpost(t, "rules", "validate", rules, "-o", "json"))
	if got.code != 2 {
		t.Errorf("got exit code %d from rules validate, want 2\n%s", got.code, got.stderr)
	}
	var report struct {
		Files, Rules, Loaded int
		Rejected             []struct {
			File, Rule, Code, Reason string
			Line                     int
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Files != 3 || report.Loaded != 1 || len(report.Rejected) != 2 {
		t.Errorf("got %+v, want 3 files, 1 rule loaded, 2 rejected", report)
	}
	lines := map[string]int{}
	for _, r := range report.Rejected {
		lines[filepath.Base(r.File)] = r.Line
		if r.Code == "" || r.Reason == "" {
			t.Errorf("got %+v, want a code and a reason", r)
		}
	}
	if lines["broken.yaml"] != 7 || lines["torn.yaml"] == 0 {
		t.Errorf("got lines %v, want 7 in broken.yaml and one in torn.yaml", lines)
	}
	if got := run(t, ironpost(t, "rules", "validate", filepath.Join(rules, "ssh.yaml"))); got.code != 0 {
		t.Errorf("got exit code %d for a sound file, want 0\n%s%s", got.code, got.stdout, got.stderr)
	}

	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"detector-rules", "parser-syslog"},
		Config:  fmt.Sprintf("[rules]\npaths = [%q]\n", rules),
	})
	ids := func() map[string]bool {
		var list []struct{ ID string }
		h.JSON(&list, "rules", "list")
		out := map[string]bool{}
		for _, r := range list {
			out[r.ID] = true
		}
		return out
	}
	if diff := cmp.Diff(map[string]bool{"ssh_brute_force": true}, ids()); diff != "" {
		t.Errorf("rules in force (-want +got):\n%s", diff)
	}
	for _, text := range []string{"broken.yaml", "line=7", "resembles"} {
		if !strings.Contains(h.Output(), text) {
			t.Errorf("the log does not say %q", text)
		}
	}
	if err := os.WriteFile(filepath.Join(rules, "broken.yaml"), []byte(strings.Replace(brokenRule, "resembles", "contains", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Wait(30*time.Second, "the mended rule is in force", func() bool { return ids()["broken"] })
	if err := os.Remove(filepath.Join(rules, "ssh.yaml")); err != nil {
		t.Fatal(err)
	}
	h.Wait(30*time.Second, "the removed rule is gone", func() bool { return !ids()["ssh_brute_force"] })
}
