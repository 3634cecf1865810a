package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// nobody is an ordinary user.
const nobody = 65534

// asNobody makes a command run as an ordinary user with the umask of many of
// them.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	script := `umask 0002 && exec "$0" "$@"`
	cmd.Args = append([]string{"sh", "-c", script, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// homeOfNobody returns a directory that an ordinary user owns.
func homeOfNobody(t *testing.T) string {
	t.Helper()
	dir := writeFiles(t, nil)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReplayNeedsNoRoot(t *testing.T) {
	needRoot(t)
	t.Parallel()
	log := dataFile(t, "loghub/OpenSSH_2k.log")
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeFiles(t, map[string]string{"rules/ssh.yaml": bruteForce, "OpenSSH_2k.log": string(content)})
	home := homeOfNobody(t)
	cmd := asNobody(ironpost(t, "replay", "--format", "syslog", "--rules", filepath.Join(dir, "rules"), filepath.Join(dir, "OpenSSH_2k.log")))
	cmd.Dir = home
	cmd.Env = append(cmd.Env, "HOME="+home)
	got := run(t, cmd)
	if got.code != 0 {
		t.Fatalf("got exit code %d, want 0\n%s", got.code, got.stderr)
	}
	var sources []string
	for _, a := range parseAlerts(t, got.stdout) {
		sources = append(sources, a.Entities["src_ip"])
	}
	slices.Sort(sources)
	if sources = slices.Compact(sources); !slices.Equal(sources, bruteForcers) {
		t.Errorf("got addresses %v, want %v", sources, bruteForcers)
	}
}

// TestRunNeedsNoRoot runs a host as an ordinary user: it says in one line what
// it cannot do, and does the rest.
func TestRunNeedsNoRoot(t *testing.T) {
	needRoot(t)
	t.Parallel()
	home := homeOfNobody(t)
	rules := writeFiles(t, map[string]string{"ssh.yaml": bruteForce})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "sink-sqlite"},
		Env:     []string{"HOME=" + home, "IRONPOST_EBPF_INTERFACE=lo"},
		Command: func(name string, args ...string) *exec.Cmd { return asNobody(exec.Command(name, args...)) },
		NoStart: true,
	})
	if err := os.Chown(h.Dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	appendConfig(t, h, fmt.Sprintf("[rules]\npaths = [%q]\n", rules)+follow(filepath.Join(h.Dir, "log"), ""))
	h.Start()
	var why []string
	for line := range strings.Lines(h.Output()) {
		if strings.Contains(line, "lo") && strings.Contains(strings.ToLower(line), "root") {
			why = append(why, line)
		}
	}
	if len(why) == 0 {
		t.Error("no line of the start says that XDP needs root")
	}
	for i := range 5 {
		appendTo(t, h.Log("auth.log"), fmt.Sprintf("%s web1 sshd[77]: Failed password for root from 192.0.2.9 port %d ssh2\n", time.Now().Format(time.RFC3339), 4000+i))
	}
	h.Wait(30*time.Second, "the alert is listed", func() bool {
		var list []alertLine
		return h.Try(&list, "alerts", "list") == nil && len(list) == 1 && list[0].Entities["src_ip"] == "192.0.2.9"
	})
	if err := h.Stop(); err != nil {
		t.Errorf("got %v from a stop, want exit code 0", err)
	}
}
