package network

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// naive keeps every summary of one source and counts anew each time, by the
// words of the package documentation. The packet counts use the same steps.
type naive struct {
	cfg    Config
	now    time.Time
	events []*event.PacketEvent
}

func (n *naive) alerts(e *event.PacketEvent) bool {
	n.events = append(n.events, e)
	if e.Time.After(n.now) {
		n.now = e.Time
	}
	if n.within(n.cfg.ScanWindow, n.cfg.ScanPorts) || n.within(n.cfg.SlowScanWindow, n.cfg.SlowScanPorts) {
		n.events = nil
		return true
	}
	return false
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
			Suppress: time.Second,
		}
		d := newDetector(t, cfg)
		n := naive{cfg: cfg}
		at := start
		quietUntil := time.Time{}
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
			crossed := n.alerts(e)
			now := time.Unix(0, d.newest)
			want := crossed && !now.Before(quietUntil)
			if want {
				quietUntil = now.Add(time.Second)
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
		cfg := Config{FloodRate: 100, FloodIntervals: 1 + rng.IntN(5), FloodWindow: time.Duration(1+rng.IntN(5)) * time.Second, Suppress: time.Second}
		d := newDetector(t, cfg)
		var f feed
		var hot []time.Time
		var quietUntil time.Time
		at := time.Duration(0)
		for i := range 100 {
			at += time.Duration(rng.IntN(1500)) * time.Millisecond
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
					want = !now.Before(quietUntil)
				}
				if want {
					quietUntil = now.Add(time.Second)
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
