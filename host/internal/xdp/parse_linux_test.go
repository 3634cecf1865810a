//go:build amd64 || arm64

package xdp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var compareAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// TestPackets holds golden packets: what is expected is written out here, and
// not taken from the reference parser, which has to agree.
func TestPackets(t *testing.T) {
	four := observed{
		Protocol: "tcp", Verdict: "passed", Class: "syn", Port: 22,
		Source: netip.MustParseAddr(attacker4), Destination: netip.MustParseAddr(victim4),
	}
	six := four
	six.Source, six.Destination = netip.MustParseAddr(attacker6), netip.MustParseAddr(victim6)
	with := func(o observed, change func(*observed)) observed { change(&o); return o }
	bad := func(o observed, protocol, reason string) observed {
		o.Protocol, o.Malformed, o.Class, o.Port = protocol, reason, "other", 0
		return o
	}
	none := func(protocol, reason string) observed {
		return observed{Protocol: protocol, Verdict: "passed", Malformed: reason}
	}
	packet4 := ip4(attacker4, 5, 6, 0, tcp(22, 2))
	packet6 := ip6(attacker6, 6, tcp(22, 2))

	type golden struct {
		name  string
		frame []byte
		want  observed
	}
	tests := []golden{
		{"arp", frame(0x0806, make([]byte, 28)), none("arp", "")},
		{"lldp", frame(0x88cc, make([]byte, 46)), none("non_ip", "")},
		{"ethernet alone", frame(0x0800, nil), none("unknown", "ip4_short")},
		{"ip4 version", frame(0x0800, packet6), none("unknown", "ip4_version")},
		{"ip6 version", frame(0x86dd, join(packet4, packet4)), none("unknown", "ip6_version")},
		{"ip4 total length past the end", frame(0x0800, packet4[:39]), bad(four, "tcp", "ip4_total_length")},
		{"ip6 payload length past the end", frame(0x86dd, packet6[:59]), bad(six, "other", "ip6_payload_length")},
		{"ethernet padding", frame(0x0800, join(packet4, make([]byte, 6))), four},
		{
			"ethernet padding is no tcp header",
			frame(0x0800, join(ip4(attacker4, 5, 6, 0, make([]byte, 8)), make([]byte, 20))), bad(four, "tcp", "tcp_short"),
		},
		{"tcp offset below 5", frame(0x0800, ip4(attacker4, 5, 6, 0, append(tcp(22, 2)[:12], 0x40, 2, 0, 0, 0, 0, 0, 0))), bad(four, "tcp", "tcp_offset")},
		{"tcp offset past the end", frame(0x0800, ip4(attacker4, 5, 6, 0, append(tcp(22, 2)[:12], 0x60, 2, 0, 0, 0, 0, 0, 0))), bad(four, "tcp", "tcp_offset")},
		{
			"udp", frame(0x0800, ip4(attacker4, 5, 17, 0, udp(3))),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port = "udp", "udp", 53 }),
		},
		{"udp length past the end", frame(0x0800, ip4(attacker4, 5, 17, 0, udp(3)[:10])), bad(four, "udp", "udp_length")},
		{"udp length zero over ip4", frame(0x0800, ip4(attacker4, 5, 17, 0, make([]byte, 8))), bad(four, "udp", "udp_length")},
		{"udp short", frame(0x0800, ip4(attacker4, 5, 17, 0, make([]byte, 7))), bad(four, "udp", "udp_short")},
		{
			"icmp", frame(0x0800, ip4(attacker4, 5, 1, 0, make([]byte, 8))),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port = "icmp", "icmp", 0 }),
		},
		{"icmp short", frame(0x0800, ip4(attacker4, 5, 1, 0, make([]byte, 7))), bad(four, "icmp", "icmp_short")},
		{
			"icmpv6 over ip4", frame(0x0800, ip4(attacker4, 5, 58, 0, make([]byte, 8))),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port = "other", "other", 0 }),
		},
		{
			"gre", frame(0x0800, ip4(attacker4, 5, 47, 0, make([]byte, 8))),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port = "other", "other", 0 }),
		},
		{"first fragment", frame(0x0800, ip4(attacker4, 5, 6, 0x2000, tcp(22, 2))), four},
		{"tiny first fragment", frame(0x0800, ip4(attacker4, 5, 6, 0x2000, tcp(22, 2)[:8])), bad(four, "tcp", "tcp_short")},
		{
			"first fragment of a datagram", frame(0x0800, ip4(attacker4, 5, 17, 0x2000, udp(100)[:16])),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port = "udp", "udp", 53 }),
		},
		{
			"later fragment", frame(0x0800, ip4(attacker4, 5, 6, 1, tcp(22, 2))),
			with(four, func(o *observed) { o.Class, o.Port, o.Fragment = "other", 0, true }),
		},
		{
			"last fragment", frame(0x0800, ip4(attacker4, 5, 17, 0x1fff, nil)),
			with(four, func(o *observed) { o.Protocol, o.Class, o.Port, o.Fragment = "udp", "other", 0, true }),
		},
		{
			"udp6", frame(0x86dd, ip6(attacker6, 17, udp(3))),
			with(six, func(o *observed) { o.Protocol, o.Class, o.Port = "udp", "udp", 53 }),
		},
		{
			"udp length zero over ip6", frame(0x86dd, ip6(attacker6, 17, append([]byte{0, 9, 0, 53}, 0, 0, 0, 0))),
			with(six, func(o *observed) { o.Protocol, o.Class, o.Port = "udp", "udp", 53 }),
		},
		{
			"icmpv6", frame(0x86dd, ip6(attacker6, 58, make([]byte, 8))),
			with(six, func(o *observed) { o.Protocol, o.Class, o.Port = "icmpv6", "icmp", 0 }),
		},
		{
			"icmp over ip6", frame(0x86dd, ip6(attacker6, 1, make([]byte, 8))),
			with(six, func(o *observed) { o.Protocol, o.Class, o.Port = "other", "other", 0 }),
		},
		{
			"no next header", frame(0x86dd, ip6(attacker6, 59, nil)),
			with(six, func(o *observed) { o.Protocol, o.Class, o.Port = "other", "other", 0 }),
		},
		{"hop-by-hop, routing, destination options, tcp", frame(0x86dd, ip6(attacker6, 0,
			join(extension(43, 0), extension(60, 2), extension(6, 255), tcp(22, 2)))), six},
		{"authentication header", frame(0x86dd, ip6(attacker6, 51,
			join([]byte{6, 4}, make([]byte, 22), tcp(22, 2)))), six},
		{"first fragment 6", frame(0x86dd, ip6(attacker6, 44, join([]byte{6, 0, 0, 1, 0, 0, 0, 9}, tcp(22, 2)))), six},
		{
			"later fragment 6", frame(0x86dd, ip6(attacker6, 44, join([]byte{6, 0, 0, 9, 0, 0, 0, 9}, tcp(22, 2)))),
			with(six, func(o *observed) { o.Class, o.Port, o.Fragment = "other", 0, true }),
		},
		{"extension cut", frame(0x86dd, ip6(attacker6, 0, extension(6, 0)[:7])), bad(six, "other", "ip6_extension_short")},
		{
			"extension longer than the packet", frame(0x86dd, ip6(attacker6, 0, join([]byte{6, 1}, make([]byte, 6)))),
			bad(six, "other", "ip6_extension_short"),
		},
		{"jumbogram", frame(0x86dd, func() []byte {
			b := ip6(attacker6, 0, join([]byte{6, 0, 0xc2, 4, 0, 1, 0, 0}, tcp(22, 2)))
			b[4], b[5] = 0, 0
			return b
		}()), six},
	}
	flags := map[byte]string{
		0x00: "odd", 0x01: "odd", 0x02: "syn", 0x03: "odd", 0x04: "rst", 0x05: "odd", 0x06: "odd", 0x08: "odd",
		0x10: "ack", 0x11: "fin", 0x12: "synack", 0x14: "rst", 0x16: "odd", 0x18: "ack", 0x19: "fin",
		0x29: "odd", 0x3f: "odd", 0xc2: "syn",
	}
	for f, class := range flags {
		tests = append(tests, golden{
			fmt.Sprintf("tcp flags %#02x", f),
			frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(22, f))), with(four, func(o *observed) { o.Class = class }),
		})
	}
	tagTypes := []uint16{0x88a8, 0x8100, 0x9100, 0x8100}
	for n := range 5 {
		want4, want6 := four, six
		if n > 2 {
			want4 = with(none("non_ip", ""), func(o *observed) { o.DeepVLAN = true })
			want6 = want4
		}
		tests = append(tests,
			golden{fmt.Sprintf("%d tags, ip4", n), frame(0x0800, packet4, tagTypes[:n]...), want4},
			golden{fmt.Sprintf("%d tags, ip6", n), frame(0x86dd, packet6, tagTypes[:n]...), want6})
	}
	for words := range 16 {
		want := four
		if words < 5 {
			want = bad(four, "tcp", "ip4_header_length")
		}
		tests = append(tests, golden{
			fmt.Sprintf("ihl %d", words),
			frame(0x0800, ip4(attacker4, words, 6, 0, tcp(22, 2))), want,
		})
	}
	for headers := range 11 {
		want := six
		if headers > 8 {
			want = bad(six, "other", "ip6_extension_deep")
		}
		next, payload := 6, tcp(22, 2)
		for range headers {
			payload, next = join(extension(next, 0), payload), 60
		}
		tests = append(tests, golden{
			fmt.Sprintf("%d extension headers", headers),
			frame(0x86dd, ip6(attacker6, next, payload)), want,
		})
	}

	filter := newFilter(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, inspect(t, filter, test.frame), compareAddrs); diff != "" {
				t.Errorf("filter (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, reference(test.frame), compareAddrs); diff != "" {
				t.Errorf("reference parser (-want +got):\n%s", diff)
			}
		})
	}
}

