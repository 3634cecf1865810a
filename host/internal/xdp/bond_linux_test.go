//go:build amd64 || arm64

package xdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"

	"github.com/ironpost/ironpost/host/nettest"
)

// bonded joins the namespaces with two more veth pairs, port0 and port1 in each,
// and a bond of them on each side, bond0.
func bonded(t *testing.T, s *stage, mode netlink.BondMode) {
	t.Helper()
	do(t, s.Attacker, func() error {
		peer, err := netlinkNamespace(s.Victim)
		if err != nil {
			return err
		}
		defer peer.Close()
		for _, name := range []string{"port0", "port1"} {
			if err := addDevice(&netlink.Veth{LinkAttrs: named(name), PeerName: name, PeerNamespace: netlink.NsFd(peer.Fd())}); err != nil {
				return err
			}
		}
		return nil
	})
	for n, addresses := range map[*nettest.Namespace][]netip.Addr{
		s.Attacker: {stackedNeighbour, stackedAttacker}, s.Victim: {stackedVictim},
	} {
		err := n.Do(func() error {
			bond := netlink.NewLinkBond(named("bond0"))
			bond.Mode, bond.Miimon = mode, 100
			if mode == netlink.BOND_MODE_802_3AD {
				bond.LacpRate = netlink.BOND_LACP_RATE_FAST
			}
			if err := addDevice(bond); err != nil {
				return err
			}
			for _, name := range []string{"port0", "port1"} {
				if err := enslave(name, "bond0"); err != nil {
					return err
				}
			}
			return setUp("bond0", addresses...)
		})
		needDevice(t, err, "bonding")
	}
}

// enslave makes a device the port of a bond, which wants it down before.
func enslave(port, bond string) error {
	p, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find %s: %w", port, err)
	}
	b, err := netlink.LinkByName(bond)
	if err != nil {
		return fmt.Errorf("find %s: %w", bond, err)
	}
	if err := netlink.LinkSetDown(p); err != nil {
		return fmt.Errorf("set %s down: %w", port, err)
	}
	if err := netlink.LinkSetMaster(p, b); err != nil {
		return fmt.Errorf("make %s a port of %s: %w", port, bond, err)
	}
	return netlink.LinkSetUp(p)
}

// release makes a port a device of its own.
func release(port string) error {
	p, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find %s: %w", port, err)
	}
	if err := netlink.LinkSetNoMaster(p); err != nil {
		return fmt.Errorf("release %s: %w", port, err)
	}
	return netlink.LinkSetUp(p)
}

// bondMode is the mode of a filter on a bond of veth devices.
func bondMode(mode netlink.BondMode) Mode {
	if _, supported := Kernel(); supported {
		switch mode {
		case netlink.BOND_MODE_BALANCE_RR, netlink.BOND_MODE_ACTIVE_BACKUP, netlink.BOND_MODE_BALANCE_XOR, netlink.BOND_MODE_802_3AD:
			return ModeNative
		}
	}
	return ModeGeneric // bonds have native XDP from Linux 5.15 on
}

// TestBond filters bonds of every mode, by whichever port packets come.
func TestBond(t *testing.T) {
	for _, mode := range []netlink.BondMode{
		netlink.BOND_MODE_BALANCE_RR, netlink.BOND_MODE_ACTIVE_BACKUP, netlink.BOND_MODE_BALANCE_XOR,
		netlink.BOND_MODE_802_3AD, netlink.BOND_MODE_BROADCAST, netlink.BOND_MODE_BALANCE_TLB,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			s := newStage(t)
			bonded(t, s, mode)
			f := s.open(Config{Interface: "bond0"})
			want := bondMode(mode)
			if f.AttachMode() != want || f.Unpinned() != "" {
				t.Fatalf("got a filter in mode %s, unpinned %q, want %s, pinned", f.AttachMode(), f.Unpinned(), want)
			}
			if want == ModeGeneric {
				_, err := s.tryOpen(Config{Interface: "bond0", Mode: ModeNative, PinDir: s.pins + "-other"})
				if !errors.Is(err, ErrBusy) {
					t.Errorf("got %v of a second filter, want %v", err, ErrBusy)
				}
			}
			if mode == netlink.BOND_MODE_BROADCAST {
				return // each packet comes by both ports: there is nothing to count
			}
			judges(t, s, f, "bond0")
		})
	}
}

