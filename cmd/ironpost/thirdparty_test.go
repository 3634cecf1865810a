package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// conformance is what the tests read of plugin test -o json.
type conformance struct {
	Plugin        string   `json:"plugin"`
	Kinds         []string `json:"kinds"`
	Passed        int      `json:"passed"`
	Failed        int      `json:"failed"`
	NotApplicable int      `json:"not_applicable"`
	Results       []struct {
		Check    string   `json:"check"`
		Outcome  string   `json:"outcome"`
		Wanted   string   `json:"wanted"`
		Observed []string `json:"observed"`
		Mend     string   `json:"mend"`
	} `json:"results"`
}

// conform runs plugin test as a person does, on the real program.
func conform(t *testing.T, want int, args ...string) conformance {
	t.Helper()
	stdout, stderr := offlineVerb(t, want, append([]string{"plugin", "test", "-o", "json"}, args...)...)
	var r conformance
	if err := json.Unmarshal(stdout, &r); err != nil {
		t.Fatalf("plugin test %v: %v\n%s%s", args, err, stdout, stderr)
	}
	return r
}

// offlineVerb runs a verb that needs no host, and wants an exit status.
func offlineVerb(t *testing.T, want int, args ...string) (stdout, stderr []byte) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the sandbox needs Linux")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(hosttest.Build(), "ironpost"), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if got := cmd.ProcessState.ExitCode(); err != nil && !errors.As(err, &exit) || got != want {
		t.Fatalf("ironpost %v: exit status %d (%v), want %d\n%s%s", args, got, err, want, out.String(), errs.String())
	}
	return out.Bytes(), errs.Bytes()
}

// passes fails the test unless every check of a plugin passed and each applied.
func (r conformance) passes(t *testing.T, kinds ...string) {
	t.Helper()
	if diff := cmp.Diff(kinds, r.Kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	for _, c := range r.Results {
		if c.Outcome != "pass" {
			t.Errorf("%s: %s %s: %s", r.Plugin, c.Outcome, c.Check, strings.Join(c.Observed, "; "))
		}
	}
	if r.Passed < 10 || r.Failed+r.NotApplicable != 0 {
		t.Errorf("%s: %d checks passed, %d failed, %d did not apply", r.Plugin, r.Passed, r.Failed, r.NotApplicable)
	}
}

func TestPluginTestSaysInAWordWhatIsNoPlugin(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"banner": "#!/bin/sh\necho Welcome\nexec sleep 60\n", "text": "no program\n"})
	if err := os.Chmod(filepath.Join(dir, "banner"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file   string
		status int
		want   string
	}{
		{"/bin/true", 1, "not an Ironpost plugin"},
		{filepath.Join(dir, "banner"), 1, "did not print the handshake line first"},
		{filepath.Join(dir, "text"), 1, ""},
		{filepath.Join(dir, "none"), 2, "no such file"},
	} {
		out, errs := offlineVerb(t, c.status, "plugin", "test", c.file)
		if n := bytes.Count(errs, []byte("\n")); n > 2 || !strings.Contains(string(errs), c.want) || len(out) != 0 {
			t.Errorf("plugin test %s: got %q and %q, want one or two lines with %q on standard error alone", c.file, out, errs, c.want)
		}
	}
	r := conform(t, 1, "/bin/true")
	if r.Failed != 1 || r.Plugin != "" || r.Results[len(r.Results)-1].Mend == "" {
		t.Errorf("got %+v, want one failed check with its mend", r)
	}
}

func TestPluginTestPassesTheBuiltInPlugins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	feed := filepath.Join(dir, "feed")
	if err := os.WriteFile(feed, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	conform(t, 0, filepath.Join(hosttest.Build(), "plugins", "source-file"), "--set", "paths="+feed, "--set", "start=beginning", "--feed", feed).passes(t, "source")
	conform(t, 0, filepath.Join(hosttest.Build(), "plugins", "sink-sqlite")).passes(t, "sink")
}

