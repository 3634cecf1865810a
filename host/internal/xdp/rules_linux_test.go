//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// prefixes parses a list.
func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// tcpFrom and udpFrom build headers with both ports.
func tcpFrom(source, port uint16, flags byte) []byte {
	b := tcp(port, flags)
	binary.BigEndian.PutUint16(b, source)
	return b
}

func udpFrom(source, port uint16) []byte {
	b := udp(0)
	binary.BigEndian.PutUint16(b, source)
	binary.BigEndian.PutUint16(b[2:], port)
	return b
}

// TestRules holds golden packets for each condition of a rule.
func TestRules(t *testing.T) {
	four := func(protocol int, fragment uint16, payload []byte) []byte {
		return frame(0x0800, ip4(attacker4, 5, protocol, fragment, payload))
	}
	six := func(next int, payload []byte) []byte { return frame(0x86dd, ip6(attacker6, next, payload)) }
	fragment6 := func(next byte, offset uint16, payload []byte) []byte {
		b := []byte{next, 0, 0, 0, 0, 0, 0, 9}
		binary.BigEndian.PutUint16(b[2:], offset)
		return six(44, join(b, payload))
	}
	var deep []byte // nine extension headers, one more than is followed
	for range 8 {
		deep = append(deep, extension(60, 0)...)
	}
	deep = join(deep, extension(6, 0), tcp(22, 2))
	const (
		syn, ack, synack = 2, 16, 18
		first            = 0x2000 // more fragments
	)
	ssh, web := []PortRange{{22, 22}}, []PortRange{{80, 80}, {8000, 8100}}
	f := newFilter(t, Config{MaxEntries: 16})
	for _, tt := range []struct {
		name  string
		rule  Rule
		frame []byte
		want  bool
	}{
		{"from", Rule{From: prefixes("203.0.113.0/24")}, four(6, 0, tcp(22, ack)), true},
		{"from, outside", Rule{From: prefixes("203.0.112.0/24")}, four(6, 0, tcp(22, ack)), false},
		{"from, one of several", Rule{From: prefixes("10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32")}, four(47, 0, nil), true},
		{"from, nested", Rule{From: prefixes("203.0.0.0/16", "203.0.113.0/30")}, four(6, 0, tcp(22, ack)), true},
		{"from all of IPv4", Rule{From: prefixes("0.0.0.0/0")}, four(6, 0, tcp(22, ack)), true},
		{"from all of IPv4 is not IPv6", Rule{From: prefixes("0.0.0.0/0")}, six(6, tcp(22, ack)), false},
		{"from all of IPv6", Rule{From: prefixes("::/0")}, six(6, tcp(22, ack)), true},
		{"from all of IPv6 is not IPv4", Rule{From: prefixes("::/0")}, four(6, 0, tcp(22, ack)), false},
		{"from 6", Rule{From: prefixes("2001:db8:1:2::/64")}, six(17, udp(3)), true},
		{"from 6, host", Rule{From: prefixes("2001:db8:1:2::7/128")}, six(17, udp(3)), true},
		{"from 6, neighbour", Rule{From: prefixes("2001:db8:1:2::6/128")}, six(17, udp(3)), false},
		{"to", Rule{To: prefixes("192.0.2.1/32")}, four(6, 0, tcp(22, ack)), true},
		{"to, outside", Rule{To: prefixes("192.0.2.2/32")}, four(6, 0, tcp(22, ack)), false},
		{"to is not from", Rule{To: prefixes("203.0.113.7/32")}, four(6, 0, tcp(22, ack)), false},
		{"to 6", Rule{To: prefixes("2001:db8:ffff::/48")}, six(58, make([]byte, 8)), true},
		{"from and to", Rule{From: prefixes("203.0.113.7/32"), To: prefixes("192.0.2.0/24")}, four(6, 0, tcp(22, ack)), true},
		{"from and another to", Rule{From: prefixes("203.0.113.7/32"), To: prefixes("192.0.3.0/24")}, four(6, 0, tcp(22, ack)), false},
		{"another from and to", Rule{From: prefixes("203.0.113.8/32"), To: prefixes("192.0.2.0/24")}, four(6, 0, tcp(22, ack)), false},

		{"tcp", Rule{Protocol: ProtocolTCP}, four(6, 0, tcp(22, ack)), true},
		{"tcp, syn", Rule{Protocol: ProtocolTCP}, six(6, tcp(22, syn)), true},
		{"tcp is not udp", Rule{Protocol: ProtocolTCP}, four(17, 0, udp(3)), false},
		{"tcp-syn", Rule{Protocol: ProtocolTCPSYN}, four(6, 0, tcp(22, syn)), true},
		{"tcp-syn with PSH", Rule{Protocol: ProtocolTCPSYN}, four(6, 0, tcp(22, syn|8)), true},
		{"tcp-syn is no answer", Rule{Protocol: ProtocolTCPSYN}, four(6, 0, tcp(22, synack)), false},
		{"tcp-syn is no ack", Rule{Protocol: ProtocolTCPSYN}, four(6, 0, tcp(22, ack)), false},
		{"udp", Rule{Protocol: ProtocolUDP}, six(17, udp(3)), true},
		{"udp that reflects", Rule{Protocol: ProtocolUDP}, four(17, 0, udpFrom(123, 9)), true},
		{"udp is not icmp", Rule{Protocol: ProtocolUDP}, four(1, 0, make([]byte, 8)), false},
		{"icmp", Rule{Protocol: ProtocolICMP}, four(1, 0, make([]byte, 8)), true},
		{"icmp over ip6 is other", Rule{Protocol: ProtocolICMP}, six(1, make([]byte, 8)), false},
		{"icmpv6", Rule{Protocol: ProtocolICMPv6}, six(58, make([]byte, 8)), true},
		{"icmpv6 over ip4 is other", Rule{Protocol: ProtocolOther}, four(58, 0, make([]byte, 8)), true},
		{"other", Rule{Protocol: ProtocolOther}, four(47, 0, make([]byte, 8)), true},
		{"other is not tcp", Rule{Protocol: ProtocolOther}, four(6, 0, tcp(22, ack)), false},
		{"any with an address", Rule{From: prefixes("203.0.113.7/32"), Protocol: ProtocolAny}, four(47, 0, nil), true},

		{"port", Rule{Ports: ssh}, four(6, 0, tcp(22, ack)), true},
		{"port of udp", Rule{Ports: ssh}, four(17, 0, udpFrom(9, 22)), true},
		{"another port", Rule{Ports: ssh}, four(6, 0, tcp(23, ack)), false},
		{"port is not the source's", Rule{Ports: ssh}, four(6, 0, tcpFrom(22, 9, ack)), false},
		{"first of a range", Rule{Ports: web}, four(6, 0, tcp(8000, ack)), true},
		{"last of a range", Rule{Ports: web}, six(6, tcp(8100, ack)), true},
		{"behind a range", Rule{Ports: web}, four(6, 0, tcp(8101, ack)), false},
		{"port 0", Rule{Ports: []PortRange{{0, 0}}}, four(6, 0, tcp(0, ack)), true},
		{"port 65535", Rule{Ports: []PortRange{{65535, 65535}}}, four(6, 0, tcp(65535, ack)), true},
		{"all ports are ports", Rule{Ports: []PortRange{{0, 65535}}}, four(1, 0, make([]byte, 8)), false},
		{"source port", Rule{SourcePorts: ssh}, four(17, 0, udpFrom(22, 9)), true},
		{"another source port", Rule{SourcePorts: ssh}, four(17, 0, udpFrom(23, 22)), false},
		{"both ports", Rule{Ports: web, SourcePorts: ssh}, four(6, 0, tcpFrom(22, 8050, ack)), true},
		{"both ports, one wrong", Rule{Ports: web, SourcePorts: ssh}, four(6, 0, tcpFrom(21, 8050, ack)), false},
		{"port and protocol", Rule{Ports: ssh, Protocol: ProtocolUDP}, four(6, 0, tcp(22, ack)), false},
		{"everything", Rule{
			From: prefixes("203.0.113.0/24"), To: prefixes("192.0.2.0/24"), Protocol: ProtocolTCPSYN, Ports: ssh, SourcePorts: []PortRange{{1024, 65535}},
		}, four(6, 0, tcp(22, syn)), true},

		{"first fragment, port", Rule{Ports: ssh}, four(6, first, tcp(22, ack)), true},
		{"first fragment of a datagram, port", Rule{Ports: ssh}, four(17, first, udpFrom(9, 22)), true},
		// Eight bytes of TCP are the least a fragment can have: the ports are in it.
		{"tiny first fragment, port", Rule{Ports: ssh}, four(6, first, tcp(22, ack)[:8]), true},
		{"tiny first fragment, another port", Rule{Ports: ssh}, four(6, first, tcp(23, ack)[:8]), false},
		{"tiny first fragment may be a syn", Rule{Protocol: ProtocolTCPSYN}, four(6, first, tcp(22, ack)[:8]), true},
		{"less than ports", Rule{Ports: ssh}, four(6, 0, tcp(22, ack)[:3]), false},
		{"less than ports, protocol", Rule{Protocol: ProtocolTCP}, four(6, 0, tcp(22, ack)[:3]), true},
		{"less than ports is no syn", Rule{Protocol: ProtocolTCPSYN}, four(6, 0, tcp(22, ack)[:3]), false},
		{"later fragment, port", Rule{Ports: ssh}, four(6, 1, tcp(22, ack)), false},
		{"later fragment, source port", Rule{SourcePorts: ssh}, four(6, 1, tcpFrom(22, 9, ack)), false},
		{"later fragment, protocol", Rule{Protocol: ProtocolTCP}, four(6, 1, tcp(22, ack)), true},
		{"later fragment is no syn", Rule{Protocol: ProtocolTCPSYN}, four(6, 1, tcp(22, syn)), false},
		{"later fragment, addresses", Rule{From: prefixes("203.0.113.7/32")}, four(17, 0x1fff, nil), true},
		{"first fragment 6, port", Rule{Ports: ssh}, fragment6(6, 1, tcp(22, ack)), true},
		{"later fragment 6, port", Rule{Ports: ssh}, fragment6(6, 9, tcp(22, ack)), false},
		{"later fragment 6, protocol", Rule{Protocol: ProtocolUDP}, fragment6(17, 8, nil), true},
		{"behind extension headers", Rule{Ports: ssh, Protocol: ProtocolTCPSYN}, six(0, join(extension(60, 1), extension(6, 0), tcp(22, syn))), true},
		{"too deep to read, port", Rule{Ports: web}, six(60, deep), true},
		{"too deep to read, protocol", Rule{Protocol: ProtocolICMPv6}, six(60, deep), true},
		{"too deep to read, other addresses", Rule{From: prefixes("2001:db9::/32"), Ports: ssh}, six(60, deep), false},

		{"tcp offset, port", Rule{Ports: ssh}, four(6, 0, append(tcp(22, ack)[:12], 0x40, ack, 0, 0, 0, 0, 0, 0)), true},
		{"udp length, port", Rule{Ports: ssh}, four(17, 0, join([]byte{0, 9, 0, 22, 0, 99, 0, 0}, make([]byte, 2))), true},
		{"total length, port", Rule{Ports: ssh}, four(6, 0, tcp(22, ack))[:14+30], false},
		{"total length, protocol", Rule{Protocol: ProtocolTCP}, four(6, 0, tcp(22, ack))[:14+30], true},
		{"ip header cut", Rule{From: prefixes("203.0.113.0/24")}, four(6, 0, tcp(22, ack))[:14+19], false},
		{"arp", Rule{From: prefixes("0.0.0.0/0")}, frame(0x0806, make([]byte, 28)), false},
		{"vlan", Rule{Ports: ssh}, frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(22, ack)), 0x8100), true},
		{"qinq", Rule{Ports: ssh}, frame(0x86dd, ip6(attacker6, 6, tcp(22, ack)), 0x88a8, 0x8100), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := f.SetRules([]Rule{tt.rule}); err != nil {
				t.Fatal(err)
			}
			before, err := f.Stats()
			if err != nil {
				t.Fatal(err)
			}
			want := "passed"
			if tt.want {
				want = "dropped"
			}
			if got := inspect(t, f, tt.frame); got.Verdict != want || got.Dropped != tt.want {
				t.Errorf("got %s (%v), want %s", got.Verdict, got.Dropped, want)
			}
			stats, err := f.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if got := stats.Drops["rule"].Packets > before.Drops["rule"].Packets; got != tt.want {
				t.Errorf("got drops %v after %v, want one more for a rule: %v", stats.Drops, before.Drops, tt.want)
			}
		})
	}
}

