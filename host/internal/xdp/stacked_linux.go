//go:build amd64 || arm64

package xdp

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// whyGeneric says in words why an interface that is stacked on others refused
// native mode; "" when all there is to say is the kernel's error. The kernel says
// it in its log alone.
func whyGeneric(index int) string {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return ""
	}
	switch l := l.(type) {
	case *netlink.Vlan:
		below := "the interface below it"
		if parent, err := netlink.LinkByIndex(l.ParentIndex); err == nil {
			below = parent.Attrs().Name + " below it"
		}
		return "a VLAN device has no native mode; a filter on " + below + " may have it, and sees these packets too"
	case *netlink.Bond:
		return whyGenericBond(l)
	}
	return ""
}

// whyGenericBond knows what bond_xdp_set and bond_xdp_check of
// drivers/net/bonding/bond_main.c look at.
func whyGenericBond(bond *netlink.Bond) string {
	switch bond.Mode {
	case netlink.BOND_MODE_BALANCE_RR, netlink.BOND_MODE_ACTIVE_BACKUP:
	case netlink.BOND_MODE_802_3AD, netlink.BOND_MODE_BALANCE_XOR:
		if bond.XmitHashPolicy == netlink.BOND_XMIT_HASH_POLICY_VLAN_SRCMAC {
			return "a bond with the transmit hash policy vlan+srcmac has no native mode"
		}
	default:
		return fmt.Sprintf("a bond in mode %s has no native mode; those in balance-rr, active-backup, balance-xor and 802.3ad have", bond.Mode)
	}
	ports, err := portsOf(bond.Index)
	if err != nil {
		return ""
	}
	names := make([]string, 0, len(ports))
	for _, port := range ports {
		names = append(names, port.Attrs().Name)
		if x := port.Attrs().Xdp; x != nil && x.Attached {
			return fmt.Sprintf("its port %s has an XDP program of its own (%sprogram id %d): detach that (ip link set dev %[1]s xdp off, or stop its owner)",
				port.Attrs().Name, programTitle(x.ProgId), x.ProgId)
		}
	}
	return "a bond has it from Linux 5.15 on, and only while the drivers of all its ports have it: " + strings.Join(names, ", ")
}

// portsOf returns the ports of a bond, or of whatever else has some.
func portsOf(index int) ([]netlink.Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []netlink.Link
	for _, l := range all {
		if l.Attrs().MasterIndex == index {
			out = append(out, l)
		}
	}
	return out, nil
}

// upperWithProgram returns an interface that is stacked on another and has a
// program: the kernel then lets none onto the one below. nil when there is none.
func upperWithProgram(index int) netlink.Link {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil
	}
	all, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	for _, upper := range all {
		a := upper.Attrs()
		if (a.Index == l.Attrs().MasterIndex || a.ParentIndex == index) && a.Xdp != nil && a.Xdp.Attached {
			return upper
		}
	}
	return nil
}

// programTitle is the name of a program as a part of a sentence; "" when the
// kernel does not tell.
func programTitle(id uint32) string {
	if name := programNamed(id); name != "" {
		return fmt.Sprintf("%q, ", name)
	}
	return ""
}

// programNamed asks the kernel for the name of a program.
func programNamed(id uint32) string {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}
