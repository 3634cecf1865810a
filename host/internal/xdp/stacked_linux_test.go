//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/nettest"
)

// The addresses on devices that are stacked on the pair's: 10.78.0.1 and .66 are
// the attacker's, .2 is the victim's. Filters block .66.
var (
	stackedNeighbour = netip.MustParseAddr("10.78.0.1")
	stackedAttacker  = netip.MustParseAddr("10.78.0.66")
	stackedVictim    = netip.MustParseAddr("10.78.0.2")
)

// addDevice makes a device; the calling thread is in its namespace.
func addDevice(l netlink.Link) error {
	if err := netlink.LinkAdd(l); err != nil {
		return fmt.Errorf("add the %s device %s: %w", l.Type(), l.Attrs().Name, err)
	}
	return nil
}

// needDevice skips the test where err says that the kernel has no such devices,
// unless it is one that was chosen for having them.
func needDevice(t *testing.T, err error, module string) {
	t.Helper()
	if errors.Is(err, unix.EOPNOTSUPP) && os.Getenv("IRONPOST_TEST_GUEST") == "" {
		t.Skipf("this kernel has no module %s; make kernels runs this test under kernels that have it: %v", module, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func named(name string) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return attrs
}

// netlinkNamespace opens a namespace, for devices to be made in it.
func netlinkNamespace(n *nettest.Namespace) (*os.File, error) {
	f, err := os.Open(n.Path())
	if err != nil {
		return nil, fmt.Errorf("open the namespace: %w", err)
	}
	return f, nil
}

// do calls fn on a thread in the namespace.
func do(t *testing.T, n *nettest.Namespace, fn func() error) {
	t.Helper()
	if err := n.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// setUp gives a device addresses of 10.78.0.0/16 and sets it up. IPv6 is off: the
// device is silent.
func setUp(name string, addresses ...netip.Addr) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
		return fmt.Errorf("switch IPv6 off on %s: %w", name, err)
	}
	for _, a := range addresses {
		address := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(16, 32)}}
		if err := netlink.AddrAdd(l, address); err != nil {
			return fmt.Errorf("add %v to %s: %w", a, name, err)
		}
	}
	return netlink.LinkSetUp(l)
}

// connects tells whether the victim answers an attempt to connect from an
// address of the attacker; it refuses, for nothing listens.
func connects(t *testing.T, from *nettest.Namespace, source, to netip.Addr) bool {
	t.Helper()
	var err error
	do(t, from, func() error {
		dialer := net.Dialer{Timeout: 700 * time.Millisecond, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
		_, err = dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, 9).String())
		return nil
	})
	return errors.Is(err, unix.ECONNREFUSED)
}

// sends floods the victim's device with 50 packets from a device of the attacker,
// and returns how many the filter dropped of those; it waits for as many as are
// wanted.
func sends(t *testing.T, s *stage, f *Filter, device string, to net.HardwareAddr, want int) uint64 {
	t.Helper()
	const packets = 50
	before := droppedBy(t, f)
	from, target := *s.Attacker, *s.Victim
	from.Interface, target.MAC, target.IP4 = device, to, stackedVictim
	sent, err := from.Send(t.Context(), nettest.Flood{To: &target, Port: 22, From: stackedAttacker, Packets: packets})
	if err != nil || sent != packets {
		t.Fatalf("sent %d packets of %d by %s: %v", sent, packets, device, err)
	}
	if want > 0 {
		poll(t, fmt.Sprintf("%d packets by %s to be dropped", want, device), func() bool { return droppedBy(t, f) >= before+uint64(want) })
	}
	return droppedBy(t, f) - before
}

func droppedBy(t *testing.T, f *Filter) uint64 {
	t.Helper()
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return stats.Verdicts["dropped"].Packets
}

// macOf returns the address of a device.
func macOf(t *testing.T, n *nettest.Namespace, name string) (mac net.HardwareAddr) {
	t.Helper()
	do(t, n, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		mac = l.Attrs().HardwareAddr
		return nil
	})
	return mac
}

// vlan makes a VLAN device on a device of each namespace, which are the ends of
// one wire, and gives the topmost addresses.
func vlan(t *testing.T, s *stage, name string, protocol netlink.VlanProtocol, id int, attacker, victim string, addresses bool) {
	t.Helper()
	for _, end := range []struct {
		n         *nettest.Namespace
		below     string
		addresses []netip.Addr
	}{
		{s.Attacker, attacker, []netip.Addr{stackedNeighbour, stackedAttacker}},
		{s.Victim, victim, []netip.Addr{stackedVictim}},
	} {
		err := end.n.Do(func() error {
			below, err := netlink.LinkByName(end.below)
			if err != nil {
				return fmt.Errorf("find %s: %w", end.below, err)
			}
			attrs := named(name)
			attrs.ParentIndex = below.Attrs().Index
			if err := addDevice(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: protocol}); err != nil {
				return err
			}
			if !addresses {
				end.addresses = nil
			}
			return setUp(name, end.addresses...)
		})
		needDevice(t, err, "8021q")
	}
}

