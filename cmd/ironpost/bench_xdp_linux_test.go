//go:build bench

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
	"github.com/ironpost/ironpost/host/nettest"
)

const (
	// readerSpan is how long each flood of TestBenchXDPReader lasts, after
	// readerWarm, in which memory grows and the first alert is raised.
	readerSpan = 6 * time.Second
	readerWarm = time.Second
	// reactions is how many floods TestBenchXDPReaction starts, of each kind.
	reactions = 20
	// reactionLimit is how long it waits for what a flood has to lead to.
	reactionLimit = 5 * time.Second
)

// TestBenchXDPReader measures what the host itself spends on the summaries of a
// flood as fast as the kernel can make one, on a veth pair, and what of them is
// lost on the way to the detector. The time in which the kernel judges and counts
// packets is TestBenchXDP's, of the packet engine; what of it falls into the
// host's time by chance, as interrupts do, counts here too.
func TestBenchXDPReader(t *testing.T) {
	r := &benchtest.Report{Name: "xdp-reader", Wide: true}
	for _, c := range []struct {
		name    string
		from    string // "" forges each
		blocked bool
	}{
		{"SYN flood, forged sources, passed", "", false},
		{"SYN flood, forged sources, dropped", "", true},
		{"SYN flood, one source, passed", "10.77.0.9", false},
		{"SYN flood, one source, dropped", "10.77.0.9", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, nettest.NewPair(t), hosttest.Options{
				Plugins: []string{"detector-network", "sink-sqlite"},
				Env:     []string{"IRONPOST_GENERAL_MODE=enforce"},
			})
			if c.blocked {
				for _, p := range []string{"0.0.0.0/1", "10.77.0.9"} {
					if _, err := a.CLI("block", "add", p, "--ttl", "1h", "--reason", "bench"); err != nil {
						t.Fatal(err)
					}
				}
			}
			flood := nettest.Flood{To: a.Victim, Port: 80}
			if c.from != "" {
				flood.From = netip.MustParseAddr(c.from)
			}
			storm := func(span time.Duration) {
				t.Helper()
				if _, err := a.Attacker.Storm(t.Context(), flood, span); err != nil {
					t.Fatal(err)
				}
			}
			storm(readerWarm)
			packets, before := a.watched().Packets, benchProcessTime(t, a.PID())
			began := time.Now()
			storm(readerSpan)
			seconds := time.Since(began).Seconds()
			cpu := (benchProcessTime(t, a.PID()) - before).Seconds() / seconds * 100
			r.Add(c.name, "rate", float64(a.watched().Packets-packets)/seconds/1e6, "Mpps")
			r.Target(t, c.name, "host", cpu, "% of a core", cpu < 5, "< 5")

			emitted, read, lost := a.summaries()
			r.Add(c.name, "summaries", float64(emitted), "")
			r.Target(t, c.name, "lost", float64(lost), "", lost == 0 && read >= emitted,
				fmt.Sprintf("0, and %d read of %d", read, emitted))
		})
	}
	r.Write(t)
}

// summaries returns how many the filter emitted and the detector was sent, once
// it has caught up, and how many are said to be lost.
func (a *arena) summaries() (emitted, read, lost uint64) {
	a.t.Helper()
	var s struct {
		benchStatus
		Interfaces []struct {
			Counters map[string]uint64
		}
	}
	var plugins []struct {
		Name            string
		Events, Dropped uint64
	}
	deadline := time.Now().Add(reactionLimit)
	for {
		s.Dropped, s.CoverageGaps, s.Interfaces, plugins = nil, nil, nil, nil
		a.JSON(&s, "status")
		a.JSON(&plugins, "plugin", "list")
		emitted, read, lost = s.Interfaces[0].Counters["summaries"], 0, uint64(len(s.CoverageGaps))
		for _, d := range s.Dropped {
			lost += d.Count
		}
		for _, p := range plugins {
			if p.Name == "detector-network" {
				read, lost = p.Events, lost+p.Dropped
			}
		}
		if read >= emitted || time.Now().After(deadline) {
			return emitted, read, lost
		}
		<-time.After(100 * time.Millisecond) // the last interval is on its way
	}
}

