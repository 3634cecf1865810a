package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// packetRule is what the tests read of block rule list.
type packetRule struct {
	Name      string    `json:"name"`
	Ports     []string  `json:"ports"`
	Action    string    `json:"action"`
	Limit     int       `json:"limit"`
	Burst     int       `json:"burst"`
	DryRun    bool      `json:"dry_run"`
	Expires   time.Time `json:"expires"`
	Effect    string    `json:"effect"`
	Hits      int       `json:"hits"`
	Dropped   int       `json:"dropped"`
	WouldDrop int       `json:"would_drop"`
}

// rules returns the rules in their order.
func (l *life) rules() []packetRule {
	l.t.Helper()
	var list []packetRule
	l.JSON(&list, "block", "rule", "list")
	return list
}

// rule returns the rule of a name.
func (l *life) rule(name string) packetRule {
	l.t.Helper()
	for _, r := range l.rules() {
		if r.Name == name {
			return r
		}
	}
	l.t.Fatalf("there is no rule %s", name)
	return packetRule{}
}

// answers reports whether the victim answers an attempt to connect to a port.
func (l *life) answers(from netip.Addr, port uint16, most time.Duration) bool {
	l.t.Helper()
	to := l.Victim.IP4
	if from.Is6() {
		to = l.Victim.IP6
	}
	var err error
	if failed := l.Attacker.Do(func() error {
		dialer := net.Dialer{Timeout: most, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		var c net.Conn
		if c, err = dialer.DialContext(l.t.Context(), "tcp", netip.AddrPortFrom(to, port).String()); err == nil {
			_ = c.Close()
		}
		return nil
	}); failed != nil {
		l.t.Fatal(failed)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return true // nothing listens there
	case errors.As(err, &timeout) && timeout.Timeout():
		return false
	}
	l.t.Fatalf("connect from %v: %v", from, err)
	return false
}

// volley is how many SYNs one flood of these tests has.
const volley = 3000

// floodSSH sends SYNs to tcp/22, checks how many a limit let pass, and returns the
// rule that is about them, with the counts of this flood alone.
func (l *life) floodSSH(from netip.Addr) (change packetRule) {
	l.t.Helper()
	before := l.rule("ssh")
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	sent, err := l.Attacker.Send(ctx, nettest.Flood{To: l.Victim, Port: 22, From: from, Packets: volley})
	if err != nil || sent != volley {
		l.t.Fatalf("got %d sent, %v", sent, err)
	}
	took := time.Since(start)
	change = l.rule("ssh")
	change.Hits, change.Dropped, change.WouldDrop = change.Hits-before.Hits, change.Dropped-before.Dropped, change.WouldDrop-before.WouldDrop
	passed := change.Hits - change.Dropped - change.WouldDrop
	// What the bucket has, and what comes while the flood lasts and its last packets
	// are on their way.
	most := change.Burst + int((took+time.Second).Seconds()*float64(change.Limit)) + 1
	l.t.Logf("%d SYNs in %v: %d hits, %d dropped, %d would be, %d passed of at most %d",
		sent, took.Round(time.Millisecond), change.Hits, change.Dropped, change.WouldDrop, passed, most)
	if change.Hits > volley || change.Hits < volley/2 || passed < change.Burst || passed > most {
		l.t.Errorf("got %+v of %d packets, want most of them hits, and %d to %d of them let pass", change, volley, change.Burst, most)
	}
	return change
}

// TestPacketRules takes rules of an operator from the command line to the packets:
// limits, dry runs, drops, their order, and what a killed host leaves in force.
func TestPacketRules(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	l := newLife(t)
	l.CLIOrFail("block", "rule", "add", "ssh", "--protocol", "tcp", "--port", "22", "--limit", "20/s", "--burst", "50", "--ttl", "1h", "--reason", "a flood")

	// In simulate mode nothing is dropped.
	got := l.floodSSH(l.blocked)
	if got.Effect != "simulated" || got.Dropped != 0 || got.WouldDrop == 0 {
		t.Errorf("got %+v in simulate, want packets that would have been dropped", got)
	}
	l.CLIOrFail("mode", "enforce")
	l.limits()
	l.dryRun()
	l.order()
	l.survive()
	l.refuse()
	l.end()
}

// limits: who floods tcp/22 is cut there, and only there; nobody else is.
func (l *life) limits() {
	l.t.Helper()
	for _, from := range []netip.Addr{l.blockedNet, l.blocked6} {
		if got := l.floodSSH(from); got.Effect != "enforced" || got.WouldDrop != 0 || got.Dropped == 0 {
			l.t.Errorf("got %+v, want %v limited", got, from)
		}
		if !l.answers(from, 9, patience) {
			l.t.Errorf("another port does not answer %v, who flooded tcp/22", from)
		}
	}
	// The flood of SYNs of one source leaves another's bucket alone.
	if !l.answers(l.innocent, 22, silence) {
		l.t.Error("tcp/22 does not answer the innocent at once")
	}
	if n := l.burst(200); n != 200 {
		l.t.Errorf("got %d of 200 packets of UDP, want all", n)
	}
}

// dryRun: what a dry run would drop is counted, and arrives.
func (l *life) dryRun() {
	l.t.Helper()
	l.CLIOrFail("block", "rule", "add", "trial", "--from", l.blocked.String(), "--protocol", "udp", "--dry-run", "--ttl", "1h")
	if n := l.burst(200); n != 200 {
		l.t.Errorf("got %d of 200 packets through a dry run, want all", n)
	}
	if got := l.rule("trial"); got.Effect != "none: dry run" || got.Dropped != 0 || got.WouldDrop < 200 || got.Hits != got.WouldDrop {
		l.t.Errorf("got %+v, want 200 that would have been dropped", got)
	}
}

// dumped: the kernel has the rules of the command line, in their order.
func (l *life) dumped() {
	l.t.Helper()
	out, err := l.CLI("ebpf", "dump", l.Victim.Interface, "--for", "10ms", "-o", "json")
	if err != nil {
		l.t.Fatal(err)
	}
	var dump struct {
		Rules []struct {
			Protocol, Action string
			DryRun           bool `json:"dry_run"`
			Hits             uint64
		}
	}
	if err := json.Unmarshal([]byte(out), &dump); err != nil {
		l.t.Fatal(err)
	}
	var got []string
	for _, r := range dump.Rules {
		got = append(got, fmt.Sprintf("%s %s %v %v", r.Action, r.Protocol, r.DryRun, r.Hits > 0))
	}
	want := []string{"monitor udp false true", "limit tcp false true", "drop udp true true", "drop udp false true"}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("ebpf dump: rules (-want +got):\n%s", diff)
	}
}

