package main

import (
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

// TestRulesAreTested: the examples of all shipped rules and patterns hold through the
// real parsers and the real detector, and one that does not is shown with what came.
func TestRulesAreTested(t *testing.T) {
	t.Parallel()
	got := run(t, ironpost(t, "rules", "test", filepath.Join(hosttest.Root(), "rules"), "-o", "json"))
	var report struct {
		Examples, Passed int
		Failed           []struct{ File, Code, Reason, Hint string }
		Untested         []string
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v in %s%s", err, got.stdout, got.stderr)
	}
	if got.code != 0 || report.Examples < 100 || report.Passed != report.Examples || len(report.Failed)+len(report.Untested) > 0 {
		t.Errorf("exit %d, got %+v, want all to pass\n%s", got.code, report, got.stderr)
	}
	t.Logf("%d examples", report.Examples)

	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce, "examples.yaml": `rule: ssh_brute_force
format: syslog
cases:
  - name: two are too few
    input: |
      2025-03-01T12:00:00+00:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2
      2025-03-01T12:00:01+00:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2
    alerts:
      - {group: 192.0.2.1}
`})
	got = run(t, ironpost(t, "rules", "test", rules))
	for _, want := range []string{
		"examples.yaml:4: ssh_brute_force: two are too few: 0 of 1 alerts came (alerts_differ)",
		`    - alert of group "192.0.2.1"`,
		"missing 3 more events",
		"1 files, 1 examples, 0 passed, 1 failed",
	} {
		if !strings.Contains(got.stdout, want) || got.code != 2 {
			t.Errorf("exit %d, got\n%s%swant %q", got.code, got.stdout, got.stderr, want)
		}
	}
}

// TestRuleIsExplained: over a file, with the real parser.
func TestRuleIsExplained(t *testing.T) {
	t.Parallel()
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce, "auth.log": `2025-03-01T12:00:00+00:00 web1 sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2
2025-03-01T12:00:02+00:00 web1 sshd[1]: Accepted password for root from 192.0.2.1 port 22 ssh2
`})
	got := run(t, ironpost(t, "rules", "explain", "--rules", rules, "--rule", "ssh_brute_force", "--event", filepath.Join(rules, "auth.log")))
	for _, want := range []string{
		"event 1 matches", "event 2 does not match",
		`message is "Accepted password for root from 192.0.2.1 port 22 ssh2"; wanted: contains "Failed password"`,
		`src_ip "192.0.2.1": wanted: events gte 5 within 1m0s; found: 1 events; missing: 4 more events`,
		"2 events, 1 match, 0 alerts",
	} {
		if !strings.Contains(got.stdout, want) || got.code != 0 {
			t.Errorf("exit %d, got\n%s%swant %q", got.code, got.stdout, got.stderr, want)
		}
	}
	if got = run(t, ironpost(t, "rules", "explain", "--rules", rules, "--rule", "nobody", "--event", filepath.Join(rules, "auth.log"))); got.code != 2 {
		t.Errorf("exit %d for an unknown rule, want 2\n%s", got.code, got.stderr)
	}
}

// TestRuleIsExcepted: what an alert is about is excepted from its rule on a running
// host, others go on, and what coverage says follows the host's streams.
func TestRuleIsExcepted(t *testing.T) {
	needRoot(t)
	t.Parallel()
	rules := writeFiles(t, map[string]string{"login.yaml": `title: Root logged in
id: root_login
logsource: {product: linux, service: sshd}
detection:
  selection: {message|startswith: Accepted}
  condition: selection
`, "windows.yaml": `title: Windows
id: on_windows
logsource: {product: windows, service: security}
detection: {selection: {EventID: 1102}, condition: selection}
`})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"detector-rules", "parser-syslog", "source-file", "sink-sqlite"}, NoStart: true,
		Config: fmt.Sprintf("[rules]\npaths = [%q]\n", rules),
	})
	config, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(fmt.Sprintf("%s[source_file]\npaths = [%q]\nstart = \"beginning\"\n", config, h.Log("auth.log")))
	h.Start()
	number := 0
	login := func(user, address string) {
		number++
		line := fmt.Sprintf("%s web1 sshd[%d]: Accepted password for %s from %s port 22 ssh2\n", time.Now().UTC().Format(time.RFC3339Nano), number, user, address)
		f, err := os.OpenFile(h.Log("auth.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	type alert struct {
		ID       string
		Entities map[string]string
	}
	alerts := func() (out []alert) {
		_ = h.Try(&out, "alerts", "list")
		return out
	}
	login("root", "192.0.2.1")
	login("root", "192.0.2.1")
	h.Wait(30*time.Second, "two alerts", func() bool { return len(alerts()) == 2 })

	var added struct {
		Exceptions []struct{ ID, File string }
		Effect     struct{ Judged, Suppressed int }
	}
	h.JSON(&added, "--config", h.ConfigFile(), "rules", "except", "add", "--from-alert", alerts()[0].ID, "--field", "src_ip", "--reason", "the backup")
	if len(added.Exceptions) != 1 || added.Effect.Judged != 2 || added.Effect.Suppressed != 2 {
		t.Fatalf("got %+v, want one exception that had suppressed both", added)
	}
	if want := filepath.Join(rules, "exceptions", added.Exceptions[0].ID+".yaml"); added.Exceptions[0].File != want {
		t.Errorf("got file %s, want %s", added.Exceptions[0].File, want)
	}
	type listed struct {
		ID      string
		Hits    uint64
		Filters []string
	}
	inForce := func() map[string]listed {
		var list []listed
		h.JSON(&list, "rules", "list")
		out := map[string]listed{}
		for _, r := range list {
			out[r.ID] = r
		}
		return out
	}
	h.Wait(30*time.Second, "the exception is in force", func() bool {
		return cmp.Equal([]string{added.Exceptions[0].ID}, inForce()["root_login"].Filters)
	})
	login("root", "192.0.2.1")
	login("root", "192.0.2.2")
	h.Wait(30*time.Second, "the other's alert", func() bool { return len(alerts()) >= 3 })
	for _, a := range alerts()[:1] {
		if a.Entities["src_ip"] != "192.0.2.2" {
			t.Errorf("got an alert about %s, which is excepted", a.Entities["src_ip"])
		}
	}
	if n := inForce()["root_login"].Hits; n != 3 {
		t.Errorf("got %d hits, want 3", n)
	}

	var coverage struct {
		Online       bool
		Total, Fired int
		CanFire      int            `json:"can_fire"`
		CannotBy     map[string]int `json:"cannot_by_code"`
	}
	h.JSON(&coverage, "--config", h.ConfigFile(), "rules", "coverage")
	if !coverage.Online || coverage.Total != 2 || coverage.CanFire != 1 || coverage.Fired != 1 || coverage.CannotBy["not_fed"] != 1 {
		t.Errorf("got %+v, want one of two rules to fire, over the host's stream", coverage)
	}
	var removed []struct{ ID string }
	h.JSON(&removed, "--config", h.ConfigFile(), "rules", "except", "remove", added.Exceptions[0].ID)
	h.Wait(30*time.Second, "the exception is gone", func() bool { return len(inForce()["root_login"].Filters) == 0 })
}
