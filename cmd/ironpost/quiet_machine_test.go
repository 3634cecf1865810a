//go:build quiet && linux

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/nettest"
)

// machine is a computer of the quiet day: processes in namespaces of their own
// (testdata/quiet/machine.sh). It ends with the test, however that ends.
type machine struct {
	name   string
	init   int // the first process, as seen from outside
	t      *testing.T
	mu     sync.Mutex
	output bytes.Buffer   // of the daemons
	group  sync.WaitGroup // of the daemons
}

// startMachine starts a machine in a network namespace, or in one of its own
// when network is nil. Its log goes to target, a file or @ADDRESS.
func startMachine(t *testing.T, name string, network *nettest.Namespace, shared, target string) *machine {
	t.Helper()
	script, err := filepath.Abs("testdata/quiet/machine.sh")
	if err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "bash", script, name, work, shared, target}
	m := &machine{name: name, t: t}
	cmd := exec.Command("unshare", append([]string{"--net"}, args...)...)
	if network != nil {
		cmd = network.Command(context.Background(), "unshare", args...)
	}
	// Its standard input ends with this process, and the machine with that.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = m
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		m.group.Wait()
		if t.Failed() {
			t.Logf("%s: output of the daemons:\n%s", name, m.tail())
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("start the machine %s: got %q, %v\n%s", name, line, err, m.tail())
	}
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid)
	b, err := os.ReadFile(children)
	if err == nil {
		m.init, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		t.Fatalf("find the first process of %s: %v", name, err)
	}
	return m
}

// Write takes output of a daemon.
func (m *machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.output.Write(p)
}

func (m *machine) tail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.output.Bytes()
	return string(b[max(0, len(b)-8192):])
}

// command returns a command that runs a script on the machine.
func (m *machine) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(m.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd",
		"bash", "-c", "set -eu -o pipefail\n"+script)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb",
		"DEBIAN_FRONTEND=noninteractive",
	}
	cmd.WaitDelay = time.Second
	return cmd
}

// sh runs a script on the machine and returns what it printed.
func (m *machine) sh(ctx context.Context, script string) (string, error) {
	out, err := m.command(ctx, script).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("on %s: %w\n%s\n%s", m.name, err, script, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// must is sh that fails the test.
func (m *machine) must(script string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := m.sh(ctx, script)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// daemon starts a script that runs until the machine ends.
func (m *machine) daemon(script string) {
	m.t.Helper()
	cmd := m.command(context.Background(), script)
	cmd.Stdout, cmd.Stderr = m, m
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	// Killing the first process of the machine kills it.
	m.group.Go(func() { _ = cmd.Wait() })
}

// listens waits until something accepts connections on ports of the machine.
func (m *machine) listens(ports ...int) {
	m.t.Helper()
	for _, port := range ports {
		m.ready(fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d", port))
	}
}

// ready waits until a script succeeds on the machine; on a busy one that takes a
// minute and more.
func (m *machine) ready(script string) {
	m.t.Helper()
	m.must(fmt.Sprintf("for _ in $(seq 1200); do (%[1]s) >/dev/null 2>&1 && exit; sleep 0.1; done; echo %[1]q does not succeed; exit 1", script))
}
