package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// silence is what the tests read of a silence.
type silence struct {
	ID, By, Reason, State string
	Held                  int
	Expires               time.Time
}

// TestLifeOfAlerts has two attackers, one of whom is expected: his alert is kept, nobody
// acts on it, and what is made of both is exported. The silence outlives the host.
func TestLifeOfAlerts(t *testing.T) {
	t.Parallel()
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite"}, NoStart: true,
	})
	address := hosttest.FreeAddress(t)
	appendConfig(t, h, fmt.Sprintf("[metrics]\nlisten = %q\n[rules]\npaths = [%q]\n", address, rules)+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	line := 0
	attack := func(from string) {
		t.Helper()
		var text strings.Builder
		for range 5 {
			line++
			fmt.Fprintf(&text, "%s web1 sshd[24200]: Failed password for root from %s port %d ssh2\n", time.Now().Format(time.RFC3339), from, 1024+line)
		}
		appendTo(t, h.Log("auth.log"), text.String())
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := h.CLI(args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	type alert struct {
		ID         string
		State      string
		SilencedBy string `json:"silenced_by"`
		Entities   map[string]string
	}
	alerts := func(args ...string) (sources []string) {
		t.Helper()
		var list []alert
		h.JSON(&list, append([]string{"alerts", "list"}, args...)...)
		for _, a := range list {
			sources = append(sources, a.Entities["src_ip"])
		}
		slices.Sort(sources)
		return sources
	}
	targets := func() (list []string) {
		t.Helper()
		var actions []struct{ Action, Target string }
		h.JSON(&actions, "actions", "list", "--where", "action=block")
		for _, a := range actions {
			list = append(list, a.Target)
		}
		slices.Sort(list)
		return slices.Compact(list)
	}

	must("alerts", "silence", "add", "--rule", "ssh_brute_force", "--entity", "src_ip=203.0.113.0/24", "--ttl", "1h", "--reason", "our own scanner")
	attack("203.0.113.7")
	attack("198.51.100.9")
	h.Wait(30*time.Second, "both alerts are stored, and one is answered", func() bool {
		return len(alerts("--silenced")) == 2 && len(targets()) == 1
	})
	if diff := cmp.Diff([]string{"198.51.100.9"}, alerts()); diff != "" {
		t.Errorf("alerts list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"198.51.100.9"}, targets()); diff != "" {
		t.Errorf("what was blocked (-want +got):\n%s", diff)
	}

	// The host starts again: the silence holds on, no longer than before.
	silences := func(args ...string) (list []silence) {
		t.Helper()
		h.JSON(&list, append([]string{"alerts", "silence", "list"}, args...)...)
		return list
	}
	before := silences()
	if len(before) != 1 || before[0].Held != 1 || before[0].State != "active" || before[0].By == "" || before[0].Reason != "our own scanner" {
		t.Fatalf("got %+v, want one silence that held back one alert", before)
	}
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	h.Start()
	if after := silences(); len(after) != 1 || after[0] != before[0] {
		t.Errorf("after a restart got %+v, want %+v", after, before)
	}
	attack("203.0.113.8")
	attack("198.51.100.10")
	h.Wait(30*time.Second, "all four alerts are stored, and two are answered", func() bool {
		return len(alerts("--silenced")) == 4 && len(targets()) == 2
	})
	if diff := cmp.Diff([]string{"198.51.100.10", "198.51.100.9"}, targets()); diff != "" {
		t.Errorf("what was blocked (-want +got):\n%s", diff)
	}
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(metrics), "\nironpost_alerts_total 2\n") || !strings.Contains(string(metrics), "\nironpost_alerts_silenced_total 1\n") {
		t.Errorf("want two alerts since the restart, one of them silenced; got error %v and\n%s", err, metrics)
	}

	// A group is closed with who and why, and both schemas have it.
	var groups []struct {
		Fingerprint string
		Alerts      int
		Entities    map[string]string
	}
	h.JSON(&groups, "alerts", "list", "--group", "--silenced")
	if len(groups) != 4 {
		t.Fatalf("got %+v, want four groups: each source is one", groups)
	}
	for _, g := range groups {
		if g.Entities["src_ip"] == "198.51.100.9" {
			must("alerts", "close", "--group", g.Fingerprint, "--note", "patched")
		}
	}
	var statuses []string
	for l := range strings.Lines(must("alerts", "export", "--format", "ocsf", "--actions")) {
		var f struct {
			Class  int `json:"class_uid"`
			Status string
		}
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, fmt.Sprint(f.Class, " ", f.Status))
	}
	slices.Sort(statuses)
	want := []string{"2004 New", "2004 Resolved", "2004 Suppressed", "2004 Suppressed", "7001 simulated", "7001 simulated"}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("the OCSF export (-want +got):\n%s", diff)
	}
	if got := strings.Count(must("alerts", "export", "--format", "ecs", "--state", "closed"), `"state":"closed"`); got != 1 {
		t.Errorf("got %d closed alerts in ECS, want 1", got)
	}
	if out := must("alerts", "show", alertOf(t, h, "198.51.100.9")); !strings.Contains(out, "patched") {
		t.Errorf("alerts show has no history:\n%s", out)
	}

	// Removed, it holds nothing back; all of it is in the audit log.
	must("alerts", "silence", "remove", before[0].ID)
	attack("203.0.113.9")
	h.Wait(30*time.Second, "the expected attacker is told again", func() bool { return slices.Contains(alerts(), "203.0.113.9") })
	if list := silences("--all"); len(list) != 1 || list[0].State != "removed" || list[0].Held != 2 {
		t.Errorf("got %+v, want the removed one, which held back 2", list)
	}
	var records []auditRecord
	h.JSON(&records, "audit", "show", filepath.Join(h.Dir, "data", "audit"), "-n", "1000", "--kind", "change")
	var changes []string
	for _, r := range records {
		if strings.HasPrefix(r.Action, "alerts silence") {
			changes = append(changes, r.Action+" "+r.Outcome+" "+r.Request.Reason)
		}
	}
	if diff := cmp.Diff([]string{"alerts silence add done our own scanner", "alerts silence remove done "}, changes); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}

// alertOf returns the id of the alert about a source.
func alertOf(t *testing.T, h *hosttest.Host, source string) string {
	t.Helper()
	var list []struct{ ID string }
	h.JSON(&list, "alerts", "list", "--silenced", "--where", "src_ip="+source)
	if len(list) != 1 {
		t.Fatalf("got %d alerts about %s, want one", len(list), source)
	}
	return list[0].ID
}
