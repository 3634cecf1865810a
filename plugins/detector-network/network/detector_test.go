package network

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

var (
	start  = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	stream = &event.Stream{ID: event.StreamID("host", "eth0"), Name: "eth0", Plugin: "host", Provenance: event.ProvenanceHost}
	peer4  = netip.MustParseAddr("198.51.100.7")
	peer6  = netip.MustParseAddr("2001:db8::7")
	host4  = netip.MustParseAddr("192.0.2.1")
	host6  = netip.MustParseAddr("2001:db8:1::1")
	asked  = netip.MustParseAddr("ff02::1:ff00:1") // a solicited-node group
)

const tick = 250 * time.Millisecond

// feed makes summaries of consecutive intervals.
type feed struct {
	sequence uint64
	events   []*event.PacketEvent
}

func (f *feed) source(at time.Duration, src netip.Addr, e event.PacketEvent) {
	f.sequence++
	e.Stream, e.Sequence = stream, f.sequence
	e.Time, e.Interval, e.Scope, e.Source = start.Add(at), tick, event.ScopeSource, src
	if e.Ports == 0 {
		e.Ports = uint32(len(e.PortSample))
	}
	if !e.Destination.IsValid() {
		e.Destination = host4
	}
	f.events = append(f.events, &e)
}

func (f *feed) destination(at time.Duration, dst netip.Addr, port uint16, e event.PacketEvent) {
	f.sequence++
	e.Stream, e.Sequence = stream, f.sequence
	e.Time, e.Interval, e.Scope = start.Add(at), tick, event.ScopeDestination
	e.Destination, e.DestinationPort = dst, port
	f.events = append(f.events, &e)
}

func span(from, n int) []uint16 {
	var ports []uint16
	for i := range n {
		ports = append(ports, uint16(from+i))
	}
	return ports
}

