//go:build quiet && linux

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// TestQuietLogs: a day of administration on a server raises no alert of medium
// severity or above. Real programs write the lines, into files, the journal,
// Docker and over UDP; the shipped sources read them, and every rule is loaded.
// Each program has to succeed, and each line has to arrive.
//
//	make quiet-day
func TestQuietLogs(t *testing.T) {
	for _, tool := range []string{
		"unshare", "nsenter", "ip", "sshd", "ssh", "ssh-keygen", "sftp", "scp", "rsync", "sudo", "su", "cron", "crontab", "rsyslogd", "journalctl",
		"/lib/systemd/systemd-journald", "logger", "logrotate", "apt-get", "apt-ftparchive", "dpkg-deb", "useradd", "nginx", "openssl", "curl",
		"postfix", "postconf", "dovecot", "psql", "gcc", "docker", "dockerd", "/bin/busybox", "zcat",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v; see .ci/deps quiet-day", err)
		}
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) == 0 {
		t.Fatal("no PostgreSQL in /usr/lib/postgresql; see .ci/deps quiet-day")
	}
	begun := time.Now()
	s := newSite(t)
	t.Logf("the server and the host run after %v", time.Since(begun).Round(time.Second))
	s.work()
	for _, w := range s.watchers {
		w.report(s.arrived(w), time.Since(begun))
	}
}

// work does all chores at the same time, and prints what was done.
func (s *site) work() {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	done := make([]string, len(chores))
	var group sync.WaitGroup
	for i, c := range chores {
		group.Go(func() {
			began := time.Now()
			said, err := c.run(ctx, s)
			if err != nil {
				s.t.Errorf("%s: %v", c.name, err)
			}
			done[i] = fmt.Sprintf("%s\t%.0f s\t%s\n", c.name, time.Since(began).Seconds(), said)
		})
	}
	group.Wait()
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "\nA quiet day on a server\n\nWORK\tTOOK\tDONE\n", strings.Join(done, ""))
	_ = table.Flush()
	s.t.Log(out.String())
}

// stream is what arrived of a log.
type stream struct {
	source, name                  string
	written                       int // lines that the programs wrote; 0 where that is not counted
	records, unparsed, understood int
	reasons                       map[string]int
}

// arrived waits until every line that the programs wrote has arrived at a host,
// and returns the streams by name.
func (s *site) arrived(w *watcher) map[string]*stream {
	s.t.Helper()
	want := make(map[string]int)
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		// What was written is counted first: more may have arrived.
		for _, name := range w.files {
			want["/var/log/"+name] = s.lines(name)
		}
		if slices.Contains(w.want, "source-journald") {
			want["journal"] = s.journaled()
		}
		if slices.Contains(w.want, "source-syslog") {
			want["source-syslog"] = routerMessages
		}
		seen := w.streams()
		late := ""
		for name, n := range want {
			one := seen[name]
			if one == nil {
				one = &stream{name: name}
				seen[name] = one
			}
			one.written = n
			if one.records < n || n == 0 {
				late += fmt.Sprintf("\n%s: %d of %d lines", name, one.records, n)
			}
		}
		if late == "" {
			return seen
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s: not all lines arrived:%s", w.name, late)
			return seen
		}
		<-tick.C
	}
}

// streams reads what sink-file wrote. The streams of containers, and those of the
// senders over UDP, are taken together.
func (w *watcher) streams() map[string]*stream {
	w.t.Helper()
	f, err := os.Open(w.events)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string]*stream)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var e struct {
			Stream string            `json:"stream"`
			Source string            `json:"source"`
			Flags  []string          `json:"flags"`
			Reason string            `json:"reason"`
			Fields map[string]string `json:"fields"`
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // the last line is being written
		}
		name := e.Stream
		switch {
		case e.Source == "source-syslog":
			name = e.Source
		case strings.HasPrefix(name, "container/"):
			name = "containers"
		}
		one := all[name]
		if one == nil {
			one = &stream{source: e.Source, name: name, reasons: make(map[string]int)}
			all[name] = one
		}
		one.records++
		if slices.Contains(e.Flags, "unparsed") {
			one.unparsed++
			one.reasons[e.Reason]++
		}
		if e.Fields["event_action"] != "" {
			one.understood++
		}
	}
	if err := lines.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// report prints what was seen, and fails for what must not be.
