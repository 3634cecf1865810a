package rules_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestRealTools: the lines that useradd, usermod, chpasswd, sudo, su and sshd
// of this machine write fire the rules that are about them.
func TestRealTools(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make namespaces")
	}
	for _, tool := range []string{"unshare", "bash", "ip", "useradd", "usermod", "chpasswd", "su", "sudo", "ssh", "ssh-keygen", "/usr/sbin/sshd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	want := []string{
		"admin_group_member_added", "group_added", "password_changed", "root_password_changed", "ssh_brute_force",
		"ssh_invalid_user_sweep", "ssh_login_attempts", "ssh_root_login", "ssh_scan", "ssh_slow_brute_force", "ssh_user_targeted",
		"su_failed", "sudo_failed_passwords", "sudo_not_in_sudoers", "user_added", "user_added_uid_zero", "user_deleted",
	}
	if _, err := exec.LookPath("crontab"); err == nil {
		want = append(want, "crontab_changed")
		slices.Sort(want)
	} else {
		t.Log("crontab is not installed; its rule is left out")
	}
	var got []string
	stream := &event.Stream{ID: 1, Name: "/dev/log", Provenance: event.ProvenanceHost}
	e := engine.New(engine.Compile(load(t)), engine.Options{})
	parse := parser()
	lines := record(t)
	for i, line := range lines {
		ev := &event.LogEvent{}
		if err := parse("syslog", line, ev); err != nil {
			t.Errorf("parse %q: %v", line, err)
			continue
		}
		ev.Stream, ev.Sequence = stream, uint64(i)
		e.Log(ev, func(a *event.AlertEvent) { got = append(got, a.RuleID) })
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rules that fired differ (-want +got):\n%s", d)
		for _, line := range lines {
			t.Log(line)
		}
	}
}

// record runs the tools and returns the lines that they sent to /dev/log.
func record(t *testing.T) (lines []string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "log.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			if err != nil {
				t.Errorf("read the socket: %v", err)
				return
			}
			lines = append(lines, string(buf[:n]))
		}
	})
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	script, err := filepath.Abs("testdata/tools.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", script, path, root)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("run the tools: %v\n%s", err, out)
	}
	// What was sent lies in the socket's queue already.
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	reader.Wait()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() || len(lines) == 0 {
		t.Logf("the tools said:\n%s", out)
	}
	return lines
}
