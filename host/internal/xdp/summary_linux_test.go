//go:build amd64 || arm64

package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/sdk/event"
)

func run(t testing.TB, f *Filter, packet []byte) {
	t.Helper()
	if _, err := f.program.Run(&ebpf.RunOptions{Data: packet}); err != nil {
		t.Fatal(err)
	}
}

func scope(events []event.PacketEvent, s event.Scope) (out []event.PacketEvent) {
	for _, e := range events {
		if e.Scope == s {
			out = append(out, e)
		}
	}
	return out
}

// TestScanSummary sends a SYN to each of many ports from one source.
func TestScanSummary(t *testing.T) {
	for _, ports := range []int{1, 2, 10, 100, 500, 700} {
		f := newFilter(t, Config{})
		for port := 1; port <= ports; port++ {
			run(t, f, frame(0x0800, ip4(attacker4, 5, 6, 0, tcp(uint16(port), 2))))
		}
		s := newSummary(f)
		drain(f, s)
		sources := scope(s.events, event.ScopeSource)
		if len(sources) != 1 {
			t.Fatalf("got %d source events, want 1", len(sources))
		}
		e := sources[0]
		if e.Source != netip.MustParseAddr(attacker4) || e.SYN != uint64(ports) || e.Packets != uint64(ports) || e.Peers != 1 {
			t.Errorf("%d ports: got %+v", ports, e)
		}
		if low, high := estimates(float64(ports)); float64(e.Ports) < low || float64(e.Ports) > high {
			t.Errorf("got an estimate of %d ports, want %.0f to %.0f for %d", e.Ports, low, high, ports)
		}
		// A port that shares its bit with an earlier one is not in the sample.
		if want := min(ports, 16); len(e.PortSample) > want || (ports == 1 && len(e.PortSample) != 1) || (ports >= 100 && len(e.PortSample) != 16) {
			t.Errorf("%d ports: got a sample of %d", ports, len(e.PortSample))
		}
		sample := slices.Clone(e.PortSample)
		slices.Sort(sample)
		if len(slices.Compact(sample)) != len(e.PortSample) || int(sample[len(sample)-1]) > ports {
			t.Errorf("%d ports: got sample %v", ports, e.PortSample)
		}
		stats, err := f.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if got, lost := len(scope(s.events, event.ScopeDestination)), int(stats.Destinations.Evicted); got+lost != ports || lost > ports/100 {
			t.Errorf("got %d destination events and %d lost, want %d and next to none", got, lost, ports)
		}
	}
}

// estimates returns the bounds of what linear counting in a source's 256 bits makes
// of n ports: five and a half standard deviations of the number of bits that stay
// empty (Whang, Vander-Zanden and Taylor 1990, section 4), and one more for a whole
// number.
func estimates(n float64) (low, high float64) {
	const bits = 256
	empty := bits * math.Exp(-n/bits)
	slack := 5.5*math.Sqrt(empty*(1-(1+n/bits)*math.Exp(-n/bits))) + 1
	high = math.Inf(1)
	if empty > slack {
		high = -bits * math.Log((empty-slack)/bits)
	}
	return math.Floor(-bits * math.Log(min(1, (empty+slack)/bits))), math.Ceil(high)
}

