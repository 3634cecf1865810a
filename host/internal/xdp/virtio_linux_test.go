//go:build amd64 || arm64

package xdp

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/host/nettest"
)

// TestVirtio filters a virtio network card, as clouds have them, natively. The
// machines of make kernels have two on one wire; no other machine's are touched.
func TestVirtio(t *testing.T) {
	if os.Getenv("IRONPOST_TEST_GUEST") == "" {
		t.Skip("no network card of this machine is for tests; make kernels runs this test on virtual ones")
	}
	cards := virtioCards(t)
	if len(cards) != 2 {
		t.Fatalf("got virtio cards %v, want two", cards)
	}
	s := newStage(t)
	for i, n := range []*nettest.Namespace{s.Attacker, s.Victim} {
		to, err := netlinkNamespace(n)
		if err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName(cards[i])
		if err == nil {
			err = netlink.LinkSetNsFd(l, int(to.Fd()))
		}
		_ = to.Close()
		if err != nil {
			t.Fatalf("move %s: %v", cards[i], err)
		}
	}
	do(t, s.Attacker, func() error { return setUp(cards[0], stackedNeighbour, stackedAttacker) })
	do(t, s.Victim, func() error { return setUp(cards[1], stackedVictim) })
	f := s.open(Config{Interface: cards[1]})
	want := ModeNative
	if _, supported := Kernel(); !supported {
		want = ModeGeneric // before Linux 5.13 virtio_net wants a queue for each processor
	}
	if f.AttachMode() != want {
		t.Errorf("got mode %s on a virtio card, want %s", f.AttachMode(), want)
	}
	for _, source := range []netip.Addr{stackedNeighbour, stackedAttacker} {
		poll(t, fmt.Sprintf("%v to get through", source), func() bool { return connects(t, s.Attacker, source, stackedVictim) })
	}
	if err := f.Block(netip.PrefixFrom(stackedAttacker, 32), 0, 1); err != nil {
		t.Fatal(err)
	}
	if connects(t, s.Attacker, stackedAttacker, stackedVictim) {
		t.Error("the blocked address gets through")
	}
	if !connects(t, s.Attacker, stackedNeighbour, stackedVictim) {
		t.Error("its neighbour does not get through")
	}
	if got := sends(t, s, f, cards[0], macOf(t, s.Victim, cards[1]), 50); got != 50 {
		t.Errorf("%d packets were dropped of 50", got)
	}
	// The program is replaced under traffic by the next to open it.
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = s.open(Config{Interface: cards[1]})
	if got := sends(t, s, f, cards[0], macOf(t, s.Victim, cards[1]), 50); got != 50 || f.AttachMode() != want {
		t.Errorf("after a restart: %d packets were dropped of 50, mode %s", got, f.AttachMode())
	}
}

// virtioCards returns the names of the virtio network cards.
func virtioCards(t *testing.T) (names []string) {
	t.Helper()
	drivers, err := filepath.Glob("/sys/class/net/*/device/driver")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range drivers {
		driver, err := os.Readlink(link)
		if err == nil && filepath.Base(driver) == "virtio_net" {
			names = append(names, filepath.Base(filepath.Dir(filepath.Dir(link))))
		}
	}
	return names
}
