package network

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 19, 20, 1000, 1 << 20, 1<<41 - 1} {
		i := bucket(v)
		if edge(i) < v || i > 0 && edge(i-1) >= v {
			t.Errorf("%d: got bucket %d, from %d to %d", v, i, edge(i-1)+1, edge(i))
		}
		// The edge overstates by a fourth at most.
		if v > 3 && edge(i) > v+v/4 {
			t.Errorf("%d: got edge %d", v, edge(i))
		}
	}
	if got := bucket(1 << 63); got != buckets-1 {
		t.Errorf("got bucket %d, want the last", got)
	}
}

// minutes lets an interface see a peak of ICMP messages a second in every
// minute, and returns the bound after it.
func minutes(d *Detector, from, n int, rate func(i int) uint64) (bound uint64) {
	for i := range n {
		now := start.Add(time.Duration(from+i) * time.Minute).UnixNano()
		b := d.baseline("eth0", now)
		b.over(metricICMP, rate(i))
		bound = b.bound[metricICMP]
	}
	return bound
}

func TestBoundFollowsTheBaseline(t *testing.T) {
	steady := func(rate uint64) func(int) uint64 { return func(int) uint64 { return rate } }
	d := newDetector(t, Config{})
	if got := minutes(d, 0, 20, steady(600)); got != 1000 {
		t.Errorf("got bound %d before enough is known, want the floor", got)
	}
	// 600 lies in the bucket from 512 to 639.
	if got := minutes(d, 20, 30, steady(600)); got != 4*639 {
		t.Errorf("got bound %d, want four times 639", got)
	}
	// One odd minute in fifty is not usual.
	if got := minutes(d, 50, 300, func(i int) uint64 {
		if i%50 == 0 {
			return 2000
		}
		return 600
	}); got != 4*639 {
		t.Errorf("got bound %d, want four times 639", got)
	}
	// What grows by less than the factor is followed to the cap.
	rate := uint64(600)
	got := minutes(d, 350, 6000, func(i int) uint64 {
		if i%200 == 199 {
			rate = rate * 3 / 2
		}
		return rate
	})
	if got != 10_000 {
		t.Errorf("got bound %d, want the cap", got)
	}
	// And forgotten.
	if got := minutes(d, 6350, 6000, steady(1)); got != 1000 {
		t.Errorf("got bound %d, want the floor again", got)
	}
}

func TestAttackIsNotLearned(t *testing.T) {
	d := newDetector(t, Config{})
	rng := rand.New(rand.NewPCG(1, 1))
	usual := func(int) uint64 { return 80 + uint64(rng.IntN(40)) }
	minutes(d, 0, 60, usual)
	// Three hours of flood, with pauses of a minute in which it is just below the
	// bound.
	if got := minutes(d, 60, 180, func(i int) uint64 {
		if i%2 == 0 {
			return 50_000
		}
		return 999
	}); got != 1000 {
		t.Errorf("got bound %d after an attack, want 1000", got)
	}
	if got := d.baseline("eth0", start.Add(240*time.Minute).UnixNano()).usual[metricICMP]; got < 100 || got > 128 {
		t.Errorf("got %d as usual, want about 110", got)
	}
}

func TestAdaptationCanBeTurnedOff(t *testing.T) {
	d := newDetector(t, Config{BaselineCap: 1})
	if got := minutes(d, 0, 300, func(int) uint64 { return 900 }); got != 1000 {
		t.Errorf("got bound %d, want 1000", got)
	}
}

func TestInterfacesAreBounded(t *testing.T) {
	d := newDetector(t, Config{})
	for i := range 200 {
		d.baseline("veth"+strconv.Itoa(i), start.Add(time.Duration(i)*time.Second).UnixNano())
	}
	if len(d.bases) != maxInterfaces || d.bases["veth199"] == nil || d.bases["veth0"] != nil {
		t.Errorf("got %d baselines, want the newest %d", len(d.bases), maxInterfaces)
	}
	if got := d.Stats().Evicted; got != 200-maxInterfaces {
		t.Errorf("got %d evicted, want %d", got, 200-maxInterfaces)
	}
}

func TestListeners(t *testing.T) {
	day := 24 * time.Hour
	contact := event.PacketEvent{Packets: 5, SYN: 1, ACK: 3, FIN: 1}
	for _, tt := range []struct {
		name string
		make func(*feed)
		want int
	}{
		{"learned in the first day", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host4, 25, contact)
		}, 0},
		{"new on the second", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host4, 4444, contact)
			f.destination(2*day+time.Hour, host4, 4444, contact)
		}, 1},
		{"its handshake is cut by the end of an interval", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host4, 4444, event.PacketEvent{Packets: 1, SYN: 1})
			f.destination(2*day+tick, host4, 4444, event.PacketEvent{Packets: 3, ACK: 3})
		}, 1},
		{"a new address is learned anew", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host6, 25, contact)
			f.destination(2*day, host6, 80, contact)
		}, 0},
		{"probes, a connect scan, the probes of nmap -O", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			for port := range uint16(100) {
				f.destination(2*day, host4, 1000+port, event.PacketEvent{Packets: 1, SYN: 1})
			}
			f.destination(2*day, host4, 2000, event.PacketEvent{Packets: 3, SYN: 1, ACK: 1, RST: 1})
			f.destination(2*day, host4, 2001, event.PacketEvent{Packets: 4, SYN: 1, ACK: 2, Odd: 1})
		}, 0},
		{"replies to this host", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host4, 20000, event.PacketEvent{Packets: 9, SYNACK: 1, ACK: 8})
		}, 0},
		{"ports that the system gives to clients", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			f.destination(2*day, host4, 40000, contact)
		}, 0},
		{"twelve in an hour are ten alerts", func(f *feed) {
			f.destination(time.Hour, host4, 25, contact)
			for port := range uint16(12) {
				f.destination(2*day, host4, 7000+port, contact)
			}
		}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f feed
			f.destination(0, host4, 22, contact)
			tt.make(&f)
			alerts := run(newDetector(t, Config{}), f.events)
			if len(alerts) != tt.want {
				t.Errorf("got %q, want %d alerts", summary(alerts), tt.want)
			}
			for _, a := range alerts {
				if a.RuleID != RuleListener || a.Severity != event.SeverityLow {
					t.Errorf("got %s of severity %v", a.RuleID, a.Severity)
				}
			}
		})
	}
}

func TestDisabledRules(t *testing.T) {
	d := newDetector(t, Config{Disabled: Rules()})
	var f feed
	for i := range 4 {
		at := time.Duration(i) * tick
		f.source(at, peer4, event.PacketEvent{SYN: 250, RST: 1, Ports: 240, PortSample: span(1+i*250, 16)})
		f.source(at, netip.MustParseAddr("10.0.0.1"), event.PacketEvent{Packets: 5000, SYN: 5000, PortSample: span(80, 1)})
		f.destination(at, host4, 81, event.PacketEvent{Packets: 5000, SYN: 5000})
	}
	if alerts := run(d, f.events); len(alerts) > 0 {
		t.Errorf("got %q, want none", summary(alerts))
	}
	if d.Stats().Suppressed == 0 {
		t.Error("want what was not raised counted")
	}
}
