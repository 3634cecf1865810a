//go:build quiet && linux

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// site is a server that is watched, as Debian sets one up, and the desk from
// which it is used.
type site struct {
	*nettest.Pair
	t            *testing.T
	server, desk *machine
	shared       string // a folder that both machines see; in it /var/log of the server
	watchers     []*watcher
}

// watcher is a host that reads the server's logs. Journal and files of syslog hold
// the same lines, so each reads the ones or the others, as ironpost setup would.
type watcher struct {
	*arena
	name   string
	files  []string // below /var/log
	want   []string // sources that have to deliver
	events string   // the file of sink-file
}

// ownLogs are the files that programs write by themselves, below /var/log.
var ownLogs = []string{"apt/history.log", "apt/term.log", "dpkg.log", "nginx/access.log", "nginx/error.log", "postgresql/postgresql-main.log"}

// unreadLogs are those of ownLogs whose form no shipped parser knows: their lines
// pass as they are.
var unreadLogs = []string{"apt/history.log", "apt/term.log"}

// newSite starts the machines, a dockerd for the server, and two hosts with every
// rule: one with every plugin, on the journal, and one on the files of rsyslog.
func newSite(t *testing.T) *site {
	t.Helper()
	pair := nettest.NewPair(t)
	shared, err := os.MkdirTemp("", "ipq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shared) })
	s := &site{Pair: pair, t: t, shared: shared}
	log := filepath.Join(shared, "log")
	if err := os.Mkdir(log, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(shared, "key")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	// The attacker's end of the pair is the bridge to the desk.
	at(t, pair.Attacker, `ip addr flush dev attack0
ip link add street0 type bridge
ip link set attack0 master street0
ip link set street0 up`)
	s.server = startMachine(t, "server", pair.Victim, shared, "-")
	s.desk = startMachine(t, "desk", nil, shared, "-")
	join(t, pair.Attacker, s.desk, "street0", "10.77.0.100/16", "fd77::100/64")
	s.server.must(fmt.Sprintf("echo %q >/run/quiet", shared))
	s.server.serve()
	docker := s.startDocker()
	s.server.ready("test -e /run/ready")
	s.server.listens(22, 25, 80, 993, 5432)

	all := watcher{name: "journal", files: ownLogs, want: []string{"source-file", "source-journald", "source-docker", "source-syslog"}}
	s.watch(all, hosttest.Options{Env: []string{"IRONPOST_GENERAL_MODE=enforce"}}, fmt.Sprintf(`
docker_socket = %q
[ebpf]
interface = ["victim0"]
[source_journald]
start = "beginning"
[source_syslog]
listen = ["udp://0.0.0.0:514"]
[detector_network]
# The bounds of logins are those of later; see newTown.
login_rate = 6
database_rate = 60
`, docker.Socket))
	files := watcher{name: "files", files: append([]string{"auth.log", "syslog"}, ownLogs...), want: []string{"source-file"}}
	s.watch(files, hosttest.Options{Plugins: []string{
		"source-file", "parser-syslog", "parser-json", "parser-kv", "parser-text", "parser-web", "detector-rules", "sink-file", "sink-sqlite",
	}}, "")
	s.server.daemon("cron -f")
	s.desk.serve()
	s.desk.ready("test -e /run/ready")
	return s
}

// startDocker starts a dockerd that the server sees.
func (s *site) startDocker() *hosttest.Docker {
	s.t.Helper()
	log := filepath.Join(s.shared, "dockerd.log")
	s.t.Cleanup(func() {
		if b, err := os.ReadFile(log); err == nil && s.t.Failed() {
			s.t.Logf("end of the output of dockerd:\n%s", b[max(0, len(b)-8192):])
		}
	})
	return hosttest.StartDocker(s.t, func(name string, args ...string) *exec.Cmd {
		// It ends with this process. A session of its own, and a log that is no pipe to
		// this process, leave it the time to end its containers then.
		return s.Victim.Command(context.Background(), "setsid", append([]string{"sh", "-c", `exec "$@" >"$0" 2>&1`, log, name}, args...)...)
	}, "--bridge=none", "--iptables=false", "--ip6tables=false", "--host", "unix://"+filepath.Join(s.shared, "docker.sock"))
}

// watch starts a host on the logs of the server; section is added to its
// configuration, in the table [plugins] at first.
func (s *site) watch(w watcher, o hosttest.Options, section string) {
	s.t.Helper()
	// The server's logs lie where they belong for the host, and no journal but the
	// server's does.
	o.Command = func(name string, args ...string) *exec.Cmd {
		script := `mount --bind "$0" /var/log && if [ -d /run/log ]; then mount -t tmpfs none /run/log; fi && exec "$@"`
		// Not the test's context: the harness ends the host after it.
		cmd := s.Victim.Command(context.Background(), "unshare", append([]string{"--mount", "sh", "-ec", script, filepath.Join(s.shared, "log"), name}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	o.NoStart = true
	w.arena = &arena{t: s.t, Pair: s.Pair, Host: hosttest.Start(s.t, o)}
	w.events = filepath.Join(w.Dir, "events", "log")
	text, err := os.ReadFile(w.ConfigFile())
	if err != nil {
		s.t.Fatal(err)
	}
	paths := make([]string, len(w.files))
	for i, name := range w.files {
		paths[i] = fmt.Sprintf("%q", filepath.Join("/var/log", name))
	}
	w.WriteConfig(strings.TrimSpace(string(text)) + fmt.Sprintf(`%s
[source_file]
paths = [%s]
start = "beginning"
[rules]
paths = [%q]
[sink_file]
path = %q
kinds = ["log"]
`, section, strings.Join(paths, ", "), filepath.Join(hosttest.Root(), "rules"), w.events))
	w.Start()
	var plugins []hosttest.Plugin
	w.JSON(&plugins, "plugin", "list")
	for _, p := range plugins {
		w.Wait(time.Minute, p.Name+" runs", func() bool { return w.Plugin(p.Name).State == "running" })
	}
	s.watchers = append(s.watchers, &w)
}

// lines returns how many lines the server wrote into a log, those that were
// rotated away and compressed since included.
func (s *site) lines(name string) (n int) {
	s.t.Helper()
	path := filepath.Join(s.shared, "log", name)
	out, err := exec.Command("sh", "-c", `for f in "$0" "$0".*; do case $f in *.gz) zcat "$f" ;; *) cat "$f" ;; esac; done 2>/dev/null | wc -l`, path).Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &n)
	}
	if err != nil {
		s.t.Fatalf("count the lines of %s: %v", name, err)
	}
	return n
}

// journaled returns how many entries the journal of the server has.
func (s *site) journaled() (n int) {
	s.t.Helper()
	out := s.server.must("journalctl --quiet --no-pager --output=json | wc -l")
	if _, err := fmt.Sscan(out, &n); err != nil {
		s.t.Fatalf("count the entries of the journal: %v in %q", err, out)
	}
	return n
}
