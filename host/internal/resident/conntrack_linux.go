package resident

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Parts of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_netlink.c that
// the library does not have: a filter has the kernel send only connections of
// which these parts are as in the given tuple (since Linux 5.8).
const (
	ctaFilter          = 25
	ctaFilterOrigFlags = 1
	filterAddr         = 1 << 1 // CTA_FILTER_F_CTA_IP_DST
	filterProtocol     = 1 << 3 // CTA_FILTER_F_CTA_PROTO_NUM
	filterPort         = 1 << 5 // CTA_FILTER_F_CTA_PROTO_DST_PORT
)

const (
	// maxFlows is how many connections are looked at; where that many agree on
	// where they are led, the rest is taken to agree too.
	maxFlows = 256
	// maxPassed is how many are passed over that the kernel was not asked for.
	maxPassed = 1 << 14
	// maxTargets bounds where they may be led to.
	maxTargets = 16
)

// flows returns where packets to an endpoint of the own namespace are led to, by the
// connections that the kernel tracks, each target once.
func flows(to Endpoint) ([]flow, error) {
	// Asking would load what tracks connections on a machine that does not.
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil || strings.TrimSpace(string(b)) == "0" {
		return nil, nil
	}
	var out []flow
	for p, number := range map[Protocols]uint8{TCP: unix.IPPROTO_TCP, UDP: unix.IPPROTO_UDP} {
		if to.Protocols&p == 0 {
			continue
		}
		err := tracked(to, number, func(m []byte) bool {
			from, ok := end(m, nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT)
			if f := (flow{p, from}); ok && !slices.Contains(out, f) {
				out = append(out, f)
			}
			return len(out) < maxTargets
		})
		switch {
		case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
			// The kernel was built without a way to ask.
		case errors.Is(err, unix.EPERM):
			return nil, fmt.Errorf("look at the connections that are tracked: %w: %w", ErrHidden, err)
		case err != nil:
			return nil, fmt.Errorf("look at the connections that are tracked: %w", err)
		}
	}
	return out, nil
}

// tracked visits the connections to an endpoint, until visit returns false.
func tracked(to Endpoint, protocol uint8, visit func([]byte) bool) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd) // also ends an answer that is not read to its end
	wait := unix.NsecToTimeval(MaxWork.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	if err := unix.Sendto(fd, question(to, protocol), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for seen, passed := 0, 0; ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if len(m.Data) < 4 {
					return unix.EBADMSG
				}
				if errno := int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
					return unix.Errno(-errno)
				}
				return nil
			}
			if at, ok := end(m.Data, nl.CTA_TUPLE_ORIG, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST, nl.CTA_PROTO_DST_PORT); !ok || at != netip.AddrPortFrom(to.Addr, to.Port) {
				if passed++; passed > maxPassed {
					return nil
				}
				continue
			}
			if seen++; seen > maxFlows || !visit(m.Data) {
				return nil
			}
		}
	}
}

// question asks for the connections to an endpoint.
func question(to Endpoint, protocol uint8) []byte {
	family, kind, parts := uint8(unix.AF_INET), nl.CTA_IP_V4_DST, uint32(filterAddr|filterProtocol|filterPort)
	if to.Addr.Is6() {
		// Of IPv6 the kernel leaves out the very address that it is given
		// (ctnetlink_filter_match_tuple has the comparison the wrong way round).
		family, kind, parts = unix.AF_INET6, nl.CTA_IP_V6_DST, filterProtocol|filterPort
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil).AddRtAttr(kind, to.Addr.AsSlice())
	proto := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{protocol})
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, to.Port))
	req.AddData(tuple)
	filter := nl.NewRtAttr(unix.NLA_F_NESTED|ctaFilter, nil)
	filter.AddRtAttr(ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, parts))
	req.AddData(filter)
	return req.Serialize()
}

// end returns an end of a connection: the address, of either family, and the port
// of these kinds in one of its tuples.
func end(m []byte, tuple, addr4, addr6, port uint16) (netip.AddrPort, bool) {
	if len(m) < nl.SizeofNfgenmsg {
		return netip.AddrPort{}, false
	}
	t, _ := attribute(m[nl.SizeofNfgenmsg:], tuple)
	ip, _ := attribute(t, nl.CTA_TUPLE_IP)
	raw, ok := attribute(ip, addr4)
	if !ok {
		raw, _ = attribute(ip, addr6)
	}
	proto, _ := attribute(t, nl.CTA_TUPLE_PROTO)
	number, _ := attribute(proto, port)
	addr, ok := netip.AddrFromSlice(raw)
	if !ok || len(number) != 2 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(number)), true
}

// attribute returns the value of the first attribute of a kind.
func attribute(b []byte, kind uint16) ([]byte, bool) {
	for len(b) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK == kind {
			return b[unix.SizeofNlAttr:length], true
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return nil, false
}