// order: the rule with the lower priority decides, of equal ones the first by name.
func (l *life) order() {
	l.t.Helper()
	l.CLIOrFail("block", "rule", "add", "udp", "--from", l.blocked.String(), "--protocol", "udp", "--ttl", "1h")
	if n := l.burst(100); n != 0 {
		l.t.Errorf("got %d of 100 packets through a rule that drops them", n)
	}
	l.CLIOrFail("block", "rule", "add", "watch", "--protocol", "udp", "--action", "monitor", "--priority", "10")
	if n := l.burst(100); n != 100 {
		l.t.Errorf("got %d of 100 packets, want a rule that is asked before to let all pass", n)
	}
	var names []string
	for _, r := range l.rules() {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "watch ssh trial udp" {
		l.t.Errorf("got rules %s, want watch first, the others by name", got)
	}
	l.dumped()
	l.CLIOrFail("block", "rule", "remove", "watch", "trial")
	if n := l.burst(100); n != 0 {
		l.t.Errorf("got %d of 100 packets after the other rule was removed", n)
	}
	// Who is on the allow list passes rules too.
	l.CLIOrFail("allow", "add", l.blocked.String())
	if n := l.burst(100); n != 100 {
		l.t.Errorf("got %d of 100 packets of who is on the allow list, want all", n)
	}
	l.CLIOrFail("allow", "remove", l.blocked.String())
}

// survive: rules stay in force while the host is dead, and come back with their
// counts and their end.
func (l *life) survive() {
	l.t.Helper()
	before := l.rules()
	l.Kill()
	if n := l.burst(100); n != 0 {
		l.t.Errorf("got %d of 100 packets while the host is dead", n)
	}
	l.Start()
	after := l.rules()
	if len(after) != len(before) {
		l.t.Fatalf("got rules %+v after the restart, want %+v", after, before)
	}
	for i, b := range before {
		a := after[i]
		// What is left is the lesser of two clocks' accounts, which tick apart.
		if d := b.Expires.Sub(a.Expires).Abs(); d > time.Second || a.Name != b.Name || a.Hits < b.Hits || a.Dropped < b.Dropped || a.Effect != "enforced" {
			l.t.Errorf("got %+v after the restart, want %+v", a, b)
		}
	}
	if n := l.burst(100); n != 0 {
		l.t.Errorf("got %d of 100 packets after the restart", n)
	}
	if got := l.floodSSH(l.pardoned); got.Dropped == 0 {
		l.t.Errorf("got %+v after the restart, want it to limit", got)
	}
}

// refuse: what would lock everybody out is refused, with the way out.
func (l *life) refuse() {
	l.t.Helper()
	for _, args := range [][]string{
		{"--protocol", "tcp"},
		{"--to", l.Victim.IP4.String()},
		{"--protocol", "tcp", "--port", "0-65535", "--from", "0.0.0.0/0"},
	} {
		_, err := l.CLI(append([]string{"block", "rule", "add", "all"}, args...)...)
		if hosttest.ExitCode(err) != 2 || !strings.Contains(err.Error(), "--force") {
			l.t.Errorf("%q: got %v, want it refused without --force", args, err)
		}
	}
	if n := len(l.rules()); n != 2 {
		l.t.Errorf("got %d rules, want 2", n)
	}
}

// end: a rule ends by itself when its time is over, and is recorded.
func (l *life) end() {
	l.t.Helper()
	start := time.Now()
	l.CLIOrFail("block", "rule", "add", "udp", "--from", l.blocked.String(), "--protocol", "udp", "--ttl", "3s")
	l.Wait(20*time.Second, "the end of the rule", func() bool { return len(l.rules()) == 1 })
	if took := time.Since(start); took < 3*time.Second-100*time.Millisecond {
		l.t.Errorf("the rule of 3 s was gone after %v", took)
	}
	if n := l.burst(100); n != 100 {
		l.t.Errorf("got %d of 100 packets after the end of the rule", n)
	}
	l.CLIOrFail("block", "rule", "remove", "ssh")
	var s filterStatus
	l.JSON(&s, "ebpf", "status")
	if n := s.only(l.t).inUse("rules"); n != 0 {
		l.t.Errorf("got %d rules in the kernel after all are gone", n)
	}
}
