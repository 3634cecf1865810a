package main_test

import (
	"bytes"
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

	"github.com/ironpost/ironpost/host/nettest"
)

const sshPort = 2222

// sshServer is a real sshd in the victim's namespace. It logs through a real
// rsyslogd into a file of the form that Debian 12 has.
type sshServer struct {
	// Log is the file.
	Log string

	t   *testing.T
	to  *nettest.Namespace
	dir string
}

// sshdScript runs rsyslogd and sshd where /dev/log is the test's own socket; $1
// is the folder of their files. It ends, with both, when it is killed.
const sshdScript = `
set -e
mount --make-rprivate /
mkdir "$1/dev" "$1/dev/pts" "$1/dev/shm"
for node in null zero random urandom tty; do cp -a "/dev/$node" "$1/dev/"; done
mount --bind "$1/dev" /dev
ln -s "$1/log.sock" /dev/log
mkdir -p /run/sshd
chmod 0755 /run/sshd
rsyslogd -n -f "$1/rsyslog.conf" -i "$1/rsyslog.pid" &
for _ in $(seq 200); do [ -S "$1/log.sock" ] && break; sleep 0.05; done
exec /usr/sbin/sshd -D -f "$1/sshd_config"
`

// startSSHServer starts the server, and returns when it listens.
func startSSHServer(t *testing.T, n *nettest.Namespace) *sshServer {
	t.Helper()
	nettest.Need(t, "/usr/sbin/sshd", "ssh", "ssh-keygen", "rsyslogd", "unshare", "mount", "nsenter")
	dir := t.TempDir()
	s := &sshServer{Log: filepath.Join(dir, "auth.log"), t: t, to: n, dir: dir}
	for name, text := range map[string]string{
		"sshd_config": fmt.Sprintf("Port %d\nHostKey %s/key\nUsePAM no\nPidFile none\nUseDNS no\nPasswordAuthentication yes\nMaxAuthTries 6\nLoginGraceTime 30\n", sshPort, dir),
		"rsyslog.conf": fmt.Sprintf("module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"%[1]s/log.sock\")\n"+
			"*.* action(type=\"omfile\" file=\"%[1]s/auth.log\" template=\"RSYSLOG_TraditionalFileFormat\")\n", dir),
		"ask":      "#!/bin/sh\necho wrong\n",
		"auth.log": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	cmd := n.Command(context.Background(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", sshdScript, "sh", dir)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(s.Log)
			t.Logf("output of sshd:\n%s\nits log:\n%s", output.String(), text)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !s.listens() {
		if time.Now().After(deadline) {
			t.Fatal("sshd does not listen within 30s")
		}
		<-tick.C
	}
	return s
}

func (s *sshServer) listens() bool {
	err := s.to.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(s.to.IP4, sshPort).String(), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return err == nil
}

// guess tries five wrong passwords as a user, in one connection from an address
// of the attacker's end. It returns when sshd has refused them all, or when no
// answer comes any more.
func (s *sshServer) guess(from *nettest.Namespace, addr netip.Addr, user string) {
	s.t.Helper()
	to := s.to.IP4
	if addr.Is6() {
		to = s.to.IP6
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	args := []string{"-F", "none", "-b", addr.String(), "-p", fmt.Sprint(sshPort), "-l", user}
	for _, o := range []string{
		"StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null", "LogLevel=ERROR",
		"PubkeyAuthentication=no", "PreferredAuthentications=password", "NumberOfPasswordPrompts=5",
		"ConnectTimeout=10",
	} {
		args = append(args, "-o", o)
	}
	cmd := from.Command(ctx, "ssh", append(args, to.String(), "true")...)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+filepath.Join(s.dir, "ask"), "SSH_ASKPASS_REQUIRE=force")
	out, err := cmd.CombinedOutput()
	if ctx.Err() == nil && !strings.Contains(string(out), "Permission denied") {
		s.t.Fatalf("ssh as %q: got %v, want the passwords refused\n%s", user, err, out)
	}
}
