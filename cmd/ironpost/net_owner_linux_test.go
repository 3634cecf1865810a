package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/host/nettest"
)

// TestFilterOutlivesHostBesideAnother kills a host and starts one of another data
// directory: it neither takes the filter off nor has it, and the first host has
// its own again.
func TestFilterOutlivesHostBesideAnother(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("mode", "enforce")
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	var s filterStatus
	l.JSON(&s, "ebpf", "status")
	pins := s.only(t).Pins
	if pins == "" {
		t.Fatal("the filter is not pinned")
	}
	l.Kill()
	blocks := func(when string) {
		t.Helper()
		if got := l.burst(50); got != 0 {
			t.Errorf("%s: got %d of 50 packets of the blocked address", when, got)
		}
	}

	other := &life{Pair: l.Pair, t: t, pins: l.pins, Host: l.host("")}
	blocks("beside a host that names no interface")
	if err := other.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	other.set("interface = []", fmt.Sprintf("interface = [%q]", l.Victim.Interface))
	other.Start()
	other.state("failed")
	s = filterStatus{}
	other.JSON(&s, "ebpf", "status")
	home := pins[:strings.LastIndex(pins, "/")]
	if f := s.only(t); !strings.Contains(f.Error, home) || !strings.Contains(f.Error, "ironpost ebpf detach "+l.Victim.Interface) {
		t.Errorf("got %q, want it to name %s and how to end it", f.Error, home)
	}
	blocks("beside a host that names the interface")
	if err := other.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	blocks("after that host")

	l.Start()
	s = filterStatus{}
	l.JSON(&s, "ebpf", "status")
	if f := s.only(t); f.State != "attached" || f.Pins != pins || f.inUse("hosts4") != 1 {
		t.Errorf("got filter %+v, want the one that is pinned in %s, with its block", f, pins)
	}
	blocks("with its own host again")

	// To detach it without a host is meant, whoever's it is.
	l.Kill()
	s = filterStatus{}
	other.offline(&s, "ebpf", "status")
	if f := s.only(t); f.State != "left" || f.Pins != pins {
		t.Errorf("got filter %+v from the other configuration, want the one that is pinned in %s", f, pins)
	}
	other.offline(&s, "ebpf", "detach", l.Victim.Interface)
	if line := linkLine(t, l.Victim, l.Victim.Interface); strings.Contains(line, "xdp") {
		t.Errorf("got %q after detach, want nothing attached", line)
	}
	if left, err := os.ReadDir(l.pins); err == nil && len(left) > 0 {
		t.Errorf("got %v in the directory of the pins after detach, want nothing", left)
	}
}