func newDetector(t testing.TB, cfg Config) *Detector {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(d *Detector, events []*event.PacketEvent) []*event.AlertEvent {
	var alerts []*event.AlertEvent
	for _, e := range events {
		d.Packet(e, func(a *event.AlertEvent) { alerts = append(alerts, a) })
	}
	d.Flush(func(a *event.AlertEvent) { alerts = append(alerts, a) })
	return alerts
}

// summary is an alert in one line: rule, group and the entities.
func summary(alerts []*event.AlertEvent) []string {
	var out []string
	for _, a := range alerts {
		s := a.RuleID + " " + a.Group
		for _, e := range a.Entities {
			s += " " + e.Key + "=" + e.Value
		}
		out = append(out, s)
	}
	return out
}

func TestAttacks(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(*feed)
		want []string
	}{
		{"nmap -sS of 1000 ports in a second", func(f *feed) {
			for i := range 4 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYN: 250, RST: 1, Ports: 240, PortSample: span(1+i*250, 16)})
			}
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"the same over IPv6", func(f *feed) {
			for i := range 4 {
				f.source(time.Duration(i)*tick, peer6, event.PacketEvent{SYN: 250, Ports: 240, PortSample: span(1+i*250, 16), Destination: host6})
			}
		}, []string{"port_scan 2001:db8::7 src_ip=2001:db8::7 dst_ip=2001:db8:1::1"}},
		{"neighbour discovery after the last probe", func(f *feed) {
			f.source(0, peer6, event.PacketEvent{SYN: 15, PortSample: span(8000, 15), Destination: host6})
			f.source(tick, peer6, event.PacketEvent{SYN: 15, PortSample: span(8015, 15), Destination: asked})
		}, []string{"port_scan 2001:db8::7 src_ip=2001:db8::7 dst_ip=2001:db8:1::1"}},
		{"neighbour discovery after every probe", func(f *feed) {
			f.source(0, peer6, event.PacketEvent{SYN: 30, Ports: 30, PortSample: span(8000, 16), Destination: asked})
		}, []string{"port_scan 2001:db8::7 src_ip=2001:db8::7"}},
		{"one high port every 400 ms", func(f *feed) {
			for i := range 24 {
				f.source(time.Duration(i)*400*time.Millisecond, peer4, event.PacketEvent{SYN: 1, PortSample: span(8000+i, 1)})
			}
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"one port every 15 s", func(f *feed) {
			for i := range 31 {
				f.source(time.Duration(i)*15*time.Second, peer4, event.PacketEvent{SYN: 1, PortSample: span(8000+i, 1)})
			}
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"a scan beside an SSH session of the same source", func(f *feed) {
			for i := range 40 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{ACK: 10, PortSample: span(22, 1)})
			}
			for i := range 4 {
				f.source(time.Duration(40+i)*tick, peer4, event.PacketEvent{SYN: 25, ACK: 10, Ports: 26, PortSample: span(8000+i*25, 16)})
			}
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"NULL and Xmas scan", func(f *feed) {
			f.source(0, peer4, event.PacketEvent{Odd: 30, Ports: 30, PortSample: span(2000, 16)})
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"UDP scan of low ports", func(f *feed) {
			for i := range 5 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{UDP: 5, PortSample: span(100+i*5, 5)})
			}
		}, []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}},
		{"decoys are one attack of no source", func(f *feed) {
			for i := range 20 {
				for _, a := range []string{"10.0.0.1", "10.0.0.2", "192.0.2.254"} {
					f.source(time.Duration(i)*tick, netip.MustParseAddr(a), event.PacketEvent{SYN: 100, Ports: 95, PortSample: span(1+100*i, 16)})
				}
			}
		}, []string{"port_scan 192.0.2.1 dst_ip=192.0.2.1"}},
		{"decoys of a slow scan, one of them ahead of the others", func(f *feed) {
			f.source(0, peer4, event.PacketEvent{SYN: 1, PortSample: span(79, 1)})
			for i := range 60 {
				for j, a := range []netip.Addr{peer4, netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("192.0.2.254")} {
					f.source(time.Duration(i)*tick+time.Duration(j), a, event.PacketEvent{SYN: 1, PortSample: span(1080+i, 1)})
				}
			}
		}, []string{"port_scan 192.0.2.1 dst_ip=192.0.2.1"}},
		{"decoys one of which has its alert", func(f *feed) {
			f.source(0, peer4, event.PacketEvent{SYN: 100, Ports: 95, PortSample: span(1, 16)})
			for i := range 20 {
				for _, a := range []string{"10.0.0.2", "198.51.100.7"} {
					f.source(5*time.Second+time.Duration(i)*tick, netip.MustParseAddr(a), event.PacketEvent{SYN: 100, Ports: 95, PortSample: span(1+100*i, 16)})
				}
			}
		}, []string{
			"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1",
			"port_scan 192.0.2.1 dst_ip=192.0.2.1",
		}},
		{"two scanners of two addresses", func(f *feed) {
			f.source(0, peer4, event.PacketEvent{SYN: 100, Ports: 95, PortSample: span(1, 16)})
			f.source(0, netip.MustParseAddr("10.0.0.2"), event.PacketEvent{SYN: 100, Ports: 95, PortSample: span(1, 16), Destination: host6})
		}, []string{
			"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1",
			"port_scan 10.0.0.2 src_ip=10.0.0.2 dst_ip=2001:db8:1::1",
		}},
		{"flood from one source", func(f *feed) {
			for i := range 8 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYN: 50000, PortSample: span(80, 1)})
				f.destination(time.Duration(i)*tick, host4, 80, event.PacketEvent{SYN: 50000, ACK: 100, Peers: 5})
			}
		}, []string{
			"syn_flood_source 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1 dst_port=80",
		}},
		{"flood over IPv6", func(f *feed) {
			for i := range 2 {
				f.destination(time.Duration(i)*tick, host6, 443, event.PacketEvent{SYN: 250})
			}
		}, []string{"syn_flood [2001:db8:1::1]:443 dst_ip=2001:db8:1::1 dst_port=443"}},
		{"a flood from thousands of forged sources names none", func(f *feed) {
			for i := range 8 {
				for j := range 4000 {
					src := netip.AddrFrom4([4]byte{byte(20 + i), 1, byte(j >> 8), byte(j)})
					f.source(time.Duration(i)*tick, src, event.PacketEvent{SYN: 1, PortSample: span(80, 1)})
				}
				f.destination(time.Duration(i)*tick, host4, 80, event.PacketEvent{SYN: 4000, Peers: 1400})
			}
		}, []string{"syn_flood 192.0.2.1:80 dst_ip=192.0.2.1 dst_port=80"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			tt.make(&f)
			alerts := run(newDetector(t, Config{}), f.events)
			if diff := cmp.Diff(tt.want, summary(alerts)); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
			for _, a := range alerts {
				if a.Evidence != event.EvidenceForgeable {
					t.Errorf("%s: got evidence %v, want forgeable", a.RuleID, a.Evidence)
				}
				if len(a.Packets) == 0 || !a.Packets[0].Time.Equal(a.Time) {
					t.Errorf("%s: want the completing summary cited first", a.RuleID)
				}
			}
		})
	}
}

