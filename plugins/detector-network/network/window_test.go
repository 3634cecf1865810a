package network

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// naive keeps every summary of one source and counts anew each time, by the
// words of the package documentation, and gives the window whose bound is crossed.
// The packet counts use the same steps.
type naive struct {
	cfg    Config
	now    time.Time
	events []*event.PacketEvent
}

func (n *naive) crosses(e *event.PacketEvent) time.Duration {
	n.events = append(n.events, e)
	if e.Time.After(n.now) {
		n.now = e.Time
	}
	switch {
	case n.within(n.cfg.ScanWindow, n.cfg.ScanPorts):
		n.events = nil
		return n.cfg.ScanWindow
	case n.within(n.cfg.SlowScanWindow, n.cfg.SlowScanPorts):
		n.events = nil
		return n.cfg.SlowScanWindow
	}
	return 0
}

// silence is the time after an alert and after each later crossing.
type silence struct{ since, until time.Time }

func (s *silence) raises(now time.Time, length, remind time.Duration) bool {
	if now.Before(s.until) {
		until := now.Add(length)
		if latest := s.since.Add(remind); until.After(latest) {
			until = latest
		}
		if until.After(s.until) {
			s.until = until
		}
		return false
	}
	s.since, s.until = now, now.Add(length)
	return true
}

func (n *naive) within(window time.Duration, bound int) bool {
	now := n.now
	step := int64(window) / 20
	ports := make(map[uint16]bool)
	var syn, ack uint64
	most := 0
	for _, e := range n.events {
		if e.Time.After(now.Add(-window)) {
			for _, p := range e.PortSample {
				ports[p] = true
			}
		}
		if e.Time.UnixNano()/step > now.UnixNano()/step-20 {
			syn += e.SYN
			ack += e.ACK
			most = max(most, int(e.Ports))
		}
	}
	return max(len(ports), most) >= bound && 2*ack < syn
}

func TestScanWindowsAgainstNaiveCount(t *testing.T) {
	total := 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{
			ScanPorts: 3 + rng.IntN(18), ScanWindow: time.Duration(2+rng.IntN(10)) * time.Second,
			SlowScanPorts: 5 + rng.IntN(26), SlowScanWindow: time.Duration(60+rng.IntN(300)) * time.Second,
			Suppress: time.Second, Remind: 10 * time.Minute,
		}
		d := newDetector(t, cfg)
		n := naive{cfg: cfg}
		at := start
		var quiet silence
		for i := range 200 {
			at = at.Add(time.Duration(rng.IntN(4000)) * time.Millisecond)
			if rng.IntN(20) == 0 {
				at = at.Add(time.Minute)
			}
			e := &event.PacketEvent{
				Stream: stream, Sequence: uint64(i), Interval: tick, Scope: event.ScopeSource, Source: peer4,
				// Some summaries come late, as from another interface.
				Time: at.Add(-time.Duration(rng.IntN(2)*rng.IntN(5000)) * time.Millisecond),
			}
			for range 1 + rng.IntN(4) {
				e.PortSample = append(e.PortSample, uint16(2000+rng.IntN(60)))
			}
			e.PortSample = distinct(e.PortSample)
			e.Ports = uint32(len(e.PortSample))
			e.SYN = uint64(e.Ports) + uint64(rng.IntN(3))
			e.ACK = (e.SYN - 1) / 2 * uint64(rng.IntN(2))
			raised := len(run(d, []*event.PacketEvent{e})) > 0
			window := n.crosses(e)
			want := window > 0 && quiet.raises(time.Unix(0, d.newest), window, cfg.Remind)
			if want {
				total++
			}
			if raised != want {
				t.Fatalf("seed %d, summary %d: got alert %v, want %v", seed, i, raised, want)
			}
		}
	}
	if total < 1000 {
		t.Errorf("got %d alerts in all; the test shows little", total)
	}
	t.Logf("%d alerts in 1,000 runs", total)
}

func distinct(ports []uint16) []uint16 {
	var out []uint16
	seen := make(map[uint16]bool)
	for _, p := range ports {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

func TestFloodWindowsAgainstNaiveCount(t *testing.T) {
	total := 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg := Config{FloodRate: 100, SlowFloodRate: 1 << 20, FloodIntervals: 1 + rng.IntN(5), FloodWindow: time.Duration(1+rng.IntN(5)) * time.Second, Suppress: time.Second}
		d := newDetector(t, cfg)
		var f feed
		var hot []time.Time
		var quiet silence
		at := time.Duration(0)
		for i := range 100 {
			at += time.Duration(1+rng.IntN(1500)) * time.Millisecond
			syn, ack := uint64(rng.IntN(60)), uint64(rng.IntN(15))
			f.destination(at, host4, 80, event.PacketEvent{SYN: syn, ACK: ack})
			now := start.Add(at)
			want := false
			if syn >= 25 && syn > 3*ack { // 100 a second for 250 ms
				hot = append(hot, now)
				n := 0
				for _, h := range hot {
					if h.After(now.Add(-cfg.FloodWindow)) {
						n++
					}
				}
				if n >= cfg.FloodIntervals {
					hot = nil
					want = quiet.raises(now, time.Second, 6*time.Hour)
				}
				if want {
					total++
				}
			}
			if got := len(run(d, f.events[len(f.events)-1:])) > 0; got != want {
				t.Fatalf("seed %d, summary %d: got alert %v, want %v", seed, i, got, want)
			}
		}
	}
	if total < 1000 {
		t.Errorf("got %d alerts in all; the test shows little", total)
	}
}