// TestAccounting holds that what a table cannot keep is counted, to the packet.
func TestAccounting(t *testing.T) {
	f := newFilter(t, Config{SourceSlots: 64, DestinationSlots: 8})
	random := rand.New(rand.NewPCG(3, 3))
	s := newSummary(f)
	const packets, steady = 20_000, 10
	var total, bySource, byDestination, fromSteady uint64
	heavy := netip.MustParseAddr("198.51.100.99")
	for round := range 4 {
		for i := range packets / 4 {
			var src [4]byte
			binary.BigEndian.PutUint32(src[:], random.Uint32()|1<<24)
			from := netip.AddrFrom4(src)
			if i%steady == 0 {
				from = heavy
			}
			run(t, f, frame(0x0800, ip4(from.String(), 5, 6, 0, tcp(uint16(random.IntN(50)), 2))))
			total++
		}
		drain(f, s)
		for _, e := range s.events {
			if e.Scope == event.ScopeSource {
				bySource += e.Packets
			} else {
				byDestination += e.Packets
			}
			if e.Source == heavy {
				fromSteady += e.Packets
			}
		}
		if got := len(scope(s.events, event.ScopeSource)); got > 64*round+128 {
			t.Errorf("got %d sources of a table of 64 slots", got)
		}
	}
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if got := bySource + stats.Sources.EvictedPackets + stats.Sources.MissedPackets; got != total {
		t.Errorf("sources: %d summed up + %d evicted + %d missed = %d, want %d", bySource,
			stats.Sources.EvictedPackets, stats.Sources.MissedPackets, got, total)
	}
	if got := byDestination + stats.Destinations.EvictedPackets + stats.Destinations.MissedPackets; got != total {
		t.Errorf("destinations: %d summed up + %d evicted + %d missed = %d, want %d", byDestination,
			stats.Destinations.EvictedPackets, stats.Destinations.MissedPackets, got, total)
	}
	// One in ten packets in a flood of forged sources: it has to be seen.
	if fromSteady < total/steady*9/10 {
		t.Errorf("got %d packets of the steady source, sent %d", fromSteady, total/steady)
	}
	t.Logf("of %d packets: %d by source (%+v), %d by destination (%+v)", total, bySource, stats.Sources, byDestination, stats.Destinations)
}

// TestDropShare floods from blocked addresses: verdict and reason are counted to the
// packet, entries and summaries tell how many there were.
func TestDropShare(t *testing.T) {
	for _, from := range []string{attacker4, attacker6} {
		f := newFilter(t, Config{})
		source := netip.MustParseAddr(from)
		if err := f.Block(netip.PrefixFrom(source, source.BitLen()), 0, 1); err != nil {
			t.Fatal(err)
		}
		const packets = 50_000
		if _, err := f.program.Run(&ebpf.RunOptions{Data: syn(source), Repeat: packets}); err != nil {
			t.Fatal(err)
		}
		run(t, f, syn4("192.0.2.200")) // of the others none is left out
		s := newSummary(f)
		drain(f, s)
		stats, err := f.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if got := stats.Verdicts["dropped"].Packets; got != packets {
			t.Errorf("%s: got %d packets dropped, want %d", from, got, packets)
		}
		// The kernel may begin on one processor and go on on another.
		near := func(what string, got uint64) {
			t.Helper()
			if got < packets-100 || got > packets+100 {
				t.Errorf("%s: got %d %s, want about %d", from, got, what, packets)
			}
		}
		entries, err := f.Entries()
		if err != nil || len(entries) != 1 {
			t.Fatalf("got entries %v, %v, want one", entries, err)
		}
		near("hits", entries[0].Hits)
		passed := false
		for _, e := range s.events {
			switch {
			case e.Source == source, e.Scope == event.ScopeDestination && e.Dropped > 0:
				near("packets by "+e.Scope.String(), e.Packets)
				near("dropped by "+e.Scope.String(), e.Dropped)
			case e.Source.IsValid():
				passed = e.Packets == 1 && e.Dropped == 0
			}
		}
		if !passed {
			t.Errorf("%s: got events %+v, want one of the packet that passed", from, s.events)
		}
	}
}

func TestForgedFloodSummary(t *testing.T) {
	f := newFilter(t, Config{})
	random := rand.New(rand.NewPCG(4, 4))
	const packets = 5000
	for range packets {
		var src [16]byte
		src[0], src[1] = 0x20, 1
		binary.BigEndian.PutUint64(src[8:], random.Uint64())
		run(t, f, frame(0x86dd, ip6(netip.AddrFrom16(src).String(), 6, tcp(443, 2))))
	}
	s := newSummary(f)
	drain(f, s)
	got := scope(s.events, event.ScopeDestination)
	if len(got) != 1 || got[0].SYN != packets || got[0].DestinationPort != 443 || got[0].Destination.String() != victim6 {
		t.Fatalf("got destination events %+v, want one with %d SYN to port 443", got, packets)
	}
	if got[0].Peers < 1000 {
		t.Errorf("got an estimate of %d sources, want at least 1000 of %d", got[0].Peers, packets)
	}
}

