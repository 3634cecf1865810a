//go:build quiet && linux

package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// town is a host that is watched, and the machines around it. They share one
// street: a bridge, with 10.77.0.0/16 and fd77::/64.
type town struct {
	*arena
	// host is the machine that is watched: what runs beside Ironpost.
	host *machine
	// Around it.
	mirror, resolver, monitor, balancer, client, ci, gadgets *machine
	// gateway hides office, which has fifty addresses.
	gateway, office *machine
	// containers are behind a bridge of the host, cbr0.
	containers []*machine
	addrs      map[string][2]netip.Addr // by the name of the machine
	shared     string                   // a folder that all machines see
	goTool     string                   // the Go command
}

// The addresses of the street end alike in both families.
var street = map[string]int{
	"host": 2, "mirror": 10, "resolver": 53, "monitor": 90, "balancer": 80, "client": 100, "ci": 120, "gadgets": 150, "gateway": 200,
	// Second addresses, of the monitor, the balancer, the client and the runner.
	"kubelet": 91, "sentinel": 81, "backup": 101, "app": 121,
}

const (
	// accounting is the name of the chain that counts by kind of traffic.
	accounting = "quiet-day"
	// learning is how long new listeners are learned, until endLearning.
	learning = "12h"
)

// newTown makes the machines, starts what runs on them, and the host.
func newTown(t *testing.T, mode string) *town {
	t.Helper()
	pair := nettest.NewPair(t)
	shared, err := os.MkdirTemp("", "ipq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shared) })
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(shared, "key")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	log := filepath.Join(shared, "syslog")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cache, list := modules(t)
	if err := os.WriteFile(filepath.Join(shared, "modules"), []byte(strings.Join(list, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	w := &town{addrs: make(map[string][2]netip.Addr), shared: shared, goTool: goTool}
	for name, n := range street {
		w.addrs[name] = [2]netip.Addr{
			netip.MustParseAddr(fmt.Sprintf("10.77.0.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd77::%d", n)),
		}
	}
	// The attacker's end of the pair is the bridge to everybody else.
	at(t, pair.Attacker, `ip addr flush dev attack0
ip link add street0 type bridge
ip link set attack0 master street0
ip link set street0 up`)
	at(t, pair.Victim, `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip route add default via 10.77.0.10
ip link add cbr0 type bridge
ip addr add 10.88.0.1/24 dev cbr0
ip addr add fd88::1/64 dev cbr0 nodad
ip link set cbr0 up
iptables -t nat -A POSTROUTING -s 10.88.0.0/24 -o victim0 -j MASQUERADE
ip6tables -t nat -A POSTROUTING -s fd88::/64 -o victim0 -j MASQUERADE`)
	w.host = startMachine(t, "host", pair.Victim, shared, log)
	remote := "@" + pair.Victim.IP4.String()
	neighbour := func(name string) *machine {
		m := startMachine(t, name, nil, shared, remote)
		join(t, pair.Attacker, m, "street0", fmt.Sprintf("10.77.0.%d/16", street[name]), fmt.Sprintf("fd77::%d/64", street[name]))
		return m
	}
	w.mirror, w.resolver, w.monitor = neighbour("mirror"), neighbour("resolver"), neighbour("monitor")
	w.balancer, w.client, w.ci, w.gadgets, w.gateway = neighbour("balancer"), neighbour("client"), neighbour("ci"), neighbour("gadgets"), neighbour("gateway")
	for name, m := range map[string]*machine{"kubelet": w.monitor, "sentinel": w.balancer, "backup": w.client, "app": w.ci} {
		// No program takes one that it does not ask for.
		m.must(fmt.Sprintf("ip addr add %v/16 dev eth0; ip addr add %v/64 dev eth0 nodad preferred_lft 0", w.addrs[name][0], w.addrs[name][1]))
	}
	for i := range 3 {
		c := startMachine(t, fmt.Sprintf("container%d", i), nil, shared, "@10.88.0.1")
		join(t, pair.Victim, c, "cbr0", fmt.Sprintf("10.88.0.%d/24", 11+i), fmt.Sprintf("fd88::%d/64", 11+i))
		c.must("ip route add default via 10.88.0.1; ip -6 route add default via fd88::1")
		w.containers = append(w.containers, c)
	}
	w.office = startMachine(t, "office", nil, shared, remote)
	w.buildOffice(pair.Attacker)
	w.account(pair.Victim)

	w.mirror.must(fmt.Sprintf("echo %q >/run/modules", cache))
	for _, m := range []*machine{w.resolver, w.mirror, w.host, w.client, w.gadgets} {
		m.serve()
	}
	w.resolver.ready("dig +short +tries=1 +time=1 @127.0.0.1 a.example.test")
	w.mirror.listens(22, 80, 2222, 5201, 8081, 8082, 9418)
	w.host.listens(22, 53, 80, 5201, 5202, 6379, 8001, 8443, 9100)
	w.client.ready("test -e /run/ready")
	// The bounds of logins are ten times as high while an interface is new
	// (35 minutes); a tenth of the shipped rates makes them those of later.
	w.arena = newArena(t, pair, hosttest.Options{
		Plugins: []string{
			"source-file", "source-syslog", "parser-syslog", "detector-rules", "detector-network", "enforcer-xdp", "sink-sqlite",
		},
		Env: []string{"IRONPOST_EBPF_INTERFACE=victim0,cbr0", "IRONPOST_GENERAL_MODE=" + mode},
		Config: fmt.Sprintf(`
[metrics]
listen = "10.77.0.2:9464"
[source_file]
paths = [%q]
[source_syslog]
listen = ["udp://0.0.0.0:514"]
[rules]
paths = [%q]
[detector_network]
login_rate = 6
database_rate = 60
listener_learning = %q
[enforcer_xdp]
min_severity = "informational"
`, log, filepath.Join(hosttest.Root(), "rules"), learning),
	})
	w.monitor.serve()
	w.balancer.serve()
	w.monitor.listens(9090)
	w.balancer.listens(8000, 8100)
	return w
}

// serve starts what runs on a machine: testdata/quiet/NAME.sh.
func (m *machine) serve() {
	m.t.Helper()
	script, err := os.ReadFile("testdata/quiet/" + m.name + ".sh")
	if err != nil {
		m.t.Fatal(err)
	}
	m.daemon(string(script))
}

// at runs a script in a network namespace.
func at(t *testing.T, n *nettest.Namespace, script string) {
	t.Helper()
	if out, err := n.Command(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
}

// join connects a machine to a bridge in a network namespace.
func join(t *testing.T, n *nettest.Namespace, m *machine, bridge, four, six string) {
	t.Helper()
	at(t, n, fmt.Sprintf(`ip link add %[1]s type veth peer name eth0 netns %[2]d
ip link set %[1]s master %[3]s
ip link set %[1]s up`, m.name, m.init, bridge))
	m.must(fmt.Sprintf(`ip addr add %s dev eth0
ip addr add %s dev eth0 nodad
ip link set eth0 up`, four, six))
}

// buildOffice puts the office behind its gateway.
func (w *town) buildOffice(n *nettest.Namespace) {
	at(w.gateway.t, n, fmt.Sprintf("ip link add inside type veth peer name eth0 netns %d; ip link set inside netns %d", w.office.init, w.gateway.init))
	w.gateway.must(`sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip addr add 10.79.0.1/24 dev inside
ip addr add fd79::1/64 dev inside nodad
ip link set inside up
iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
ip6tables -t nat -A POSTROUTING -o eth0 -j MASQUERADE`)
	w.office.must(`ip link set eth0 up
for i in $(seq 11 60); do ip addr add 10.79.0.$i/24 dev eth0; ip addr add fd79::$i/64 dev eth0 nodad; done
ip route add default via 10.79.0.1
ip -6 route add default via fd79::1`)
}

// account makes the kernel count what arrives by kind of traffic: packets, and
// TCP connections (the SYNs to this host and the answers to its own).
func (w *town) account(n *nettest.Namespace) {
	var script strings.Builder
	for _, tables := range []string{"iptables", "ip6tables"} {
		fmt.Fprintf(&script, "%s -t raw -N %s\n", tables, accounting)
		for _, in := range []string{"victim0", "cbr0"} {
			fmt.Fprintf(&script, "%[1]s -t raw -A PREROUTING -i %[2]s -j %[3]s\n", tables, in, accounting)
		}
		for _, k := range kinds {
			for _, match := range k.matches {
				match, ok := w.match(match, tables == "ip6tables")
				if !ok {
					continue
				}
				rule := fmt.Sprintf("%s -t raw -A %s %s", tables, accounting, match)
				if strings.Contains(match, "-p tcp") {
					fmt.Fprintf(&script, "%s --tcp-flags SYN SYN -m comment --comment 'connections|%s'\n", rule, k.name)
				}
				fmt.Fprintf(&script, "%s -m comment --comment 'packets|%s' -j RETURN\n", rule, k.name)
			}
		}
		fmt.Fprintf(&script, "%s -t raw -A %s -m comment --comment 'packets|%s' -j RETURN\n", tables, accounting, otherTraffic)
	}
	at(w.host.t, n, script.String())
}

// match puts the addresses of one family in the place of names such as @mirror.
func (w *town) match(match string, six bool) (string, bool) {
	family := 0
	if six {
		family = 1
		match = strings.ReplaceAll(match+" ", "-p icmp ", "-p icmpv6 ")
	}
	match = strings.ReplaceAll(match, "@containers", []string{"10.88.0.0/24", "fd88::/64"}[family])
	for name, addrs := range w.addrs {
		match = strings.ReplaceAll(match, "@"+name, addrs[family].String())
	}
	match, only6 := strings.CutPrefix(match, "6:")
	return strings.TrimSpace(match), six || !only6
}

// tally is what the kernel counted of one kind of traffic.
type tally struct{ packets, connections uint64 }

// tallies reads the counters of account.
func (w *town) tallies() map[string]tally {
	w.t.Helper()
	all := make(map[string]tally)
	for _, tables := range []string{"iptables-save", "ip6tables-save"} {
		out, err := w.Victim.Command(context.Background(), tables, "-c", "-t", "raw").Output()
		if err != nil {
			w.t.Fatalf("%s: %v", tables, err)
		}
		for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
			counted, rest, _ := strings.Cut(strings.TrimPrefix(s.Text(), "["), ":")
			_, comment, ok := strings.Cut(rest, `--comment "`)
			n, err := strconv.ParseUint(counted, 10, 64)
			if !ok || err != nil {
				continue
			}
			comment, _, _ = strings.Cut(comment, `"`)
			what, name, _ := strings.Cut(comment, "|")
			one := all[name]
			if what == "packets" {
				one.packets += n
			} else {
				one.connections += n
			}
			all[name] = one
		}
	}
	return all
}
