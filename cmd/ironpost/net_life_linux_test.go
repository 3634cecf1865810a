package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// probes is how many packets each source sends, at least, around each event in
// the life of a host.
const probes = 2000

// TestFilterOutlivesHost kills, stops, upgrades and resizes a host in enforce
// mode under traffic: no packet of a blocked source passes, none of an innocent
// one is lost.
func TestFilterOutlivesHost(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("mode", "enforce")
	for _, p := range []string{l.blocked.String(), l.blocked6.String(), "10.77.9.0/24"} {
		l.CLIOrFail("block", "add", p, "--ttl", "1h")
	}
	l.CLIOrFail("allow", "add", l.pardoned.String())

	l.under("SIGKILL and restart", func() {
		l.Kill()
		l.Start()
	})
	l.under("clean stop and restart", func() {
		if err := l.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		l.Start()
	})
	l.under("SIGKILL and restart with maps of another size", func() {
		l.Kill()
		l.set("max_entries = 2048", "max_entries = 4096")
		l.Start()
	})
	l.under("SIGKILL at any point of 30 starts, of two sizes in turn", func() {
		l.Kill()
		for i := range 30 {
			l.startAndKill(fmt.Sprintf("IRONPOST_EBPF_MAX_ENTRIES=%d", 2048<<(i%2)), time.Duration(i)*4*time.Millisecond)
		}
		l.Start()
	})

	var s filterStatus
	l.JSON(&s, "ebpf", "status")
	f := s.only(t)
	if f.State != "attached" || f.Pins == "" || f.Simulate || f.inUse("hosts4") != 1 || f.inUse("nets4") != 1 ||
		f.inUse("hosts6") != 1 || f.maps["hosts4"].MaxEntries != 4096 {
		t.Errorf("got filter %+v, want it attached, pinned, enforcing, with three blocks in maps of 4096", f)
	}
	l.stopped(f.Dropped)
}

// stopped ends the host and looks at what it leaves: its counters among it, which
// had come to dropped.
func (l *life) stopped(dropped int) {
	l.t.Helper()
	if err := l.Stop(); err != nil {
		l.t.Errorf("stop: %v", err)
	}
	if line := linkLine(l.t, l.Victim, l.Victim.Interface); !strings.Contains(line, "xdp") {
		l.t.Errorf("got %q after a clean stop, want the filter to go on", line)
	}
	var s filterStatus
	l.offline(&s, "ebpf", "status")
	if f := s.only(l.t); s.HostRunning || f.State != "left" || f.Dropped < dropped || f.Dropped == 0 || f.inUse("hosts4") != 1 {
		l.t.Errorf("got status %+v without a host, want the filter that it left, and its counters", s)
	}
	var d struct {
		Sources []struct{ Address string }
		Entries []struct{ Prefix, Action, Expires string }
		Total   int
	}
	l.offline(&d, "ebpf", "dump", l.Victim.Interface)
	blocked := 0
	for _, e := range d.Entries {
		if e.Action == "drop" && e.Expires != "" {
			blocked++
		}
	}
	if blocked != 3 || d.Total != len(d.Entries) {
		l.t.Errorf("got dump %+v, want three blocks that expire", d)
	}
	l.offline(&s, "ebpf", "detach", "--all")
	if line := linkLine(l.t, l.Victim, l.Victim.Interface); strings.Contains(line, "xdp") {
		l.t.Errorf("got %q after detach, want nothing attached", line)
	}
	if left, err := os.ReadDir(l.pins); err == nil && len(left) > 0 {
		l.t.Errorf("got %v in the directory of the pins after detach, want nothing", left)
	}
}

// startAndKill starts a host and kills it so much later.
func (l *life) startAndKill(env string, later time.Duration) {
	l.t.Helper()
	cmd := l.Victim.Command(l.t.Context(), hosttest.Build()+"/ironpost", "run", "--config", l.ConfigFile())
	cmd.Env = append(os.Environ(), env)
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	<-time.After(later)
	if err := cmd.Process.Kill(); err != nil {
		l.t.Error(err)
	}
	_ = cmd.Wait() // it says that the process was killed
}

// TestSimulateOutlivesHost kills a host in simulate mode, and one that was in
// enforce mode and comes back in simulate: nothing is dropped.
func TestSimulateOutlivesHost(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	l.Kill()
	if got := l.burst(100); got != 100 {
		t.Errorf("got %d of 100 packets through a filter that simulates, after SIGKILL", got)
	}
	l.Start()
	l.CLIOrFail("mode", "enforce")
	l.Kill()
	if got := l.burst(100); got != 0 {
		t.Errorf("got %d of 100 packets through a filter that enforces, after SIGKILL", got)
	}
	// The operator says otherwise while no host runs.
	if err := os.RemoveAll(l.Dir + "/data"); err != nil {
		t.Fatal(err)
	}
	l.Start()
	if got := l.burst(100); got != 100 {
		t.Errorf("got %d of 100 packets through a host that came back in simulate", got)
	}
}