// TestTheExampleBuildsAsItLies holds docs/examples/parser-acme, which imports the SDK
// and nothing else of the module, to what its author would see.
func TestTheExampleBuildsAsItLies(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(hosttest.Root(), "docs", "examples", "parser-acme")
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOPROXY=off", "CGO_ENABLED=0", "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test: %v; when go.mod or go.sum is behind the module's, run there: go mod tidy\n%s", err, b)
	}
	binary := filepath.Join(t.TempDir(), "parser-acme")
	compile(t, dir, ".", binary)
	conform(t, 0, binary, "--lines", filepath.Join(dir, "testdata", "lines.log")).passes(t, "parser")
}

// TestAPluginOfTheFirstReleaseStillRuns drives a plugin that knows the wire only as
// the first release described it.
func TestAPluginOfTheFirstReleaseStillRuns(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "api1")
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/api1", binary)
	var events strings.Builder
	for i := range 6 {
		fmt.Fprintf(&events, `{"kind":"log","stream":"s","time":"2025-11-01T12:00:0%dZ","host":"web1","message":"an attack"}`+"\n", i)
	}
	dir := writeFiles(t, map[string]string{"lines": "one\nan attack\n", "events": events.String()})
	conform(t, 0, binary, "--lines", filepath.Join(dir, "lines"), "--events", filepath.Join(dir, "events")).passes(t, "parser", "detector")
}

// buildPython makes the Python plugins; it skips where Python cannot run them.
func buildPython(t *testing.T) (dir string) {
	t.Helper()
	for _, needed := range [][]string{{"/usr/bin/python3", "-c", "import grpc, google.protobuf"}, {"protoc", "--version"}} {
		if b, err := exec.CommandContext(t.Context(), needed[0], needed[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v %s; needs python3-grpcio, python3-protobuf and protobuf-compiler", needed[0], err, bytes.TrimSpace(b))
		}
	}
	dir, err := os.MkdirTemp("", "ironpost-python-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.CommandContext(t.Context(), filepath.Join(hosttest.Root(), "docs", "examples", "python", "build.sh"), dir).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, b)
	}
	return dir
}

func TestPythonPluginsPassPluginTest(t *testing.T) {
	t.Parallel()
	dir, samples := buildPython(t), filepath.Join(hosttest.Root(), "docs", "examples", "python")
	conform(t, 0, filepath.Join(dir, "parser-acme-py"), "--lines", filepath.Join(samples, "lines.log")).passes(t, "parser")
	conform(t, 0, filepath.Join(dir, "detector-acme-py"), "--events", filepath.Join(samples, "events.ndjson")).passes(t, "detector")
}

func TestPythonPluginsRunInAHost(t *testing.T) {
	needRoot(t)
	t.Parallel()
	built := buildPython(t)
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"source-file", "parser-syslog", "sink-sqlite"}, PluginDirs: []string{built}, NoStart: true})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), fmt.Sprintf("[log_pipeline.routes]\n%q = \"acme-py\"\n", h.Log("acme.log"))))
	h.Start()
	for _, name := range []string{"parser-acme-py", "detector-acme-py"} {
		if _, err := h.CLI("plugin", "enable", name); err != nil {
			t.Fatal(err)
		}
		if p := h.Plugin(name); p.State != "running" {
			t.Fatalf("got %+v, want it running", p)
		}
	}
	n := 0
	tailLogs(t, h, func() {
		n++
		appendTo(t, h.Log("acme.log"), fmt.Sprintf("2025-11-01T12:00:00Z WARN web1: line %d\n", n))
	}, func(e map[string]any) bool {
		if e["reason"] == "no_parser" {
			return true // from before
		}
		message, _ := e["message"].(string)
		if e["host"] != "web1" || e["process"] != "acme" || !strings.HasPrefix(message, "line ") {
			t.Errorf("got event %v, want what the parser makes of the line", e)
		}
		return false
	})
	for i := range 4 {
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("2025-11-01T12:00:0%dZ web1 sshd[7]: Failed password for root from 203.0.113.9 port 400%d ssh2\n", i, i))
	}
	h.Wait(30*time.Second, "the alert of the Python detector", func() bool {
		var alerts []struct {
			RuleID   string            `json:"rule_id"`
			Detector string            `json:"detector"`
			Entities map[string]string `json:"entities"`
		}
		h.JSON(&alerts, "alerts", "list")
		return len(alerts) == 1 && alerts[0].RuleID == "acme-flood" && alerts[0].Detector == "detector-acme-py" && alerts[0].Entities["src_ip"] == "203.0.113.9"
	})
}