// TestVLANParent filters an interface that carries VLANs: their packets are
// judged by what is inside of the tags.
func TestVLANParent(t *testing.T) {
	for _, c := range []struct {
		name   string
		tags   int
		device string
	}{{"802.1Q", 1, "vlan.7"}, {"802.1ad and 802.1Q", 2, "inner.7"}} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			attacker, victim := s.Attacker.Interface, s.Victim.Interface
			if c.tags == 2 {
				vlan(t, s, "outer.9", netlink.VLAN_PROTOCOL_8021AD, 9, attacker, victim, false)
				attacker, victim = "outer.9", "outer.9"
			}
			vlan(t, s, c.device, netlink.VLAN_PROTOCOL_8021Q, 7, attacker, victim, true)
			f := s.open(Config{})
			if f.AttachMode() != ModeNative {
				t.Errorf("got mode %s below a VLAN, want %s", f.AttachMode(), ModeNative)
			}
			judges(t, s, f, c.device)
		})
	}
}

// judges has a filter block the attacker's second address on a device that
// reaches it, and counts.
func judges(t *testing.T, s *stage, f *Filter, device string) {
	t.Helper()
	for _, source := range []netip.Addr{stackedNeighbour, stackedAttacker} {
		poll(t, fmt.Sprintf("%v to get through", source), func() bool { return connects(t, s.Attacker, source, stackedVictim) })
	}
	if err := f.Block(netip.PrefixFrom(stackedAttacker, 32), 0, 1); err != nil {
		t.Fatal(err)
	}
	before := droppedBy(t, f)
	if connects(t, s.Attacker, stackedAttacker, stackedVictim) {
		t.Error("the blocked address gets through")
	}
	if !connects(t, s.Attacker, stackedNeighbour, stackedVictim) {
		t.Error("its neighbour does not get through")
	}
	if got := droppedBy(t, f) - before; got == 0 {
		t.Error("the attempt of the blocked address was not counted")
	}
	if got := sends(t, s, f, device, macOf(t, s.Victim, device), 50); got != 50 {
		t.Errorf("%d packets were dropped of 50", got)
	}
}

// TestVLANDevice filters a VLAN device itself, which is generic: its packets
// alone are judged.
func TestVLANDevice(t *testing.T) {
	s := newStage(t)
	vlan(t, s, "vlan.7", netlink.VLAN_PROTOCOL_8021Q, 7, s.Attacker.Interface, s.Victim.Interface, true)
	_, err := s.tryOpen(Config{Interface: "vlan.7", Mode: ModeNative})
	wantWords(t, err, "a VLAN device has no native mode", s.Victim.Interface+" below it")
	f := s.open(Config{Interface: "vlan.7"})
	if f.AttachMode() != ModeGeneric {
		t.Errorf("got mode %s on a VLAN device, want %s", f.AttachMode(), ModeGeneric)
	}
	judges(t, s, f, "vlan.7")
	// The same source, without a tag.
	if got := sends(t, s, f, s.Attacker.Interface, s.Victim.MAC, 0); got != 0 {
		t.Errorf("%d packets were dropped of those without a tag, want none", got)
	}
	// With a filter on the VLAN device the kernel lets none onto the one below it;
	// the error says why.
	if _, supported := Kernel(); supported {
		_, err = s.tryOpen(Config{})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Interface != "vlan.7" || busy.ProgramName != programName || busy.Pins.Interface != "vlan.7" {
			t.Errorf("below a VLAN device with a filter: got %v, want it to name vlan.7 and its filter", err)
		}
	}
	// The device goes and comes back: so does the filter, with its list.
	remove := func() error {
		l, err := netlink.LinkByName("vlan.7")
		if err != nil {
			return fmt.Errorf("find vlan.7: %w", err)
		}
		return netlink.LinkDel(l)
	}
	do(t, s.Victim, remove)
	do(t, s.Attacker, remove)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.tryOpen(Config{Interface: "vlan.7"}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("got %v, want %v", err, ErrNoInterface)
	}
	vlan(t, s, "vlan.7", netlink.VLAN_PROTOCOL_8021Q, 7, s.Attacker.Interface, s.Victim.Interface, true)
	judges(t, s, s.open(Config{Interface: "vlan.7"}), "vlan.7")
}

// wantWords checks that an error has words in it.
func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got error %v, want one with %q", err, w)
		}
	}
}
