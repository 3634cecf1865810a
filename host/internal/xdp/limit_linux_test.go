//go:build amd64 || arm64

package xdp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
)

// coarse is the kernel's coarse clock in ns, by which buckets fill.
func coarse(t testing.TB) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}

// flood sends a frame n times and returns how many passed. Of more than a hundred
// it may send more: a run that a signal interrupts begins again.
func flood(t testing.TB, f *Filter, frame []byte, n int) (passed int) {
	t.Helper()
	before, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if n > 100 {
		if _, err := f.program.Run(&ebpf.RunOptions{Data: frame, Repeat: uint32(n)}); err != nil {
			t.Fatal(err)
		}
	} else {
		for range n {
			run(t, f, frame)
		}
	}
	after, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	passed = int(after.Verdicts["passed"].Packets - before.Verdicts["passed"].Packets)
	cut := int(after.Drops["limit"].Packets - before.Drops["limit"].Packets)
	sent := int(after.Protocols["tcp"].Packets + after.Protocols["udp"].Packets - before.Protocols["tcp"].Packets - before.Protocols["udp"].Packets)
	if passed+cut != sent || sent < n {
		t.Errorf("of %d packets, %d or more, %d passed and %d were cut", sent, n, passed, cut)
	}
	if limited := int(after.Limited.Packets - before.Limited.Packets); limited != passed {
		t.Errorf("got %d packets within their limit, want the %d that passed", limited, passed)
	}
	return passed
}

// TestLimitRate floods a source for a while: it gets its burst, then its rate, by
// the kernel's clock, to the packet. Between two runs of the program a bucket must
// not become full, so bursts are long; the least one gets at most its rate.
func TestLimitRate(t *testing.T) {
	for _, tt := range []struct {
		name        string
		rate, burst uint32
		lasting     time.Duration
		gaps        bool // the bucket may become full
	}{
		{"slow", 10, 10, time.Second, false},
		{"middling", 1000, 500, 500 * time.Millisecond, false},
		{"fast", 200_000, 100_000, 300 * time.Millisecond, false},
		{"fast, with the least burst", 200_000, 1, 300 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, Config{MaxEntries: 16})
			e := Entry{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Limit: tt.rate, Burst: tt.burst}
			if err := f.Put(e); err != nil {
				t.Fatal(err)
			}
			burst := int(max(tt.burst, MinBurst(tt.rate)))
			packet := syn4(attacker4)
			before := coarse(t)
			passed := flood(t, f, packet, burst)
			start := coarse(t)
			for now()-start < uint64(tt.lasting) {
				passed += flood(t, f, packet, 200_000)
			}
			// The clock of the first packet is between before and start, that of the last
			// before now.
			longest, shortest := time.Duration(coarse(t)-before), tt.lasting-20*time.Millisecond
			most := burst + int(uint64(tt.rate)*uint64(longest)/uint64(time.Second)) + 1
			if tt.gaps {
				shortest = 0
			}
			least := burst + int(uint64(tt.rate)*uint64(shortest)/uint64(time.Second)) - 1
			if passed < least || passed > most {
				t.Errorf("%d packets passed in %v to %v, want %d to %d", passed, shortest, longest, least, most)
			}
			entries, err := f.Entries()
			if err != nil {
				t.Fatal(err)
			}
			stats, err := f.Stats()
			if err != nil {
				t.Fatal(err)
			}
			got := entries[0]
			if got.Action != ActionLimit || got.Limit != tt.rate || got.Burst != uint32(burst) || got.WouldDrops != 0 ||
				got.Hits-got.Drops != uint64(passed) || got.Drops != stats.Drops["limit"].Packets {
				t.Errorf("got entry %+v; %d passed, %d were dropped", got, passed, stats.Drops["limit"].Packets)
			}
		})
	}
}

