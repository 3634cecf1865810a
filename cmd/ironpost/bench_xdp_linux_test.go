//go:build bench

package main_test

import (
	"context"

	"net/netip"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/benchtest"
	"github.com/ironpost/ironpost/host/nettest"
)

// readerSpan is how long each flood of TestBenchXDPReader lasts.
const readerSpan = 8 * time.Second

// TestBenchXDPReader measures what the host itself spends on the summaries of a
// flood as fast as the kernel can make one, on a veth pair, and what of them is
// lost on the way to the detector. The time in which the kernel judges and counts
// packets is not the host's; TestBenchXDP of the packet engine has that.
func TestBenchXDPReader(t *testing.T) {
	r := &benchtest.Report{Name: "xdp-reader"}
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
			packets, before := a.watched().Packets, usageOfThreads(t, a.PID())
			began := time.Now()
			if _, err := a.Attacker.Storm(t.Context(), flood, readerSpan); err != nil {
				t.Fatal(err)
			}
			seconds := time.Since(began).Seconds()
			cpu := float64(usageOfThreads(t, a.PID()).cpu-before.cpu) / 1e9 / seconds * 100
			rate := float64(a.watched().Packets-packets) / seconds / 1e6
			out := ""
			_ = out
			r.Add(c.name, "rate", rate, "Mpps")
			r.Target(t, c.name, "host_cpu", cpu, "% of a core", cpu < 5, "< 5")
		})
	}
	r.Write(t)
	_ = context.Background
}
