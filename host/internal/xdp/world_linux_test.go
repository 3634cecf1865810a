//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// world is what the filter judges by, and its plain reading: no masks, no tables.
type world struct {
	entries  map[netip.Prefix]Entry
	allowed  []netip.Prefix
	rules    []Rule
	simulate bool
}

// sight is what rules can see of a packet.
type sight struct {
	src, dst     netip.Addr
	protocol     string
	syn          bool
	ported       bool
	source, port uint16
	unread       bool // behind too many extension headers
}

// look is written from what the documentation says about broken packets.
func look(frame []byte) (s sight, ok bool) {
	o, header := dissect(frame)
	s = sight{src: o.Source, dst: o.Destination, protocol: o.Protocol, unread: o.Malformed == "ip6_extension_deep"}
	if (s.protocol == "tcp" || s.protocol == "udp") && len(header) >= 4 {
		s.ported = true
		s.source, s.port = binary.BigEndian.Uint16(header), binary.BigEndian.Uint16(header[2:])
		s.syn = s.protocol == "tcp" && (o.Class == "syn" || o.Malformed != "")
	}
	return s, o.Source.IsValid()
}

func (s *sight) matches(r *Rule) bool {
	contains := func(set []netip.Prefix, a netip.Addr) bool {
		return len(set) == 0 || slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !contains(r.From, s.src) || !contains(r.To, s.dst) {
		return false
	}
	if s.unread {
		return true
	}
	switch r.Protocol {
	case ProtocolAny:
	case ProtocolTCPSYN:
		if !s.syn {
			return false
		}
	default:
		if r.Protocol.String() != s.protocol {
			return false
		}
	}
	holds := func(ranges []PortRange, port uint16) bool {
		return len(ranges) == 0 || s.ported && slices.ContainsFunc(ranges, func(p PortRange) bool { return p.First <= port && port <= p.Last })
	}
	return holds(r.Ports, s.port) && holds(r.SourcePorts, s.source)
}

// judge returns the verdict and counts for the rules. Limits are never reached.
func (w *world) judge(frame []byte) string {
	s, ok := look(frame)
	if !ok {
		return "passed"
	}
	allowed := slices.ContainsFunc(w.allowed, func(p netip.Prefix) bool { return p.Contains(s.src) })
	verdict := "passed"
	var best *Entry
	for p, e := range w.entries {
		if p.Contains(s.src) && (best == nil || p.Bits() > best.Prefix.Bits()) {
			best = &e
		}
	}
	if best != nil {
		switch {
		case allowed:
			return "allowed"
		case best.Action == ActionMonitor:
			verdict = "monitored"
		case best.Action == ActionLimit:
		case w.simulate:
			return "would_drop"
		case best.DryRun:
			verdict = "would_drop"
		default:
			return "dropped"
		}
	}
	for i := range w.rules {
		r := &w.rules[i]
		if !s.matches(r) {
			continue
		}
		if allowed {
			return "allowed"
		}
		r.Hits++
		switch {
		case r.Action == ActionMonitor:
			if verdict == "passed" {
				verdict = "monitored"
			}
		case r.Action == ActionLimit:
		case r.DryRun || w.simulate:
			r.WouldDrops++
			verdict = "would_drop"
		default:
			r.Drops++
			return "dropped"
		}
		if !r.DryRun {
			break
		}
	}
	return verdict
}

// sort puts the rules in the documented order: longer prefixes, narrower protocol,
// fewer ports, older.
func (w *world) sort() {
	rank := func(r *Rule) (key [3]int) {
		for _, set := range [][]netip.Prefix{r.From, r.To} {
			shortest := 0
			for i, p := range set {
				if i == 0 || p.Bits() < shortest {
					shortest = p.Bits()
				}
			}
			key[0] -= shortest
		}
		key[1] = -1
		switch r.Protocol {
		case ProtocolAny:
			key[1] = 0
		case ProtocolTCPSYN:
			key[1] = -2
		}
		count := func(ranges []PortRange) (n int) {
			for port := range 1 << 16 {
				if len(ranges) == 0 || slices.ContainsFunc(ranges, func(p PortRange) bool { return int(p.First) <= port && port <= int(p.Last) }) {
					n++
				}
			}
			return n
		}
		key[2] = count(r.Ports) * count(r.SourcePorts)
		return key
	}
	ranks := make(map[uint32][3]int)
	for i := range w.rules {
		ranks[w.rules[i].ID] = rank(&w.rules[i])
	}
	slices.SortStableFunc(w.rules, func(a, b Rule) int {
		x, y := ranks[a.ID], ranks[b.ID]
		return slices.Compare(x[:], y[:])
	})
}

// plentiful is a limit that no test reaches.
const plentiful = MaxBurst

// randomise makes lists and rules that packets of randomFrame often match.
func (w *world) randomise(random *rand.Rand) {
	for range random.IntN(8) {
		e := Entry{Prefix: randomPrefix(random), Action: Action(1 + random.IntN(3)), DryRun: random.IntN(4) == 0}
		if e.Action == ActionLimit {
			e.Limit, e.Burst = 1000, plentiful
		}
		w.entries[e.Prefix] = e
	}
	for range random.IntN(3) {
		w.allowed = append(w.allowed, randomPrefix(random))
	}
	for i := range 1 + random.IntN(40) {
		r := Rule{ID: uint32(i), Action: Action(1 + random.IntN(3)), DryRun: random.IntN(3) == 0}
		if r.Action == ActionLimit {
			r.Limit, r.Burst = 1000, plentiful
		}
		for range random.IntN(3) {
			r.From = append(r.From, randomPrefix(random))
		}
		for range random.IntN(3) {
			r.To = append(r.To, randomPrefix(random))
		}
		r.Protocol = Protocol(random.IntN(int(ProtocolOther) + 1))
		if r.Protocol.hasPorts() {
			for range random.IntN(3) {
				r.Ports = append(r.Ports, randomRange(random))
			}
			for range random.IntN(2) {
				r.SourcePorts = append(r.SourcePorts, randomRange(random))
			}
		}
		if _, err := r.check(); err != nil {
			r.From, r.To, r.Protocol = nil, nil, ProtocolTCP
		}
		w.rules = append(w.rules, r)
	}
}

func randomRange(random *rand.Rand) PortRange {
	a, b := randomPort(random), randomPort(random)
	return PortRange{First: min(a, b), Last: max(a, b)}
}

func randomPort(random *rand.Rand) uint16 {
	return []uint16{0, 1, 22, 53, 80, 8000, 8100, 65535}[random.IntN(8)]
}

// randomFrame draws packets of every protocol and both families, some of them
// fragments, some cut.
func randomFrame(random *rand.Rand) []byte {
	src := randomAddr(random)
	dst := randomAddr(random)
	for dst.Is4() != src.Is4() {
		dst = randomAddr(random)
	}
	protocol := []int{6, 6, 6, 17, 17, 1, 58, 47}[random.IntN(8)]
	var payload []byte
	switch protocol {
	case 6:
		payload = tcpFrom(randomPort(random), randomPort(random), []byte{2, 16, 18, 4, 0, 3}[random.IntN(6)])
	case 17:
		payload = udpFrom(randomPort(random), randomPort(random))
	default:
		payload = make([]byte, 8)
	}
	if random.IntN(6) == 0 {
		payload = payload[:random.IntN(len(payload))]
	}
	var b []byte
	if src.Is4() {
		packet := ip4(src.String(), 5, protocol, []uint16{0, 0, 0, 0x2000, 1, 0x2001}[random.IntN(6)], payload)
		copy(packet[16:], dst.AsSlice())
		b = frame(0x0800, packet)
	} else {
		next := protocol
		for range []int{0, 0, 0, 1, 2, 8, 9}[random.IntN(7)] {
			payload, next = join(extension(next, 0), payload), 60
		}
		if random.IntN(5) == 0 {
			payload, next = join([]byte{byte(next), 0, 0, byte(random.IntN(10)), 0, 0, 0, 1}, payload), 44
		}
		packet := ip6(src.String(), next, payload)
		copy(packet[24:], dst.AsSlice())
		b = frame(0x86dd, packet)
	}
	if random.IntN(8) == 0 {
		b = b[:14+random.IntN(len(b)-14)]
	}
	return b
}

// fixedWorld has rules of every kind around the addresses of the golden packets.
func fixedWorld() *world {
	return &world{
		entries: map[netip.Prefix]Entry{
			netip.MustParsePrefix("203.0.113.9/32"):    {Prefix: netip.MustParsePrefix("203.0.113.9/32"), Action: ActionDrop},
			netip.MustParsePrefix("203.0.113.0/28"):    {Prefix: netip.MustParsePrefix("203.0.113.0/28"), Action: ActionMonitor},
			netip.MustParsePrefix("2001:db8:1:2::/64"): {Prefix: netip.MustParsePrefix("2001:db8:1:2::/64"), Action: ActionDrop, DryRun: true},
		},
		allowed: prefixes("203.0.113.8/32"),
		rules: []Rule{
			{ID: 0, From: prefixes("203.0.113.0/24", "2001:db8:1::/48"), Ports: []PortRange{{22, 22}, {8000, 8100}}, Action: ActionDrop},
			{ID: 1, To: prefixes("192.0.2.0/24"), Protocol: ProtocolUDP, SourcePorts: []PortRange{{53, 53}}, Action: ActionDrop},
			{ID: 2, Protocol: ProtocolTCPSYN, Ports: []PortRange{{0, 1023}}, Action: ActionMonitor},
			{ID: 3, Protocol: ProtocolICMPv6, Action: ActionDrop, DryRun: true},
			{ID: 4, From: prefixes("203.0.113.7/32"), Protocol: ProtocolICMP, Action: ActionLimit, Limit: 1000, Burst: plentiful},
			{ID: 5, To: prefixes("192.0.2.1/32", "2001:db8:ffff::/64"), Protocol: ProtocolOther, Action: ActionDrop},
		},
	}
}

// FuzzRules compares the verdict of the whole program, over lists and rules, with
// the plain reading, for any frame.
func FuzzRules(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 3))
	for range 40 {
		f.Add(randomFrame(random))
	}
	for _, b := range [][]byte{
		syn4(attacker4), syn6(attacker6), frame(0x0800, ip4(attacker4, 5, 6, 0x2000, tcp(22, 2)[:8])),
		frame(0x0800, ip4(attacker4, 6, 17, 1, udp(3))), frame(0x86dd, ip6(attacker6, 58, make([]byte, 8)), 0x8100),
	} {
		f.Add(b)
	}
	filter := newFilter(f, Config{MaxEntries: 16})
	w := fixedWorld()
	var entries []Entry
	for _, e := range w.entries {
		entries = append(entries, e)
	}
	if err := errors.Join(filter.Replace(entries), filter.ReplaceAllow(w.allowed), filter.SetRules(w.rules)); err != nil {
		f.Fatal(err)
	}
	w.sort()
	f.Fuzz(func(t *testing.T, b []byte) {
		// The kernel runs programs on whole Ethernet headers, and on a page at most.
		if len(b) < 14 || len(b) > 3000 {
			t.Skip()
		}
		want := w.judge(b)
		if got := inspect(t, filter, b); got.Verdict != want || got.Dropped != (want == "dropped") {
			t.Errorf("%x: got %s (%v), want %s", b, got.Verdict, got.Dropped, want)
		}
	})
}

// TestNoDetection judges and counts, and sums up nothing.
func TestNoDetection(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16, NoDetection: true})
	if err := f.Block(netip.MustParsePrefix(attacker4+"/32"), 0, 1); err != nil {
		t.Fatal(err)
	}
	got := inspect(t, f, syn4(attacker4))
	if want := (observed{Dropped: true, Protocol: "tcp", Verdict: "dropped"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