// seeds are the packets that truncation and mutation start from.
func seeds() [][]byte {
	options := join(extension(43, 0), extension(44, 1), []byte{60, 0, 0, 1, 0, 0, 0, 9}, extension(6, 0), tcp(443, 0x18))
	return [][]byte{
		syn4(attacker4), syn6(attacker6),
		frame(0x0800, ip4(attacker4, 15, 6, 0, tcp(22, 0x12)), 0x88a8, 0x8100),
		frame(0x0800, ip4(attacker4, 6, 17, 0, udp(12)), 0x8100),
		frame(0x0800, ip4(attacker4, 5, 1, 0, make([]byte, 16))),
		frame(0x0800, ip4(attacker4, 5, 17, 0x2000, udp(12))),
		frame(0x0800, ip4(attacker4, 5, 6, 0x2001, tcp(53, 12))),
		frame(0x86dd, ip6(attacker6, 17, udp(12)), 0x8100),
		frame(0x86dd, ip6(attacker6, 58, make([]byte, 16))),
		frame(0x86dd, ip6(attacker6, 0, options), 0x8100, 0x8100),
		frame(0x86dd, ip6(attacker6, 51, join([]byte{17, 4}, make([]byte, 22), udp(3)))),
		frame(0x0806, make([]byte, 28)),
	}
}