// TestBenchXDPReaction measures, for one flood after the other, the time from its
// first packet to the alert, as ironpost events tail shows it, and from there to
// the first packet that the filter drops, as the driver of the interface counts it.
// Each starts at another moment of the interval of summaries.
func TestBenchXDPReaction(t *testing.T) {
	r := &benchtest.Report{Name: "xdp-reaction", Wide: true}
	for _, c := range []struct {
		name    string
		forged  bool
		optedIn bool
	}{
		{name: "SYN flood, forged sources", forged: true},
		{name: "SYN flood, one source, limited"},
		{name: "SYN flood, one source, blocked by opt-in", optedIn: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, nettest.NewPair(t), hosttest.Options{
				Plugins: []string{"detector-network", "enforcer-xdp", "sink-sqlite"},
				Env:     []string{"IRONPOST_GENERAL_MODE=enforce"},
				Config: fmt.Sprintf("[respond]\nblock_forgeable = %v\n[enforcer_xdp]\nmin_severity = \"low\"\n[detector_network]\nsuppress = \"1s\"\n",
					c.optedIn),
			})
			alerts := followShown(t, a)
			var detected, answered []float64
			for i := range reactions {
				// The tail follows, and the flood before is over.
				<-time.After(time.Second + time.Duration(i)*37*time.Millisecond)
				flood := nettest.Flood{To: a.Victim, Port: uint16(1000 + i), Packets: 10_000_000}
				if !c.forged {
					flood.From = netip.AddrFrom4([4]byte{10, 77, 1, byte(1 + i)})
				}
				dropped := drops(t, a.Victim)
				ctx, cancel := context.WithCancel(t.Context())
				sent := make(chan error, 1)
				began := time.Now()
				go func() {
					_, err := a.Attacker.Send(ctx, flood)
					sent <- err
				}()
				alert := awaitShown(t, alerts, fmt.Sprint(flood.Port))
				detected = append(detected, float64(alert.at.Sub(began).Microseconds())/1000)
				if !c.forged {
					for drops(t, a.Victim) == dropped {
						if time.Since(alert.at) > reactionLimit {
							t.Fatalf("nothing is dropped of %v within %v", flood.From, reactionLimit)
						}
					}
					answered = append(answered, float64(time.Since(alert.at).Microseconds())/1000)
				}
				cancel()
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
			}
			r.Add(c.name, "floods", reactions, "")
			r.Add(c.name, "first packet -> alert shown, p50", benchtest.Median(detected), "ms")
			p99 := benchtest.Quantile(detected, 0.99)
			r.Target(t, c.name, "first packet -> alert shown, p99", p99, "ms", p99 <= 300, "<= 300")
			t.Logf("first packet -> alert shown, ms: %.0f", detected)
			if len(answered) > 0 {
				t.Logf("alert shown -> packets dropped, ms: %.1f", answered)
				r.Add(c.name, "alert shown -> packets dropped, p50", benchtest.Median(answered), "ms")
				p99 = benchtest.Quantile(answered, 0.99)
				r.Target(t, c.name, "alert shown -> packets dropped, p99", p99, "ms", p99 <= 50, "<= 50")
			}
		})
	}
	r.Write(t)
}

// drops returns how many packets were dropped at an end of the pair.
func drops(t *testing.T, n *nettest.Namespace) uint64 {
	t.Helper()
	got, err := n.XDPDrops()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// shownFlood is an alert, by the port that is attacked, and when it was read.
type shownFlood struct {
	port string
	at   time.Time
}

// followShown reads the alerts from ironpost events tail.
func followShown(t *testing.T, a *arena) <-chan shownFlood {
	t.Helper()
	c := make(chan shownFlood, 1024)
	benchFollow(t, a.Host, "alert", func(_ context.Context, line []byte) {
		at := time.Now()
		var x alert
		if json.Unmarshal(line, &x) != nil {
			return
		}
		select {
		case c <- shownFlood{x.Entities["dst_port"], at}:
		default: // nobody has waited for long
		}
	})
	return c
}

func awaitShown(t *testing.T, c <-chan shownFlood, port string) shownFlood {
	t.Helper()
	limit := time.NewTimer(reactionLimit)
	defer limit.Stop()
	for {
		select {
		case s := <-c:
			if s.port == port {
				return s
			}
		case <-limit.C:
			t.Fatalf("no alert about port %s within %v", port, reactionLimit)
		}
	}
}
