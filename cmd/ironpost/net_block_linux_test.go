package main_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestBruteForce guesses passwords at a real sshd: in simulate mode nothing is
// dropped, in enforce mode the guesser is, and nobody else.
func TestBruteForce(t *testing.T) {
	nettest.Need(t, "ip", "nsenter")
	pair := nettest.NewPair(t)
	server := startSSHServer(t, pair.Victim)
	neighbour := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.3"))
	neighbour6 := assign(t, pair.Attacker, netip.MustParseAddr("fd77::3"))
	first := pair.Attacker.IP4
	second := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.4"))
	third := assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.5"))
	a := newArena(t, pair, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite"},
		Config:  fmt.Sprintf("[source_file]\npaths = [%q]\n[enforcer_xdp]\nttl = \"10m\"\n", server.Log),
	})

	t.Run("simulate", func(t *testing.T) {
		server.guess(a.Attacker, first, "mallory")
		found := a.alertOf("ssh_brute_force", "src_ip", first.String())
		if found.Evidence != "confirmed" || found.Provenance != "host" || found.Count != 5 || found.Entities["user"] != "mallory" {
			t.Errorf("got alert %+v, want five confirmed failures of mallory", found)
		}
		got := a.actionOn(first, "simulated")
		if got.Mode != "simulate" || got.AlertID != found.ID || got.Details["prefix"] != first.String()+"/32" {
			t.Errorf("got action %+v, want the plan of a block about alert %s", got, found.ID)
		}
		if !a.reaches(first, patience) || a.dropped() != 0 || len(a.blocks()) != 0 {
			t.Errorf("got %d packets dropped, blocks %+v, want nothing done in simulate", a.dropped(), a.blocks())
		}
		// An operator's block is counted, and drops nothing either.
		if _, err := a.CLI("block", "add", first.String(), "--ttl", "1h"); err != nil {
			t.Fatal(err)
		}
		if b, _ := a.blocked(first); !strings.HasPrefix(b.Effect, "simulated") {
			t.Errorf("got block %+v, want a simulated one", b)
		}
		if !a.reaches(first, patience) || a.dropped() != 0 {
			t.Errorf("got %d packets dropped in simulate, want none", a.dropped())
		}
		if got := a.watched(); got.WouldDrop == 0 {
			t.Errorf("got interface %+v, want packets that would have been dropped", got)
		}
		if _, err := a.CLI("block", "remove", first.String()); err != nil {
			t.Fatal(err)
		}
	})

	if _, err := a.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	var made block
	t.Run("enforce", func(t *testing.T) {
		if !a.reaches(second, patience) {
			t.Fatal("no answer before the attack")
		}
		server.guess(a.Attacker, second, "mallory")
		found := a.alertOf("ssh_brute_force", "src_ip", second.String())
		a.actionOn(second, "applied")
		made, _ = a.blocked(second)
		if made.AlertID != found.ID || made.Source != "enforcer-xdp" || made.Effect != "enforced" {
			t.Errorf("got block %+v, want one that enforcer-xdp asked for about alert %s", made, found.ID)
		}
		if left := time.Until(made.Expires); left <= 0 || left > 10*time.Minute {
			t.Errorf("got %v left, want at most 10m", left)
		}
		before := a.dropped()
		if a.reaches(second, silence) {
			t.Error("the blocked address is answered")
		}
		if now, _ := a.blocked(second); a.dropped() <= before || now.Hits == 0 {
			t.Errorf("got %d packets dropped after %d, block %+v, want more, and hits", a.dropped(), before, now)
		}
		for _, addr := range []netip.Addr{neighbour, neighbour6, first} {
			if !a.reaches(addr, patience) {
				t.Errorf("%v is cut off, which attacked nobody in enforce mode", addr)
			}
		}
	})

	t.Run("user name", func(t *testing.T) {
		server.guess(a.Attacker, third, "x from 8.8.8.8 port 22 ssh2")
		a.actionOn(third, "applied")
		text, err := os.ReadFile(server.Log)
		if err != nil || !strings.Contains(string(text), "user x from 8.8.8.8 port 22 ssh2 from "+third.String()) {
			t.Fatalf("got log %q, %v, want the forged user name in it", text, err)
		}
		got := a.blocks()
		slices.SortFunc(got, func(x, y block) int { return strings.Compare(x.Prefix, y.Prefix) })
		if len(got) != 2 || got[0].Prefix != second.String()+"/32" || got[1].Prefix != third.String()+"/32" {
			t.Errorf("got blocks %+v, want %v and %v alone", got, second, third)
		}
		for _, x := range a.alerts() {
			if x.Entities["src_ip"] == "8.8.8.8" {
				t.Errorf("got alert %+v about an address that is a part of a user name", x)
			}
		}
	})

	t.Run("restart", func(t *testing.T) {
		text, err := os.ReadFile(a.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		a.Kill()
		// What is blocked keeps its time; what will be has another.
		a.WriteConfig(strings.Replace(string(text), `ttl = "10m"`, `ttl = "5s"`, 1))
		a.Start()
		got, ok := a.blocked(second)
		// The list shows the sooner of two clocks' ends, which are not read at once.
		if moved := got.Expires.Sub(made.Expires).Abs(); !ok || moved > 100*time.Millisecond || got.AlertID != made.AlertID {
			t.Errorf("got block %+v after the restart, want %+v", got, made)
		}
		if a.reaches(second, silence) {
			t.Error("the blocked address is answered after the restart")
		}
		if !a.reaches(neighbour, patience) {
			t.Error("the neighbour is cut off after the restart")
		}
	})

	t.Run("block remove", func(t *testing.T) {
		if _, err := a.CLI("block", "remove", second.String()); err != nil {
			t.Fatal(err)
		}
		if !a.reaches(second, patience) {
			t.Error("no answer after the block was removed")
		}
		if a.reaches(third, silence) {
			t.Error("the other block is gone too")
		}
		a.actionOn(second, "released")
	})

	t.Run("expiry", func(t *testing.T) {
		from := pair.Attacker.IP6
		server.guess(a.Attacker, from, "mallory")
		got := a.actionOn(from, "applied")
		expires, err := time.Parse(time.RFC3339Nano, got.Expires)
		if err != nil {
			t.Fatal(err)
		}
		for !a.reaches(from, silence) {
			if late := time.Since(expires); late > 10*time.Second {
				t.Fatalf("still blocked %v after the end of the block", late)
			}
		}
		if early := time.Until(expires); early > 0 {
			t.Errorf("answered %v before the end of the block", early)
		}
		a.actionOn(from, "expired")
		if b, ok := a.blocked(from); ok {
			t.Errorf("got block %+v after its end, want none", b)
		}
	})
}