// TestBondPorts takes a port out of a bond with a filter and puts it back, and
// restarts in between: the filter is wherever the bond is.
func TestBondPorts(t *testing.T) {
	s := newStage(t)
	bonded(t, s, netlink.BOND_MODE_ACTIVE_BACKUP)
	f := s.open(Config{Interface: "bond0"})
	if err := f.Block(netip.PrefixFrom(stackedAttacker, 32), 0, 1); err != nil {
		t.Fatal(err)
	}
	mac := macOf(t, s.Victim, "bond0")
	native := f.AttachMode() == ModeNative
	// What is dropped late, when none should be, is too much in the next count.
	count := func(when, port string, want int) {
		t.Helper()
		if got := sends(t, s, f, port, mac, want); got != uint64(want) {
			t.Errorf("%s: %d packets of 50 by %s were dropped, want %d", when, got, port, want)
		}
	}
	count("at first", "port0", 50)
	if native { // the generic filter does not see what a bond leaves aside
		count("at first, the port that is not active", "port1", 50)
	}
	do(t, s.Victim, func() error { return release("port0") })
	count("without port0", "port0", 0)
	count("without port0", "port1", 50)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = s.open(Config{Interface: "bond0"})
	count("after a restart", "port1", 50)
	do(t, s.Victim, func() error { return enslave("port0", "bond0") })
	if native {
		count("port0 is back", "port0", 50)
	}
	do(t, s.Victim, func() error { return release("port1") })
	count("without port1", "port1", 0)
	if native {
		count("without port1", "port0", 50)
	}
	if err := f.Detach(); err != nil {
		t.Fatal(err)
	}
	if id, _ := attachedTo(t, s, "bond0"); id != 0 {
		t.Errorf("program %d is attached after Detach", id)
	}
}

// attachedTo returns the program on a device of the victim.
func attachedTo(t *testing.T, s *stage, name string) (id uint32, mode Mode) {
	t.Helper()
	s.in(func() (err error) {
		id, mode, err = attachedProgram(InterfaceIndex(name))
		return err
	})
	return id, mode
}

// TestBondRefusals meets programs of others on the ports of a bond, and bonds
// that are in the way of a filter on a port.
func TestBondRefusals(t *testing.T) {
	s := newStage(t)
	bonded(t, s, netlink.BOND_MODE_ACTIVE_BACKUP)
	if _, supported := Kernel(); !supported {
		return // no native mode, so nothing is in the way
	}
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "others", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	// A port has a program: native mode is refused with its name, and without
	// being asked for it the filter is generic and says why.
	var l link.Link
	s.in(func() (err error) {
		l, err = link.AttachXDP(link.XDPOptions{Program: other, Interface: InterfaceIndex("port1"), Flags: link.XDPDriverMode})
		return err
	})
	_, err = s.tryOpen(Config{Interface: "bond0", Mode: ModeNative})
	wantWords(t, err, "its port port1 has an XDP program of its own", `"others"`)
	var logged bytes.Buffer
	f := s.open(Config{Interface: "bond0", Logger: hclog.New(&hclog.LoggerOptions{Output: &logged})})
	if f.AttachMode() != ModeGeneric || !strings.Contains(logged.String(), "port1 has an XDP program of its own") {
		t.Errorf("got mode %s, logged %q, want generic and the reason", f.AttachMode(), logged.String())
	}
	if err := errors.Join(l.Close(), f.Detach()); err != nil {
		t.Fatal(err)
	}

	// The bond has the filter: none can be put on its ports, and the error names it.
	f = s.open(Config{Interface: "bond0"})
	if f.AttachMode() != ModeNative {
		t.Errorf("got mode %s when the port has no program any more, want native", f.AttachMode())
	}
	_, err = s.tryOpen(Config{Interface: "port0"})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Interface != "bond0" || busy.ProgramName != programName || busy.Pins.Interface != "bond0" {
		t.Errorf("got %v on a port of a filtered bond, want it to name bond0 and its filter", err)
	}
	// Nor can a device become a port that has no native XDP: the kernel refuses it.
	s.in(func() error {
		if err := addDevice(&netlink.Bridge{LinkAttrs: named("br0")}); err != nil {
			return err
		}
		if err := enslave("br0", "bond0"); err == nil {
			t.Error("a device without native XDP became a port of a bond with a native filter")
		}
		return nil
	})
}

// TestBondModes says why a bond is generic.
func TestBondModes(t *testing.T) {
	s := newStage(t)
	bonded(t, s, netlink.BOND_MODE_BALANCE_TLB)
	_, err := s.tryOpen(Config{Interface: "bond0", Mode: ModeNative})
	if _, supported := Kernel(); supported {
		wantWords(t, err, "a bond in mode balance-tlb has no native mode")
	} else if err == nil {
		t.Error("got no error of native mode on a bond before Linux 5.15")
	}
}