// TestRun reads what Run emits while packets come, to the last one.
func TestRun(t *testing.T) {
	stream := &event.Stream{ID: 5, Name: "test0"}
	f := newFilter(t, Config{FlushInterval: MinFlushInterval, Stream: stream, FirstSequence: 100})
	if err := f.Block(netip.MustParsePrefix(attacker6+"/128"), 0, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	var events []event.PacketEvent
	go func() {
		done <- f.Run(ctx, func(batch []event.PacketEvent) error {
			if len(batch) == 0 || len(batch) > MaxBatch {
				t.Errorf("got a batch of %d events", len(batch))
			}
			for _, e := range batch {
				events = append(events, *e.Clone())
			}
			return nil
		})
	}()
	// Fewer that are dropped than each is counted of, however long an interval is.
	const packets, drops = 3000, 1000
	random := rand.New(rand.NewPCG(5, 5))
	for i := range packets {
		src := [4]byte{10, 0, byte(random.Uint32()), byte(random.Uint32())}
		run(t, f, syn4(netip.AddrFrom4(src).String()))
		if i%(packets/drops) == 0 {
			run(t, f, syn6(attacker6))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var bySource, byDestination, dropped uint64
	for i, e := range events {
		if e.Sequence != 100+uint64(i) || e.Stream != stream {
			t.Fatalf("event %d: got sequence %d, stream %v", i, e.Sequence, e.Stream)
		}
		if e.Interval <= 0 || e.Interval > MaxFlushInterval || e.Time.IsZero() {
			t.Fatalf("event %d: got interval %v, time %v", i, e.Interval, e.Time)
		}
		if e.Scope == event.ScopeSource {
			bySource += e.Packets
			dropped += e.Dropped
		} else {
			byDestination += e.Packets
		}
	}
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	bySource += stats.Sources.EvictedPackets + stats.Sources.MissedPackets
	if bySource != packets+drops || byDestination != packets+drops || dropped != drops {
		t.Errorf("got %d packets by source, %d by destination, %d dropped; want %d, %d, %d",
			bySource, byDestination, dropped, packets+drops, packets+drops, drops)
	}
	if stats.Summaries != uint64(len(events)) {
		t.Errorf("got %d summaries counted, %d emitted", stats.Summaries, len(events))
	}
}

func TestRunEmitError(t *testing.T) {
	f := newFilter(t, Config{FlushInterval: MinFlushInterval})
	run(t, f, syn4(attacker4))
	broken := errors.New("broken pipe")
	if err := f.Run(t.Context(), func([]event.PacketEvent) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

func TestDistinct(t *testing.T) {
	for _, test := range []struct {
		name   string
		bitmap []uint64
		want   uint32
	}{
		{"empty", []uint64{0, 0, 0, 0}, 0},
		{"one", []uint64{0, 1 << 63, 0, 0}, 1},
		{"five", []uint64{0x1f, 0, 0, 0}, 5},
		{"half of 64", []uint64{0xffffffff}, 44}, // 64 ln 2
		{"full 64", []uint64{^uint64(0)}, 266},   // 64 ln 64
		{"full 256", []uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}, 1420},
	} {
		if got := distinct(test.bitmap); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// TestHashKeys holds that what is scanned one after the other, ports of a host or
// hosts of a network, finds its slots whatever the seed.
func TestHashKeys(t *testing.T) {
	const buckets = 1024
	random := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		keys := hashKeys(random.Uint64())
		for _, scan := range []struct {
			name  string
			step  uint64
			count int
		}{
			{"ports", keys[2], 2000},
			{"hosts of the last octet", keys[0] << 24, 256},
			{"hosts of the third octet", keys[0] << 16, 256},
		} {
			var used [buckets]int
			start, lost := random.Uint64(), 0
			for i := range scan.count {
				bucket := (start + uint64(i)*scan.step) >> 32 % buckets
				if used[bucket]++; used[bucket] > ways {
					lost++
				}
			}
			if lost > scan.count/100 {
				t.Errorf("keys %x: %d of %d %s found no slot in %d", keys, lost, scan.count, scan.name, buckets*ways)
			}
		}
	}
}
