package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// told takes what the plugin tells.
type told struct {
	mu     sync.Mutex
	alerts []string
	events map[string]*event.InventoryEvent
}

func (o *told) Raise(_ context.Context, a *event.AlertEvent) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alerts = append(o.alerts, fmt.Sprint(a.RuleID, " ", filepath.Base(a.Entity("path")), " ", a.Entity("vulnerability"), " ", a.Entity("package")))
	return nil
}

func (o *told) Record(_ context.Context, e *event.InventoryEvent) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events[e.ID] = e.Clone()
	return nil
}

func (o *told) Sync(context.Context) error { return nil }

// findings are those that the inventory has now, with what was looked at of them.
func (o *told) findings() (out []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		for _, f := range e.Findings {
			out = append(out, e.Name+" "+f.ID+" "+f.Status)
		}
	}
	slices.Sort(out)
	return out
}

func (o *told) raised() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(slices.Values(o.alerts))
}

// running are processes that execute one program each.
type running struct {
	sdk.Processes

	mu       sync.Mutex
	programs []string
}

func (r *running) Mapped(context.Context, ...int) (out []sdk.MappedProcess, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, path := range r.programs {
		out = append(out, sdk.MappedProcess{
			Process: sdk.Process{PID: 100 + i, Name: filepath.Base(path)}, HasProgram: true, Files: []*sdk.MappedFile{{Path: path, Executed: true}},
		})
	}
	return out, nil
}

// TestWatchFunctions: of two real programs of Go one has the function that an advisory is about.
// Both run; the one that has it raises an alert.
func TestWatchFunctions(t *testing.T) {
	s, _ := made(t)
	dir := t.TempDir()
	build := func(name, text string) string {
		t.Helper()
		source := filepath.Join(t.TempDir(), "main.go")
		write(t, source, text)
		out := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-o", out, source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, text)
		}
		return out
	}
	without := build("without", "package main\n\nfunc main() { println(1) }\n")
	with := build("with", "package main\n\nimport (\n\t\"os\"\n\t\"text/tabwriter\"\n)\n\nfunc main() { println(tabwriter.NewWriter(os.Stdout, 0, 8, 0, 0, 0).Flush()) }\n")

	advisories := t.TempDir()
	write(t, filepath.Join(advisories, "a.json"), fmt.Sprintf(
		`{"schema_version": "1.6.0", "id": "GO-2026-0001", "modified": %q, "affected": [{"package": {"ecosystem": "Go", "name": "stdlib"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "99.0.0"}]}],
		"ecosystem_specific": {"imports": [{"path": "text/tabwriter", "symbols": ["Writer.Flush"]}]}}]}`, time.Now().UTC().Format(time.RFC3339)))
	if err := s.ImportAdvisories(t.Context(), []sdk.AdvisorySource{{Path: advisories}}, func(string) {}, io.Discard); err != nil {
		t.Fatal(err)
	}
	s.cfg.Host, s.cfg.Containers, s.cfg.Images = []string{dir}, false, false
	s.cfg.Observe = time.Second
	processes := &running{programs: []string{without}}
	s.watching.env = sdk.Env{Logger: hclog.NewNullLogger(), Counter: func(string, uint64) {}, Processes: processes}
	out := &told{events: map[string]*event.InventoryEvent{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, out) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	}()
	wait := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(time.Minute)
		for tick := time.Tick(20 * time.Millisecond); !ok(); {
			select {
			case <-tick:
			case <-deadline:
				t.Fatalf("still waiting: %s; alerts %q, findings %q", what, out.raised(), out.findings())
			}
		}
	}
	wait("the program was looked at", func() bool { return slices.Equal(out.findings(), []string{"go GO-2026-0001 not_observed"}) })
	if got := out.raised(); len(got) != 0 {
		t.Errorf("alerts %q, want none: the program lacks the function", got)
	}
	processes.mu.Lock()
	processes.programs = append(processes.programs, with)
	processes.mu.Unlock()
	wait("the other program raises an alert", func() bool { return len(out.raised()) > 0 })
	if got, want := out.raised(), []string{"vulnerable_package_in_use with GO-2026-0001 go"}; !slices.Equal(got, want) {
		t.Errorf("alerts %q, want %q", got, want)
	}
	wait("the inventory says so", func() bool { return slices.Equal(out.findings(), []string{"go GO-2026-0001 "}) })
}

// TestUnowned: a scan lists the programs of a root file system that no package has, when it is
// told to.
func TestUnowned(t *testing.T) {
	s, _ := made(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "usr/bin/tool": "\x7fELF", "usr/bin/own": "\x7fELF",
		"var/lib/dpkg/status":         "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n",
		"var/lib/dpkg/info/tool.list": "/.\n/usr/bin/tool\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, wanted := range []bool{false, true} {
		s.cfg.Unowned = wanted
		var out bytes.Buffer
		if _, err := s.Scan(t.Context(), sdk.ScanRequest{Target: dir, Progress: func(string) {}}, &out); err != nil {
			t.Fatal(err)
		}
		var r struct{ Unowned []owner.Stray }
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		var want []owner.Stray
		if wanted {
			want = []owner.Stray{{Path: "usr/bin/own", Kind: "elf", Bytes: 4}}
		}
		if !slices.Equal(r.Unowned, want) {
			t.Errorf("wanted %v: got %v, want %v", wanted, r.Unowned, want)
		}
	}
}
