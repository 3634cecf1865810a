package network

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// hour makes hour h of the day of a server that nobody attacks, i hours after the
// start.
func (g *traffic) hour(i, h int) {
	begin := time.Duration(i) * time.Hour
	every := func(step time.Duration, do func(at time.Duration)) {
		for at := g.jitter(step); at < time.Hour; at += step {
			do(begin + at)
		}
	}
	busy := 1
	if h >= 8 && h < 19 {
		busy = 3
	}
	resolvers := []netip.Addr{addr4(192, 0, 2, 53), addr4(192, 0, 2, 54)}
	office := addr4(203, 0, 113, 10)

	// Look-ups of this host, in bursts; the replies come to any port.
	every(20*time.Second, func(at time.Duration) {
		for range 1 + g.IntN(12) {
			g.add(at+g.jitter(300*time.Millisecond), resolvers[g.IntN(2)], host4, 53, uint16(1024+g.IntN(64512)), kindUDP, 90+g.IntN(400))
		}
	})
	every(64*time.Second, func(at time.Duration) {
		for i := range 4 {
			g.add(at+g.jitter(time.Second), addr4(162, 159, 200, i), host4, 123, 123, kindUDP, 90)
		}
	})
	// Prometheus scrapes twelve exporters, each over a connection of its own.
	every(15*time.Second, func(at time.Duration) {
		for i := range 12 {
			g.served(at+g.jitter(200*time.Millisecond), addr4(192, 0, 2, 90), uint16(9090+i*7), 3, 20*time.Millisecond)
		}
	})
	// Balancers check health: one connects and resets, one only half opens.
	every(2*time.Second, func(at time.Duration) {
		for i, port := range []uint16{80, 443, 8080} {
			src := addr4(192, 0, 2, 80+i)
			from := g.ephemeral()
			g.add(at, src, host4, from, port, kindSYN, 60)
			if i < 2 {
				g.add(at+time.Millisecond, src, host4, from, port, kindACK, 60)
			}
			g.add(at+2*time.Millisecond, src, host4, from, port, kindRST, 60)
		}
	})
	// An office of hundreds behind one address: web, mail, git over SSH, and now
	// and then a port that is closed.
	every(400*time.Millisecond/time.Duration(busy), func(at time.Duration) {
		g.served(at, office, []uint16{443, 443, 443, 80, 993, 8443}[g.IntN(6)], g.IntN(12), 50*time.Millisecond)
	})
	every(6*time.Second/time.Duration(busy), func(at time.Duration) { g.served(at, office, 22, 8+g.IntN(20), 40*time.Millisecond) })
	every(time.Minute, func(at time.Duration) {
		for i := range 3 {
			g.add(at+time.Duration(i)*time.Second, office, host4, 40000, uint16([]int{8081, 5000, 3000, 25}[g.IntN(4)]), kindSYN, 74)
		}
	})
	// Visitors of the web server.
	every(700*time.Millisecond/time.Duration(busy), func(at time.Duration) {
		g.served(at, addr4(20+g.IntN(150), g.IntN(256), g.IntN(256), 1+g.IntN(250)), 443, g.IntN(10), 80*time.Millisecond)
	})
	// Programs that log in all day: five connections a second to the database.
	every(200*time.Millisecond*2, func(at time.Duration) {
		g.served(at, addr4(10, 0, 0, 20+g.IntN(2)), 5432, 4, 5*time.Millisecond)
	})
	// Monitors ping, routers complain.
	every(time.Second, func(at time.Duration) {
		for i := range 4 {
			g.add(at, addr4(192, 0, 2, 100+i), host4, 0, 0, kindEcho, 98)
		}
	})
	every(3*time.Second, func(at time.Duration) { g.add(at, addr4(198, 18, 0, g.IntN(30)), host4, 0, 0, kindICMP, 120) })
	// mDNS of the neighbours, log messages, a QUIC download.
	every(5*time.Second, func(at time.Duration) {
		g.add(at, addr4(192, 0, 2, 150+g.IntN(20)), netip.MustParseAddr("224.0.0.251"), 5353, 5353, kindUDP, 120+g.IntN(400))
	})
	every(100*time.Millisecond, func(at time.Duration) {
		g.add(at, addr4(192, 0, 2, 200+g.IntN(10)), host4, 40123, 514, kindUDP, 100+g.IntN(300))
	})
	if h%6 == 1 {
		to := g.ephemeral()
		for i := range 12_000 {
			g.add(begin+20*time.Minute+time.Duration(i)*400*time.Microsecond, addr4(142, 250, 1, 1), host4, 443, to, kindUDP, 1292)
		}
	}
	// API calls of this host to hundreds of servers.
	every(900*time.Millisecond, func(at time.Duration) {
		g.fetched(at, addr4(104, 16, g.IntN(3), g.IntN(100)), 443, 4+g.IntN(8), 30*time.Millisecond)
	})
	// What strays about the net: single probes of closed ports.
	every(40*time.Second, func(at time.Duration) {
		src := addr4(60+g.IntN(100), g.IntN(256), g.IntN(256), g.IntN(256))
		for range 1 + g.IntN(3) {
			g.add(at+g.jitter(20*time.Second), src, host4, 50000, uint16(1+g.IntN(10000)), kindSYN, 60)
		}
	})
	// Ansible, at the full hour: thirty connections within a minute.
	for range 30 {
		g.served(begin+g.jitter(time.Minute), addr4(192, 0, 2, 15), 22, 25, 30*time.Millisecond)
	}
	switch h {
	case 2: // the nightly rsync over SSH, a backup that goes out, NFS replies to reserved ports
		g.served(begin+5*time.Minute, addr4(192, 0, 2, 16), 22, 60_000, 20*time.Millisecond)
		g.fetched(begin+30*time.Minute, addr4(52, 95, 1, 1), 443, 60_000, 20*time.Millisecond)
		for i := range 8 {
			for j := range 500 {
				g.add(begin+time.Duration(j)*time.Second, addr4(192, 0, 2, 17), host4, 2049, uint16(700+i), kindACK, 200)
			}
		}
	case 4, 16: // package upgrades from three mirrors, twenty connections each
		for m := range 3 {
			for range 20 {
				g.fetched(begin+10*time.Minute+g.jitter(20*time.Second), addr4(151, 101, m, 132), 80, 2000, 2*time.Millisecond)
			}
		}
	case 11: // a build: hundreds of connections to a proxy within a minute, look-ups for each
		for range 600 {
			at := begin + 15*time.Minute + g.jitter(time.Minute)
			g.add(at, resolvers[0], host4, 53, uint16(1024+g.IntN(64512)), kindUDP, 200)
			g.fetched(at, addr4(172, 217, 0, 17), 443, 20, 5*time.Millisecond)
		}
	case 14: // 10,000 look-ups within five minutes
		for range 10_000 {
			g.add(begin+g.jitter(5*time.Minute), resolvers[g.IntN(2)], host4, 53, uint16(1024+g.IntN(64512)), kindUDP, 90+g.IntN(400))
		}
	}
}

