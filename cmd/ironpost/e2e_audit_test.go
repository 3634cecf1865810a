package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// auditRecord is what the tests read of audit show.
type auditRecord struct {
	Seq     uint64  `json:"seq"`
	Kind    string  `json:"kind"`
	User    string  `json:"user"`
	UID     *uint32 `json:"uid"`
	Action  string  `json:"action"`
	Outcome string  `json:"outcome"`
	Error   string  `json:"error"`
	Request struct{ Reason string }
	Event   struct {
		Enforcer, Action, Target, Outcome string
	} `json:"event"`
	Journal uint64 `json:"journal"`
}

// auditVerdict is what the tests read of audit verify.
type auditVerdict struct {
	OK      bool
	Records uint64
	Problem *struct {
		File, Fault, Detail string
		Line                int
		Seq                 uint64
	}
}

// TestAuditLog has operators change things and an enforcer act while the host is
// killed: the audit log holds each once, its head reaches a sink, and what somebody
// does to the files is found.
func TestAuditLog(t *testing.T) {
	needRoot(t)
	t.Parallel()
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite"}, NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\n[audit]\nhead_interval = \"1s\"\n", rules)+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	dir := filepath.Join(h.Dir, "data", "audit")
	show := func(args ...string) (records []auditRecord) {
		t.Helper()
		h.JSON(&records, append([]string{"audit", "show", dir, "-n", "1000"}, args...)...)
		return records
	}
	verify := func(args ...string) (v auditVerdict) {
		t.Helper()
		out, err := h.CLI(append([]string{"audit", "verify", dir, "-o", "json"}, args...)...)
		if jsonErr := json.Unmarshal([]byte(out), &v); jsonErr != nil || hosttest.ExitCode(err) != map[bool]int{true: 0, false: 1}[v.OK] {
			t.Fatalf("audit verify: %v, %v: %s", err, jsonErr, out)
		}
		return v
	}

	// Done, failed and a reading that is none of them.
	for _, args := range [][]string{
		{"block", "add", "203.0.113.7", "--ttl", "1h", "--reason", "it is a test"},
		{"block", "remove", "203.0.113.8"},
		{"block", "list"},
		{"mode", "detect"},
		{"mode", "simulate"},
	} {
		if out, err := h.CLI(args...); (err != nil) != (args[1] == "remove") {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	h.Kill()
	h.Start()
	for i := range 5 {
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("%s web1 sshd[77]: Failed password for root from 198.51.100.9 port %d ssh2\n", time.Now().Format(time.RFC3339), 4000+i))
	}
	planned := func(r auditRecord) bool {
		return r.Kind == "action" && r.Event.Target == "198.51.100.9" && r.Event.Outcome == "simulated"
	}
	h.Wait(30*time.Second, "the answer is in the audit log", func() bool { return slices.ContainsFunc(show(), planned) })
	h.Kill()
	h.Start()

	var changes []string
	records := show()
	for i, r := range records {
		if r.Seq != uint64(i+1) {
			t.Errorf("record %d has the number %d", i+1, r.Seq)
		}
		if r.Kind != "change" {
			continue
		}
		changes = append(changes, r.Action+" "+r.Outcome)
		if r.User == "" || r.UID == nil || *r.UID != uint32(os.Geteuid()) || (r.Error != "") != (r.Outcome == "failed") {
			t.Errorf("got %+v, want who it was, and an error where it failed", r)
		}
	}
	if diff := cmp.Diff([]string{"block add done", "block remove failed", "mode set done", "mode set done"}, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(records, func(r auditRecord) bool { return r.Action == "block add" }); i < 0 || records[i].Request.Reason != "it is a test" {
		t.Errorf("the request of block add is not there: %+v", records)
	}
	seen := map[uint64]int{}
	for _, r := range records {
		if r.Journal > 0 {
			seen[r.Journal]++
		}
		if r.Event.Action == "audit" {
			t.Errorf("the head that was sent is recorded itself: %+v", r)
		}
	}
	for index, n := range seen {
		if n != 1 {
			t.Errorf("entry %d of the journal is recorded %d times", index, n)
		}
	}
	kinds := func(kind string) (n int) {
		for _, r := range records {
			if r.Kind == kind {
				n++
			}
		}
		return n
	}
	if kinds("begin") != 1 || kinds("start") != 3 || kinds("stop") != 0 || kinds("gap")+kinds("damaged") != 0 {
		t.Errorf("got %d beginnings, %d starts, %d stops, %d gaps, %d damages; want 1, 3, 0, 0, 0", kinds("begin"), kinds("start"), kinds("stop"), kinds("gap"), kinds("damaged"))
	}

	// The head is in a sink, and after a clean stop it is that of the stop.
	var head string
	h.Wait(20*time.Second, "the head is in the sink", func() bool {
		var sent []struct{ Enforcer, Action, Target string }
		if h.Try(&sent, "actions", "list", "--where", "action=audit") != nil || len(sent) == 0 {
			return false
		}
		head, records = sent[0].Target, show() // the host may have recorded more meanwhile
		return sent[0].Enforcer == "host" && strings.HasSuffix(head, fmt.Sprintf("@%d", records[len(records)-1].Seq))
	})
	if v := verify("--head", head); !v.OK {
		t.Errorf("got the problem %+v", v.Problem)
	}
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	records = show()
	if last := records[len(records)-1]; last.Kind != "stop" {
		t.Errorf("the last record is %+v, want the stop", last)
	}
	v := verify("--head", head)
	if !v.OK || v.Records != uint64(len(records)) {
		t.Errorf("without a host: got %+v and the problem %+v, want %d records", v, v.Problem, len(records))
	}

	// What somebody does to the files.
	file := filepath.Join(dir, "00000000000000000001.jsonl")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for _, tt := range []struct {
		name  string
		text  []byte
		fault string
	}{
		{"another reason", bytes.Replace(whole, []byte("it is a test"), []byte("it is a joke"), 1), "edited"},
		{"one dropped", bytes.Join(slices.Delete(slices.Clone(lines), 3, 4), nil), "dropped"},
		{"two in another order", bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[2]}, nil), "moved"},
		{"the end cut off", bytes.Join(lines[:4], nil), "truncated"},
	} {
		if err := os.WriteFile(file, tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if v := verify(); v.OK || v.Problem.Fault != tt.fault || v.Problem.File == "" {
			t.Errorf("%s: got %+v, want %s", tt.name, v.Problem, tt.fault)
		}
	}
	// A host starts all the same, says so, and hides nothing.
	h.Start()
	var s statusLine
	h.JSON(&s, "status")
	if !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, "The audit log is damaged: it ends at record 4") }) {
		t.Errorf("status says nothing of the damage: %q", s.Warnings)
	}
	if v := verify(); v.OK || v.Problem.Fault != "dropped" || v.Problem.Seq != 5 {
		t.Errorf("after a start: got %+v, want record 5 dropped", v.Problem)
	}
}