// TestRuleOrder: which of several rules, and of the lists, decides.
func TestRuleOrder(t *testing.T) {
	wide, narrow := prefixes("203.0.0.0/16"), prefixes("203.0.113.0/24")
	host := netip.MustParsePrefix(attacker4 + "/32")
	monitor := func(r Rule) Rule { r.Action = ActionMonitor; return r }
	dry := func(r Rule) Rule { r.DryRun = true; return r }
	for _, tt := range []struct {
		name     string
		entry    *Entry
		allow    bool
		simulate bool
		rules    []Rule // with IDs from 1
		want     string
		hits     []uint64
	}{
		{name: "lower priority", rules: []Rule{{From: narrow, Priority: 20}, monitor(Rule{From: wide, Priority: 10})}, want: "monitored", hits: []uint64{0, 1}},
		{name: "longer prefix", rules: []Rule{{From: wide}, monitor(Rule{From: narrow})}, want: "monitored", hits: []uint64{0, 1}},
		{name: "both addresses", rules: []Rule{monitor(Rule{From: narrow}), {From: wide, To: prefixes("192.0.2.0/24")}}, want: "dropped", hits: []uint64{0, 1}},
		{name: "narrower protocol", rules: []Rule{{From: wide}, monitor(Rule{From: wide, Protocol: ProtocolTCP})}, want: "monitored", hits: []uint64{0, 1}},
		{name: "part of a protocol", rules: []Rule{{Protocol: ProtocolTCP}, monitor(Rule{Protocol: ProtocolTCPSYN})}, want: "monitored", hits: []uint64{0, 1}},
		{name: "fewer ports", rules: []Rule{{Ports: []PortRange{{0, 1023}}}, monitor(Rule{Ports: []PortRange{{22, 22}}})}, want: "monitored", hits: []uint64{0, 1}},
		{name: "older", rules: []Rule{monitor(Rule{From: wide, Ports: []PortRange{{22, 22}}}), {From: wide, Ports: []PortRange{{22, 22}}}}, want: "monitored", hits: []uint64{1, 0}},
		{name: "expired", rules: []Rule{monitor(Rule{From: narrow, TTL: 1}), {From: wide}}, want: "dropped", hits: []uint64{1}},
		{name: "expired alone", allow: true, rules: []Rule{{From: narrow, TTL: 1}}, want: "passed"},
		{name: "dry run does not shield", rules: []Rule{dry(Rule{From: narrow}), {From: wide}}, want: "dropped", hits: []uint64{1, 1}},
		{name: "dry run alone", rules: []Rule{dry(Rule{From: narrow})}, want: "would_drop", hits: []uint64{1}},
		{name: "simulated", simulate: true, rules: []Rule{{From: narrow}, {From: wide}}, want: "would_drop", hits: []uint64{1, 0}},
		{name: "within a limit", rules: []Rule{{From: narrow, Limit: 10}, {From: wide}}, want: "passed", hits: []uint64{1, 0}},
		{name: "allowed", allow: true, rules: []Rule{{From: narrow}}, want: "allowed", hits: []uint64{0}},
		{name: "listed to drop", entry: &Entry{}, rules: []Rule{{From: narrow}}, want: "dropped", hits: []uint64{0}},
		{name: "listed to drop, simulated", entry: &Entry{}, simulate: true, rules: []Rule{{From: narrow}}, want: "would_drop", hits: []uint64{0}},
		{name: "listed and allowed", entry: &Entry{}, allow: true, rules: []Rule{{From: narrow}}, want: "allowed", hits: []uint64{0}},
		{name: "listed to monitor", entry: &Entry{Action: ActionMonitor}, rules: []Rule{{From: narrow}}, want: "dropped", hits: []uint64{1}},
		{name: "listed to monitor, no match", entry: &Entry{Action: ActionMonitor}, rules: []Rule{{To: narrow}}, want: "monitored", hits: []uint64{0}},
		{name: "listed to monitor, within a limit", entry: &Entry{Action: ActionMonitor}, rules: []Rule{{From: narrow, Limit: 10}}, want: "monitored", hits: []uint64{1}},
		{name: "listed to limit", entry: &Entry{Limit: 10}, rules: []Rule{{From: narrow}}, want: "dropped", hits: []uint64{1}},
		{name: "listed for a dry run", entry: &Entry{DryRun: true}, rules: []Rule{{From: narrow}}, want: "dropped", hits: []uint64{1}},
		{name: "listed for a dry run, monitored", entry: &Entry{DryRun: true}, rules: []Rule{monitor(Rule{From: narrow})}, want: "would_drop", hits: []uint64{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, Config{MaxEntries: 16, Simulate: tt.simulate})
			if tt.entry != nil {
				tt.entry.Prefix = host
				if err := f.Put(*tt.entry); err != nil {
					t.Fatal(err)
				}
			}
			if tt.allow {
				if err := f.SetAllow(host); err != nil {
					t.Fatal(err)
				}
			}
			for i := range tt.rules {
				tt.rules[i].ID = uint32(i)
			}
			if err := f.SetRules(tt.rules); err != nil {
				t.Fatal(err)
			}
			// A TTL of a nanosecond is over at the next tick of the kernel's clock.
			tick := now() + uint64(20*time.Millisecond)
			poll(t, "a tick", func() bool { return now() > tick })
			if got := inspect(t, f, syn4(attacker4)).Verdict; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			got, err := f.Rules()
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b Rule) int { return int(a.ID) - int(b.ID) })
			var hits []uint64
			for _, r := range got {
				hits = append(hits, r.Hits)
			}
			if !slices.Equal(hits, tt.hits) {
				t.Errorf("got hits %v, want %v", hits, tt.hits)
			}
		})
	}
}