// TestTrialEndsWithHost stops a host that enforces on trial: nobody could end
// the trial, so nothing is dropped.
func TestTrialEndsWithHost(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	l.CLIOrFail("mode", "enforce", "--confirm", "10m")
	if got := l.burst(50); got != 0 {
		t.Errorf("got %d of 50 packets through a filter that enforces on trial", got)
	}
	if err := l.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := l.burst(50); got != 50 {
		t.Errorf("got %d of 50 packets through what a host left that enforced on trial", got)
	}
}

// TestUnpinnedFilterEndsWithHost is the control: without pins the senders of
// these tests do get through while a host restarts.
func TestUnpinnedFilterEndsWithHost(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t, t.TempDir())
	l.CLIOrFail("mode", "enforce")
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	var s filterStatus
	l.JSON(&s, "ebpf", "status")
	var status struct{ Warnings []string }
	l.JSON(&status, "status")
	if f := s.only(t); f.Pins != "" || !strings.Contains(f.Unpinned, "no bpffs is mounted at") ||
		len(status.Warnings) == 0 || !strings.Contains(strings.Join(status.Warnings, "\n"), f.Unpinned) {
		t.Errorf("got filter %+v, warnings %q, want both to say why it is not pinned", f, status.Warnings)
	}
	f := &flow{from: l.blocked}
	fire := l.fire([]*flow{f})
	l.Kill()
	l.Start()
	fire.finish(probes)
	t.Logf("SIGKILL and restart without pins: %v sent %d, blocked, leaked %d", f.from, f.sent, f.got)
	if f.got == 0 {
		t.Error("nothing leaked where nothing was pinned: the senders show nothing")
	}
}

// TestInterfacesComeAndGo takes an interface away from a running host and gives
// it back, and has an operator detach and attach it.
func TestInterfacesComeAndGo(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("mode", "enforce")
	l.CLIOrFail("block", "add", l.blocked.String(), "--ttl", "1h")
	ip := func(args ...string) { run(t, l.Victim, 10*time.Second, "ip", append([]string{"link"}, args...)...) }

	// Renamed, it is no longer the one that is named; and the name comes back.
	name := l.Victim.Interface
	ip("set", "dev", name, "down")
	ip("set", "dev", name, "name", "other0")
	l.state("waiting")
	if line := linkLine(t, l.Victim, "other0"); strings.Contains(line, "xdp") {
		t.Errorf("got %q, want nothing on an interface of another name", line)
	}
	ip("set", "dev", "other0", "name", name)
	l.state("attached")
	ip("set", "dev", name, "up")
	assign(t, l.Victim, l.Victim.IP6) // it went with the interface's going down
	if got := l.burst(50); got != 0 {
		t.Errorf("got %d of 50 packets of the blocked address through an interface that came back", got)
	}

	l.CLIOrFail("ebpf", "detach", name)
	l.state("detached")
	if line := linkLine(t, l.Victim, name); strings.Contains(line, "xdp") {
		t.Errorf("got %q after detach, want nothing attached", line)
	}
	if got := l.burst(50); got != 50 {
		t.Errorf("got %d of 50 packets through a detached filter", got)
	}
	l.CLIOrFail("ebpf", "attach", name)
	l.state("attached")
	if got := l.burst(50); got != 0 {
		t.Errorf("got %d of 50 packets of the blocked address through a filter that is attached again", got)
	}

	// Who sends most is on top.
	f := l.fire([]*flow{{from: l.blocked}})
	var d struct {
		Sources []struct {
			Address string
			Packets int
			Dropped int
		}
		Ports   []struct{ Port, Packets int }
		Entries []struct{ Prefix, Action string }
	}
	l.JSON(&d, "ebpf", "dump", name, "--top", "1")
	f.finish(0)
	if len(d.Sources) != 1 || d.Sources[0].Address != l.blocked.String() || d.Sources[0].Dropped == 0 || len(d.Ports) != 1 || len(d.Entries) == 0 {
		t.Errorf("got dump %+v, want %v on top", d, l.blocked)
	}

	// What is no longer named is taken off at the next start.
	l.Kill()
	l.set(fmt.Sprintf("[%q]", name), "[]")
	l.Start()
	if line := linkLine(t, l.Victim, name); strings.Contains(line, "xdp") {
		t.Errorf("got %q, want the filter taken off an interface that is not named any more", line)
	}
	if _, err := l.CLI("ebpf", "status", name); hosttest.ExitCode(err) != 1 {
		t.Errorf("got %v, want exit 1 for an interface that is not watched", err)
	}
}

// state waits for the state of the one filter.
func (l *life) state(want string) {
	l.t.Helper()
	var s filterStatus
	defer func() {
		if l.t.Failed() {
			l.t.Logf("got filters %+v", s.Filters)
		}
	}()
	l.Wait(10*time.Second, "the filter is "+want, func() bool {
		l.JSON(&s, "ebpf", "status")
		return len(s.Filters) == 1 && s.Filters[0].State == want
	})
}
