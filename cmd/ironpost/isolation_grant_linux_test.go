package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// userOf returns the users and the effective capabilities of a process.
func userOf(t *testing.T, pid int) (users, capabilities string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid":
			users = strings.TrimSpace(value)
		case "CapEff":
			capabilities = strings.TrimSpace(value)
		}
	}
	return users, capabilities
}

// TestReadGrant follows a log that only root may read, with a plugin that is
// not root and may read nothing else.
func TestReadGrant(t *testing.T) {
	needRoot(t)
	t.Parallel()
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"source-file", "parser-syslog"}, NoStart: true})
	dir := filepath.Join(h.Dir, "secret")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "audit.log")
	if err := os.WriteFile(log, []byte("2024-03-01T00:00:00Z web1 app[7]: before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	appendConfig(t, h, fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n", log))
	h.Start()
	appendTo(t, log, "2024-03-01T00:00:01Z web1 app[7]: after\n")
	var s statusLine
	h.Wait(30*time.Second, "both lines are parsed", func() bool {
		h.JSON(&s, "status")
		return s.Parsed == 2
	})
	p := h.Plugin("source-file")
	// CAP_DAC_READ_SEARCH is bit 2 (linux/capability.h); Landlock and the
	// plugin's own file tree confine it to the directory.
	if users, caps := userOf(t, p.PID); strings.HasPrefix(users, "0\t") || caps != "0000000000000004" {
		t.Errorf("source-file: got users %q, capabilities %s, want a user of its own that may read and nothing else", users, caps)
	}
	if users, caps := userOf(t, h.Plugin("parser-syslog").PID); strings.HasPrefix(users, "0\t") || caps != "0000000000000000" {
		t.Errorf("parser-syslog: got users %q, capabilities %s, want a user of its own without any", users, caps)
	}
	var tree []string
	for _, path := range []string{"etc", "proc", "root", filepath.Join(h.Dir, "data")} {
		if _, err := os.Lstat(filepath.Join(fmt.Sprintf("/proc/%d/root", p.PID), path)); err == nil {
			tree = append(tree, path)
		}
	}
	if tree != nil {
		t.Errorf("source-file sees %v, want nothing but the log's directory", tree)
	}
}

// TestPort514 serves the port of syslog, which only root may bind, with a
// plugin that is not root and has no network.
func TestPort514(t *testing.T) {
	needRoot(t)
	nettest.Need(t, "ip", "nsenter")
	t.Parallel()
	pair := nettest.NewPair(t)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-syslog", "parser-syslog"},
		Config:  "[source_syslog]\nlisten = [\"udp://0.0.0.0:514\"]\n",
		Command: func(name string, args ...string) *exec.Cmd {
			return pair.Victim.Command(context.Background(), name, args...) // the harness ends it after the test
		},
	})
	var s statusLine
	h.Wait(30*time.Second, "a datagram is parsed", func() bool {
		if err := pair.Attacker.Do(func() error {
			c, err := net.Dial("udp", netip.AddrPortFrom(pair.Victim.IP4, 514).String())
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("<34>Oct 11 22:14:15 box su: 'su root' failed for lonvick on /dev/pts/8"))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		h.JSON(&s, "status")
		return s.Parsed > 0
	})
	p := h.Plugin("source-syslog")
	if users, caps := userOf(t, p.PID); strings.HasPrefix(users, "0\t") || caps != "0000000000000000" {
		t.Errorf("source-syslog: got users %q, capabilities %s, want a user of its own without any", users, caps)
	}
	host, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID))
	if err != nil || own == host {
		t.Errorf("network namespace: got %q, %v, want one of its own, not the host's", own, err)
	}
}
