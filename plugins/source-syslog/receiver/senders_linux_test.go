package receiver

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLogger receives from util-linux' logger, in each of its forms.
func TestLogger(t *testing.T) {
	if _, err := exec.LookPath("logger"); err != nil {
		t.Skip("needs logger; on Debian and Ubuntu: apt-get install bsdutils")
	}
	h := newHost()
	udp, tcp := start(t, h, nil)
	for _, c := range []struct {
		name, address, stream string
		args                  []string
	}{
		{"UDP, RFC 3164", udp, udpStream, []string{"-d", "--rfc3164"}},
		{"UDP, RFC 5424", udp, udpStream, []string{"-d", "--rfc5424"}},
		{"TCP, newline", tcp, tcpStream, []string{"-T", "--rfc5424"}},
		{"TCP, octets counted", tcp, tcpStream, []string{"-T", "--rfc5424", "--octet-count"}},
		{"TCP, RFC 3164", tcp, tcpStream, []string{"-T", "--rfc3164"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, port, err := net.SplitHostPort(c.address)
			if err != nil {
				t.Fatal(err)
			}
			before := get(h, func() int { return len(h.lines[c.stream]) })
			text := "a message by " + c.name
			args := append([]string{"-n", host, "-P", port, "-t", "tester", "-p", "auth.warning"}, c.args...)
			if out, err := exec.CommandContext(t.Context(), "logger", append(args, text)...).CombinedOutput(); err != nil {
				t.Fatalf("logger: %v\n%s", err, out)
			}
			until(t, "the message", func() bool { return get(h, func() bool { return len(h.lines[c.stream]) > before }) })
			got := get(h, func() string { return h.lines[c.stream][before] })
			if !strings.HasPrefix(got, "<36>") || !strings.HasSuffix(got, text) || !strings.Contains(got, "tester") {
				t.Errorf("got %q, want <36>, the tag and the text", got)
			}
		})
	}
}

// TestRsyslog receives what rsyslog forwards, in both framings, through a
// restart of the receiving side's connections.
func TestRsyslog(t *testing.T) {
	binary, err := exec.LookPath("rsyslogd")
	if err != nil {
		if binary = "/usr/sbin/rsyslogd"; !exists(binary) {
			t.Skip("needs rsyslogd; on Debian and Ubuntu: apt-get install rsyslog")
		}
	}
	for _, framing := range []string{"traditional", "octet-counted"} {
		t.Run(framing, func(t *testing.T) {
			h := newHost()
			_, tcp := start(t, h, nil)
			host, port, err := net.SplitHostPort(tcp)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("", "rsy") // short: sockets' paths are bounded
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			socket, config := filepath.Join(dir, "log"), filepath.Join(dir, "conf")
			text := fmt.Sprintf(`global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q CreatePath="on" RateLimit.Interval="0")
action(type="omfwd" target=%q port=%q protocol="tcp" TCP_Framing=%q template="RSYSLOG_SyslogProtocol23Format")
`, dir, socket, host, port, framing)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var output bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
			cmd.Stdout, cmd.Stderr = &output, &output
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("rsyslogd: %s", output.String())
				}
			}()
			until(t, "rsyslogd's socket", func() bool { return exists(socket) })
			conn := dial(t, "unixgram", socket)
			const lines = 2000
			stamp := time.Now().Format(time.Stamp)
			for i := range lines {
				send(t, conn, fmt.Sprintf("<13>%s tester: line %d", stamp, i))
			}
			until(t, "all lines", func() bool { return get(h, func() bool { return len(h.lines[tcpStream]) >= lines }) })
			for i, got := range get(h, func() []string { return h.lines[tcpStream] })[:lines] {
				if !strings.HasPrefix(got, "<13>1 ") || !strings.HasSuffix(got, fmt.Sprintf("line %d", i)) {
					t.Fatalf("message %d: got %q", i, got)
				}
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
