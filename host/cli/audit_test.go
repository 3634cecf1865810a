package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/host/internal/audit"
)

// auditLog makes a log with some changes and an action, and returns its directory
// and the head of each record.
func auditLog(t *testing.T) (dir string, heads []audit.Head) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	l, err := audit.Open(audit.Config{Dir: dir, Note: "the audit log of the host h1"})
	if err != nil {
		t.Fatal(err)
	}
	heads = append(heads, l.Head())
	for _, r := range []audit.Record{
		{Kind: audit.KindChange, User: "alice", Action: "block add", Outcome: audit.OutcomeDone, Request: json.RawMessage(`{"prefix":"192.0.2.7/32"}`)},
		{Kind: audit.KindChange, User: "mallory", Action: "mode set", Outcome: audit.OutcomeDenied, Error: "mode set needs root\x1b[2J"},
		{Kind: audit.KindAction, Journal: 7, Event: json.RawMessage(`{"enforcer":"enforcer-xdp","action":"block","target":"198.51.100.9","outcome":"simulated","reason":"SSH"}`)},
	} {
		h, err := l.Append(r)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, heads
}

func auditVerb(t *testing.T, dir string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := App{AuditDir: func(Sources) (string, error) { return dir, nil }}
	status = run(t.Context(), app, append([]string{"audit"}, args...), strings.NewReader(""), &out, &errOut)
	return status, out.String(), errOut.String()
}

func TestAuditVerify(t *testing.T) {
	dir, heads := auditLog(t)
	file := filepath.Join(dir, "00000000000000000001.jsonl")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		text   []byte
		args   []string
		status int
		want   []string // in the output
	}{
		{"whole", whole, nil, 0, []string{"is whole: 4 records in 1 files, from 1 to 4", heads[3].String(), "--head"}},
		{"another directory", whole, []string{dir}, 0, []string{"is whole"}},
		{"a head", whole, []string{"--head", heads[1].String()}, 0, []string{"is whole"}},
		{"another head", whole, []string{"--head", heads[1].Hash.String() + "@3"}, 1, []string{"rewritten: record 3", file + ", line 3", "2 records before it are in order"}},
		{"a head of more", whole, []string{"--head", heads[1].Hash.String() + "@9"}, 1, []string{"truncated: record 5", "record 9 is known"}},
		{"edited", bytes.Replace(whole, []byte("alice"), []byte("carol"), 1), nil, 1, []string{"edited: record 2: its hash is not that of its text", "line 2"}},
		{"edited, json", bytes.Replace(whole, []byte("alice"), []byte("carol"), 1), []string{"-o", "json"}, 1, []string{`"ok": false`, `"fault": "edited"`, `"line": 2`}},
		{"no head", whole, []string{"--head", "x"}, 2, nil},
		{"no log", whole, []string{filepath.Join(dir, "none")}, 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, tt.text, 0o600); err != nil {
				t.Fatal(err)
			}
			status, out, errOut := auditVerb(t, dir, append([]string{"verify"}, tt.args...)...)
			if status != tt.status || (status == 2 || tt.want == nil) == (errOut == "") {
				t.Errorf("got status %d and %q, want %d", status, errOut, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("got %q, want %q in it", out, want)
				}
			}
		})
	}
}

func TestAuditShow(t *testing.T) {
	dir, _ := auditLog(t)
	for _, tt := range []struct {
		name string
		args []string
		want []string // the lines without their times, in part
	}{
		{"all", nil, []string{"SEQ", "1  begin", "2  change alice block add done", "3  change mallory mode set denied", "4  action enforcer-xdp block simulated 198.51.100.9 SSH"}},
		{"a page", []string{"--from", "2", "-n", "1"}, []string{"SEQ", "2  change alice", "the next page: --from 3"}},
		{"the last", []string{"-n", "1"}, []string{"SEQ", "4  action"}},
		{"a user", []string{"--user", "mallory"}, []string{"SEQ", "3  change mallory"}},
		{"none", []string{"--kind", "gap"}, []string{"there are no such records"}},
	} {
		status, out, errOut := auditVerb(t, dir, append([]string{"show"}, tt.args...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if status != 0 || errOut != "" || len(lines) != len(tt.want) || strings.Contains(out, "\x1b") {
			t.Errorf("%s: got status %d, %q, %q", tt.name, status, out, errOut)
			continue
		}
		for i, want := range tt.want {
			for word := range strings.FieldsSeq(want) {
				if !strings.Contains(lines[i], word) {
					t.Errorf("%s: line %d is %q, want %q in it", tt.name, i+1, lines[i], word)
				}
			}
		}
	}
	status, out, _ := auditVerb(t, dir, "show", "--user", "alice", "-o", "json")
	var records []struct {
		Seq         uint64
		Hash, Prev  string
		Request     struct{ Prefix string }
		User, Error string
	}
	if err := json.Unmarshal([]byte(out), &records); status != 0 || err != nil || len(records) != 1 || records[0].Request.Prefix != "192.0.2.7/32" || len(records[0].Hash) != 64 {
		t.Errorf("got status %d, %v: %s", status, err, out)
	}
	for _, args := range [][]string{{"show", "-n", "0"}, {"show", "--since", "x"}, {"show", dir, dir}, {}} {
		if status, _, errOut := auditVerb(t, dir, args...); status != 2 || errOut == "" {
			t.Errorf("%v: got status %d and %q, want 2", args, status, errOut)
		}
	}
}
