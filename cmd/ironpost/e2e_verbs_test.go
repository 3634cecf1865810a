package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// keys returns the names in a JSON object, sorted.
func keys(t *testing.T, object json.RawMessage) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("no object: %v in %q", err, object)
	}
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// lacks returns the names that are not among the keys of an object.
func lacks(t *testing.T, object json.RawMessage, names ...string) []string {
	t.Helper()
	have := keys(t, object)
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(have, n) })
}

// call runs the command line against a host, without its exit code as an error.
func call(t *testing.T, h *hosttest.Host, args ...string) result {
	t.Helper()
	return run(t, ironpost(t, append([]string{"--socket", h.Socket}, args...)...))
}

// list decodes a top-level array.
func list(t *testing.T, r result) []json.RawMessage {
	t.Helper()
	var out []json.RawMessage
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || out == nil {
		t.Fatalf("got %q, want an array: %v\n%s", r.stdout, err, r.stderr)
	}
	return out
}

func TestVerbsWithoutAHost(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, nil)
	socket := filepath.Join(dir, "s")
	for _, args := range [][]string{
		{"status"},
		{"plugin", "list"},
		{"plugin", "info", "x"},
		{"plugin", "enable", "x"},
		{"plugin", "disable", "x"},
		{"plugin", "reload", "x"},
		{"alerts", "list"},
		{"alerts", "show", "0011223344556677"},
		{"actions", "list"},
		{"events", "tail"},
		{"block", "add", "192.0.2.1"},
		{"block", "list"},
		{"block", "remove", "192.0.2.1"},
		{"allow", "add", "192.0.2.1"},
		{"allow", "list"},
		{"allow", "check", "192.0.2.1"},
		{"config", "reload"},
		{"mode"},
		{"mode", "enforce"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			got := run(t, ironpost(t, append([]string{"--socket", socket}, args...)...))
			if got.code != 3 || got.stdout != "" || !strings.Contains(got.stderr, "ironpost run") {
				t.Errorf("got exit code %d, stdout %q, stderr %q, want 3 and how to start a host", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// TestVerbs holds the answers of a running host to the names and exit codes that
// are promised.
func TestVerbs(t *testing.T) {
	needRoot(t)
	t.Parallel()
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite"},
		NoStart: true,
	})
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\n", rules)+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	for i := range 5 {
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("%s web1 sshd[77]: Failed password for root from 198.51.100.9 port %d ssh2\n", time.Now().Format(time.RFC3339), 4000+i))
	}
	h.Wait(30*time.Second, "the alert and its action are listed", func() bool {
		return len(list(t, call(t, h, "alerts", "list", "-o", "json"))) > 0 && len(list(t, call(t, h, "actions", "list", "-o", "json"))) > 0
	})

	t.Run("status", func(t *testing.T) {
		got := call(t, h, "status", "-o", "json")
		if missing := lacks(t, json.RawMessage(got.stdout), "version", "mode", "plugins", "received", "parsed", "unparsed", "dropped", "alerts", "actions", "interfaces", "coverage_gaps"); got.code != 0 || len(missing) > 0 {
			t.Errorf("got exit code %d, and %v are missing", got.code, missing)
		}
		var s statusLine
		h.JSON(&s, "status")
		if s.Mode != "simulate" || s.PID != h.PID() || s.Received != 5 || s.Parsed != 5 || s.Alerts != 1 {
			t.Errorf("got %+v, want simulate, 5 records, 1 alert", s)
		}
	})
	t.Run("plugin list", func(t *testing.T) {
		want := []string{
			"api", "code", "cpu_seconds", "dropped", "enabled", "events_per_second", "health", "kinds", "last_error", "name", "pid",
			"restarts", "rss_bytes", "sha256", "state", "trust", "uptime_seconds", "version",
			"alerts", "bytes", "events", "heap_objects_allocated", "log_lines_dropped",
		}
		got := list(t, call(t, h, "plugin", "list", "-o", "json"))
		if len(got) != 5 {
			t.Errorf("got %d plugins, want 5", len(got))
		}
		for _, p := range got {
			if missing := lacks(t, p, slices.Clone(want)...); len(missing) > 0 {
				t.Errorf("the fields %v are missing", missing)
			}
		}
		for _, p := range candidates(h, t, func(hosttest.Plugin) bool { return true }) {
			if p.State != "running" || p.Trust != "built-in" || p.Code != "" || p.PID == 0 || len(p.SHA256) != 64 || p.API != 1 || p.RSSBytes == 0 || p.UptimeSeconds <= 0 {
				t.Errorf("got %+v, want a running built-in plugin with everything filled in", p)
			}
		}
	})
	t.Run("alerts", func(t *testing.T) {
		got := list(t, call(t, h, "alerts", "list", "-o", "json"))
		if missing := lacks(t, got[0], "id", "time", "severity", "rule_id", "title", "detector", "entities", "count", "state", "trace_id"); len(missing) > 0 {
			t.Errorf("an alert lacks %v", missing)
		}
		var a alertLine
		if err := json.Unmarshal(got[0], &a); err != nil {
			t.Fatal(err)
		}
		if a.Entities["src_ip"] != "198.51.100.9" || a.Detector != "detector-rules" || a.Time.Location() != time.UTC {
			t.Errorf("got %+v, want the alert of the brute force", a)
		}
		for _, step := range []struct{ verb, state string }{{"show", "open"}, {"ack", "acknowledged"}, {"show", "acknowledged"}, {"close", "closed"}} {
			r := call(t, h, "alerts", step.verb, a.ID, "-o", "json")
			text := json.RawMessage(r.stdout)
			if step.verb != "show" { // they take several ids, and answer for each
				text = list(t, r)[0]
			}
			var shown alertLine
			if err := json.Unmarshal(text, &shown); r.code != 0 || err != nil || shown.State != step.state {
				t.Errorf("alerts %s: got exit code %d and state %q, want 0 and %q\n%s", step.verb, r.code, shown.State, step.state, r.stderr)
			}
		}
		if r := call(t, h, "alerts", "show", "ffffffffffffffff"); r.code != 1 {
			t.Errorf("alerts show of none: got exit code %d, want 1", r.code)
		}
	})
	t.Run("actions", func(t *testing.T) {
		got := list(t, call(t, h, "actions", "list", "-o", "json"))
		var a struct{ Action, Target, Outcome, Mode, Expires string }
		if err := json.Unmarshal(got[0], &a); err != nil {
			t.Fatal(err)
		}
		if a.Action != "block" || a.Target != "198.51.100.9/32" && a.Target != "198.51.100.9" || a.Outcome != "simulated" || a.Expires == "" {
			t.Errorf("got %+v, want a simulated block of 198.51.100.9 that expires", a)
		}
	})
	t.Run("lists", func(t *testing.T) {
		steps := []struct {
			args string
			code int
			want string // in stdout or stderr
		}{
			{"block add 203.0.113.7 --ttl 1h --reason test", 0, "203.0.113.7"},
			{"block add 203.0.113.0/24 2001:db8::/64 --ttl 30m", 0, "2001:db8::/64"},
			{"block add nonsense", 2, "nonsense"},
			{"block add 203.0.113.9 --ttl never", 2, "--ttl"},
			{"block list -o json", 0, `"203.0.113.7/32"`},
			{"block remove 203.0.113.7", 0, "203.0.113.7"},
			{"allow add 203.0.113.50 --reason ours", 0, "203.0.113.50"},
			{"allow check 203.0.113.50", 0, "allow"},
			{"allow check 203.0.113.51 -o json", 0, "{"},
			{"block add 203.0.113.50", 1, "allow"},
			{"allow list -o json", 0, `"203.0.113.50/32"`},
			{"allow remove 203.0.113.50", 0, "203.0.113.50"},
		}
		for _, s := range steps {
			r := call(t, h, strings.Fields(s.args)...)
			if r.code != s.code || !strings.Contains(r.stdout+r.stderr, s.want) {
				t.Errorf("%s: got exit code %d, stdout %q, stderr %q, want %d and %q", s.args, r.code, r.stdout, r.stderr, s.code, s.want)
			}
		}
		if r := call(t, h, "block", "list", "-o", "json"); strings.Contains(r.stdout, `"203.0.113.7/32"`) {
			t.Errorf("the removed block is listed: %s", r.stdout)
		}
	})
	t.Run("mode", func(t *testing.T) {
		mode := func() string {
			var s statusLine
			h.JSON(&s, "status")
			return s.Mode
		}
		if r := call(t, h, "mode", "enforce", "--confirm", "1s"); r.code != 0 || mode() != "enforce" {
			t.Errorf("got exit code %d and mode %s, want 0 and enforce\n%s", r.code, mode(), r.stderr)
		}
		h.Wait(15*time.Second, "the mode falls back unconfirmed", func() bool { return mode() == "simulate" })
		if r := call(t, h, "mode", "rampage"); r.code != 2 {
			t.Errorf("mode rampage: got exit code %d, want 2", r.code)
		}
	})
	t.Run("config", func(t *testing.T) {
		r := call(t, h, "config", "show", "-o", "json")
		if r.code != 0 || !strings.Contains(r.stdout, "general.mode") || !strings.Contains(r.stdout, "origin") {
			t.Errorf("config show: got exit code %d and %.200q, want every value with its origin", r.code, r.stdout)
		}
		before, err := os.ReadFile(h.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		h.WriteConfig(strings.Replace(string(before), "[general]\n", "[general]\nmode = \"detect\"\nlog_level = \"debug\"\n", 1))
		r = call(t, h, "config", "reload", "-o", "json")
		if r.code != 0 {
			t.Errorf("config reload: got exit code %d\n%s", r.code, r.stderr)
		}
		h.Wait(10*time.Second, "the file's mode is in force", func() bool {
			var s statusLine
			h.JSON(&s, "status")
			return s.Mode == "detect"
		})
		h.WriteConfig(string(before) + "\n[bus]\nbatch_events = \"many\"\n")
		if r = call(t, h, "config", "reload"); r.code == 0 || !strings.Contains(r.stderr, "batch_events") {
			t.Errorf("config reload of a bad file: got exit code %d, stderr %q, want an error that names the key", r.code, r.stderr)
		}
		r = run(t, ironpost(t, "config", "validate", "--config", h.ConfigFile()))
		if r.code != 2 || !strings.Contains(r.stdout+r.stderr, "batch_events") {
			t.Errorf("config validate: got exit code %d, want 2 and the key\n%s%s", r.code, r.stdout, r.stderr)
		}
		h.WriteConfig(string(before))
	})
	t.Run("rules", func(t *testing.T) {
		got := list(t, call(t, h, "rules", "list", "-o", "json"))
		var r struct {
			ID   string
			Hits uint64
		}
		if err := json.Unmarshal(got[0], &r); err != nil || len(got) != 1 || r.ID != "ssh_brute_force" || r.Hits != 5 {
			t.Errorf("got %s (%v), want ssh_brute_force with 5 hits", got, err)
		}
	})
	t.Run("events tail", func(t *testing.T) {
		n := 0
		feed := func() {
			n++
			appendTo(t, h.Log("a.log"), fmt.Sprintf("%s web1 app[1]: tail %d\n", time.Now().Format(time.RFC3339), n))
		}
		tailLogs(t, h, feed, func(e map[string]any) bool {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if missing := lacks(t, text, "kind", "id", "time", "stream", "sequence", "message", "fields", "trace_id"); len(missing) > 0 {
				t.Errorf("an event lacks %v", missing)
			}
			return false
		})
		if r := call(t, h, "events", "tail", "--kind", "gossip"); r.code != 2 {
			t.Errorf("events tail --kind gossip: got exit code %d, want 2", r.code)
		}
	})
	t.Run("offline", func(t *testing.T) {
		for _, args := range [][]string{{"version"}, {"completion", "bash"}, {"doctor"}, {"version", "-o", "json"}} {
			r := run(t, ironpost(t, args...))
			if r.stdout == "" || r.code != 0 && args[0] != "doctor" {
				t.Errorf("%v: got exit code %d, stdout %q\n%s", args, r.code, r.stdout, r.stderr)
			}
		}
		if r := run(t, ironpost(t, "nosuch")); r.code != 2 {
			t.Errorf("an unknown verb: got exit code %d, want 2", r.code)
		}
		if r := run(t, ironpost(t, "status", "--nosuch")); r.code != 2 {
			t.Errorf("an unknown flag: got exit code %d, want 2", r.code)
		}
	})
	t.Run("a second host", func(t *testing.T) {
		r := run(t, exec.Command(filepath.Join(hosttest.Build(), "ironpost"), "run", "--config", h.ConfigFile()))
		if r.code != 1 || r.stderr == "" {
			t.Errorf("got exit code %d, stderr %q, want 1 and why", r.code, r.stderr)
		}
	})
}
