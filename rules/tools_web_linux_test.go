package rules_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestRealWebServer: what nginx of this machine writes about the requests of curl
// and nmap fires the rules that are about them.
func TestRealWebServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a namespace")
	}
	for _, tool := range []string{"unshare", "bash", "ip", "nginx", "curl", "nmap", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	script, err := filepath.Abs("testdata/web.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "unshare", "--net", "--pid", "--fork", "--kill-child", "bash", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("run the tools: %v\n%s", err, out)
	}
	var got []string
	e := engine.New(engine.Compile(load(t)), engine.Options{})
	parse := parser()
	for i, name := range []string{"access.log", "error.log"} {
		log, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		stream := &event.Stream{ID: uint64(i + 1), Name: name, Format: "web", Provenance: event.ProvenanceHost}
		for n, line := range records("web", string(log)) {
			ev := &event.LogEvent{}
			if err := parse("web", line, ev); err != nil {
				t.Errorf("parse %q: %v", line, err)
				continue
			}
			ev.Stream, ev.Sequence = stream, uint64(n)
			e.Log(ev, func(a *event.AlertEvent) {
				if a.Entity("src_ip") != "127.0.0.1" {
					t.Errorf("%s names %q", a.RuleID, a.Entity("src_ip"))
				}
				got = append(got, a.RuleID)
			})
		}
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{
		"web_backdoor_probing", "web_command_injection", "web_exploit_probing", "web_login_brute_force", "web_login_posts", "web_malformed_requests",
		"web_path_traversal", "web_scan_missing", "web_scanner_agent", "web_sensitive_file_served", "web_sensitive_files", "web_sql_injection",
		"web_technology_probing", "web_xss_probing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules that fired differ (-want +got):\n%s", diff)
	}
}
