package main_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestScanAndFlood: real scanners and floods raise the alerts that name them,
// over both families, and lead to no block without an operator's word.
func TestScanAndFlood(t *testing.T) {
	nettest.Need(t, "nmap", "hping3", "nsenter")
	a := newArena(t, nettest.NewPair(t), hosttest.Options{Plugins: []string{"detector-network", "sink-sqlite"}})
	scan := []string{"-sS", "-n", "-Pn", "-p1-300", "--max-retries", "1"}

	run(t, a.Attacker, 30*time.Second, "nmap", append(scan, a.Victim.IP4.String())...)
	got := a.alertOf("port_scan", "src_ip", a.Attacker.IP4.String())
	if got.Evidence != "forgeable" || got.Detector != "detector-network" || got.Entities["dst_ip"] != a.Victim.IP4.String() {
		t.Errorf("got alert %+v, want forgeable evidence about a scan of %v", got, a.Victim.IP4)
	}

	run(t, a.Attacker, 30*time.Second, "nmap", append(scan, "-6", a.Victim.IP6.String())...)
	got = a.alertOf("port_scan", "src_ip", a.Attacker.IP6.String())
	// The kernel remembers the last destination of a source, which may be the
	// group that its neighbour discovery asked; no alert calls that attacked.
	if to := got.Entities["dst_ip"]; to != "" && to != a.Victim.IP6.String() {
		t.Errorf("got alert %+v, want one about a scan of %v", got, a.Victim.IP6)
	}

	// What one source explains names that source; forged ones name none.
	a.flood("-p", "80", a.Victim.IP4.String())
	got = a.alertOf("syn_flood_source", "src_ip", a.Attacker.IP4.String())
	if got.Entities["dst_port"] != "80" || got.Evidence != "forgeable" {
		t.Errorf("got alert %+v, want one about port 80", got)
	}
	a.flood("--rand-source", "-p", "81", a.Victim.IP4.String())
	got = a.alertOf("syn_flood", "dst_ip", a.Victim.IP4.String())
	if got.Entities["dst_port"] != "81" || got.Entities["src_ip"] != "" || got.Evidence != "forgeable" {
		t.Errorf("got alert %+v, want one about port 81 that names no source", got)
	}

	// hping3 speaks no IPv6: 2,000 SYN from forged sources every 100 ms for a
	// second.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		if _, err := a.Attacker.Send(t.Context(), nettest.Flood{To: a.Victim, Port: 443, Six: true, Packets: 2000}); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	got = a.alertOf("syn_flood", "dst_ip", a.Victim.IP6.String())
	if got.Entities["dst_port"] != "443" || got.Entities["src_ip"] != "" {
		t.Errorf("got alert %+v, want one about port 443 that names no source", got)
	}
	if got := a.blocks(); len(got) != 0 {
		t.Errorf("got blocks %+v, want none", got)
	}
}

// TestForgedSources: addresses that an attacker can forge get nobody blocked in
// enforce mode, and where the operator opted in, never the gateway.
func TestForgedSources(t *testing.T) {
	nettest.Need(t, "nmap", "hping3", "nsenter", "ip")
	pair := nettest.NewPair(t)
	// The gateway is the attacker's side of the pair, and the scanner is another
	// address there.
	gateway := pair.Attacker.IP4
	first := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.66"))
	second := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.67"))
	third := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.68"))
	run(t, pair.Victim, 10*time.Second, "ip", "route", "add", "default", "via", gateway.String())
	a := newArena(t, pair, hosttest.Options{
		Plugins: []string{"detector-network", "enforcer-xdp", "sink-sqlite"},
		Env:     []string{"IRONPOST_GENERAL_MODE=enforce"},
		Config: `
[enforcer_xdp]
min_severity = "low"
ttl = "10m"
[detector_network]
suppress = "1s"
[respond]
block_forgeable = false
`,
	})
	nmap := func(from netip.Addr, more ...string) {
		t.Helper()
		run(t, a.Attacker, 30*time.Second, "nmap", append([]string{
			"-sS", "-n", "-Pn", "-p1-300", "--max-retries", "1",
			"-S", from.String(), "-e", a.Attacker.Interface, a.Victim.IP4.String(),
		}, more...)...)
	}
	scan := func(from netip.Addr) {
		t.Helper()
		nmap(from)
		a.alertOf("port_scan", "src_ip", from.String())
	}

	scan(first)
	// The floods, of two seconds each, also keep the scans apart: at the same time
	// they were decoys of each other.
	a.flood("--rand-source", "-p", "80", a.Victim.IP4.String())
	flood := a.alertOf("syn_flood", "dst_ip", a.Victim.IP4.String())
	if got := a.actionOn(first, "applied"); got.Action != "limit" || got.Details["limit"] != "100" || !strings.Contains(got.Reason, "may be forged") {
		t.Errorf("got action %+v on %v, want a limit, and why it is no block", got, first)
	}
	if !a.reaches(first, patience) {
		t.Errorf("%v is cut off, want it limited", first)
	}
	before := a.dropped()
	a.flood("-a", first.String(), "-p", "83", a.Victim.IP4.String())
	if got := a.dropped() - before; got < 1000 {
		t.Errorf("a flood from %v lost %d packets to its limit, want most of them", first, got)
	}
	a.Wait(20*time.Second, "a notice about the flood", func() bool {
		return slices.ContainsFunc(a.actions(), func(x action) bool {
			return x.AlertID == flood.ID && x.Action == "notify" && strings.Contains(x.Reason, "names no source address")
		})
	})
	limited := func(b block) bool { return b.Action == "limit" }
	if got := a.blocks(); slices.ContainsFunc(got, func(b block) bool { return !limited(b) }) {
		t.Errorf("got blocks %+v on evidence that may be forged, want limits alone", got)
	}

	// The operator opts in: the gateway still is never blocked.
	text, err := os.ReadFile(a.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	a.WriteConfig(strings.Replace(string(text), "block_forgeable = false", "block_forgeable = true", 1))
	if _, err := a.CLI("config", "reload"); err != nil {
		t.Fatal(err)
	}
	scan(gateway)
	a.Wait(20*time.Second, "the gateway's block to be refused", func() bool {
		return slices.ContainsFunc(a.actions(), func(x action) bool {
			return x.Target == gateway.String() && x.Outcome == "refused" && x.Details["code"] == "gateway"
		})
	})
	a.flood("--rand-source", "-p", "81", a.Victim.IP4.String())
	scan(second)
	a.actionOn(second, "applied")

	// Behind decoys, the gateway among them, nobody is named.
	a.flood("--rand-source", "-p", "82", a.Victim.IP4.String())
	nmap(third, "-D", gateway.String()+",ME")
	a.Wait(20*time.Second, "an alert about decoys", func() bool {
		return slices.ContainsFunc(a.alerts(), func(x alert) bool {
			return x.RuleID == "port_scan" && x.Entities["src_ip"] == "" && x.Entities["dst_ip"] == a.Victim.IP4.String()
		})
	})
	if got := slices.DeleteFunc(a.blocks(), limited); len(got) != 1 || got[0].Prefix != second.String()+"/32" {
		t.Errorf("got blocks %+v, want %v alone", got, second)
	}
	if a.reaches(second, silence) {
		t.Errorf("%v is answered, want it blocked", second)
	}
	if !a.reaches(gateway, patience) {
		t.Error("the gateway is cut off")
	}
}
