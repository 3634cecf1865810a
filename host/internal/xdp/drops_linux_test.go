//go:build amd64 || arm64

package xdp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestDropTable changes a list of hosts at random, one by one and many at once, and
// wants the verdict of a plain map each time; and that the cells name nothing that
// is not just dropped.
func TestDropTable(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 1 << 12})
	random := rand.New(rand.NewPCG(7, 7))
	hosts := make([]netip.Prefix, 2000)
	for i, a := range addresses4(random, len(hosts)) {
		hosts[i] = netip.PrefixFrom(a, 32)
	}
	list := map[netip.Prefix]Action{}
	some := func(n int) []netip.Prefix {
		out := make([]netip.Prefix, n)
		for i := range out {
			out[i] = hosts[random.IntN(len(hosts))]
		}
		return out
	}
	entry := func(p netip.Prefix) Entry {
		e := Entry{Prefix: p, Action: ActionDrop}
		switch random.IntN(8) {
		case 0:
			e.Action = ActionMonitor
		case 1:
			e.TTL = time.Hour
		}
		return e
	}
	for round := range 40 {
		switch round % 4 {
		case 0:
			var entries []Entry
			for _, p := range some(500) {
				e := entry(p)
				entries, list[p] = append(entries, e), e.Action
			}
			if err := f.PutMany(entries); err != nil {
				t.Fatal(err)
			}
		case 1:
			for _, p := range some(100) {
				e := entry(p)
				list[p] = e.Action
				if err := f.Put(e); err != nil {
					t.Fatal(err)
				}
			}
		case 2:
			for _, p := range some(50) {
				if _, ok := list[p]; !ok {
					continue
				}
				delete(list, p)
				if err := f.Unblock(p); err != nil {
					t.Fatal(err)
				}
			}
		case 3:
			gone := some(200)
			for _, p := range gone {
				delete(list, p)
			}
			if err := f.RemoveMany(gone); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(3) == 0 {
			f.lists.Lock()
			err := f.collect(live(now()))
			f.lists.Unlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range some(200) {
			want := list[p] == ActionDrop
			if got := drops(t, f, p.Addr()); got != want {
				t.Fatalf("round %d, %v: dropped %v, want %v", round, p, got, want)
			}
		}
		cells := 0
		for _, line := range f.memory.filters.drops4.lines {
			for _, cell := range line.Cells {
				if cell == 0 {
					continue
				}
				cells++
				a := netip.AddrFrom4([4]byte{byte(cell), byte(cell >> 8), byte(cell >> 16), byte(cell >> 24)})
				if list[netip.PrefixFrom(a, 32)] != ActionDrop {
					t.Fatalf("round %d: the table drops %v, the list does not", round, a)
				}
			}
		}
		if cells == 0 {
			t.Fatalf("round %d: the table is empty", round)
		}
	}
}

// TestFilterTablesGrow wants the tables of a list that has grown to be made for its
// length, without an entry that expires or goes.
func TestFilterTablesGrow(t *testing.T) {
	f := newFilter(t, Config{})
	entries := make([]Entry, 5000)
	for i, a := range addresses4(rand.New(rand.NewPCG(8, 8)), len(entries)) {
		entries[i].Prefix = netip.PrefixFrom(a, 32)
	}
	for _, e := range entries[:300] {
		if err := f.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	if f.refreshAt().IsZero() {
		t.Error("after 300 entries: the tables are not to be made anew")
	}
	if err := f.PutNew(entries[300:]); err != nil {
		t.Fatal(err)
	}
	if err := f.collectExpired(); err != nil {
		t.Fatal(err)
	}
	if got, want := int(f.memory.filters.hosts4.mask)+1, hostWords(len(entries)); got != want {
		t.Errorf("the host filter has %d words in use, want %d", got, want)
	}
	var cells int
	for _, line := range f.memory.filters.drops4.lines {
		for _, cell := range line.Cells {
			if cell != 0 {
				cells++
			}
		}
	}
	// Chance fills some lines of bpf.DROP_WAYS cells, at a bit more than half of them in use.
	if cells < len(entries)*9/10 {
		t.Errorf("%d of %d addresses have a cell, want nearly all", cells, len(entries))
	}
}

// addresses4 returns different IPv4 addresses.
func addresses4(random *rand.Rand, n int) []netip.Addr {
	seen := make(map[netip.Addr]bool, n)
	list := make([]netip.Addr, 0, n)
	for len(list) < n {
		v := random.Uint32()
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		if !seen[a] {
			seen[a], list = true, append(list, a)
		}
	}
	return list
}
