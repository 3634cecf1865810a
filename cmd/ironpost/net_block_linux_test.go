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
	s := &siege{
		server: server, first: pair.Attacker.IP4,
		neighbour:  assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.3")),
		neighbour6: assign(t, pair.Attacker, netip.MustParseAddr("fd77::3")),
		second:     assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.4")),
		third:      assign(t, pair.Attacker, netip.MustParseAddr("10.77.0.5")),
	}
	s.arena = newArena(t, pair, hosttest.Options{
		Plugins: []string{"source-file", "parser-syslog", "detector-rules", "enforcer-xdp", "sink-sqlite"},
		Config:  fmt.Sprintf("[source_file]\npaths = [%q]\n[enforcer_xdp]\nttl = \"10m\"\n", server.Log),
	})

	s.simulate()
	if _, err := s.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	s.enforce()
	s.userName()
	s.restart()
	s.remove()
	s.expire()
}

// siege is an arena with an sshd under attack. Its steps follow each other.
type siege struct {
	*arena
	server *sshServer

	// The first attacker meets the mode simulate, the others enforce. The
	// neighbours attack nobody.
	first, second, third, neighbour, neighbour6 netip.Addr

	// made is the block of the second.
	made block
}

// simulate: an attack in simulate mode is recorded as what would be done, and
// nothing is dropped.
func (s *siege) simulate() {
	s.server.guess(s.Attacker, s.first, "mallory")
	found := s.alertOf("ssh_brute_force", "src_ip", s.first.String())
	if found.Evidence != "confirmed" || found.Provenance != "host" || found.Count != 5 || found.Entities["user"] != "mallory" {
		s.t.Errorf("got alert %+v, want five confirmed failures of mallory", found)
	}
	got := s.actionOn(s.first, "simulated")
	if got.Mode != "simulate" || got.AlertID != found.ID || got.Details["prefix"] != s.first.String()+"/32" {
		s.t.Errorf("got action %+v, want the plan of a block about alert %s", got, found.ID)
	}
	if !s.reaches(s.first, patience) || s.dropped() != 0 || len(s.blocks()) != 0 {
		s.t.Errorf("got %d packets dropped, blocks %+v, want nothing done in simulate", s.dropped(), s.blocks())
	}
	// An operator's block is counted, and drops nothing either.
	if _, err := s.CLI("block", "add", s.first.String(), "--ttl", "1h"); err != nil {
		s.t.Fatal(err)
	}
	if b, _ := s.blocked(s.first); !strings.HasPrefix(b.Effect, "simulated") {
		s.t.Errorf("got block %+v, want a simulated one", b)
	}
	if !s.reaches(s.first, patience) || s.dropped() != 0 {
		s.t.Errorf("got %d packets dropped in simulate, want none", s.dropped())
	}
	if got := s.watched(); got.WouldDrop == 0 {
		s.t.Errorf("got interface %+v, want packets that would have been dropped", got)
	}
	if _, err := s.CLI("block", "remove", s.first.String()); err != nil {
		s.t.Fatal(err)
	}
}

// enforce: an attack in enforce mode has the attacker dropped and counted, and
// nobody else.
func (s *siege) enforce() {
	if !s.reaches(s.second, patience) {
		s.t.Fatal("no answer before the attack")
	}
	s.server.guess(s.Attacker, s.second, "mallory")
	found := s.alertOf("ssh_brute_force", "src_ip", s.second.String())
	s.actionOn(s.second, "applied")
	s.made, _ = s.blocked(s.second)
	if s.made.AlertID != found.ID || s.made.Source != "enforcer-xdp" || s.made.Effect != "enforced" {
		s.t.Errorf("got block %+v, want one that enforcer-xdp asked for about alert %s", s.made, found.ID)
	}
	if left := time.Until(s.made.Expires); left <= 0 || left > 10*time.Minute {
		s.t.Errorf("got %v left, want at most 10m", left)
	}
	before := s.dropped()
	if s.reaches(s.second, silence) {
		s.t.Error("the blocked address is answered")
	}
	if now, _ := s.blocked(s.second); s.dropped() <= before || now.Hits == 0 {
		s.t.Errorf("got %d packets dropped after %d, block %+v, want more, and hits", s.dropped(), before, now)
	}
	for _, addr := range []netip.Addr{s.neighbour, s.neighbour6, s.first} {
		if !s.reaches(addr, patience) {
			s.t.Errorf("%v is cut off, which attacked nobody in enforce mode", addr)
		}
	}
}

