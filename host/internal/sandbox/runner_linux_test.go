//go:build amd64 || arm64

package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

func newClient(t *testing.T, spec Spec, started func(*Runner)) *plugin.Client {
	t.Helper()
	exe, err := os.Open(filepath.Join(binDir, "served"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exe.Close() })
	spec.Name, spec.Exe = "served", exe
	c := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "SANDBOX", MagicCookieValue: "test"},
		Plugins:          plugin.PluginSet{},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc:       RunnerFunc(newLauncher(t), spec, started),
		SkipHostEnv:      true,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: reachableDir(t)},
		StartTimeout:     10 * time.Second,
		Logger:           hclog.NewNullLogger(),
	})
	t.Cleanup(c.Kill)
	return c
}

// TestRunner drives a real go-plugin gRPC plugin in the strictest sandbox.
func TestRunner(t *testing.T) {
	needRoot(t)
	var r *Runner
	begin := time.Now()
	c := newClient(t, Spec{UID: testUID, GID: testUID, MaxMemory: 256 << 20, Env: []string{"TZ=UTC"}}, func(started *Runner) { r = started })
	proto, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Ping(); err != nil {
		t.Errorf("Ping: %v", err)
	}
	t.Logf("first answer after %v", time.Since(begin))
	if r.Process() == nil || r.ID() != c.ID() {
		t.Errorf("ID: got %q, want go-plugin's %q", r.ID(), c.ID())
	}
	if got := procStatus(t, r.Process().Pid())["Seccomp"]; got != "2" {
		t.Errorf("Seccomp: got %q, want 2", got)
	}
	u, err := r.Process().Usage()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("usage %+v, VmSize %s", u, procStatus(t, r.Process().Pid())["VmSize"])
	if d := r.Diagnose(t.Context()); !strings.Contains(d, "runs") {
		t.Errorf("Diagnose: got %q, want that it runs", d)
	}
	c.Kill()
	if !c.Exited() {
		t.Error("Exited after Kill: got false, want true")
	}
	select {
	case <-r.Process().Done():
	case <-time.After(10 * time.Second):
		t.Error("the process outlives Kill")
	}
}

// TestRunnerBroken checks that the reason for a plugin's end reaches go-plugin's error.
func TestRunnerBroken(t *testing.T) {
	needRoot(t)
	c := newClient(t, Spec{UID: testUID, GID: testUID, Args: []string{"served", "broken"}}, nil)
	_, err := c.Client()
	if err == nil || !strings.Contains(err.Error(), "process") {
		t.Errorf("got %v, want an error that tells what became of the process", err)
	}
	t.Log(err)
}
