//go:build amd64 || arm64

package sandbox

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

	"go.uber.org/goleak"
)

// hostEnv makes the test binary a host for a test: it starts the plugin named
// by the value, prints its process id and answers, and waits.
const hostEnv = "SANDBOX_TEST_HOST"

// binDir holds the plugins under testdata, built once. It is set before any test runs.
var binDir string

func TestMain(m *testing.M) {
	if arg := os.Getenv(hostEnv); arg != "" {
		os.Exit(testHost(arg))
	}
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := buildPlugins(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}
	binDir = dir
	before := openDescriptors() // what the test was started with
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if leaked := openDescriptors() - before; leaked > 0 {
			fmt.Fprintf(os.Stderr, "%d pipes or sockets left open\n", leaked)
			code = 1
		}
	}
	os.Exit(code)
}

// openDescriptors counts the pipes, sockets and process descriptors that are still open.
func openDescriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		if e.Name() == "0" || e.Name() == "1" || e.Name() == "2" {
			continue
		}
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.HasPrefix(to, "pipe:") || strings.HasPrefix(to, "socket:") || strings.Contains(to, "pidfd") {
			n++
		}
	}
	return n
}

func buildPlugins(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./testdata/hostile", "./testdata/served")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the plugins under testdata: %w\n%s", err, out)
	}
	return nil
}

// testHost starts one plugin and waits to be killed.
func testHost(args string) int {
	var spec struct {
		Path, Private string
		Args          []string
		UID           uint32
		Children      bool
	}
	if err := json.Unmarshal([]byte(args), &spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	exe, err := os.Open(spec.Path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var l Launcher
	p, err := l.Start(context.Background(), Spec{
		Name: "hostile", Exe: exe, Args: spec.Args, UID: spec.UID, GID: spec.UID,
		NewProcesses: spec.Children, BaseRead: spec.Children, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	report, err := json.Marshal(p.Report())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("pid %d\nreport %s\n", p.Pid(), report)
	state, err := p.Wait(context.Background())
	fmt.Printf("end %s %v\n", state, err)
	return 0
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it changes users and makes namespaces")
	}
}

// hostile opens the hostile plugin.
func hostile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join(binDir, "hostile"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func newLauncher(t *testing.T) *Launcher {
	t.Helper()
	l := NewLauncher()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the launcher: %v", err)
		}
	})
	return l
}

// reachableDir is a directory of the test that every user may pass through.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// privateDir is a directory of mode 0700 that belongs to testUID.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(reachableDir(t), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(testUID), int(testUID)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// running is a started hostile plugin and what it prints.
type running struct {
	*Process
	out *bufio.Reader
}

// start starts the hostile plugin with attempts.
func start(t *testing.T, l *Launcher, spec Spec, attempts ...string) *running {
	t.Helper()
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { outR.Close() })
	if spec.Exe == nil {
		spec.Exe = hostile(t)
	}
	if spec.Name == "" {
		spec.Name = "hostile"
	}
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	spec.Args = append([]string{"hostile"}, attempts...)
	spec.Stdout, spec.Stderr = outW, stderr
	p, err := l.Start(t.Context(), spec)
	outW.Close()
	t.Cleanup(func() {
		if t.Failed() {
			data, _ := os.ReadFile(stderr.Name())
			t.Logf("stderr of the plugin: %.4096s", data)
		}
		stderr.Close()
	})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		<-p.Done()
	})
	return &running{Process: p, out: bufio.NewReader(outR)}
}

// answers reads what the attempts came to.
func (p *running) answers(t *testing.T) map[string]string {
	t.Helper()
	type result struct {
		line []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		line, err := p.out.ReadBytes('\n')
		got <- result{line, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			<-p.Done()
			state, _ := p.Wait(context.Background())
			t.Fatalf("read the plugin's answers: %v (%s)", r.err, state)
		}
		var m map[string]string
		if err := json.Unmarshal(r.line, &m); err != nil {
			t.Fatalf("decode the plugin's answers: %v", err)
		}
		return m
	case <-time.After(20 * time.Second):
		_ = p.Kill()
		<-got
		t.Fatal("the plugin did not answer within 20 s")
		return nil
	}
}

// try runs the hostile plugin with attempts to its end.
func try(t *testing.T, spec Spec, attempts ...string) (map[string]string, Report) {
	t.Helper()
	p := start(t, newLauncher(t), spec, attempts...)
	return p.answers(t), p.Report()
}

func wantMissing(t *testing.T, r Report, what Protection) {
	t.Helper()
	if !slices.ContainsFunc(r.Missing, func(m Missing) bool { return m.What == what && m.Why != "" }) {
		t.Errorf("missing: got %v, want %q with a reason", r.Missing, what)
	}
}

func wantApplied(t *testing.T, r Report, want ...Protection) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(r.Applied, w) {
			t.Errorf("applied: got %v, want %q among them (missing: %v)", r.Applied, w, r.Missing)
		}
	}
}
