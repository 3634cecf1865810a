package rail

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRealSession: with a real sshd, who is logged in is found, without a
// terminal too, and who merely is connected is not. Both use addresses of
// 127.0.0.0/8, which a Finder leaves out, so the test asks the parts.
func TestRealSession(t *testing.T) {
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and OpenSSH's server")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	key := filepath.Join(dir, "key")
	run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	conf := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nLoginGraceTime 60\n", port, key, key)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said bytes.Buffer
	server := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", conf)
	server.Stderr = &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = server.Wait() }()

	deadline := time.Now().Add(20 * time.Second)
	guess := dialFrom(t, "127.0.0.3", "127.0.0.1:"+port, deadline)
	defer guess.Close()
	if _, err := guess.Read(make([]byte, 64)); err != nil { // the banner: sshd serves it
		t.Fatal(err)
	}
	client := exec.CommandContext(ctx, "ssh", "-F", "none", "-b", "127.0.0.2", "-p", port, "-i", key, "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-T", "root@127.0.0.1", "echo in; cat")
	stdin, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = client.Wait() }()
	if n, err := stdout.Read(make([]byte, 16)); n == 0 {
		t.Fatalf("no session: %v: %s", err, said.String())
	}
	peers := livePeers(System())
	if !slices.Contains(peers, "127.0.0.2") || slices.Contains(peers, "127.0.0.3") {
		t.Errorf("got %q, want 127.0.0.2, who is logged in, and not 127.0.0.3, who is connected", peers)
	}
}

// dialFrom connects from an address of this machine, until the server is there.
func dialFrom(t *testing.T, from, to string, deadline time.Time) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	for {
		c, err := d.DialContext(t.Context(), "tcp", to)
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("connect to sshd: %v", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// livePeers are the peers of sessions by their processes, loopback included.
func livePeers(f Finder) []string {
	c := &collector{finder: f}
	c.loopback = true
	c.sshd()
	var out []string
	for _, r := range c.rails {
		out = append(out, strings.TrimSuffix(r.Prefix.String(), "/32"))
	}
	return out
}
