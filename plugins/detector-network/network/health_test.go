package network

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// A check of health: the handshake, and a RST or a FIN.
var check = event.PacketEvent{Packets: 3, Bytes: 200, SYN: 1, ACK: 1, RST: 1}

// TestListenersUnderChecks: what only checks of health reach is known all the same.
func TestListenersUnderChecks(t *testing.T) {
	day := 24 * time.Hour
	contact := event.PacketEvent{Packets: 5, SYN: 1, ACK: 3, FIN: 1}
	for _, tt := range []struct {
		name string
		make func(*feed)
		want int
	}{
		{"checked on the first day, used on the second", func(f *feed) {
			f.destination(time.Hour, host4, 8025, check)
			f.destination(2*day, host4, 8025, contact)
		}, 0},
		{"checked by halves on the first day, used on the second", func(f *feed) {
			f.destination(time.Hour, host4, 8025, event.PacketEvent{Packets: 2, SYN: 1, RST: 1})
			f.destination(2*day, host4, 8025, contact)
		}, 0},
		{"found open by several SYN scanners on the second", func(f *feed) {
			f.destination(2*day, host4, 8025, event.PacketEvent{Packets: 10, SYN: 5, RST: 5})
		}, 0},
		{"refused on the first day", func(f *feed) {
			f.destination(time.Hour, host4, 8025, event.PacketEvent{Packets: 1, SYN: 1})
			f.destination(2*day, host4, 8025, contact)
		}, 1},
		{"new on the second, checked every two seconds", func(f *feed) {
			for i := range 100 {
				f.destination(2*day+time.Duration(i)*2*time.Second, host4, 8025, check)
			}
		}, 1},
		{"two handshakes far apart on the second", func(f *feed) {
			f.destination(2*day, host4, 8025, check)
			f.destination(2*day+time.Minute, host4, 8025, check)
			f.destination(2*day+2*time.Minute, host4, 8025, check)
		}, 0},
		{"refused every second", func(f *feed) {
			for i := range 100 {
				f.destination(2*day+time.Duration(i)*time.Second, host4, 8025, event.PacketEvent{Packets: 1, SYN: 1})
			}
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			f.destination(0, host4, 22, contact)
			tt.make(&f)
			if alerts := run(newDetector(t, Config{}), f.events); len(alerts) != tt.want {
				t.Errorf("got %q, want %d alerts", summary(alerts), tt.want)
			}
		})
	}
}

// TestServicesAway: who asks for services that answered before is no scanner, though
// they are away.
func TestServicesAway(t *testing.T) {
	scanned := []string{"port_scan 198.51.100.7 src_ip=198.51.100.7 dst_ip=192.0.2.1"}
	for _, tt := range []struct {
		name  string
		ports []uint16
		want  []string
	}{
		{"thirty services", span(8000, 30), nil},
		{"thirty services, of which ten never were there", append(span(8000, 20), span(9000, 10)...), nil},
		{"forty services", span(8000, 40), nil},
		{"thirty ports that never answered", span(9000, 30), scanned},
		{"more ports that never answered than services", append(span(8000, 20), span(9000, 21)...), scanned},
		{"a scan that meets all services", span(7900, 300), scanned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDetector(t, Config{})
			var f feed
			for _, port := range span(8000, 40) {
				f.destination(0, host4, port, event.PacketEvent{Packets: 2, Bytes: 134, SYN: 1, RST: 1})
			}
			run(d, f.events)
			saved := make(host)
			saved.save(d)
			again := newDetector(t, Config{})
			if err := again.Restore(maps.All(saved)); err != nil {
				t.Fatal(err)
			}
			f = feed{}
			for round := range 20 {
				for i, port := range tt.ports {
					at := time.Hour + time.Duration(round)*2*time.Second + time.Duration(i)*2*time.Second/time.Duration(len(tt.ports))
					f.source(at, peer4, event.PacketEvent{Packets: 1, Bytes: 74, SYN: 1, Peers: 1, PortSample: []uint16{port}})
				}
				// Neighbour discovery looks for the neighbour in between.
				f.source(time.Hour+time.Duration(round)*2*time.Second, peer4, event.PacketEvent{
					Packets: 1, Bytes: 86, ICMP: 1, Peers: 1, Destination: netip.MustParseAddr("fe80::1"),
				})
			}
			for name, d := range map[string]*Detector{"first": d, "restored": again} {
				if diff := cmp.Diff(tt.want, summary(run(d, f.events))); diff != "" {
					t.Errorf("%s: alerts (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestForgottenListenersAreNoServices: a port counts for as long as a listener there
// is remembered.
func TestForgottenListenersAreNoServices(t *testing.T) {
	d := newDetector(t, Config{MaxListeners: 16})
	var f feed
	for _, to := range []netip.Addr{host4, host6} {
		for _, port := range span(8000, 40) {
			f.destination(0, to, port, check)
		}
	}
	run(d, f.events)
	known := 0
	for k, g := range d.listeners.groups {
		if g.known && k.Port() != 0 {
			known++
		}
	}
	sum := 0
	for _, n := range d.services {
		sum += n
	}
	if sum != known || known == 0 {
		t.Errorf("got %d services of %d listeners", sum, known)
	}
}

// TestChecksAreNoLogins: a check of health of SSH every half second says nothing,
// so that it tries no password; beside it those are found who do.
func TestChecksAreNoLogins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ack    uint64        // of each connection
		tries  time.Duration // between connections with a password; 0: none
		alerts int
	}{
		{"nothing is said", 1, 0, 0},
		{"something is said", 2, 0, 1},
		{"a password a second hides behind the checks", 1, time.Second, 1},
		{"six passwords a minute beside the checks", 1, 10 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			f.source(0, peer4, event.PacketEvent{Packets: 1, SYN: 1, PortSample: []uint16{22}})
			for at := time.Duration(0); at < 4*time.Minute; at += time.Second / 2 {
				now := settling + time.Minute + at
				f.source(now, peer4, event.PacketEvent{Packets: 2 + tt.ack, Bytes: 300, SYN: 1, ACK: tt.ack, RST: 1, PortSample: []uint16{22}})
				if tt.tries > 0 && at%tt.tries == 0 {
					f.source(now+tick/2, peer4, event.PacketEvent{Packets: 8, Bytes: 2500, SYN: 1, ACK: 6, FIN: 1, PortSample: []uint16{22}})
				}
			}
			if alerts := run(newDetector(t, Config{}), f.events); len(alerts) != tt.alerts {
				t.Errorf("got %q, want %d alerts", summary(alerts), tt.alerts)
			}
		})
	}
}
