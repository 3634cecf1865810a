package network

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// host keeps state as a host does.
type host map[string][]byte

func (h host) save(d *Detector) {
	d.Save(sdk.NewChanges(func(key string, value []byte, deleted bool) {
		if deleted {
			delete(h, key)
			return
		}
		h[key] = bytes.Clone(value)
	}))
}

func TestKilledDetectorRaisesTheSameAlerts(t *testing.T) {
	rules := make(map[string]int)
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var f feed
		at := time.Duration(0)
		for range 300 {
			at += time.Duration(rng.IntN(1000)) * time.Millisecond
			src := netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(3))})
			n := 1 + rng.IntN(3)
			f.source(at, src, event.PacketEvent{SYN: uint64(n), PortSample: span(2000+rng.IntN(60), n)})
			f.destination(at, host4, uint16(80+rng.IntN(2)), event.PacketEvent{SYN: uint64(200 + rng.IntN(100))})
			other := netip.AddrFrom4([4]byte{10, 0, 1, byte(rng.IntN(2))})
			switch rng.IntN(5) {
			case 0: // tries addresses
				to := netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(60))})
				f.source(at, other, event.PacketEvent{Packets: 1, Echo: 1, ICMP: 1, Peers: 1, Destination: to})
			case 1: // logs in
				n := uint64(100 + rng.IntN(200))
				login := event.PacketEvent{Packets: 5 * n, Bytes: 900 * n, SYN: n, ACK: 3 * n, FIN: n}
				f.destination(at, host4, 22, login)
				login.PortSample = []uint16{22}
				f.source(at, other, login)
			case 2: // reflects
				f.source(at, other, event.PacketEvent{Packets: 1000, Bytes: 1_400_000, UDP: 1000, Reflected: 1000, Service: 53, Ports: 900, PortSample: span(5000, 16)})
			case 3: // floods
				f.source(at, other, event.PacketEvent{Packets: 9000, Bytes: 540_000, UDP: 9000, PortSample: []uint16{9}})
				f.destination(at, host4, 9, event.PacketEvent{Packets: 9000, Bytes: 540_000, UDP: 9000})
			case 4: // is a new listener
				f.destination(at, host4, uint16(5000+rng.IntN(200)), event.PacketEvent{Packets: 4, SYN: 1, ACK: 3})
			}
		}
		ids := func(alerts []*event.AlertEvent) []string {
			var out []string
			for _, a := range alerts {
				rules[a.RuleID]++
				out = append(out, event.AlertID(a.RuleID, a.Group, a.Causes[0])+" "+a.Description)
			}
			return out
		}
		cfg := Config{ListenerLearning: time.Minute}
		undisturbed := newDetector(t, cfg)
		var want []string
		for i := range f.events {
			want = append(want, ids(run(undisturbed, f.events[i:i+1]))...)
		}

		// Killed at random: everything after the last Save comes again.
		kept := host{}
		d := newDetector(t, cfg)
		seen := make(map[string]bool)
		var got []string
		durable := 0
		for i := 0; i < len(f.events); i++ {
			for _, id := range ids(run(d, f.events[i:i+1])) {
				if !seen[id] {
					seen[id] = true
					got = append(got, id)
				}
			}
			switch rng.IntN(20) {
			case 0, 1, 2, 3:
				kept.save(d)
				durable = i + 1
			case 4:
				d = newDetector(t, cfg)
				if err := d.Restore(maps.All(kept)); err != nil {
					t.Fatal(err)
				}
				i = durable - 1
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d (-undisturbed +killed):\n%s", seed, diff)
		}
		if n := d.Stats().Corrupt; n > 0 {
			t.Fatalf("seed %d: got %d corrupt entries", seed, n)
		}
	}
	for _, rule := range []string{RulePortScan, RuleSweep, RuleFlood, RuleSourceUDPFlood, RuleAmplification, RuleLogin, RuleListener} {
		if rules[rule] == 0 {
			t.Errorf("got no alert of %s; the test shows little of it", rule)
		}
	}
}

