package nettest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPair(t *testing.T) {
	Need(t, "nsenter", "ip")
	// Two pairs at once: the same addresses do not meet.
	first, second := NewPair(t), NewPair(t)
	if first.Victim.Path() == second.Victim.Path() {
		t.Fatal("two pairs share a namespace")
	}
	var names []string
	err := first.Victim.Do(func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			if i.Flags&net.FlagUp != 0 {
				names = append(names, i.Name)
			}
		}
		return err
	})
	if err != nil || !slices.Equal(names, []string{"lo", "victim0"}) {
		t.Errorf("got interfaces %v that are up, %v; want lo and victim0", names, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := first.Attacker.Command(ctx, "ip", "-br", "link").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "attack0") {
		t.Errorf("got %q, %v; want attack0", out, err)
	}
	for _, to := range []netip.Addr{first.Victim.IP4, first.Victim.IP6} {
		err := first.Attacker.Do(func() error {
			_, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, 9).String(), 5*time.Second)
			return err
		})
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("connect to %v: got error %v, want %v", to, err, unix.ECONNREFUSED)
		}
	}
	sent, err := first.Attacker.Send(ctx, Flood{To: first.Victim, Port: 9, Packets: 100})
	if err != nil || sent != 100 {
		t.Errorf("got %d packets sent, %v; want 100", sent, err)
	}
}

// TestStorm has the kernel make packets. Without a program at the other end none
// arrives, and none is dropped by one.
func TestStorm(t *testing.T) {
	pair := NewPair(t)
	for _, flood := range []Flood{
		{To: pair.Victim, Port: 9}, {To: pair.Victim, Port: 9, Six: true}, {To: pair.Victim, Port: 9, From: pair.Attacker.IP4},
	} {
		sent, err := pair.Attacker.Storm(t.Context(), flood, 10*time.Millisecond)
		if errors.Is(err, unix.EINVAL) {
			t.Skipf("the kernel has no live frames (Linux 5.18): %v", err)
		}
		if err != nil || sent == 0 {
			t.Errorf("%+v: got %d packets sent, %v; want some", flood, sent, err)
		}
	}
	if drops, err := pair.Victim.XDPDrops(); err != nil || drops != 0 {
		t.Errorf("got %d packets dropped by XDP, %v; want none", drops, err)
	}
}
