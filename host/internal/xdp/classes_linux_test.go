//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// TestFinerClasses: what tells scans, floods and reflections apart reaches the
// summary of the source and that of the destination alike.
func TestFinerClasses(t *testing.T) {
	datagram := func(source uint16) []byte {
		b := udp(100)
		binary.BigEndian.PutUint16(b, source)
		return frame(0x0800, ip4(attacker4, 5, 17, 0, b))
	}
	segment := func(flags byte) []byte { return frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(22, flags))) }
	message := func(kind byte) []byte {
		return frame(0x0800, ip4(attacker4, 5, 1, 0, []byte{kind, 0, 0, 0, 0, 1, 0, 1}))
	}
	message6 := func(kind byte) []byte {
		return frame(0x86dd, ip6(attacker6, 58, []byte{kind, 0, 0, 0, 0, 1, 0, 1}))
	}
	type fields struct {
		UDP, Reflected, ICMP, Echo, Odd uint64
		Service                         uint16
		Kinds                           event.OddKinds
	}
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   fields
	}{
		{"datagrams of clients", [][]byte{datagram(40000), datagram(1024), datagram(52), datagram(54)}, fields{UDP: 4}},
		{"DNS, NTP and memcached answer", [][]byte{datagram(53), datagram(123), datagram(40000), datagram(11211)}, fields{UDP: 4, Reflected: 3, Service: 11211}},
		// RFC 792: 8 asks, 0 answers, 3 is unreachable, 13 asks for a timestamp.
		{"ICMP", [][]byte{message(8), message(8), message(0), message(3), message(13)}, fields{ICMP: 5, Echo: 2}},
		// RFC 4443, section 4: 128 asks, 129 answers; RFC 4861: 135 and 136.
		{"ICMPv6", [][]byte{message6(128), message6(129), message6(135), message6(136), message6(8)}, fields{ICMP: 5, Echo: 1}},
		{"NULL", [][]byte{segment(0)}, fields{Odd: 1, Kinds: event.OddNull}},
		{"FIN", [][]byte{segment(1)}, fields{Odd: 1, Kinds: event.OddFIN}},
		{"Xmas", [][]byte{segment(0x29)}, fields{Odd: 1, Kinds: event.OddXmas}},
		{"SYN and FIN", [][]byte{segment(3), segment(0x13)}, fields{Odd: 2, Kinds: event.OddSYNFIN}},
		{"PSH alone", [][]byte{segment(8)}, fields{Odd: 1, Kinds: event.OddOther}},
		{"several", [][]byte{segment(0), segment(1), segment(0x29), segment(6)}, fields{Odd: 4, Kinds: event.OddNull | event.OddFIN | event.OddXmas | event.OddOther}},
		{"what stacks send", [][]byte{segment(0x10), segment(2), segment(0x12), segment(0x11), segment(4), segment(0x14)}, fields{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, Config{})
			for _, b := range tt.frames {
				run(t, f, b)
			}
			s := newSummary(f)
			drain(f, s)
			for _, e := range s.events {
				got := fields{e.UDP, e.Reflected, e.ICMP, e.Echo, e.Odd, e.Service, e.OddKinds}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", e.Scope, diff)
				}
			}
			if len(s.events) != 2 {
				t.Errorf("got %d summaries, want 2", len(s.events))
			}
		})
	}
}
