package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// TestMisbehavingPlugins runs a host with a plugin for each promise that a plugin
// can break, all at once. Each is named with what it did, and the rest of the
// flow has no loss and no restart.
func TestMisbehavingPlugins(t *testing.T) {
	needRoot(t)
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for time limits to pass")
	}
	cases := []struct {
		how       string
		state     string // "" for any
		code      string
		lastError string
	}{
		{"falseack", "failed", "IP132", "it accepts batch 1099511627776, which it was not sent"},
		{"unasked", "failed", "IP132", "which is not in flight"},
		{"closes", "failed", "IP132", "it closed its event stream"},
		{"quits", "failed", "IP132", "exit code 3"},
		{"huge", "failed", "IP132", "larger than max"},
		{"truncated", "failed", "IP132", "malformed"},
		{"hostile", "running", "", ""},
		{"flood", "running", "", ""},
		{"late", "failed", "IP132", "it does not acknowledge what it was sent for 2s"},
		{"idle", "running", "", "it does not a"}, // SIGSTOP: answer its health check, or acknowledge
		{"stubborn", "running", "", "it did not finish its work within 1s"},
		{"mute", "refused", "IP122", "no answer in time"},
	}
	dir := writeFiles(t, nil)
	var names []string
	for _, c := range cases {
		names = append(names, "misbehave-"+c.how)
	}
	hosttest.Duplicate(t, hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/misbehave"), dir, names...)
	record := hosttest.Compile(t, "./cmd/ironpost/testdata/plugins/sink-record")
	drop(t, record, filepath.Join(dir, "sink-record"))
	h := hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"source-file", "parser-syslog", "detector-rules"},
		PluginDirs: []string{dir},
		Config:     "answer_timeout = \"2s\"\ndrain_timeout = \"1s\"\ndescribe_timeout = \"2s\"\n",
		NoStart:    true,
	})
	routes := fmt.Sprintf("[log_pipeline.routes]\n%q = \"hostile\"\n%q = \"truncated\"\n", h.Log("hostile.log"), h.Log("truncated.log"))
	rules := writeFiles(t, map[string]string{"tenth.yaml": "id: tenth\ntitle: Tenth\nseverity: low\ndetection:\n  conditions:\n    - {field: process, value: tenth}\n"})
	appendConfig(t, h, routes+follow(filepath.Join(h.Dir, "log"), "")+fmt.Sprintf("[rules]\npaths = [%q]\n", rules))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		_, err := h.CLI("plugin", "enable", "misbehave-"+c.how)
		if (err != nil) != (c.state == "refused") {
			t.Errorf("enable misbehave-%s: %v", c.how, err)
		}
	}
	h.Wait(10*time.Second, "the plugin that is to be stopped runs", func() bool { return h.Plugin("misbehave-idle").State == "running" })
	if err := syscall.Kill(h.Plugin("misbehave-idle").PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	const records, hostileRecords = 20_000, 200
	for n := 0; n < records; n += records / 10 {
		var lines, other strings.Builder
		for i := range records / 10 {
			process := "ninth"
			if i%10 == 0 {
				process = "tenth"
			}
			fmt.Fprintf(&lines, "2024-03-01T00:00:00Z web1 %s[1]: line %d\n", process, n+i)
		}
		for i := range hostileRecords / 10 {
			fmt.Fprintf(&other, "2024-03-01T00:00:00Z web1 other[1]: other %d\n", n+i)
		}
		appendTo(t, h.Log("sound.log"), lines.String())
		appendTo(t, h.Log("hostile.log"), other.String())
		appendTo(t, h.Log("truncated.log"), other.String())
	}
	h.Wait(60*time.Second, "every sound line is recorded", func() bool { return len(recordedLines(t, h, "sound.log")) >= records })
	if _, err := h.CLI("plugin", "reload", "misbehave-stubborn"); err != nil {
		t.Errorf("reload of a plugin that ignores its drain: %v", err)
	}
	for _, c := range cases {
		name := "misbehave-" + c.how
		h.Wait(60*time.Second, name+" is contained and named", func() bool {
			p := h.Plugin(name)
			return (c.state == "" || p.State == c.state) && p.Code == c.code && strings.Contains(p.LastError, c.lastError)
		})
		var info struct {
			Status hosttest.Plugin `json:"status"`
		}
		h.JSON(&info, "plugin", "info", name)
		if !strings.Contains(info.Status.LastError, c.lastError) {
			t.Errorf("plugin info %s: got last_error %q, want %q in it", name, info.Status.LastError, c.lastError)
		}
		t.Logf("%-20s %-8s %-6s %d restarts  %s", name, info.Status.State, info.Status.Code, info.Status.Restarts, info.Status.LastError)
	}
	for n, times := range recordedLines(t, h, "sound.log") {
		if times != 1 {
			t.Errorf("%s was recorded %d times, want once", n, times)
		}
	}
	var s statusLine
	h.Wait(30*time.Second, "what no parser could parse is accounted for", func() bool {
		h.JSON(&s, "status")
		return s.Received == records+2*hostileRecords && s.Parsed+s.Unparsed == s.Received
	})
	byRule := map[string]int{}
	for _, a := range readRecord(t, filepath.Join(h.Dir, "data", "sink-record", "record")).alerts {
		rule, _, _ := strings.Cut(a, " ")
		byRule[rule]++
	}
	if byRule["tenth"] != records/10 || byRule["ironpost.coverage_gap"] == 0 || len(byRule) != 2 {
		t.Errorf("got alerts %v, want %d of the rule, and those about what the plugins that failed miss", byRule, records/10)
	}
	for _, name := range []string{"source-file", "parser-syslog", "detector-rules", "sink-record"} {
		if p := h.Plugin(name); p.State != "running" || p.Restarts != 0 || p.LastError != "" {
			t.Errorf("got %+v, want it undisturbed", p)
		}
	}
	testFlood(t, h)
}

// testFlood looks at what is kept of a plugin that floods its log.
func testFlood(t *testing.T, h *hosttest.Host) {
	t.Helper()
	out, err := h.CLI("plugin", "logs", "misbehave-flood")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if n := len(lines); n < 10 || n > 1000 || len(out) > 1<<20 {
		t.Errorf("got %d lines of %d bytes of its log, want some, and no more than are kept", n, len(out))
	}
	for _, what := range []string{out, h.Output()} {
		for line := range strings.Lines(what) {
			line = strings.TrimSuffix(line, "\n")
			if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Fatalf("a line of the plugin would act on a terminal: %q", line[:min(len(line), 200)])
			}
			if strings.Contains(line, "all is lost") && !strings.Contains(line, "misbehave-flood") && !strings.Contains(line, "forged") {
				t.Fatalf("the plugin forged a line: %q", line)
			}
		}
	}
	var list []struct {
		Name    string `json:"name"`
		Dropped uint64 `json:"log_lines_dropped"`
	}
	h.JSON(&list, "plugin", "list")
	for _, p := range list {
		if p.Name == "misbehave-flood" && p.Dropped == 0 {
			t.Error("the lines that were left out are not counted")
		}
	}
}

// recordedLines returns how often sink-record has each line of a stream.
func recordedLines(t testing.TB, h *hosttest.Host, stream string) map[string]int {
	t.Helper()
	f, err := os.Open(filepath.Join(h.Dir, "data", "sink-record", "record"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := make(map[string]int)
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var name, reason, message string
		var sequence uint64
		if _, err := fmt.Sscanf(in.Text(), "log %q %d %q %q", &name, &sequence, &reason, &message); err == nil && strings.HasSuffix(name, stream) {
			out[message]++
		}
	}
	return out
}