// TestSetRules replaces sets: what stays keeps its counts.
func TestSetRules(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	ssh := Rule{ID: 1, Protocol: ProtocolTCP, Ports: []PortRange{{First: 22, Last: 22}}, Action: ActionDrop}
	udp53 := Rule{ID: 2, Protocol: ProtocolUDP, Ports: []PortRange{{First: 53, Last: 53}}, Action: ActionDrop}
	set := func(rules ...Rule) {
		t.Helper()
		if err := f.SetRules(rules); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...Rule) {
		t.Helper()
		got, err := f.Rules()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	counted := func(r Rule, hits, drops, wouldDrops uint64) Rule {
		r.Hits, r.Drops, r.WouldDrops = hits, drops, wouldDrops
		return r
	}
	check()
	set(ssh)
	for range 3 {
		run(t, f, syn4(attacker4))
	}
	check(counted(ssh, 3, 3, 0))
	set(udp53, ssh)
	run(t, f, syn4(attacker4))
	check(counted(udp53, 0, 0, 0), counted(ssh, 4, 4, 0))
	dry := ssh
	dry.DryRun, dry.Hits = true, 99 // read only
	set(dry)
	run(t, f, syn4(attacker4))
	check(counted(dry, 5, 4, 1))
	monitored := ssh
	monitored.Action = ActionMonitor
	set(monitored)
	run(t, f, syn4(attacker4))
	check(counted(monitored, 6, 4, 1))
	// Another number or another condition is another rule, and one that comes back is new.
	other := ssh
	other.ID = 9
	set(other)
	check(counted(other, 0, 0, 0))
	set()
	check()
	if drops(t, f, netip.MustParseAddr(attacker4)) {
		t.Error("a packet is dropped without rules")
	}
	set(ssh)
	check(counted(ssh, 0, 0, 0))
	// As many as there can be, twice over.
	for range 3 {
		var many []Rule
		for i := range MaxRules {
			port := uint16(1000 + i)
			many = append(many, Rule{ID: uint32(i), Ports: []PortRange{{port, port}}})
		}
		set(many...)
		for i := range MaxRules {
			code, err := f.program.Run(&ebpf.RunOptions{Data: frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(uint16(1000+i), 2)))})
			if err != nil || code != xdpDrop {
				t.Fatalf("rule %d: the program returned %d, %v", i, code, err)
			}
		}
	}
}

func TestRuleErrors(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	good := Rule{Protocol: ProtocolUDP}
	if err := f.SetRules([]Rule{good}); err != nil {
		t.Fatal(err)
	}
	many := make([]netip.Prefix, 3000)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32)
	}
	for _, tt := range []struct {
		name  string
		rules []Rule
		want  error
	}{
		{"no condition", []Rule{{}}, ErrInvalid},
		{"no prefix", []Rule{{From: []netip.Prefix{{}}}}, ErrInvalid},
		{"two families", []Rule{{From: prefixes("10.0.0.0/8"), To: prefixes("2001:db8::/32")}}, ErrInvalid},
		{"unknown protocol", []Rule{{Protocol: 7}}, ErrInvalid},
		{"ports of icmp", []Rule{{Protocol: ProtocolICMP, Ports: []PortRange{{1, 1}}}}, ErrInvalid},
		{"range backwards", []Rule{{Ports: []PortRange{{2, 1}}}}, ErrInvalid},
		{"nine ranges", []Rule{{Ports: make([]PortRange, 9)}}, ErrInvalid},
		{"negative ttl", []Rule{{Protocol: ProtocolUDP, TTL: -1}}, ErrInvalid},
		{"unknown action", []Rule{{Protocol: ProtocolUDP, Action: 4}}, ErrInvalid},
		{"limit of nothing", []Rule{{Protocol: ProtocolUDP, Action: ActionLimit}}, ErrInvalid},
		{"limit to drop", []Rule{{Protocol: ProtocolUDP, Action: ActionDrop, Limit: 1}}, ErrInvalid},
		{"burst to monitor", []Rule{{Protocol: ProtocolUDP, Action: ActionMonitor, Burst: 1}}, ErrInvalid},
		{"limit too high", []Rule{{Protocol: ProtocolUDP, Limit: MaxLimit + 1}}, ErrInvalid},
		{"burst too large", []Rule{{Protocol: ProtocolUDP, Limit: 1, Burst: MaxBurst + 1}}, ErrInvalid},
		{"the second is wrong", []Rule{good, {}}, ErrInvalid},
		{"too many rules", slices.Repeat([]Rule{good}, MaxRules+1), ErrFull},
		{"too many prefixes", []Rule{{From: many}, {To: many}}, ErrFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := f.SetRules(tt.rules); !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if got, err := f.Rules(); err != nil || len(got) != 1 || got[0].Protocol != ProtocolUDP {
				t.Errorf("got rules %v, %v, want those of before", got, err)
			}
		})
	}
	if err := f.SetRules([]Rule{{From: many}}); err != nil {
		t.Fatal(err)
	}
	if err := f.SetRules([]Rule{{To: many}}); err != nil {
		t.Errorf("got error %v for a set in the place of another of the same size", err)
	}
}

// TestRulesProperty compares the filter with the plain reading of its contract,
// for random lists, rules and packets, whole and broken.
func TestRulesProperty(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 2 // the kernel's program is the same under the race detector
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			f := newFilter(t, Config{MaxEntries: 1024})
			for round := range 6 {
				w := &world{entries: map[netip.Prefix]Entry{}, simulate: random.IntN(4) == 0}
				if err := f.SetSimulate(w.simulate); err != nil {
					t.Fatal(err)
				}
				w.randomise(random)
				var entries []Entry
				for _, e := range w.entries {
					entries = append(entries, e)
				}
				if err := errors.Join(f.Replace(entries), f.ReplaceAllow(w.allowed), f.SetRules(w.rules)); err != nil {
					t.Fatal(err)
				}
				w.sort()
				before, err := f.Rules()
				if err != nil {
					t.Fatal(err)
				}
				for range 400 {
					packet := randomFrame(random)
					want := w.judge(packet)
					if got := inspect(t, f, packet); got.Verdict != want || got.Dropped != (want == "dropped") {
						t.Fatalf("round %d, %x: got %s, want %s\nentries %v\nallowed %v\nrules %+v",
							round, packet, got.Verdict, want, w.entries, w.allowed, w.rules)
					}
				}
				after, err := f.Rules()
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range after {
					at := slices.IndexFunc(w.rules, func(o Rule) bool { return o.ID == r.ID })
					want := w.rules[at]
					got := [3]uint64{r.Hits - before[i].Hits, r.Drops - before[i].Drops, r.WouldDrops - before[i].WouldDrops}
					if got != [3]uint64{want.Hits, want.Drops, want.WouldDrops} {
						t.Errorf("round %d, rule %+v: got hits, drops, would-drops %v, want %v", round, r, got, want)
					}
				}
			}
		})
	}
}