// userName: a user name that looks like the end of a line of sshd blocks nobody
// but who sent it.
func (s *siege) userName() {
	s.server.guess(s.Attacker, s.third, "x from 8.8.8.8 port 22 ssh2")
	s.actionOn(s.third, "applied")
	text, err := os.ReadFile(s.server.Log)
	if err != nil || !strings.Contains(string(text), "user x from 8.8.8.8 port 22 ssh2 from "+s.third.String()) {
		s.t.Fatalf("got log %q, %v, want the forged user name in it", text, err)
	}
	got := s.blocks()
	slices.SortFunc(got, func(x, y block) int { return strings.Compare(x.Prefix, y.Prefix) })
	if len(got) != 2 || got[0].Prefix != s.second.String()+"/32" || got[1].Prefix != s.third.String()+"/32" {
		s.t.Errorf("got blocks %+v, want %v and %v alone", got, s.second, s.third)
	}
	for _, x := range s.alerts() {
		if x.Entities["src_ip"] == "8.8.8.8" {
			s.t.Errorf("got alert %+v about an address that is a part of a user name", x)
		}
	}
}

// restart: blocks outlive the host, killed, with the end that they had.
func (s *siege) restart() {
	text, err := os.ReadFile(s.ConfigFile())
	if err != nil {
		s.t.Fatal(err)
	}
	s.Kill()
	// What is blocked keeps its time; what will be has another.
	s.WriteConfig(strings.Replace(string(text), `ttl = "10m"`, `ttl = "5s"`, 1))
	s.Start()
	got, ok := s.blocked(s.second)
	// The list shows the sooner of two clocks' ends, which are not read at once.
	if moved := got.Expires.Sub(s.made.Expires).Abs(); !ok || moved > 100*time.Millisecond || got.AlertID != s.made.AlertID {
		s.t.Errorf("got block %+v after the restart, want %+v", got, s.made)
	}
	if s.reaches(s.second, silence) {
		s.t.Error("the blocked address is answered after the restart")
	}
	if !s.reaches(s.neighbour, patience) {
		s.t.Error("the neighbour is cut off after the restart")
	}
}

// remove: an operator takes one block off.
func (s *siege) remove() {
	if _, err := s.CLI("block", "remove", s.second.String()); err != nil {
		s.t.Fatal(err)
	}
	if !s.reaches(s.second, patience) {
		s.t.Error("no answer after the block was removed")
	}
	if s.reaches(s.third, silence) {
		s.t.Error("the other block is gone too")
	}
	s.actionOn(s.second, "released")
}

// expire: a block ends by itself when its time is over, and not before.
func (s *siege) expire() {
	from := s.Attacker.IP6
	s.server.guess(s.Attacker, from, "mallory")
	got := s.actionOn(from, "applied")
	expires, err := time.Parse(time.RFC3339Nano, got.Expires)
	if err != nil {
		s.t.Fatal(err)
	}
	for !s.reaches(from, silence) {
		if late := time.Since(expires); late > 10*time.Second {
			s.t.Fatalf("still blocked %v after the end of the block", late)
		}
	}
	if early := time.Until(expires); early > 0 {
		s.t.Errorf("answered %v before the end of the block", early)
	}
	s.actionOn(from, "expired")
	if b, ok := s.blocked(from); ok {
		s.t.Errorf("got block %+v after its end, want none", b)
	}
}
