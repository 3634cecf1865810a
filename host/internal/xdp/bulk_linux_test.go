//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// hosts returns n addresses from 100.64.0.0 on, as entries.
func hosts(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(100 + i>>24), byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	return entries
}

// TestPutMany adds to a list: what was there stays, and what is stored again keeps
// its counts, however many there are.
func TestPutMany(t *testing.T) {
	for _, n := range []int{10, 2 * fewEntries} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newFilter(t, Config{MaxEntries: 1 << 16})
			other := netip.MustParsePrefix("198.51.100.1/32")
			entries := hosts(n)
			if err := errors.Join(f.Block(other, 0, 1), f.PutMany(entries)); err != nil {
				t.Fatal(err)
			}
			for _, src := range []netip.Addr{other.Addr(), entries[0].Prefix.Addr(), entries[n-1].Prefix.Addr()} {
				if !drops(t, f, src) {
					t.Errorf("%v is not dropped", src)
				}
			}
			for i := range entries {
				entries[i].Rule, entries[i].DryRun = 7, true
			}
			// Twice the same prefix: the last counts.
			last := entries[0]
			last.Rule = 8
			if err := f.PutMany(append(entries, last)); err != nil {
				t.Fatal(err)
			}
			if drops(t, f, entries[0].Prefix.Addr()) {
				t.Error("an entry that was stored again as a dry run drops")
			}
			got, err := f.Entries()
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != n+1 {
				t.Errorf("got %d entries, want %d", len(got), n+1)
			}
			i := slices.IndexFunc(got, func(e Entry) bool { return e.Prefix == entries[0].Prefix })
			if e := got[i]; e.Hits != 2 || e.Drops != 1 || e.WouldDrops != 1 || e.Rule != 8 {
				t.Errorf("got %+v, want one hit of each kind, and rule 8", e)
			}
			if err := f.Replace(entries); err != nil {
				t.Fatal(err)
			}
			got, err = f.Entries()
			if err != nil || len(got) != n {
				t.Fatalf("got %d entries after Replace, %v, want %d", len(got), err, n)
			}
			i = slices.IndexFunc(got, func(e Entry) bool { return e.Prefix == entries[0].Prefix })
			if e := got[i]; e.Hits != 2 || e.Rule != 7 {
				t.Errorf("got %+v after Replace, want the hits of before", e)
			}
		})
	}
}

// TestPutManyRoom: what does not fit leaves nothing behind.
func TestPutManyRoom(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 100})
	old := hosts(60)
	if err := f.PutMany(old); err != nil {
		t.Fatal(err)
	}
	size := func() int {
		t.Helper()
		got, err := f.Entries()
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	nets := []Entry{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("2001:db8::/64")}}
	for _, tt := range []struct {
		name    string
		entries []Entry
		want    error
		size    int
	}{
		{"too many", hosts(101), ErrFull, 60},
		{"too many among others", append(slices.Clone(nets), hosts(160)[60:]...), ErrFull, 60},
		{"one invalid", append(hosts(5), Entry{}), ErrInvalid, 60},
		{"the same again", hosts(60), nil, 60},
		{"twice the same", append(hosts(80), hosts(80)...), nil, 80},
		{"as many as fit", append(slices.Clone(nets), hosts(100)...), nil, 102},
		{"one more", []Entry{{Prefix: netip.MustParsePrefix("198.51.100.1/32")}}, ErrFull, 102},
		{"nothing", nil, nil, 102},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := f.PutMany(tt.entries); !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if got := size(); got != tt.size {
				t.Errorf("got %d entries, want %d", got, tt.size)
			}
		})
	}
	// A list that fills its table is stored again in parts, for which it is not read
	// as a whole, which would put an end to what has expired.
	expire(t, f, old[0].Prefix)
	for part := range slices.Chunk(hosts(100)[1:], 40) {
		if err := f.PutMany(part); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.sizes[tableHosts4]; n != 100 {
		t.Errorf("got %d counted after storing the same again, want 100", n)
	}
	// What has expired makes room.
	for _, e := range old[:10] {
		expire(t, f, e.Prefix)
	}
	more := hosts(110)[100:]
	if err := f.PutMany(more); err != nil {
		t.Errorf("got error %v with room for all that live", err)
	}
	if err := f.Unblock(more[0].Prefix); err != nil {
		t.Fatal(err)
	}
	if err := f.PutMany([]Entry{{Prefix: netip.MustParsePrefix("198.51.100.1/32")}}); err != nil {
		t.Errorf("got error %v in the place of one that was removed", err)
	}
}

// BenchmarkMillion brings a million hosts into a new filter, over themselves, and
// over themselves as a replacement, and tells what they take.
func BenchmarkMillion(b *testing.B) {
	entries := hosts(1_000_000)
	for _, bench := range []struct {
		name  string
		again func(*Filter, []Entry) error
	}{
		{"new", nil},
		{"again", (*Filter).PutMany},
		{"replace", (*Filter).Replace},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				f := newFilter(b, Config{MaxEntries: 1 << 20})
				store := (*Filter).PutMany
				if bench.again != nil {
					if err := f.PutMany(entries); err != nil {
						b.Fatal(err)
					}
					store = bench.again
				}
				b.StartTimer()
				if err := store(f, entries); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(entries)), "ns/entry")
		})
	}
}

// BenchmarkRules measures what a packet costs that rules look at.
func BenchmarkRules(b *testing.B) {
	packet := append(syn4(attacker4), make([]byte, 10)...)
	ssh := []PortRange{{22, 22}}
	for _, bench := range []struct {
		name  string
		entry Entry
		rules []Rule
	}{
		{name: "none"},
		{name: "another protocol", rules: []Rule{{Protocol: ProtocolUDP}}},
		{name: "another port", rules: []Rule{{Ports: []PortRange{{80, 80}}}}},
		{name: "another source", rules: []Rule{{From: prefixes("10.0.0.0/8")}}},
		{name: "another destination behind port and source", rules: []Rule{{From: prefixes("203.0.113.0/24"), To: prefixes("10.0.0.0/8"), Ports: ssh}}},
		{name: "drop", rules: []Rule{{From: prefixes("203.0.113.0/24"), Ports: ssh}}},
		{name: "monitor", rules: []Rule{{Ports: ssh, Action: ActionMonitor}}},
		{name: "limit, within", rules: []Rule{{Ports: ssh, Limit: MaxLimit, Burst: MaxBurst}}},
		{name: "limit, over", rules: []Rule{{Ports: ssh, Limit: 1}}},
		{name: "entry, drop", entry: Entry{Action: ActionDrop}},
		{name: "entry, limit, over", entry: Entry{Limit: 1}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			f := newFilter(b, Config{MaxEntries: 1024})
			if bench.entry != (Entry{}) {
				bench.entry.Prefix = netip.MustParsePrefix(attacker4 + "/32")
				if err := f.Put(bench.entry); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.SetRules(bench.rules); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var total time.Duration
			runs := 0
			for b.Loop() {
				const packets = 1_000_000
				_, each, err := f.program.Benchmark(packet, packets, nil)
				if err != nil {
					b.Fatal(err)
				}
				total += each
				runs++
			}
			b.ReportMetric(float64(total.Nanoseconds())/float64(runs), "ns/packet")
		})
	}
}