func TestNormalTrafficIsQuiet(t *testing.T) {
	second := func(i int) time.Duration { return time.Duration(i) * time.Second }
	for _, tt := range []struct {
		name string
		make func(*feed)
	}{
		{"web server with 5,000 completed handshakes a second", func(f *feed) {
			for i := range 240 {
				f.destination(time.Duration(i)*tick, host4, 443, event.PacketEvent{SYN: 1250, ACK: 3750, FIN: 1250, Peers: 900})
				for j := range 50 {
					src := netip.AddrFrom4([4]byte{203, 0, 113, byte(j)})
					f.source(time.Duration(i)*tick, src, event.PacketEvent{SYN: 25, ACK: 75, FIN: 25, PortSample: span(443, 1)})
				}
			}
		}},
		{"its first interval, before the ACKs arrive", func(f *feed) {
			f.destination(0, host4, 443, event.PacketEvent{SYN: 1250, Peers: 900})
			f.destination(tick, host4, 443, event.PacketEvent{SYN: 1250, ACK: 2500, Peers: 900})
		}},
		{"browser: replies from many servers to ephemeral ports", func(f *feed) {
			for i := range 40 {
				for j := range 30 {
					src := netip.AddrFrom4([4]byte{151, 101, byte(j), 1})
					f.source(time.Duration(i)*tick, src, event.PacketEvent{SYNACK: 6, ACK: 300, FIN: 2, Ports: 8, PortSample: span(40000+i*8, 8)})
				}
			}
		}},
		{"package downloads: one mirror, hundreds of connections", func(f *feed) {
			for i := range 40 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYNACK: 50, ACK: 900, FIN: 50, Ports: 60, PortSample: span(33000+i*50, 16)})
			}
		}},
		{"resolver answering at random ports", func(f *feed) {
			for i := range 400 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{UDP: 120, Ports: 110, PortSample: span(1024+i*120, 16)})
			}
		}},
		{"the resolver also retries a closed port", func(f *feed) {
			for i := range 40 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYN: 3, UDP: 40, Ports: 41, PortSample: span(30000+i*40, 16)})
			}
		}},
		{"connections of this host refused by a peer that retries a dead port", func(f *feed) {
			for i := range 40 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYN: 30, RST: 25, Ports: 26, PortSample: append(span(35000+i*25, 15), 25)})
			}
		}},
		{"name server asked by many clients", func(f *feed) {
			for i := range 10 {
				for j := range 500 {
					f.source(second(i), netip.AddrFrom4([4]byte{10, 1, byte(j >> 8), byte(j)}), event.PacketEvent{UDP: 2, PortSample: span(53, 1)})
				}
			}
		}},
		{"health checks of 30 ports every second, cut at an interval's end", func(f *feed) {
			f.source(0, peer4, event.PacketEvent{SYN: 30, ACK: 60, FIN: 30, Ports: 30, PortSample: span(8000, 16)})
			for i := 1; i < 60; i++ {
				f.source(second(i), peer4, event.PacketEvent{SYN: 30, Ports: 30, PortSample: span(8000, 16)})
				f.source(second(i)+tick, peer4, event.PacketEvent{ACK: 60, FIN: 30, Ports: 30, PortSample: span(8000, 16)})
			}
		}},
		{"client that retries one closed port", func(f *feed) {
			for i := range 600 {
				f.source(second(i), peer4, event.PacketEvent{SYN: 5, PortSample: span(8080, 1)})
			}
		}},
		{"19 ports in 10 s, 29 in 10 min", func(f *feed) {
			for i := range 19 {
				f.source(time.Duration(i)*tick, peer4, event.PacketEvent{SYN: 1, PortSample: span(9000+i, 1)})
			}
			for i := range 10 {
				f.source(second(60*(i+1)), peer4, event.PacketEvent{SYN: 1, PortSample: span(9100+i, 1)})
			}
		}},
		{"one hot interval", func(f *feed) { f.destination(0, host4, 80, event.PacketEvent{SYN: 50000}) }},
		{"999 SYN a second", func(f *feed) {
			for i := range 20 {
				f.destination(time.Duration(i)*tick, host4, 80, event.PacketEvent{SYN: 249})
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			tt.make(&f)
			if alerts := run(newDetector(t, Config{}), f.events); len(alerts) > 0 {
				t.Errorf("got %q, want no alert; details %v", summary(alerts), alerts[0].Details)
			}
		})
	}
}

