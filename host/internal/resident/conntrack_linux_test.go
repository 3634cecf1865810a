package resident

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// message is a tracked connection as the kernel sends it, from one end to another.
func message(original, reply netip.AddrPort) []byte {
	tuple := func(kind int, addr4, addr6, port int, at netip.AddrPort) []byte {
		t := nl.NewRtAttr(unix.NLA_F_NESTED|kind, nil)
		addr := addr4
		if at.Addr().Is6() {
			addr = addr6
		}
		t.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil).AddRtAttr(addr, at.Addr().AsSlice())
		t.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil).AddRtAttr(port, binary.BigEndian.AppendUint16(nil, at.Port()))
		return t.Serialize()
	}
	m := (&nl.Nfgenmsg{NfgenFamily: unix.AF_INET}).Serialize()
	m = append(slices.Clip(m), tuple(nl.CTA_TUPLE_ORIG, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST, nl.CTA_PROTO_DST_PORT, original)...)
	return append(m, tuple(nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT, reply)...)
}

func TestEnd(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:8080", "172.17.0.2:80"}, {"[2001:db8::1]:53", "[fd00::2]:5353"}} {
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		m := message(from, to)
		if got, ok := end(m, nl.CTA_TUPLE_ORIG, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST, nl.CTA_PROTO_DST_PORT); !ok || got != from {
			t.Errorf("got %v, %v, want %v", got, ok, from)
		}
		if got, ok := end(m, nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT); !ok || got != to {
			t.Errorf("got %v, %v, want %v", got, ok, to)
		}
		for n := range m {
			if got, ok := end(m[:n], nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT); ok {
				t.Errorf("got %v of %d bytes of %d", got, n, len(m))
			}
		}
	}
}

func FuzzConnection(f *testing.F) {
	f.Add(message(netip.MustParseAddrPort("192.0.2.1:8080"), netip.MustParseAddrPort("172.17.0.2:80")))
	f.Add(message(netip.MustParseAddrPort("[2001:db8::1]:53"), netip.MustParseAddrPort("[fd00::2]:5353")))
	f.Fuzz(func(t *testing.T, m []byte) {
		if at, ok := end(m, nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC, nl.CTA_PROTO_SRC_PORT); ok && !at.IsValid() {
			t.Errorf("got %v", at)
		}
	})
}
