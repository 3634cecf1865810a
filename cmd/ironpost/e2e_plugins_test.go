package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// compile builds a Go program for a plugin directory.
func compile(t *testing.T, dir, pkg, out string, flags ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-trimpath", "-o", out}, flags...), pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOPROXY=off")
	if dir == hosttest.Root() {
		cmd.Env = append(cmd.Env, "GOFLAGS=")
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, b)
	}
	if err := os.Chmod(out, 0o755); err != nil {
		t.Fatal(err)
	}
}

// buildThirdParty builds docs/examples/parser-acme as its author would: in a folder
// of its own, with the checkout in place of a release.
func buildThirdParty(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(hosttest.Root(), "docs", "examples", "parser-acme"))); err != nil {
		t.Fatal(err)
	}
	hosttest.Copy(t, filepath.Join(hosttest.Root(), "go.sum"), filepath.Join(dir, "go.sum"))
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-replace", "github.com/ironpost/ironpost="+hosttest.Root())
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go mod edit: %v\n%s", err, b)
	}
	out := filepath.Join(dir, "parser-acme")
	compile(t, dir, ".", out, "-ldflags=-s -w")
	return out
}

// drop puts a file into a plugin directory in one step, as an installer does.
func drop(t *testing.T, from, to string) {
	t.Helper()
	hosttest.Copy(t, from, to+".new")
	if err := os.Chmod(to+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// candidates returns the entries of plugin list that satisfy the condition.
func candidates(h *hosttest.Host, t *testing.T, want func(hosttest.Plugin) bool) []hosttest.Plugin {
	t.Helper()
	var list []hosttest.Plugin
	h.JSON(&list, "plugin", "list")
	return slices.DeleteFunc(list, func(p hosttest.Plugin) bool { return !want(p) })
}

// tailLogs runs events tail and hands each log event to visit until visit
// returns false. feed is called again and again meanwhile: a tail shows what
// passes after it began.
func tailLogs(t *testing.T, h *hosttest.Host, feed func(), visit func(map[string]any) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(hosttest.Build(), "ironpost"), "--socket", h.Socket, "events", "tail", "--kind", "log")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { _ = cmd.Wait() }() // it is killed: its error says so
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			feed()
		case line, ok := <-lines:
			if !ok {
				t.Fatal("events tail ended before what was awaited came")
			}
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("events tail prints no JSON: %v in %q", err, line)
			}
			if !visit(e) {
				return
			}
		}
	}
}