// TestQuietDay runs the hours with the most in them; all 24 with
// IRONPOST_QUIET_DAY=1 in the environment.
func TestQuietDay(t *testing.T) {
	hours := []int{2, 11, 14}
	if os.Getenv("IRONPOST_QUIET_DAY") != "" {
		hours = nil
		for h := range 24 {
			hours = append(hours, h)
		}
	}
	d := newDetector(t, Config{ListenerLearning: time.Hour})
	g := &traffic{Rand: rand.New(rand.NewPCG(1, 10))}
	w := newWire()
	summaries, alerts := 0, 0
	for i, h := range hours {
		g.hour(i, h)
		w.send(g.take(time.Duration(i+1) * time.Hour))
		for _, e := range w.events {
			summaries++
			d.Packet(e, func(a *event.AlertEvent) {
				alerts++
				t.Errorf("hour %d: got alert %s %v %s; %+v", h, a.RuleID, a.Entities, a.Description, a.Packets[0])
			})
		}
		w.events = w.events[:0]
		host{}.save(d)
	}
	if w.packets < 1_000_000 {
		t.Errorf("got %d packets; the test shows little", w.packets)
	}
	t.Logf("%d packets in %d summaries, %d alerts, counters %+v", w.packets, summaries, alerts, d.Stats())
}