// TestRulesAtOnce changes the rules under a stream of packets: every packet meets
// the one set or the other.
func TestRulesAtOnce(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	// The packet matches one rule of each set, which sit at different bits, are of
	// different dimensions and share no prefix, beside many that never match.
	sets := [2][]Rule{
		{{ID: 1, From: prefixes("203.0.113.0/24"), Ports: []PortRange{{22, 22}}}},
		{{ID: 2, To: prefixes("192.0.2.0/24"), SourcePorts: []PortRange{{39936, 39936}}}},
	}
	for i := range 40 {
		p := []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i)}), 32)}
		sets[0] = append(sets[0], Rule{ID: uint32(100 + i), To: p})
		sets[1] = append(sets[1], Rule{ID: uint32(200 + i), From: p, Ports: []PortRange{{uint16(i), uint16(i)}}})
	}
	if err := f.SetRules(sets[0]); err != nil {
		t.Fatal(err)
	}
	packet := syn4(attacker4)
	const each = 200_000 // some 10 ms: most of the time packets run
	stop, done := make(chan struct{}), make(chan error, 1)
	var sent uint64
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := f.program.Run(&ebpf.RunOptions{Data: packet, Repeat: each}); err != nil {
				done <- err
				return
			}
			sent += each
		}
	}()
	for i := range 40 {
		if err := f.SetRules(sets[(i+1)%2]); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	// A run that a signal interrupts begins again: there may be more than were sent.
	if got, all := stats.Drops["rule"].Packets, stats.Protocols["tcp"].Packets; got != all || all < sent {
		t.Errorf("%d of %d packets were dropped by a rule while the rules changed", got, all)
	}
	if sent < 10_000 {
		t.Errorf("sent %d packets only", sent)
	}
}

// TestRuleCollected: a rule that has expired goes, and the others stay.
func TestRuleCollected(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	if err := f.SetRules([]Rule{{ID: 1, Protocol: ProtocolUDP, TTL: time.Millisecond}, {ID: 2, Protocol: ProtocolTCP}, {ID: 3, Protocol: ProtocolICMP, TTL: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	run(t, f, syn4(attacker4))
	poll(t, "the rule to expire", func() bool {
		f.lists.Lock()
		defer f.lists.Unlock()
		return f.expiry < now()
	})
	if err := f.collectExpired(); err != nil {
		t.Fatal(err)
	}
	if got := f.ruleCount(); got != 2 {
		t.Errorf("got %d rules, want 2", got)
	}
	got, err := f.Rules()
	if err != nil || len(got) != 2 || got[0].Hits+got[1].Hits != 1 {
		t.Errorf("got %+v, %v, want the others with their hits", got, err)
	}
	if f.expiry <= now() || f.expiry > now()+uint64(time.Hour) {
		t.Errorf("the next expiry is %d, now is %d; want it in an hour", f.expiry, now())
	}
}
