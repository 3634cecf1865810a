package network

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// nmapPorts returns n ports the way nmap's list of the most used ones is spread: two
// in five lie below 1024; in random order, as nmap sends.
func (g *traffic) nmapPorts(n int) []uint16 {
	seen := make(map[uint16]bool)
	var ports []uint16
	for len(ports) < n {
		port := uint16(1 + g.IntN(1023))
		if len(ports)%5 >= 2 {
			port = uint16(1024 + g.IntN(64512))
		}
		if !seen[port] {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	g.Shuffle(n, func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	return ports
}

// scan probes ports at a steady pace.
func (g *traffic) scan(at time.Duration, src netip.Addr, ports []uint16, gap time.Duration, k kind) {
	for i, port := range ports {
		bytes := 58
		if k == kindUDP {
			bytes = 60
		}
		g.add(at+time.Duration(i)*gap, src, host4, 51000, port, k, bytes)
	}
}

// flood sends packets to one port.
func (g *traffic) flood(at, length time.Duration, rate int, port uint16, k kind, bytes int, src func() netip.Addr) {
	gap := time.Second / time.Duration(rate)
	for t := time.Duration(0); t < length; t += gap {
		g.add(at+t, src(), host4, 1024+uint16(g.IntN(60000)), port, k, bytes)
	}
}

func (g *traffic) forged() netip.Addr {
	return addr4(1+g.IntN(220), g.IntN(256), g.IntN(256), g.IntN(256))
}

// TestNamedAttacks: every attack, in the midst of normal traffic, raises one alert.
// What it sends is by the definition of the tool's mode (nmap's manual, "Port
// scanning techniques", "Host discovery" and "Timing and performance").
func TestNamedAttacks(t *testing.T) {
	attacker := addr4(198, 51, 100, 66)
	one := func() netip.Addr { return attacker }
	const ports = " dst_ip=192.0.2.1"
	scanned := "port_scan src_ip=198.51.100.66" + ports
	second := time.Second
	for _, tt := range []struct {
		name   string
		attack func(g *traffic, at time.Duration)
		want   string
		detail map[string]string
	}{
		{"nmap -sS -T4", func(g *traffic, at time.Duration) {
			list := g.nmapPorts(1000)
			g.scan(at, attacker, list, time.Millisecond, kindSYN)
			for i, port := range list { // an open port's SYN+ACK gets a RST
				if i%200 == 0 {
					g.add(at+time.Duration(i)*time.Millisecond+30*time.Millisecond, attacker, host4, 51000, port, kindRST, 54)
				}
			}
		}, scanned, map[string]string{"technique": "syn", "speed": "fast", "bound": "20"}},
		{"nmap -sS -T3 with retransmissions", func(g *traffic, at time.Duration) {
			list := g.nmapPorts(1000)
			g.scan(at, attacker, list, 5*time.Millisecond, kindSYN)
			g.scan(at+second, attacker, list, 5*time.Millisecond, kindSYN)
		}, scanned, nil},
		{"nmap -T2, a probe each 0.4 s", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 400*time.Millisecond, kindSYN)
		}, scanned, map[string]string{"speed": "fast"}},
		{"nmap -T1, a probe each 15 s", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(100), 15*second, kindSYN)
		}, scanned, map[string]string{"speed": "slow", "window": "1h0m0s"}},
		{"a port a minute for an hour", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(60), time.Minute, kindSYN)
		}, scanned, map[string]string{"speed": "slow", "observed": "30", "bound": "30"}},
		{"nmap -p-", func(g *traffic, at time.Duration) {
			list := make([]uint16, 65535)
			for i := range list {
				list[i] = uint16(i + 1)
			}
			g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			g.scan(at, attacker, list, 200*time.Microsecond, kindSYN)
		}, scanned, nil},
		{"nmap -sT", func(g *traffic, at time.Duration) {
			list := g.nmapPorts(1000)
			g.scan(at, attacker, list, time.Millisecond, kindSYN)
			for i, port := range list {
				if i%100 == 0 {
					when := at + time.Duration(i)*time.Millisecond + 20*time.Millisecond
					g.add(when, attacker, host4, 51000, port, kindACK, 66)
					g.add(when+time.Millisecond, attacker, host4, 51000, port, kindRST, 66)
				}
			}
		}, scanned, nil},
		{"nmap -sN", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 2*time.Millisecond, kindNull)
		}, scanned, map[string]string{"technique": "null"}},
		{"nmap -sF", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 2*time.Millisecond, kindFINAlone)
		}, scanned, map[string]string{"technique": "fin"}},
		{"nmap -sX", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 2*time.Millisecond, kindXmas)
		}, scanned, map[string]string{"technique": "xmas"}},
		{"nmap -sA", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 5*time.Millisecond, kindACK)
		}, scanned, map[string]string{"technique": "ack"}},
		{"nmap -sA -T5 of 200 ports, over in one interval", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(200), 100*time.Microsecond, kindACK)
		}, scanned, map[string]string{"technique": "ack"}},
		{"nmap -sU, slowed by the host's limit to a probe a second", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), second, kindUDP)
		}, scanned, map[string]string{"technique": "udp"}},
		{"nmap -sU -T5", func(g *traffic, at time.Duration) {
			g.scan(at, attacker, g.nmapPorts(1000), 10*time.Millisecond, kindUDP)
		}, scanned, map[string]string{"technique": "udp"}},
		{"nmap -sS -D with the gateway among the decoys", func(g *traffic, at time.Duration) {
			list := g.nmapPorts(300)
			for i, src := range []netip.Addr{addr4(192, 0, 2, 254), addr4(8, 8, 8, 8), attacker, addr4(9, 9, 9, 9)} {
				g.scan(at+time.Duration(i)*50*time.Microsecond, src, list, 3*time.Millisecond, kindSYN)
			}
		}, "port_scan" + ports, map[string]string{"sources": "4", "source_sample": "8.8.8.8,9.9.9.9,192.0.2.254,198.51.100.66"}},
		{"nmap -sn over a /24", func(g *traffic, at time.Duration) {
			for i := range 254 {
				to, when := addr4(192, 0, 2, 1+i), at+time.Duration(i)*10*time.Millisecond
				g.add(when, attacker, to, 0, 0, kindEcho, 42)
				g.add(when+time.Millisecond, attacker, to, 51000, 443, kindSYN, 58)
				g.add(when+2*time.Millisecond, attacker, to, 51000, 80, kindACK, 54)
				g.add(when+3*time.Millisecond, attacker, to, 0, 0, kindICMP, 54)
			}
		}, "address_sweep src_ip=198.51.100.66", nil},
		{"ping sweep, an address a second", func(g *traffic, at time.Duration) {
			for i := range 254 {
				g.add(at+time.Duration(i)*second, attacker, addr4(192, 0, 2, 1+i), 0, 0, kindEcho, 98)
			}
		}, "address_sweep src_ip=198.51.100.66", map[string]string{"technique": "ping", "observed": "20", "bound": "20"}},
		{"port 3389 of a /24", func(g *traffic, at time.Duration) {
			for i := range 254 {
				g.add(at+time.Duration(i)*time.Millisecond, attacker, addr4(192, 0, 2, 1+i), 51000, 3389, kindSYN, 58)
			}
		}, "address_sweep src_ip=198.51.100.66", map[string]string{"technique": "tcp"}},
		{"hping3 -S --flood --rand-source", func(g *traffic, at time.Duration) {
			g.flood(at, 3*second, 10_000, 80, kindSYN, 60, g.forged)
		}, "syn_flood dst_ip=192.0.2.1 dst_port=80", map[string]string{"confidence": "high", "bound": "1000"}},
		{"a slow flood from forged sources", func(g *traffic, at time.Duration) {
			g.flood(at, 5*time.Minute, 100, 443, kindSYN, 60, g.forged)
		}, "syn_flood dst_ip=192.0.2.1 dst_port=443", map[string]string{"window": "30s", "bound": "50"}},
		{"hping3 -S --flood", func(g *traffic, at time.Duration) {
			g.flood(at, 3*second, 10_000, 80, kindSYN, 60, one)
		}, "syn_flood_source src_ip=198.51.100.66 dst_ip=192.0.2.1 dst_port=80", nil},
		{"a SYN flood from five bots", func(g *traffic, at time.Duration) {
			g.flood(at, 3*second, 10_000, 80, kindSYN, 60, func() netip.Addr { return addr4(198, 51, 100, 70+g.IntN(5)) })
		}, "syn_flood dst_ip=192.0.2.1 dst_port=80", nil},
		{"hping3 --udp --flood --rand-source", func(g *traffic, at time.Duration) {
			g.flood(at, 2*second, 25_000, 9999, kindUDP, 60, g.forged)
		}, "udp_flood dst_ip=192.0.2.1 dst_port=9999", nil},
		{"hping3 --udp --flood", func(g *traffic, at time.Duration) {
			g.flood(at, 2*second, 25_000, 9999, kindUDP, 60, one)
		}, "udp_flood_source src_ip=198.51.100.66 dst_ip=192.0.2.1 dst_port=9999", nil},
		{"hping3 --icmp --flood --rand-source", func(g *traffic, at time.Duration) {
			g.flood(at, 3*second, 10_000, 0, kindEcho, 60, g.forged)
		}, "icmp_flood dst_ip=192.0.2.1", nil},
		{"ping -f", func(g *traffic, at time.Duration) {
			g.flood(at, 3*second, 10_000, 0, kindEcho, 98, one)
		}, "icmp_flood_source src_ip=198.51.100.66 dst_ip=192.0.2.1", nil},
		{"DNS amplification by 400 resolvers", func(g *traffic, at time.Duration) {
			for i := range 40_000 {
				g.add(at+time.Duration(i)*100*time.Microsecond, addr4(5, 5, g.IntN(2), g.IntN(200)), host4, 53, uint16(g.IntN(65536)), kindUDP, 1400)
			}
		}, "udp_amplification dst_ip=192.0.2.1", map[string]string{"src_port": "53", "bytes_per_packet": "1400"}},
		{"NTP monlist", func(g *traffic, at time.Duration) {
			for i := range 60_000 {
				g.add(at+time.Duration(i)*50*time.Microsecond, addr4(5, 6, 0, g.IntN(50)), host4, 123, 80, kindUDP, 482)
			}
		}, "udp_amplification dst_ip=192.0.2.1", map[string]string{"src_port": "123"}},
		{"one memcached server", func(g *traffic, at time.Duration) {
			for i := range 30_000 {
				g.add(at+time.Duration(i)*100*time.Microsecond, addr4(5, 7, 0, 1), host4, 11211, 443, kindUDP, 1442)
			}
		}, "udp_amplification dst_ip=192.0.2.1", map[string]string{"src_port": "11211", "sources": "1"}},
		{"hydra -t 16 ssh", func(g *traffic, at time.Duration) {
			for i := range 1200 {
				g.served(at+time.Duration(i)*250*time.Millisecond, attacker, 22, 14, 100*time.Millisecond)
			}
		}, "brute_force src_ip=198.51.100.66 dst_ip=192.0.2.1 dst_port=22", nil},
		{"guesses at MySQL", func(g *traffic, at time.Duration) {
			for i := range 6000 {
				g.served(at+time.Duration(i)*20*time.Millisecond, attacker, 3306, 3, 5*time.Millisecond)
			}
		}, "brute_force src_ip=198.51.100.66 dst_ip=192.0.2.1 dst_port=3306", nil},
		{"a thousand bots guess at SSH", func(g *traffic, at time.Duration) {
			for i := range 3000 {
				g.served(at+time.Duration(i)*100*time.Millisecond, addr4(45, 1, g.IntN(4), g.IntN(250)), 22, 14, 100*time.Millisecond)
			}
		}, "brute_force dst_ip=192.0.2.1 dst_port=22", nil},
		{"a back door is used", func(g *traffic, at time.Duration) {
			g.served(at, attacker, 4444, 20, 100*time.Millisecond)
			g.served(at+time.Minute, attacker, 4444, 20, 100*time.Millisecond)
		}, "new_listener dst_ip=192.0.2.1 dst_port=4444", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &traffic{Rand: rand.New(rand.NewPCG(7, 7))}
			// Light traffic before, during and after.
			const begin, end = 37 * time.Minute, 100 * time.Minute
			for at := time.Duration(0); at < end; at += 2 * time.Second {
				g.served(at, addr4(203, 0, 113, 1+g.IntN(20)), []uint16{80, 443, 22, 3306}[g.IntN(4)], 5, 20*time.Millisecond)
				g.fetched(at, addr4(104, 16, 0, g.IntN(50)), 443, 5, 20*time.Millisecond)
				g.add(at, addr4(192, 0, 2, 53), host4, 53, g.ephemeral(), kindUDP, 200)
				g.add(at, addr4(192, 0, 2, 100), host4, 0, 0, kindEcho, 98)
			}
			tt.attack(g, begin)
			w := newWire()
			w.send(g.take(3 * time.Hour))
			w.flush()
			cfg := Config{ListenerLearning: 30 * time.Minute}
			var got []string
			alerts := run(newDetector(t, cfg), w.events)
			for _, a := range alerts {
				s := a.RuleID
				for _, e := range a.Entities {
					s += " " + e.Key + "=" + e.Value
				}
				got = append(got, s)
				if a.Evidence != event.EvidenceForgeable {
					t.Errorf("got evidence %v, want forgeable", a.Evidence)
				}
				for _, key := range []string{"observed", "bound", "baseline", "window", "confidence", "unit"} {
					if detail(a, key) == "" {
						t.Errorf("%s has no %s", a.RuleID, key)
					}
				}
			}
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Fatalf("alerts (-want +got):\n%s", diff)
			}
			for key, want := range tt.detail {
				if got := detail(alerts[0], key); got != want {
					t.Errorf("got %s %q, want %q", key, got, want)
				}
			}
			// What came again, in other batches, raises the same.
			again := newDetector(t, cfg)
			var repeated []*event.AlertEvent
			for batch := range slices.Chunk(w.events, 97) {
				repeated = append(repeated, run(again, batch)...)
			}
			if len(repeated) != 1 || repeated[0].RuleID != alerts[0].RuleID || repeated[0].Group != alerts[0].Group {
				t.Errorf("in batches of 97: got %q, want %q", summary(repeated), summary(alerts))
			}
		})
	}
}