// TestForwardedOffice: hundreds of people connect to the world through this host,
// from one address.
func TestForwardedOffice(t *testing.T) {
	g := &traffic{Rand: rand.New(rand.NewPCG(3, 10))}
	office := addr4(10, 1, 0, 1)
	for range 20_000 {
		at, to, from := g.jitter(5*time.Minute), addr4(20+g.IntN(100), g.IntN(256), g.IntN(256), 9), g.ephemeral()
		g.add(at, office, to, from, 443, kindSYN, 74)
		at += 5*time.Millisecond + g.jitter(250*time.Millisecond)
		for range 2 + g.IntN(6) {
			g.add(at, office, to, from, 443, kindACK, 66+g.IntN(500))
			at += g.jitter(20 * time.Millisecond)
		}
		g.add(at, office, to, from, 443, kindFIN, 66)
	}
	w := newWire()
	w.send(g.take(time.Hour))
	if alerts := run(newDetector(t, Config{}), w.events); len(alerts) > 0 {
		t.Errorf("got %q %v, want no alert", summary(alerts), alerts[0].Details)
	}
}

// BenchmarkQuietHour is the cost of one summary of normal traffic, Save included
// once for every hundred.
func BenchmarkQuietHour(b *testing.B) {
	g := &traffic{Rand: rand.New(rand.NewPCG(1, 10))}
	g.hour(0, 9)
	w := newWire()
	w.send(g.take(20 * time.Minute))
	d := newDetector(b, Config{})
	changes := sdk.NewChanges(func(string, []byte, bool) {})
	raise := func(*event.AlertEvent) {}
	span := w.events[len(w.events)-1].Time.Sub(w.events[0].Time) + time.Second
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e := w.events[i]
		e.Time = e.Time.Add(span) // and so on with the next hour
		d.Packet(e, raise)
		if i++; i%100 == 0 {
			d.Flush(raise)
			d.Save(changes)
		}
		if i == len(w.events) {
			i = 0
		}
	}
}

// BenchmarkForgedFlood is the cost of one summary in a flood of sources that are
// seen once, before the alert and after it.
func BenchmarkForgedFlood(b *testing.B) {
	b.Run("before", func(b *testing.B) { forgedFlood(b, false) })
	b.Run("after", func(b *testing.B) { forgedFlood(b, true) })
}

func forgedFlood(b *testing.B, alerted bool) {
	d := newDetector(b, Config{})
	if alerted {
		var f feed
		f.destination(0, host4, 80, event.PacketEvent{SYN: 5000, Peers: 1400})
		f.destination(tick, host4, 80, event.PacketEvent{SYN: 5000, Peers: 1400})
		if len(run(d, f.events)) != 1 {
			b.Fatal("want an alert")
		}
		d.hold(d.destinations.get(netip.AddrPortFrom(host4, 80)).quiet(alarmFlood), start.UnixNano(), 1<<62)
	}
	changes := sdk.NewChanges(func(string, []byte, bool) {})
	raise := func(*event.AlertEvent) {}
	e := event.PacketEvent{
		Stream: stream, Interval: wireTick, Interface: "eth0", Scope: event.ScopeSource, Destination: host4,
		Packets: 1, Bytes: 60, SYN: 1, Ports: 1, Peers: 1, PortSample: []uint16{80},
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.Time = start.Add(time.Duration(i/1000) * wireTick)
		e.Source = addr4(1+i>>24&127, i>>16&255, i>>8&255, i&255)
		d.Packet(&e, raise)
		if i++; i%1000 == 0 {
			d.Flush(raise)
			d.Save(changes)
		}
	}
}
