package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/server"
)

// TestTheServersLogRaisesWhatItSays: the shipped rules find the incidents in the log
// that the benchmark of the whole pipeline counts by, and nothing else.
func TestTheServersLogRaisesWhatItSays(t *testing.T) {
	t.Parallel()
	const lines = 30_000
	log := server.New(time.Now().Add(-server.Span(lines) - time.Hour))
	var text []byte
	for range lines {
		text, _ = log.Append(text)
	}
	var want []string
	for i := range server.Completed(lines) {
		for _, a := range server.Incident(i).Alerts(false) {
			want = append(want, a.Rule+"\n"+strings.Join(a.Messages, "\n"))
		}
	}
	files := writeFiles(t, map[string]string{"server.log": string(text)})
	out := run(t, ironpost(t, "replay", "--format", "syslog", "--rules", filepath.Join(hosttest.Root(), "rules"), filepath.Join(files, "server.log")))
	var got []string
	for line := range strings.Lines(out.stdout) {
		var a struct {
			RuleID string `json:"rule_id"`
			Events []struct {
				Message string `json:"message"`
			} `json:"events"`
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		key := a.RuleID
		for _, e := range a.Events {
			key += "\n" + e.Message
		}
		got = append(got, key)
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" || out.code != 0 {
		t.Errorf("exit %d, differs (-want +got):\n%s%s", out.code, d, out.stderr)
	}
}
