package resident

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/nettest"
)

// serve starts the server of TestMain and returns its number once it listens.
func serve(t *testing.T, cmd *exec.Cmd, address string) int {
	t.Helper()
	cmd.Env = append(os.Environ(), listenEnv+"="+address)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "listening\n" {
		t.Fatalf("the server said %q, %v", said, err)
	}
	return cmd.Process.Pid
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// eventually looks until the time for one lookup was enough, as on a busy machine it
// may not be at once; the share of all lookups does not count. Nobody else uses f.
func eventually(t *testing.T, f *Finder, look func() (Answer, error)) Answer {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		f.behind, f.process = allowance{left: burst}, allowance{left: burst}
		a, err := look()
		if !errors.Is(err, ErrBudget) && !errors.Is(err, ErrBusy) || time.Now().After(deadline) {
			if err != nil {
				t.Error(err)
			}
			return a
		}
	}
}

// inhabit gives the end of a pair one more address, that no other test has at the
// same time.
func inhabit(t *testing.T, n *nettest.Namespace) netip.Addr {
	t.Helper()
	pid := os.Getpid()
	addr := netip.AddrFrom4([4]byte{10, 77, 128 | byte(pid>>8)&127, byte(pid)})
	if out, err := n.Command(t.Context(), "ip", "addr", "add", addr.String()+"/16", "dev", n.Interface).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return addr
}

// TestRealListeners finds this very process behind sockets of its own.
func TestRealListeners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to look at connections that are tracked")
	}
	for _, network := range []string{"tcp4", "tcp6", "tcp", "udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			at, p := "", TCP
			host := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": ":0", "udp4": ":0", "udp6": "[::1]:0"}[network]
			if strings.HasPrefix(network, "udp") {
				c, err := net.ListenPacket(network, host)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				at, p = c.LocalAddr().String(), UDP
			} else {
				l, err := net.Listen(network, host)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				at = l.Addr().String()
			}
			to := netip.MustParseAddrPort(at)
			addr := to.Addr()
			if addr.IsUnspecified() {
				addr = netip.MustParseAddr("127.0.0.1")
			}
			f := System()
			got := eventually(t, f, func() (Answer, error) { return f.Behind(Endpoint{addr, to.Port(), p}) })
			if len(got.Processes) != 1 || got.Ambiguous {
				t.Fatalf("%v: got %+v, want this process", to, got)
			}
			if q := got.Processes[0]; q.PID != os.Getpid() || q.Executable != self(t) || int(q.UID) != os.Geteuid() {
				t.Errorf("%v: got %+v, want this process, %d", to, q, os.Getpid())
			}
			other := Endpoint{addr, to.Port(), (TCP | UDP) &^ p}
			if got := eventually(t, f, func() (Answer, error) { return f.Behind(other) }); got.Found() {
				t.Errorf("got %+v for the other protocol", got)
			}
		})
	}
}

// TestRealProcess finds this process by its number, and not before it began.
func TestRealProcess(t *testing.T) {
	f := System()
	name := filepath.Base(self(t))
	got := eventually(t, f, func() (Answer, error) { return f.Process(os.Getpid(), name, time.Now()) })
	if len(got.Processes) != 1 || got.Processes[0].PID != os.Getpid() {
		t.Errorf("got %+v, want this process", got)
	}
	got = eventually(t, f, func() (Answer, error) { return f.Process(os.Getpid(), name, time.Now().Add(-24*time.Hour)) })
	if got.Found() {
		t.Errorf("got %+v a day before it began", got)
	}
}

// TestRealNamespace finds a server behind the address that it has in a network
// namespace of its own, from outside and from inside.
func TestRealNamespace(t *testing.T) {
	nettest.Need(t, "nsenter", "ip")
	pair := nettest.NewPair(t)
	addr := inhabit(t, pair.Victim)
	pid := serve(t, pair.Victim.Command(t.Context(), self(t)), ":8080")
	f := System()
	got := eventually(t, f, func() (Answer, error) { return f.Behind(Endpoint{addr, 8080, TCP}) })
	if len(got.Processes) != 1 || got.Processes[0].PID != pid || got.Ambiguous || !slices.Equal(got.Via, []string{"socket"}) {
		t.Errorf("%v: got %+v, want process %d", addr, got, pid)
	}
	inside := System()
	if err := pair.Victim.Do(func() error {
		got := eventually(t, inside, func() (Answer, error) { return inside.Behind(Endpoint{pair.Victim.IP4, 8080, TCP}) })
		if len(got.Processes) != 1 || got.Processes[0].PID != pid {
			t.Errorf("from inside: got %+v, want process %d", got, pid)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRealTranslation: a port that the kernel translates leads to where it leads
// the connections.
func TestRealTranslation(t *testing.T) {
	nettest.Need(t, "nsenter", "iptables", "ip6tables")
	pair := nettest.NewPair(t)
	pid := serve(t, pair.Victim.Command(t.Context(), self(t)), ":9090")
	for _, tool := range []string{"iptables", "ip6tables"} {
		if out, err := pair.Victim.Command(t.Context(), tool, "-w", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "8080", "-j", "REDIRECT", "--to-ports", "9090").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
	}
	for _, addr := range []netip.Addr{pair.Victim.IP4, pair.Victim.IP6} {
		var c net.Conn
		if err := pair.Attacker.Do(func() (err error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err = new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, 8080).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f := System()
		if err := pair.Victim.Do(func() error {
			for port, via := range map[uint16]string{8080: "conntrack socket", 9090: "socket"} {
				got := eventually(t, f, func() (Answer, error) { return f.Behind(Endpoint{addr, port, TCP}) })
				if len(got.Processes) != 1 || got.Processes[0].PID != pid || got.Ambiguous || strings.Join(got.Via, " ") != via {
					t.Errorf("%v: got %+v, want process %d by %s", netip.AddrPortFrom(addr, port), got, pid, via)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealControlGroup puts a server into a control group as an engine would.
func TestRealControlGroup(t *testing.T) {
	root := unified(t)
	id := strings.Repeat("c3", 32)
	parent := filepath.Join(root, fmt.Sprintf("ironpost-test-%d", os.Getpid()))
	group := filepath.Join(parent, "docker-"+id+".scope")
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Skipf("needs a writable tree of control groups: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), self(t))
	t.Cleanup(func() { // after the server has ended
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
		if err := os.Remove(parent); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	pid := serve(t, cmd, at.String())
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, pid), 0o644); err != nil {
		t.Skipf("needs a writable tree of control groups: %v", err)
	}
	f := System()
	got := eventually(t, f, func() (Answer, error) { return f.Behind(Endpoint{at.Addr(), at.Port(), TCP}) })
	if want := []Container{{ID: id}}; !slices.Equal(got.Containers, want) || got.Ambiguous {
		t.Errorf("got %+v, want container %s", got, id)
	}
}

// unified returns where the unified tree of control groups is mounted.
func unified(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a control group")
	}
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	t.Skip("needs the unified tree of control groups")
	return ""
}
