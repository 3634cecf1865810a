package main_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestScanModes: every mode of nmap raises one alert that names the scanner and
// how it scans. Each mode has a source and a target of its own: several sources
// that scan one address at the same time would be decoys of each other.
func TestScanModes(t *testing.T) {
	nettest.Need(t, "nmap", "nsenter", "ip")
	pair := nettest.NewPair(t)
	type attack struct {
		name, rule, technique string
		source                netip.Addr
		args                  []string
	}
	attacks := []attack{
		{"syn", "port_scan", "syn", netip.Addr{}, []string{"-sS", "-Pn"}},
		// Nothing listens, so that no connection is completed.
		{"connect", "port_scan", "syn", pair.Attacker.IP4, []string{"-sT", "-Pn"}},
		{"fin", "port_scan", "fin", netip.Addr{}, []string{"-sF", "-Pn"}},
		{"null", "port_scan", "null", netip.Addr{}, []string{"-sN", "-Pn"}},
		{"xmas", "port_scan", "xmas", netip.Addr{}, []string{"-sX", "-Pn"}},
		{"ack", "port_scan", "ack", netip.Addr{}, []string{"-sA", "-Pn"}},
		{"udp", "port_scan", "udp", netip.Addr{}, []string{"-sU", "-Pn", "-T5", "--min-rate", "300"}},
		{"ping", "address_sweep", "", netip.Addr{}, []string{"-sn", "--disable-arp-ping"}},
	}
	for i := range attacks {
		x := &attacks[i]
		if !x.source.IsValid() {
			x.source = assign(t, pair.Attacker, netip.AddrFrom4([4]byte{10, 77, 10, byte(1 + i)}))
			x.args = append(x.args, "-S", x.source.String(), "-e", pair.Attacker.Interface)
		}
		if x.rule == "address_sweep" {
			for n := range 30 {
				x.args = append(x.args, assign(t, pair.Victim, netip.AddrFrom4([4]byte{10, 77, 30, byte(1 + n)})).String())
			}
			continue
		}
		target := assign(t, pair.Victim, netip.AddrFrom4([4]byte{10, 77, 20, byte(1 + i)}))
		x.args = append(x.args, "-p1-200", "--max-retries", "1", target.String())
	}
	a := newArena(t, pair, hosttest.Options{Plugins: []string{"detector-network", "sink-sqlite"}})
	for _, x := range attacks {
		run(t, a.Attacker, 60*time.Second, "nmap", append([]string{"-n"}, x.args...)...)
		a.alertOf(x.rule, "src_ip", x.source.String())
	}
	for _, x := range attacks {
		n := 0
		for _, got := range a.alerts() {
			if got.Entities["src_ip"] != x.source.String() {
				continue
			}
			n++
			if got.RuleID != x.rule || got.Evidence != "forgeable" || x.technique != "" && got.Details["technique"] != x.technique {
				t.Errorf("%s: got alert %+v", x.name, got)
			}
		}
		if n != 1 {
			t.Errorf("%s: got %d alerts about %v, want 1", x.name, n, x.source)
		}
	}
	for _, got := range a.alerts() {
		if got.Entities["src_ip"] == "" {
			t.Errorf("got alert %+v, want none but those of the scanners", got)
		}
	}
}
