// Package hosttest runs the real program for the end-to-end tests: it builds the
// host and every plugin once, starts hosts on data directories and sockets of
// their own, talks to them through the command line, and cleans up.
//
//	func TestMain(m *testing.M) { os.Exit(hosttest.Main(m)) }
//
//	h := hosttest.Start(t, hosttest.Options{Config: `[source_file]...`})
//	h.JSON(&plugins, "plugin", "list")
//	h.Kill()      // SIGKILL
//	h.Start()     // again, on the same data
package hosttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildEnv names a directory that holds a finished build, to be used instead of
// building again.
const buildEnv = "IRONPOST_TEST_BUILD"

// Main builds, runs the tests and removes the build.
func Main(m *testing.M) int {
	if os.Getenv(buildEnv) == "" {
		dir, err := os.MkdirTemp("", "ironpost-build-")
		if err == nil {
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "build for the end-to-end tests:", err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := os.Setenv(buildEnv, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// Build is the directory of the build: ironpost, plugins.sha256, plugins/.
func Build() string { return os.Getenv(buildEnv) }

// Root is the root of the repository.
func Root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	panic("the tests do not run inside the repository")
}

// build makes dir look like the result of make build.
func build(dir string) error {
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := compile(dir+"/", "./cmd/ironpost"); err != nil {
		return err
	}
	if err := compile(plugins+"/", "./plugins/..."); err != nil {
		return err
	}
	entries, err := os.ReadDir(plugins)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(plugins, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), e.Name())
	}
	// The shipped rules lie beside the binary, as in the tree.
	if err := os.Symlink(filepath.Join(Root(), "rules"), filepath.Join(dir, "rules")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "plugins.sha256"), sums.Bytes(), 0o644)
}

func compile(out, pkg string) error {
	ldflags := "-s -w"
	if os.Getenv("IRONPOST_TEST_SYMBOLS") != "" { // for a profiler
		ldflags = ""
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-o", out, pkg)
	cmd.Dir = Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// Compile builds a package of the repository, such as a plugin under testdata,
// into a file that ends with the test, and returns its path.
func Compile(t testing.TB, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if err := compile(out, pkg); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o755); err != nil {
		t.Fatal(err)
	}
	return out
}

// Duplicate puts copies of a program into a directory, under names of their own.
// Bytes behind its end change the SHA-256 of each and nothing else.
func Duplicate(t testing.TB, program, dir string, names ...string) {
	t.Helper()
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, append(slices.Clip(b), name...), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Options say how a host runs.
type Options struct {
	// Config is added to the configuration file, which sets data_dir, socket
	// and plugins.dirs.
	Config string
	// Plugins names the built plugins that take part; nil means all.
	Plugins []string
	// PluginDirs are further plugin directories.
	PluginDirs []string
	// Env is added to the environment.
	Env []string
	// Command, when set, makes the command that runs the host, for example
	// inside a network namespace.
	Command func(name string, args ...string) *exec.Cmd
	// NoStart prepares the host and does not start it.
	NoStart bool
}

// Host is a host under test.
type Host struct {
	// Dir holds everything of this host: ironpost.toml, data, run, log.
	Dir string
	// Socket is its control socket.
	Socket string

	t       testing.TB
	options Options
	binary  string
	cmd     *exec.Cmd
	done    chan error
	output  *buffer
}

// buffer collects the output of the host.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Start prepares a host and starts it. It is killed, with everything that it
// started, when the test ends; after a failure its output is logged.
func Start(t testing.TB, o Options) *Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "ip") // short: sockets' paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &Host{Dir: dir, Socket: filepath.Join(dir, "run", "s"), t: t, options: o, binary: filepath.Join(Build(), "ironpost"), output: &buffer{}}
	t.Cleanup(func() {
		h.Kill()
		if t.Failed() {
			t.Logf("output of the host:\n%s", h.Output())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the host's directory: %v", err)
		}
	})
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	dirs := append([]string{h.selectPlugins()}, o.PluginDirs...)
	quoted := make([]string, len(dirs))
	for i, d := range dirs {
		quoted[i] = fmt.Sprintf("%q", d)
	}
	h.WriteConfig(fmt.Sprintf("[general]\ndata_dir = %q\n[control]\nsocket = %q\n[plugins]\ndirs = [%s]\n%s\n",
		filepath.Join(dir, "data"), h.Socket, strings.Join(quoted, ", "), o.Config))
	if !o.NoStart {
		h.Start()
	}
	return h
}

// selectPlugins returns a directory with the wanted plugins.
func (h *Host) selectPlugins() string {
	all := filepath.Join(Build(), "plugins")
	if h.options.Plugins == nil {
		return all
	}
	dir := filepath.Join(h.Dir, "plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range h.options.Plugins {
		if err := os.Link(filepath.Join(all, name), filepath.Join(dir, name)); err != nil {
			Copy(h.t, filepath.Join(all, name), filepath.Join(dir, name))
		}
	}
	return dir
}