// TestLimitBuckets: which packets share a bucket. A packet a second is slow enough
// that no test sees a bucket fill.
func TestLimitBuckets(t *testing.T) {
	const burst = 5
	udp6 := func(src string) []byte { return frame(0x86dd, ip6(src, 17, udp(0))) }
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   []int // how many of 20 of each pass
	}{
		{"one source", [][]byte{syn4("10.0.0.1"), syn4("10.0.0.1")}, []int{burst, 0}},
		{"two sources of one entry", [][]byte{syn4("10.0.0.1"), syn4("10.0.0.2")}, []int{burst, burst}},
		{"another protocol of one source", [][]byte{syn4("10.0.0.1"), frame(0x0800, ip4("10.0.0.1", 5, 17, 0, udp(0)))}, []int{burst, 0}},
		{"one /64", [][]byte{syn6("2001:db8:1:2::1"), syn6("2001:db8:1:2:ffff::9")}, []int{burst, 0}},
		{"two /64s", [][]byte{syn6("2001:db8:1:2::1"), syn6("2001:db8:1:3::1")}, []int{burst, burst}},
		// The bytes of 10.0.0.1 and a /64 that begins with the same and goes on with zeros.
		{"two families", [][]byte{syn4("10.0.0.1"), syn6("a00:1::1")}, []int{burst, burst}},
		{"an entry and a rule of one source", [][]byte{syn6("2001:db8:1:2::1"), udp6("2001:db8:1:2::1")}, []int{burst, 0}},
		{"two rules of one source", [][]byte{syn4("172.16.0.1"), frame(0x0800, ip4("172.16.0.1", 5, 17, 0, udp(0)))}, []int{burst, burst}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, Config{MaxEntries: 16})
			for _, p := range []string{"10.0.0.0/8", "2001:db8::/32", "a00::/16"} {
				if err := f.Put(Entry{Prefix: netip.MustParsePrefix(p), Limit: 1, Burst: burst}); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.SetRules([]Rule{
				{ID: 1, From: prefixes("172.16.0.0/12"), Protocol: ProtocolTCP, Limit: 1, Burst: burst},
				{ID: 2, From: prefixes("172.16.0.0/12"), Protocol: ProtocolUDP, Limit: 1, Burst: burst},
			}); err != nil {
				t.Fatal(err)
			}
			for i, frame := range tt.frames {
				if got := flood(t, f, frame, 20); got != tt.want[i] {
					t.Errorf("%d of the %d. source passed, want %d", got, i+1, tt.want[i])
				}
			}
		})
	}
}

// TestLimitSimulated counts and cuts nothing.
func TestLimitSimulated(t *testing.T) {
	prefix := netip.MustParsePrefix(attacker4 + "/32")
	for _, tt := range []struct {
		name   string
		config Config
		entry  Entry
		rule   Rule
	}{
		{"simulate, entry", Config{Simulate: true}, Entry{Prefix: prefix, Limit: 1, Burst: 5}, Rule{Protocol: ProtocolICMP}},
		{"dry run, entry", Config{}, Entry{Prefix: prefix, Limit: 1, Burst: 5, DryRun: true}, Rule{Protocol: ProtocolICMP}},
		{"simulate, rule", Config{Simulate: true}, Entry{Prefix: prefix, Action: ActionMonitor}, Rule{Protocol: ProtocolTCP, Limit: 1, Burst: 5}},
		{"dry run, rule", Config{}, Entry{Prefix: prefix, Action: ActionMonitor}, Rule{Protocol: ProtocolTCP, Limit: 1, Burst: 5, DryRun: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.MaxEntries = 16
			f := newFilter(t, tt.config)
			if err := f.Put(tt.entry); err != nil {
				t.Fatal(err)
			}
			if err := f.SetRules([]Rule{tt.rule}); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if drops(t, f, prefix.Addr()) {
					t.Fatal("a packet was dropped")
				}
			}
			entries, err := f.Entries()
			if err != nil {
				t.Fatal(err)
			}
			rules, err := f.Rules()
			if err != nil {
				t.Fatal(err)
			}
			hits, wouldDrops, dropped := entries[0].Hits, entries[0].WouldDrops, entries[0].Drops
			if rules[0].Hits > 0 {
				hits, wouldDrops, dropped = rules[0].Hits, rules[0].WouldDrops, rules[0].Drops
			}
			if hits != 20 || wouldDrops != 15 || dropped != 0 {
				t.Errorf("got %d hits, %d would-drops, %d drops, want 20, 15, 0", hits, wouldDrops, dropped)
			}
			stats, err := f.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if got := stats.WouldDrops["limit"].Packets; got != 15 {
				t.Errorf("got %d would-drops for a limit, want 15", got)
			}
		})
	}
}