func TestBadInputIsCounted(t *testing.T) {
	d := newDetector(t, Config{})
	good := event.PacketEvent{Stream: stream, Time: start, Interval: tick, Scope: event.ScopeSource, Source: peer4, SYN: 5, PortSample: span(1, 5)}
	for _, mangle := range []func(*event.PacketEvent){
		func(e *event.PacketEvent) { e.Time = time.Time{} },
		func(e *event.PacketEvent) { e.Interval = 0 },
		func(e *event.PacketEvent) { e.Interval = -1 },
		func(e *event.PacketEvent) { e.Scope = 9 },
		func(e *event.PacketEvent) { e.Source = netip.Addr{} },
		func(e *event.PacketEvent) { e.Source = netip.IPv4Unspecified() },
		func(e *event.PacketEvent) { e.Scope = event.ScopeDestination },
	} {
		e := good
		mangle(&e)
		d.Packet(&e, func(a *event.AlertEvent) { t.Errorf("alert %v", a) })
	}
	if got := d.Stats().Ignored; got != 7 {
		t.Errorf("got %d ignored, want 7", got)
	}
}

func TestSuppression(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remind time.Duration
		want   []string
	}{
		// Every summary crosses the bound anew.
		{"a scan that goes on", 6 * time.Hour, []string{"0s "}},
		{"with reminders", 100 * time.Second, []string{"0s ", "1m40s 399"}},
	} {
		var f feed
		for at := time.Duration(0); at < 150*time.Second; at += tick {
			f.source(at, peer4, event.PacketEvent{SYN: 25, Ports: 25, PortSample: span(2000, 16)})
		}
		var got []string
		for _, a := range run(newDetector(t, Config{Remind: tt.remind}), f.events) {
			got = append(got, a.Time.Sub(start).String()+" "+detail(a, "suppressed"))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// Over means a minute without a sign of it.
	var f feed
	for _, at := range []time.Duration{0, 59 * time.Second, 118 * time.Second, 179 * time.Second} {
		f.source(at, peer4, event.PacketEvent{SYN: 25, Ports: 25, PortSample: span(2000, 16)})
	}
	if got := run(newDetector(t, Config{}), f.events); len(got) != 2 || detail(got[1], "suppressed") != "2" {
		t.Errorf("got %q, want an alert at the start and one after the pause", summary(got))
	}
}

func detail(a *event.AlertEvent, key string) string {
	for _, f := range a.Details {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

func TestClockSetBack(t *testing.T) {
	var f feed
	scan := event.PacketEvent{SYN: 25, Ports: 25, PortSample: span(2000, 16)}
	f.source(24*time.Hour, peer4, scan)
	f.source(0, peer4, scan)
	d := newDetector(t, Config{})
	if got := len(run(d, f.events)); got != 2 {
		t.Errorf("got %d alerts, want 2", got)
	}
	if got := d.Stats().Late; got != 1 {
		t.Errorf("got %d late, want 1", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := newDetector(t, Config{MaxSources: 64, MaxDestinations: 16})
	var f feed
	// A slow scanner is seen twice, and then kept through a flood of forged
	// sources.
	scanner := func(i int) {
		f.source(time.Duration(i)*400*time.Millisecond, peer4, event.PacketEvent{SYN: 1, PortSample: span(8000+i, 1)})
	}
	scanner(0)
	for i := 1; i < 20; i++ {
		scanner(i)
		for j := range 1000 {
			src := netip.AddrFrom4([4]byte{byte(20 + i), 1, byte(j >> 8), byte(j)})
			f.source(time.Duration(i)*400*time.Millisecond, src, event.PacketEvent{SYN: 1, PortSample: span(80, 1)})
			f.destination(time.Duration(i)*400*time.Millisecond, src, 80, event.PacketEvent{SYN: 1000})
		}
	}
	want := []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}
	if diff := cmp.Diff(want, summary(run(d, f.events))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s, n := len(d.sources.groups), len(d.destinations.groups); s > 64 || n > 16 {
		t.Errorf("got %d sources and %d destinations, want at most 64 and 16", s, n)
	}
	if d.Stats().Evicted == 0 {
		t.Error("want evictions counted")
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""},
		{Config{ScanPorts: 65}, "scan_ports = 65: want 2 to 64"},
		{Config{FloodIntervals: 9}, "flood_intervals = 9: want 1 to 8"},
		{Config{Suppress: time.Millisecond}, "suppress = 1ms: want 1s to 24h0m0s"},
		{Config{BaselineCap: 1001}, "baseline_cap = 1001: want 1 to 1000"},
		{Config{AmplificationRate: 5}, "amplification_rate = 5: want 1KiB to 1TiB"},
		{Config{Suppress: 12 * time.Hour}, "remind = 6h0m0s: want at least suppress, 12h0m0s"},
		{Config{LoginPorts: []string{"22", "ssh"}}, `login_ports names the port "ssh": want 1 to 65535`},
		{Config{DatabasePorts: []string{"0"}}, `database_ports names the port "0": want 1 to 65535`},
		{Config{DatabasePorts: []string{"22"}}, "database_ports names the port 22 again"},
		{Config{LoginPorts: []string{}, DatabasePorts: []string{}}, ""},
		{Config{Disabled: []string{"port_scan", "pings"}}, `disabled names the rule "pings": want some of port_scan, address_sweep, syn_flood, syn_flood_source, udp_flood, udp_flood_source, icmp_flood, icmp_flood_source, udp_amplification, brute_force, new_listener`},
		{Config{ScanWindow: 5 * time.Minute, SlowScanWindow: time.Minute}, "slow_scan_window = 1m0s: want at least scan_window, 5m0s"},
	} {
		got := ""
		if _, err := New(tt.cfg); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.cfg, got, tt.want)
		}
	}
}

func BenchmarkPacket(b *testing.B) {
	b.ReportAllocs()
	d := newDetector(b, Config{})
	var f feed
	for i := range 1000 {
		src := netip.MustParseAddr(fmt.Sprintf("10.9.%d.%d", i>>8, i&255))
		f.source(0, src, event.PacketEvent{SYN: 3, ACK: 1, PortSample: span(80, 3)})
	}
	raise := func(*event.AlertEvent) {}
	i := 0
	for b.Loop() {
		e := f.events[i%1000]
		e.Time = start.Add(time.Duration(i/1000) * tick)
		d.Packet(e, raise)
		i++
	}
}