func (w *watcher) report(seen map[string]*stream, took time.Duration) {
	t := w.t
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nThe host that reads: %s\n\nSTREAM\tSOURCE\tWRITTEN\tARRIVED\tPARSED\tWITH AN ACTION\tUNPARSED\n", w.name)
	var sum stream
	sources := make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		one := seen[name]
		written := "-"
		if one.written > 0 {
			written = fmt.Sprint(one.written)
		}
		if one.unparsed > 0 && !slices.Contains(unreadLogs, strings.TrimPrefix(name, "/var/log/")) {
			t.Errorf("%s: %s: got %d records that were not parsed: %s", w.name, name, one.unparsed, counts(one.reasons))
		}
		sum.records += one.records
		sum.unparsed += one.unparsed
		sum.understood += one.understood
		sources[one.source] += one.records
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%v\n", name, one.source, written, one.records, share(one.records-one.unparsed, one.records), one.understood, counts(one.reasons))
	}
	fmt.Fprintf(table, "sum\t\t\t%d\t%s\t%d\t\n", sum.records, share(sum.records-sum.unparsed, sum.records), sum.understood)
	_ = table.Flush()
	for _, name := range w.want {
		if sources[name] == 0 {
			t.Errorf("%s: %s: got no record", w.name, name)
		}
	}
	if slices.Contains(w.want, "source-docker") && (seen["containers"] == nil || seen["events"] == nil) {
		t.Errorf("%s: source-docker: got no output of containers, or no events", w.name)
	}

	alerts := w.alerts()
	lesser := make(map[string]int)
	medium := 0
	for _, a := range alerts {
		if a.Severity == "low" || a.Severity == "informational" {
			lesser[a.RuleID+" ("+a.Severity+")"]++
		} else {
			medium++
			t.Errorf("%s: got alert %s (%s): %v, %d events, %v", w.name, a.RuleID, a.Severity, a.Entities, a.Count, a.Details)
		}
	}
	fmt.Fprintf(&out, "\n%d records of %d sources in %v; alerts of medium or above: %d; others: %s\n",
		sum.records, len(sources), took.Round(time.Second), medium, counts(lesser))
	var status struct {
		Received        uint64            `json:"received"`
		Parsed          uint64            `json:"parsed"`
		Unparsed        uint64            `json:"unparsed"`
		UnparsedReasons map[string]uint64 `json:"unparsed_reasons"`
		Dropped         []struct {
			Stage  string `json:"stage"`
			Reason string `json:"reason"`
			Count  uint64 `json:"count"`
		} `json:"dropped"`
		CoverageGaps []struct {
			Plugin string `json:"plugin"`
			Reason string `json:"reason"`
			Events uint64 `json:"events"`
		} `json:"coverage_gaps"`
	}
	w.JSON(&status, "status")
	fmt.Fprintf(&out, "status: %d received, %d parsed, %d unparsed (%s)\n", status.Received, status.Parsed, status.Unparsed, counts(status.UnparsedReasons))
	t.Log(out.String())
	if len(status.Dropped) > 0 || len(status.CoverageGaps) > 0 {
		t.Errorf("%s: got drops %v and coverage gaps %v, want none", w.name, status.Dropped, status.CoverageGaps)
	}
	if blocks := w.blocks(); len(blocks) > 0 {
		t.Errorf("%s: got blocks %+v, want none", w.name, blocks)
	}
	if actions := w.actions(); len(actions) > 0 {
		t.Errorf("%s: got actions %+v, want none", w.name, actions)
	}
}

// share writes a part of a whole in percent.
func share(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// counts writes what was counted, by name; a dash for nothing.
func counts[N int | uint64](of map[string]N) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, of[name]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