// TestLimitTableFull fills a line of the table: who has used some of a limit keeps
// the place, who finds none passes and is counted, and idle places are given away.
func TestLimitTableFull(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16, LimitSlots: 1})
	ways := len(bpf.XDPLimitLine{}.Full)
	put := func(rate uint32) {
		t.Helper()
		if err := f.Put(Entry{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Limit: rate, Burst: 5}); err != nil {
			t.Fatal(err)
		}
	}
	source := func(i int) []byte { return syn4(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()) }
	missed := func() uint64 {
		t.Helper()
		stats, err := f.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return stats.LimitMissed.Packets
	}
	put(1) // a bucket takes seconds to fill
	for i := range ways {
		if got := flood(t, f, source(i), 3); got != 3 {
			t.Fatalf("source %d: %d of 3 passed", i, got)
		}
	}
	for range 10 {
		if drops(t, f, netip.AddrFrom4([4]byte{10, 0, 0, 99})) {
			t.Fatal("a source without a bucket was cut")
		}
	}
	if got := missed(); got != 10 {
		t.Errorf("got %d packets without a bucket, want 10", got)
	}
	for i := range ways {
		if got := flood(t, f, source(i), 10); got != 2 {
			t.Errorf("source %d: %d passed, want the 2 that were left of its burst", i, got)
		}
	}
	info, err := f.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Maps {
		if m.Name == bpf.XDPMapLimits && (m.Entries != ways || m.MaxEntries != ways) {
			t.Errorf("got %d of %d buckets in use, want all %d", m.Entries, m.MaxEntries, ways)
		}
	}

	// Buckets of 5 at 100 a second are full again, and so idle, after 50 ms.
	g := newFilter(t, Config{MaxEntries: 16, LimitSlots: 1})
	f = g
	put(100)
	for i := range ways {
		flood(t, f, source(i), 5)
	}
	idle := coarse(t) + uint64(60*time.Millisecond)
	poll(t, "the buckets to be full", func() bool { return coarse(t) > idle })
	if got := flood(t, f, source(99), 5); got != 5 || missed() != 0 {
		t.Errorf("%d of a new source passed with %d missed, want 5 and 0", got, missed())
	}
}

// TestLimitChanged: a source that used up one limit is not held to it by another.
func TestLimitChanged(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	prefix := netip.MustParsePrefix(attacker4 + "/32")
	for _, e := range []Entry{{Prefix: prefix, Limit: 1, Burst: 1000}, {Prefix: prefix, Limit: 1, Burst: 5}, {Prefix: prefix, Limit: 2, Burst: 5}} {
		if err := f.Put(e); err != nil {
			t.Fatal(err)
		}
		if got := flood(t, f, syn4(attacker4), 2000); got != int(e.Burst) {
			t.Errorf("%+v: %d passed", e, got)
		}
	}
	// The same limit again: what was used of it is used.
	if err := f.Put(Entry{Prefix: prefix, Limit: 1, Burst: 1000}); err != nil {
		t.Fatal(err)
	}
	if got := flood(t, f, syn4(attacker4), 100); got > 1 {
		t.Errorf("%d passed of a limit that was used up", got)
	}
}

// TestLimitAtOnce floods one source from all processors: the limit is one.
func TestLimitAtOnce(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 16})
	const rate, burst = 10_000, 2000
	if err := f.Put(Entry{Prefix: netip.MustParsePrefix(attacker4 + "/32"), Limit: rate, Burst: burst}); err != nil {
		t.Fatal(err)
	}
	before := coarse(t)
	const senders, rounds, each = 4, 10, 20_000
	done := make(chan error, senders)
	for range senders {
		go func() {
			for range rounds {
				if _, err := f.program.Run(&ebpf.RunOptions{Data: syn4(attacker4), Repeat: each}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range senders {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	elapsed := coarse(t) - before
	entries, err := f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	sent := stats.Protocols["tcp"].Packets
	e := entries[0]
	most := burst + rate*elapsed/uint64(time.Second) + 1
	if passed := e.Hits - e.Drops; e.Hits < senders*rounds*each || e.Drops != stats.Drops["limit"].Packets || passed > most || passed < burst {
		t.Errorf("%d of %d passed in %v (sent %d), want %d to %d", passed, e.Hits, time.Duration(elapsed), sent, burst, most)
	}
}

// TestMinBurst: every limit has a burst that one tick of any kernel cannot fill.
func TestMinBurst(t *testing.T) {
	for _, tt := range []struct{ limit, min, standard uint32 }{
		{1, 2, 5}, {100, 2, 10}, {101, 3, 10}, {1000, 11, 100}, {MaxLimit, 100_001, MaxBurst},
	} {
		if got, standard := MinBurst(tt.limit), DefaultBurst(tt.limit); got != tt.min || standard != tt.standard {
			t.Errorf("limit %d: got at least %d and by default %d, want %d and %d", tt.limit, got, standard, tt.min, tt.standard)
		}
	}
	// What the filter can count on: no tick is longer.
	var tick unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		t.Fatal(err)
	}
	if time.Duration(tick.Nano()) > minBurstTick {
		t.Errorf("the clock steps by %v, more than %v", time.Duration(tick.Nano()), minBurstTick)
	}
}
