package syslog

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/corpus"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestLoghub compares the header of every line with the structured files that
// the collection ships: the columns are found by name, and its blanks at the
// ends of a value do not count.
func TestLoghub(t *testing.T) {
	for _, tc := range []struct {
		name string
		// The columns of the month, the day, the host, the process and its id.
		// OpenSSH's file calls the month Date, and the host Component; its
		// process is always sshd.
		month, day, host, process, pid string
	}{
		{"OpenSSH", "Date", "Day", "Component", "", "Pid"},
		{"Linux", "Month", "Date", "Level", "Component", "PID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := strings.Split(strings.TrimSuffix(string(corpus.File(t, "loghub/"+tc.name+"_2k.log")), "\n"), "\n")
			rows, err := csv.NewReader(bytes.NewReader(corpus.File(t, "loghub/"+tc.name+"_2k.log_structured.csv"))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			column := make(map[string]int)
			for i, name := range rows[0] {
				column[name] = i
			}
			if rows = rows[1:]; len(rows) != 2000 || len(lines) != len(rows) {
				t.Fatalf("got %d lines and %d rows, want 2000 of each", len(lines), len(rows))
			}
			for i, line := range lines {
				got, err := parse(line)
				if err != nil {
					t.Errorf("line %d: %v: %q", i+1, err, line)
					continue
				}
				row := func(name string) string { return strings.TrimSpace(rows[i][column[name]]) }
				process := "sshd"
				if tc.process != "" {
					process = row(tc.process)
				}
				pid := ""
				if got.PID != 0 {
					pid = strconv.Itoa(int(got.PID))
				}
				for _, c := range []struct{ what, got, want string }{
					{"time", got.Time.Format("Jan 2 15:04:05"), row(tc.month) + " " + row(tc.day) + " " + row("Time")},
					{"host", got.Host, row(tc.host)},
					{"process", got.Process, process},
					{"pid", pid, row(tc.pid)},
					{"message", got.Message, row("Content")},
				} {
					if c.got != c.want {
						t.Errorf("line %d: %s: got %q, want %q", i+1, c.what, c.got, c.want)
					}
				}
			}
		})
	}
}

// TestLoghubFields compares counts of fields with counts taken from the text.
func TestLoghubFields(t *testing.T) {
	var failed, failedWithAddress, addresses, authFailures int
	seen := make(map[string]bool)
	for line := range strings.Lines(string(corpus.File(t, "loghub/OpenSSH_2k.log"))) {
		got, err := parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.Message, "Failed password") {
			continue
		}
		failed++
		ip, ok := got.Get("src_ip")
		if action, _ := got.Get("event_action"); ok && action == "ssh_failed_password" {
			failedWithAddress++
		}
		if !seen[ip] {
			seen[ip] = true
			addresses++
		}
	}
	for line := range strings.Lines(string(corpus.File(t, "loghub/Linux_2k.log"))) {
		got, err := parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if action, _ := got.Get("event_action"); action == "pam_auth_failure" {
			authFailures++
		}
	}
	if failed != 520 || failedWithAddress != 520 || addresses != 23 {
		t.Errorf("OpenSSH: got %d failed passwords, %d with an address, from %d; want 520, 520, 23", failed, failedWithAddress, addresses)
	}
	// 489 of sshd and one of gdm; Kerberos's own are another thing.
	if authFailures != 490 {
		t.Errorf("Linux: got %d authentication failures, want 490", authFailures)
	}
}

// TestSSHLogsOfOthers holds lines of many OpenSSH releases; every one names its
// peer, and the address is the last in the line's fixed part.
func TestSSHLogsOfOthers(t *testing.T) {
	for i, line := range strings.Split(string(corpus.File(t, "crowdsec-hub/sshd-logs/sshd-logs.log")), "\n") {
		got, err := parse(line)
		if err != nil {
			continue // blank
		}
		if strings.Contains(line, "refused connect") || strings.Contains(line, "Magic value") {
			continue // not OpenSSH's own: tcp wrappers, patched servers
		}
		if got.Process != "sshd" {
			t.Errorf("line %d: process: got %q, want sshd", i+1, got.Process)
		}
		ip, ok := got.Get("src_ip")
		if !ok || !strings.Contains(line, ip) {
			t.Errorf("line %d: got src_ip %q, want one: %q", i+1, ip, line)
		}
	}
}

// BenchmarkLoghub parses the OpenSSH log over and over; ns/op is per line.
func BenchmarkLoghub(b *testing.B) {
	var lines [][]byte
	for line := range bytes.Lines(corpus.File(b, "loghub/OpenSSH_2k.log")) {
		lines = append(lines, bytes.TrimRight(line, "\r\n"))
	}
	var p Parser
	var out event.LogEvent
	raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		raw.Line = lines[i]
		if i++; i == len(lines) {
			i = 0
		}
		out.Reset()
		if err := p.Parse(raw, &out); err != nil {
			b.Fatal(err)
		}
	}
}