// Copy copies a file and its mode.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// WriteConfig replaces the configuration file.
func (h *Host) WriteConfig(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.ConfigFile(), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// ConfigFile is the path of the configuration file.
func (h *Host) ConfigFile() string { return filepath.Join(h.Dir, "ironpost.toml") }

// Log is the path of a log file of this host.
func (h *Host) Log(name string) string { return filepath.Join(h.Dir, "log", name) }

// Start starts the host and returns when it answers and every enabled plugin
// has been started once.
func (h *Host) Start() {
	h.t.Helper()
	command := exec.Command
	if h.options.Command != nil {
		command = h.options.Command
	}
	h.cmd = command(h.binary, "run", "--config", h.ConfigFile())
	// Filters end with their host, unless the test says where to pin them.
	h.cmd.Env = append(append(os.Environ(), "IRONPOST_EBPF_PIN_DIR="), h.options.Env...)
	h.cmd.Stdout, h.cmd.Stderr = h.output, h.output
	if err := h.cmd.Start(); err != nil {
		h.t.Fatalf("start the host: %v", err)
	}
	h.done = make(chan error, 1)
	go func() { h.done <- h.cmd.Wait() }()
	h.Wait(30*time.Second, "the host answers and its plugins run", func() bool {
		select {
		case err := <-h.done:
			h.done <- err
			h.t.Fatalf("the host ended at once: %v\n%s", err, h.Output())
		default:
		}
		var plugins []Plugin
		if h.Try(&plugins, "plugin", "list") != nil {
			return false
		}
		return !slices.ContainsFunc(plugins, func(p Plugin) bool { return p.Enabled && p.State == "starting" })
	})
}

// Plugin is what plugin list says of one plugin.
type Plugin struct {
	Name            string   `json:"name"`
	Kinds           []string `json:"kinds"`
	Version         string   `json:"version"`
	API             int      `json:"api"`
	Enabled         bool     `json:"enabled"`
	State           string   `json:"state"`
	Health          string   `json:"health"`
	Restarts        int      `json:"restarts"`
	UptimeSeconds   float64  `json:"uptime_seconds"`
	Trust           string   `json:"trust"`
	PID             int      `json:"pid"`
	SHA256          string   `json:"sha256"`
	RSSBytes        int64    `json:"rss_bytes"`
	CPUSeconds      float64  `json:"cpu_seconds"`
	EventsPerSecond float64  `json:"events_per_second"`
	Dropped         uint64   `json:"dropped"`
	LastError       string   `json:"last_error"`
	Code            string   `json:"code"`
}

// FreeAddress is one of loopback on which nobody listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// PID is the process id of the host.
func (h *Host) PID() int { return h.cmd.Process.Pid }

// Output is what the host has printed so far.
func (h *Host) Output() string { return h.output.String() }

// Stop ends the host with SIGTERM and returns its error, nil for exit code 0.
func (h *Host) Stop() error {
	h.t.Helper()
	if h.cmd == nil {
		return nil
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-h.done:
		h.cmd = nil
		return err
	case <-time.After(60 * time.Second):
		h.t.Fatalf("the host does not stop\n%s", h.Output())
		return nil
	}
}

// Kill ends the host with SIGKILL.
func (h *Host) Kill() {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Kill()
	<-h.done //nolint:errcheck // it says that the process was killed
	h.cmd = nil
}

// CLI runs the command line against this host.
func (h *Host) CLI(args ...string) (stdout string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	return h.CLIContext(ctx, args...)
}

// CLIContext is CLI with a context.
func (h *Host) CLIContext(ctx context.Context, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, h.binary, append([]string{"--socket", h.Socket}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("ironpost %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// ExitCode returns the exit code in an error of CLI, 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// Try runs the command line with -o json and decodes what it prints.
func (h *Host) Try(v any, args ...string) error {
	out, err := h.CLI(append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("ironpost %s: %w in %q", strings.Join(args, " "), err, out)
	}
	return nil
}

// JSON is Try that fails the test.
func (h *Host) JSON(v any, args ...string) {
	h.t.Helper()
	if err := h.Try(v, args...); err != nil {
		h.t.Fatal(err)
	}
}

// Plugin returns one line of plugin list.
func (h *Host) Plugin(name string) Plugin {
	h.t.Helper()
	var list []Plugin
	h.JSON(&list, "plugin", "list")
	for _, p := range list {
		if p.Name == name {
			return p
		}
	}
	h.t.Fatalf("plugin list does not show %s", name)
	return Plugin{}
}

// Wait polls until the condition holds; what names it in the failure.
func (h *Host) Wait(most time.Duration, what string, condition func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(most)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			h.t.Fatalf("not within %v: %s", most, what)
		}
		<-tick.C
	}
}