// TestTruncation cuts packets after every byte.
func TestTruncation(t *testing.T) {
	filter := newFilter(t, Config{})
	for i, packet := range seeds() {
		// The kernel runs no program on less than an Ethernet header.
		for n := 14; n <= len(packet); n++ {
			if diff := cmp.Diff(reference(packet[:n]), inspect(t, filter, packet[:n]), compareAddrs); diff != "" {
				t.Fatalf("packet %d cut to %d bytes (-want +got):\n%s", i, n, diff)
			}
		}
	}
}

// TestMutation compares filter and reference parser on packets with a few
// fields changed, from fixed seeds.
func TestMutation(t *testing.T) {
	filter := newFilter(t, Config{})
	random := rand.New(rand.NewPCG(7, 7))
	packets := seeds()
	malformed := 0
	for round := range 20_000 {
		packet := mutate(random, packets[random.IntN(len(packets))])
		want := reference(packet)
		if want.Malformed != "" {
			malformed++
		}
		if diff := cmp.Diff(want, inspect(t, filter, packet), compareAddrs); diff != "" {
			t.Fatalf("round %d, packet %x (-want +got):\n%s", round, packet, diff)
		}
	}
	t.Logf("%d of 20000 packets were malformed", malformed)
}

func mutate(random *rand.Rand, packet []byte) []byte {
	b := append([]byte(nil), packet...)
	interesting := []byte{0, 1, 4, 5, 6, 8, 15, 17, 40, 41, 43, 44, 45, 51, 58, 60, 64, 135, 255}
	for range 1 + random.IntN(4) {
		// Mostly in the headers.
		i := 12 + random.IntN(min(len(b)-12, 80))
		switch random.IntN(4) {
		case 0:
			b[i] = byte(random.Uint32())
		case 1:
			b[i] ^= 1 << random.IntN(8)
		default:
			b[i] = interesting[random.IntN(len(interesting))]
		}
	}
	if random.IntN(4) == 0 {
		b = b[:14+random.IntN(len(b)-13)]
	}
	return b
}

// FuzzParse compares filter and reference parser on any frame.
func FuzzParse(f *testing.F) {
	for _, packet := range seeds() {
		f.Add(packet)
	}
	filter := newFilter(f, Config{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) < 14 || len(packet) > 3000 {
			t.Skip("not a frame that the kernel takes for a test")
		}
		if diff := cmp.Diff(reference(packet), inspect(t, filter, packet), compareAddrs); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestMalformedIsJudged holds that a broken packet from a blocked source is
// dropped as soon as its source can be read.
func TestMalformedIsJudged(t *testing.T) {
	filter := newFilter(t, Config{})
	for _, prefix := range []string{attacker4 + "/32", attacker6 + "/128"} {
		if err := filter.Block(netip.MustParsePrefix(prefix), 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, packet := range seeds() {
		for n := 14; n <= len(packet); n++ {
			o := inspect(t, filter, packet[:n])
			if got, want := o.Dropped, o.Source.IsValid(); got != want {
				t.Fatalf("packet %d cut to %d bytes, %q: dropped %v, want %v", i, n, o.Malformed, got, want)
			}
		}
	}
}

func TestDeepVLANPolicy(t *testing.T) {
	packet := frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(22, 2)), 0x88a8, 0x8100, 0x8100)
	for _, test := range []struct {
		name    string
		config  Config
		dropped bool
		verdict string
	}{
		{"pass", Config{}, false, "passed"},
		{"drop", Config{DropDeepVLAN: true}, true, "dropped"},
		{"simulate", Config{DropDeepVLAN: true, Simulate: true}, false, "would_drop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := inspect(t, newFilter(t, test.config), packet)
			if o.Dropped != test.dropped || o.Verdict != test.verdict || !o.DeepVLAN {
				t.Errorf("got %+v, want dropped %v, verdict %s, counted", o, test.dropped, test.verdict)
			}
		})
	}
}
