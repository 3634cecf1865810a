package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestReplayDetectsFormats replays one file that holds the lines of one format
// each, without saying which, with every parser there is, and a rule that names
// what the right parser makes of them.
func TestReplayDetectsFormats(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, action, lines string }{
		{"syslog", "ssh_failed_password", "Mar  1 12:00:00 web1 sshd[1]: Failed password for root from 192.0.2.7 port 22 ssh2\n"},
		{"json", "ssh_failed_password", `{"time":"2025-03-01T12:00:00Z","process":"sshd","message":"Failed password for root from 192.0.2.7 port 22 ssh2"}` + "\n"},
		{"web", "http_request", `192.0.2.7 - - [01/Mar/2025:12:00:00 +0000] "GET /x HTTP/1.1" 404 1 "-" "-"` + "\n"},
		{
			"auditd", "audit_execve", "type=SYSCALL msg=audit(1740830400.000:7): pid=1 uid=0 comm=\"sh\" exe=\"/bin/sh\"\n" +
				"type=EXECVE msg=audit(1740830400.000:7): argc=1 a0=\"sh\"\ntype=PROCTITLE msg=audit(1740830400.000:7): proctitle=\"sh\"\n",
		},
		{"kv", "blocked", "CEF:0|Acme|Wall|1.0|100|worm stopped|8|src=192.0.2.7 act=blocked\n"},
		{"text", "db_login_failed", "2025-03-01T12:00:00Z 344 [Note] Access denied for user 'root'@'192.0.2.7' (using password: YES)\n"},
	}
	files := map[string]string{}
	for _, tt := range tests {
		files["rules/"+tt.name+".yaml"] = "id: " + tt.name + "\ntitle: t\ndetection:\n  conditions:\n    - {field: event_action, value: " + tt.action + "}\n"
		files[tt.name+".log"] = tt.lines
	}
	dir := writeFiles(t, files)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, ironpost(t, "replay", "--reference-time", "2025-03-02", "--rules", filepath.Join(dir, "rules", tt.name+".yaml"), filepath.Join(dir, tt.name+".log")))
			if got.code != 0 || !strings.Contains(got.stderr, "1 files, 1 records, 1 parsed, 0 unparsed") {
				t.Errorf("got exit code %d, stderr %q", got.code, got.stderr)
			}
			alerts := parseAlerts(t, got.stdout)
			if len(alerts) != 1 || alerts[0].RuleID != tt.name {
				t.Errorf("got alerts %+v, want one of rule %s", alerts, tt.name)
			}
		})
	}
}

// TestRulesTest runs the examples of files of patterns, those that are shipped
// among them.
func TestRulesTest(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"good.yaml":   "name: acme\nprograms: [acmed]\npatterns:\n  - pattern: 'login of <user> failed'\n    examples:\n      - line: login of bob failed\n        fields: {user: bob}\n",
		"bad.yaml":    "name: acme\nprograms: [acmed]\npatterns:\n  - pattern: 'login of <user> failed'\n    examples:\n      - line: login of bob failed\n        fields: {user: eve}\n",
		"broken.yaml": "name: acme\nprograms: [acmed]\npatterns:\n  - pattern: 'login of <user failed'\n",
		"rule.yaml":   bruteForce,
	})
	for _, tt := range []struct {
		file, where string
		line, code  int
	}{
		{"good.yaml", "", 0, 0},
		{"bad.yaml", "bad.yaml", 6, 2},
		{"broken.yaml", "broken.yaml", 4, 2},
		{"rule.yaml", "", 0, 0},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			got := run(t, ironpost(t, "rules", "test", "-o", "json", filepath.Join(dir, tt.file)))
			var report struct {
				Failed []struct {
					File string `json:"file"`
					Line int    `json:"line"`
				} `json:"failed"`
			}
			if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
				t.Fatalf("read %q: %v", got.stdout, err)
			}
			if got.code != tt.code || (len(report.Failed) > 0) != (tt.where != "") {
				t.Fatalf("got exit code %d and %+v\n%s", got.code, report.Failed, got.stderr)
			}
			if tt.where != "" && (report.Failed[0].File != tt.where || report.Failed[0].Line != tt.line) {
				t.Errorf("got %+v, want %s:%d", report.Failed[0], tt.where, tt.line)
			}
		})
	}
}