func TestThirdPartyParser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	binary := buildThirdParty(t)
	dir := writeFiles(t, nil)
	h := hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"source-file", "parser-syslog"},
		PluginDirs: []string{dir},
		Config:     "[log_pipeline.routes]\nsource-file = \"acme\"\n",
		NoStart:    true,
	})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	host := h.PID()
	path := filepath.Join(dir, "parser-acme")
	drop(t, binary, path)

	p := h.Plugin("parser-acme")
	if p.State != "discovered" || p.Enabled || p.PID != 0 || p.Version != "1.2.3" || p.Trust != "" || p.Code != "" {
		t.Errorf("got %+v, want it discovered, and nothing more", p)
	}
	if diff := cmp.Diff([]string{"parser"}, p.Kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}

	// Without it there is no parser for the route: lines pass, flagged.
	n := 0
	line := func() {
		n++
		appendTo(t, h.Log("acme.log"), fmt.Sprintf("2024-03-01T00:00:00Z WARN box7: door %d is open\n", n))
	}
	tailLogs(t, h, line, func(e map[string]any) bool {
		if e["reason"] != "no_parser" {
			t.Errorf("got reason %v, want no_parser", e["reason"])
		}
		return false
	})

	if _, err := h.CLI("plugin", "enable", "parser-acme"); err != nil {
		t.Fatal(err)
	}
	p = h.Plugin("parser-acme")
	if p.State != "running" || !p.Enabled || p.PID == 0 || p.Trust != "pinned" {
		t.Errorf("got %+v, want it running and pinned", p)
	}
	tailLogs(t, h, line, func(e map[string]any) bool {
		if e["reason"] == "no_parser" {
			return true // from before
		}
		message, _ := e["message"].(string)
		if !strings.HasPrefix(message, "door ") || e["host"] != "box7" || e["process"] != "acme" || e["time"] != "2024-03-01T00:00:00Z" {
			t.Errorf("got event %v, want what the parser makes of the line", e)
		}
		if diff := cmp.Diff(map[string]any{"acme.level": "WARN"}, e["fields"]); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		return false
	})

	// Disable drains: what it was sent is parsed, the rest passes without it.
	const many = 20_000
	var lines strings.Builder
	for i := range many {
		fmt.Fprintf(&lines, "2024-03-01T00:00:00Z INFO box7: bulk %d\n", i)
	}
	appendTo(t, h.Log("acme.log"), lines.String())
	if _, err := h.CLI("plugin", "disable", "parser-acme"); err != nil {
		t.Fatal(err)
	}
	if p = h.Plugin("parser-acme"); p.State != "disabled" || p.PID != 0 || p.Enabled {
		t.Errorf("got %+v, want it disabled and gone", p)
	}
	total := uint64(n + many)
	var s statusLine
	h.Wait(30*time.Second, "every line is accounted for", func() bool {
		h.JSON(&s, "status")
		return s.Parsed+s.Unparsed == total
	})
	if s.Received != total || s.UnparsedReasons["no_parser"] != s.Unparsed || len(s.Dropped) != 0 {
		t.Errorf("got status %+v, want %d received, and nothing unparsed but for want of a parser, and nothing dropped", s, total)
	}

	// Enabled again, its bytes change under it.
	if _, err := h.CLI("plugin", "enable", "parser-acme"); err != nil {
		t.Fatal(err)
	}
	if p = h.Plugin("parser-acme"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	flipped := filepath.Join(t.TempDir(), "flipped")
	if err := os.WriteFile(flipped, b, 0o755); err != nil {
		t.Fatal(err)
	}
	drop(t, flipped, path)
	if p = h.Plugin("parser-acme"); p.State != "changed" || p.Code != "IP130" {
		t.Errorf("got %+v, want it changed, IP130", p)
	}
	if h.PID() != host {
		t.Errorf("the host has pid %d, had %d", h.PID(), host)
	}
	if err := h.Stop(); err != nil {
		t.Errorf("stop the host: %v", err)
	}
	h.Start()
	if p = h.Plugin("parser-acme"); p.State != "changed" || p.Code != "IP130" || p.PID != 0 {
		t.Errorf("got %+v after a restart, want it changed, IP130, and not run", p)
	}
	drop(t, binary, path)
	if _, err := h.CLI("plugin", "reload", "parser-acme"); err == nil {
		t.Error("got no error from reload of a plugin that does not run")
	}
	if _, err := h.CLI("plugin", "enable", "parser-acme"); err != nil {
		t.Error(err)
	}

	// Copies that break a rule each.
	drop(t, binary, filepath.Join(dir, "zz-copy"))
	drop(t, binary, filepath.Join(dir, "zz-writable"))
	if err := os.Chmod(filepath.Join(dir, "zz-writable"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "zz-link")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range candidates(h, t, func(p hosttest.Plugin) bool { return p.State == "refused" }) {
		got[p.Name] = p.Code
		if p.LastError == "" || p.PID != 0 || p.Enabled {
			t.Errorf("got %+v, want a reason and no process", p)
		}
	}
	want := map[string]string{"parser-acme": "IP131", "zz-writable": "IP102", "zz-link": "IP106"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes of what is refused (-want +got):\n%s", diff)
	}
	running := candidates(h, t, func(p hosttest.Plugin) bool { return p.Name == "parser-acme" && p.State == "running" })
	if len(running) != 1 {
		t.Errorf("got %d running parser-acme, want the one that was enabled", len(running))
	}
}

// appendConfig adds to the configuration of a host that does not run yet.
func appendConfig(t *testing.T, h *hosttest.Host, text string) {
	t.Helper()
	b, err := os.ReadFile(h.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	h.WriteConfig(string(b) + text)
}

// statusLine is what the tests read of status.
type statusLine struct {
	Version         string            `json:"version"`
	HostID          string            `json:"host_id"`
	PID             int               `json:"pid"`
	Mode            string            `json:"mode"`
	Received        uint64            `json:"received"`
	Parsed          uint64            `json:"parsed"`
	Unparsed        uint64            `json:"unparsed"`
	UnparsedReasons map[string]uint64 `json:"unparsed_reasons"`
	Dropped         []dropLine        `json:"dropped"`
	Alerts          uint64            `json:"alerts"`
	Warnings        []string          `json:"warnings"`
	CoverageGaps    []struct {
		Plugin string `json:"plugin"`
		Events uint64 `json:"events"`
	} `json:"coverage_gaps"`
}

type dropLine struct {
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

func TestMisfitsAreRefusedAndTheRestRuns(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"script":  "#!/bin/sh\necho 'hello'\nexec sleep 60\n",
		"README":  "not executable: not a candidate\n",
		"garbage": "\x7fELF but not really",
	})
	for _, name := range []string{"script", "garbage"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, how := range []string{"crash", "hang", "chatty", "alien", "mute"} {
		compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/misfit", filepath.Join(dir, how), "-ldflags=-s -w -X main.how="+how)
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	if truth, err = filepath.EvalSymlinks(truth); err != nil {
		t.Fatal(err)
	}
	drop(t, truth, filepath.Join(dir, "true"))
	h := hosttest.Start(t, hosttest.Options{
		Plugins:    []string{"source-file", "parser-syslog"},
		PluginDirs: []string{dir},
		Config:     "describe_timeout = \"3s\"\n",
		NoStart:    true,
	})
	appendConfig(t, h, follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	got := map[string]string{}
	for _, p := range candidates(h, t, func(p hosttest.Plugin) bool { return p.State != "running" }) {
		got[p.Name] = p.State + " " + p.Code
		if p.LastError == "" || p.PID != 0 || p.Enabled {
			t.Errorf("got %+v, want a reason and no process", p)
		}
		var info struct{ Observed, Wanted, Mend string }
		h.JSON(&info, "plugin", "info", p.Name)
		if info.Observed == "" || info.Wanted == "" || info.Mend == "" {
			t.Errorf("plugin info %s: got observed %q, wanted %q, mend %q", p.Name, info.Observed, info.Wanted, info.Mend)
		}
	}
	want := map[string]string{
		"crash": "refused IP120", "chatty": "refused IP120", "true": "refused IP120", "script": "refused IP120", "garbage": "refused IP120",
		"alien": "refused IP121", "hang": "refused IP122", "mute": "refused IP122",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("misfits (-want +got):\n%s", diff)
	}
	if _, err := h.CLI("plugin", "enable", "hang"); hosttest.ExitCode(err) != 2 && hosttest.ExitCode(err) != 1 {
		t.Errorf("got %v from enabling a refused plugin, want an error", err)
	}
	// One that talks all the time is no more than that.
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/misfit", filepath.Join(dir, "talker"), "-ldflags=-s -w -X main.how=talker")
	if _, err := h.CLI("plugin", "enable", "misfit-talker"); err != nil {
		t.Error(err)
	}
	if p := h.Plugin("misfit-talker"); p.State != "running" {
		t.Errorf("got %+v, want it running", p)
	}
	if !strings.Contains(h.Output(), "something else") {
		t.Error("the log does not hold what the plugin printed")
	}
	appendTo(t, h.Log("a.log"), "2024-03-01T00:00:00Z web1 app[1]: all is well\n")
	h.Wait(30*time.Second, "the line is parsed", func() bool {
		var s statusLine
		h.JSON(&s, "status")
		return s.Parsed == 1
	})
}