func TestSavedStateShrinks(t *testing.T) {
	kept := host{}
	d := newDetector(t, Config{})
	var f feed
	f.source(0, peer4, event.PacketEvent{SYN: 3, PortSample: span(2000, 3)})
	f.destination(0, host4, 80, event.PacketEvent{SYN: 1000})
	run(d, f.events)
	kept.save(d)
	if len(kept) != 4 { // and the interface, and a port that may answer
		t.Fatalf("got %d entries, want 4", len(kept))
	}
	f.source(time.Hour, peer6, event.PacketEvent{SYN: 3, PortSample: span(2000, 3)})
	run(d, f.events[2:])
	kept.save(d)
	if _, ok := kept["s/2001:db8::7"]; !ok || len(kept) != 2 {
		t.Errorf("got %d entries, want those of 2001:db8::7 and the interface alone", len(kept))
	}
}

func TestSaveWithinTheLimit(t *testing.T) {
	kept := host{}
	d := newDetector(t, Config{})
	var f feed
	for i := range 20000 {
		f.source(0, netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}), event.PacketEvent{SYN: 16, PortSample: span(3000, 16)})
	}
	run(d, f.events)
	for i := 0; len(d.sources.dirty) > 0; i++ {
		kept.save(d)
		if i > 100 {
			t.Fatal("Save makes no progress")
		}
	}
	if len(kept) != 20001 {
		t.Errorf("got %d entries, want 20000 and the interface", len(kept))
	}
}

func TestCorruptStateIsLeftOut(t *testing.T) {
	d := newDetector(t, Config{})
	kept := host{"s/not an address": {1}, "s/10.0.0.1": {9}, "d/10.0.0.1:80": nil, "x": {1}}
	if err := d.Restore(maps.All(kept)); err != nil {
		t.Fatal(err)
	}
	if got := d.Stats().Corrupt; got != 4 {
		t.Errorf("got %d corrupt, want 4", got)
	}
	kept.save(d)
	if len(kept) != 0 {
		t.Errorf("got %d entries left, want corrupt ones deleted", len(kept))
	}
}

func FuzzDecode(f *testing.F) {
	var fd feed
	fd.source(0, peer4, event.PacketEvent{SYN: 19, Ports: 19, PortSample: span(1000, 16)})
	fd.source(tick, peer4, event.PacketEvent{SYN: 2000, ACK: 1, PortSample: span(80, 1)})
	d := newDetector(f, Config{})
	run(d, fd.events)
	f.Add(d.sources.get(peer4).encode(nil))
	f.Add([]byte{stateVersion, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		var g group[netip.Addr]
		if g.decode(value) != nil {
			return
		}
		// What was accepted can be written, read again and worked on.
		var again group[netip.Addr]
		if err := again.decode(g.encode(nil)); err != nil {
			t.Errorf("decode what encode wrote: %v", err)
		}
		d := newDetector(t, Config{})
		if err := d.Restore(maps.All(host{"s/198.51.100.7": value, "d/192.0.2.1:80": value, "p/198.51.100.7:22": value, "l/192.0.2.1:80": value})); err != nil {
			t.Error(err)
		}
		run(d, fd.events)
		host{}.save(d)
	})
}

func FuzzDecodeBaseline(f *testing.F) {
	d := newDetector(f, Config{})
	b := d.baseline("eth0", start.UnixNano())
	for i := range 40 {
		b.turn(&d.cfg, start.Add(time.Duration(i)*time.Minute).UnixNano())
		b.over(metricSYN, uint64(i))
		b.over(metricUDP, 1<<40)
	}
	c := coder{}
	b.walk(&c)
	f.Add(c.buf)
	f.Add([]byte{stateVersion, 2})
	f.Fuzz(func(t *testing.T, value []byte) {
		d := newDetector(t, Config{})
		if err := d.Restore(maps.All(host{"b/eth0": value})); err != nil {
			t.Fatal(err)
		}
		if b := d.bases["eth0"]; b != nil {
			for m := range metrics {
				if floor := d.cfg.floor(m); b.bound[m] < floor || b.bound[m] > 10*floor {
					t.Errorf("got bound %d, want %d to %d", b.bound[m], floor, 10*floor)
				}
			}
			b.dirty = true
		}
		var fd feed
		fd.source(tick, peer4, event.PacketEvent{SYN: 2000, ACK: 1, PortSample: span(80, 1)})
		run(d, fd.events)
		host{}.save(d)
	})
}
