//go:build amd64 || arm64

package xdp

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of the generic netlink family "netdev", from include/uapi/linux/netdev.h.
const (
	netdevFamily      = "netdev"
	netdevVersion     = 1
	netdevGet         = 1 // NETDEV_CMD_DEV_GET
	netdevIndex       = 1 // NETDEV_A_DEV_IFINDEX
	netdevXDPFeatures = 3 // NETDEV_A_DEV_XDP_FEATURES
	netdevXDPBasic    = 1 // NETDEV_XDP_ACT_BASIC
)

// Supports returns what the drivers of the interfaces say about native XDP, for
// all interfaces of the calling thread's network namespace, by index. A driver
// that has it may still refuse it, for an MTU that is too large or for lack of
// queues. It returns ErrUnsupported before Linux 6.3, where only an attempt to
// attach shows it.
func Supports() ([]Support, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("ask drivers for native XDP: %w: the kernel does not say before Linux 6.3", ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("ask drivers for native XDP: %w", err)
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Support
	for _, i := range all {
		native, err := nativeXDP(family.ID, i.Index)
		if errors.Is(err, unix.ENODEV) {
			continue // it went away
		}
		if err != nil {
			return nil, fmt.Errorf("ask the driver of %s for native XDP: %w", i.Name, err)
		}
		s := Support{
			Interface: i.Name, Index: i.Index, Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0, Native: native,
		}
		if !native {
			s.Why = whyGeneric(i.Index)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Support) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// nativeXDP asks about one interface: the answers to a dump lack NLM_F_MULTI,
// and who reads them stops at the first.
func nativeXDP(family uint16, index int) (bool, error) {
	request := nl.NewNetlinkRequest(int(family), 0)
	request.AddData(genericHeader{netdevGet, netdevVersion})
	request.AddData(nl.NewRtAttr(netdevIndex, nl.Uint32Attr(uint32(index))))
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return false, err
	}
	for _, answer := range answers {
		if len(answer) < nl.SizeofGenlmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(answer[nl.SizeofGenlmsg:])
		if err != nil {
			return false, err
		}
		for _, a := range attrs {
			if a.Attr.Type == netdevXDPFeatures && len(a.Value) >= 8 {
				return binary.NativeEndian.Uint64(a.Value)&netdevXDPBasic != 0, nil
			}
		}
	}
	return false, nil
}

// genericHeader begins a request of generic netlink: command, version and two
// bytes that have to be zero. The library's own, nl.Genlmsg, takes those from
// whatever lies behind it in memory.
type genericHeader [nl.SizeofGenlmsg]byte

func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }
