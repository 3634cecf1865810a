//go:build amd64 || arm64

package xdp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/sdk/event"
)

func drops(t testing.TB, f *Filter, src netip.Addr) bool {
	t.Helper()
	code, err := f.program.Run(&ebpf.RunOptions{Data: syn(src)})
	if err != nil {
		t.Fatal(err)
	}
	return code == xdpDrop
}

func TestVerdict(t *testing.T) {
	type step func(t *testing.T, f *Filter)
	put := func(e Entry, prefix string) step {
		return func(t *testing.T, f *Filter) {
			e.Prefix = netip.MustParsePrefix(prefix)
			if err := f.Put(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	block := func(prefix string) step { return put(Entry{}, prefix) }
	do := func(what func(*Filter, netip.Prefix) error, prefix string) step {
		return func(t *testing.T, f *Filter) {
			if err := what(f, netip.MustParsePrefix(prefix)); err != nil {
				t.Fatal(err)
			}
		}
	}
	allow := func(prefix string) step { return do((*Filter).SetAllow, prefix) }
	expired := func(prefix string) step {
		return func(t *testing.T, f *Filter) { expire(t, f, netip.MustParsePrefix(prefix)) }
	}
	simulate := func(on bool) step {
		return func(t *testing.T, f *Filter) {
			if err := f.SetSimulate(on); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name  string
		steps []step
		src   string
		want  string
	}{
		{"empty", nil, "198.51.100.1", "passed"},
		{"host", []step{block("198.51.100.1/32")}, "198.51.100.1", "dropped"},
		{"host, neighbour", []step{block("198.51.100.1/32")}, "198.51.100.2", "passed"},
		{"odd length", []step{block("198.51.100.0/27")}, "198.51.100.31", "dropped"},
		{"odd length, outside", []step{block("198.51.100.0/27")}, "198.51.100.32", "passed"},
		{"odd length above 24", []step{block("198.51.0.0/19")}, "198.51.31.255", "dropped"},
		{"odd length above 24, outside", []step{block("198.51.0.0/19")}, "198.51.32.0", "passed"},
		{"wide", []step{block("198.0.0.0/7")}, "199.1.2.3", "dropped"},
		{"everything", []step{block("0.0.0.0/0")}, "8.8.8.8", "dropped"},
		{"everything is one family", []step{block("0.0.0.0/0")}, "2001:db8::1", "passed"},
		{"host bits are ignored", []step{block("198.51.100.77/24")}, "198.51.100.1", "dropped"},
		{"ip4 in ip6 form", []step{block("::ffff:198.51.100.0/120")}, "198.51.100.9", "dropped"},
		{"host 6", []step{block("2001:db8::1/128")}, "2001:db8::1", "dropped"},
		{"host 6, neighbour", []step{block("2001:db8::1/128")}, "2001:db8::2", "passed"},
		{"subnet 6", []step{block("2001:db8:0:1::/64")}, "2001:db8:0:1::ffff", "dropped"},
		{"subnet 6, neighbour", []step{block("2001:db8:0:1::/64")}, "2001:db8:0:2::ffff", "passed"},
		{"site 6", []step{block("2001:db8:5::/48")}, "2001:db8:5:9::1", "dropped"},
		{"odd length 6", []step{block("2001:db8:4000::/35")}, "2001:db8:5fff::1", "dropped"},
		{"odd length 6, outside", []step{block("2001:db8:4000::/35")}, "2001:db8:6000::1", "passed"},
		{"long 6", []step{block("2001:db8::80/121")}, "2001:db8::ff", "dropped"},
		{"wide 6", []step{block("2000::/3")}, "3fff::1", "dropped"},
		{"everything 6", []step{block("::/0")}, "fe80::1", "dropped"},
		{"longer /80 over /64", []step{block("2001:db8::/64"), put(Entry{Action: ActionMonitor}, "2001:db8::/80")}, "2001:db8::1", "monitored"},
		{"/64 over shorter /40", []step{put(Entry{Action: ActionMonitor}, "2001:db8::/64"), block("2001:db8::/40")}, "2001:db8::1", "monitored"},
		{"allow wins, shorter", []step{block("198.51.100.1/32"), allow("198.51.0.0/16")}, "198.51.100.1", "allowed"},
		{"allow wins, longer", []step{allow("198.51.100.1/32"), block("0.0.0.0/0")}, "198.51.100.1", "allowed"},
		{"allow wins, equal", []step{block("198.51.100.0/24"), allow("198.51.100.0/24")}, "198.51.100.1", "allowed"},
		{"allow wins 6", []step{block("2001:db8::1/128"), allow("2001:db8::/32")}, "2001:db8::1", "allowed"},
		{"allow removed", []step{block("198.51.100.1/32"), allow("198.51.0.0/16"), do((*Filter).RemoveAllow, "198.51.0.0/16")}, "198.51.100.1", "dropped"},
		{"unblocked", []step{block("198.51.100.1/32"), do((*Filter).Unblock, "198.51.100.1/32")}, "198.51.100.1", "passed"},
		{"unblocked, still in a net", []step{block("198.51.100.1/32"), block("198.51.100.0/28"), do((*Filter).Unblock, "198.51.100.1/32")}, "198.51.100.1", "dropped"},
		{"expired", []step{block("198.51.100.1/32"), expired("198.51.100.1/32")}, "198.51.100.1", "passed"},
		{"expired 6", []step{block("2001:db8::/64"), expired("2001:db8::/64")}, "2001:db8::1", "passed"},
		{"expired host inside a net", []step{block("198.51.100.1/32"), expired("198.51.100.1/32"), block("198.51.100.0/24")}, "198.51.100.1", "dropped"},
		{"expired nets inside a net", []step{
			block("198.51.100.0/30"), expired("198.51.100.0/30"), block("198.51.100.0/25"), expired("198.51.100.0/25"),
			block("198.0.0.0/8"),
		}, "198.51.100.1", "dropped"},
		{"expired nets inside a net 6", []step{
			block("2001:db8::/96"), expired("2001:db8::/96"), block("2001:db8::/33"), expired("2001:db8::/33"),
			block("2001::/16"),
		}, "2001:db8::1", "dropped"},
		{"expired everything", []step{block("0.0.0.0/0"), expired("0.0.0.0/0")}, "198.51.100.1", "passed"},
		{"not yet expired", []step{put(Entry{TTL: time.Hour}, "198.51.100.1/32")}, "198.51.100.1", "dropped"},
		{"monitor", []step{put(Entry{Action: ActionMonitor}, "198.51.100.1/32")}, "198.51.100.1", "monitored"},
		{"monitored host inside a blocked net", []step{put(Entry{Action: ActionMonitor}, "198.51.100.1/32"), block("198.51.100.0/24")}, "198.51.100.1", "monitored"},
		{"dry run", []step{put(Entry{DryRun: true}, "198.51.100.1/32")}, "198.51.100.1", "would_drop"},
		{"simulate", []step{block("198.51.100.1/32"), simulate(true)}, "198.51.100.1", "would_drop"},
		{"simulate 6", []step{block("2001:db8::/40"), simulate(true)}, "2001:db8::1", "would_drop"},
		{"enforce after simulate", []step{simulate(true), block("198.51.100.1/32"), simulate(false)}, "198.51.100.1", "dropped"},
		{"blocked again, other action", []step{put(Entry{Action: ActionMonitor}, "198.51.100.1/32"), block("198.51.100.1/32")}, "198.51.100.1", "dropped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFilter(t, Config{})
			for _, s := range test.steps {
				s(t, f)
			}
			o := inspect(t, f, syn(netip.MustParseAddr(test.src)))
			if o.Verdict != test.want {
				t.Errorf("got verdict %s, want %s", o.Verdict, test.want)
			}
			if got, want := o.Dropped, test.want == "dropped"; got != want {
				t.Errorf("got dropped %v, want %v", got, want)
			}
		})
	}
}

// TestVerdictProperty compares the filter with the plain reading of its
// contract: the live entry with the longest prefix decides, unless an allowed
// prefix contains the address.
func TestVerdictProperty(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 2 // the kernel's program is the same under the race detector
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			f := newFilter(t, Config{})
			random := rand.New(rand.NewPCG(seed, 1))
			blocked, allowed, gone := map[netip.Prefix]Entry{}, map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
			for round := range 6 {
				for range 60 {
					e := Entry{Prefix: randomPrefix(random), Action: ActionDrop}
					if random.IntN(4) == 0 {
						e.Action = ActionMonitor
					}
					if err := f.Put(e); err != nil {
						t.Fatal(err)
					}
					blocked[e.Prefix] = e
					delete(gone, e.Prefix)
					switch random.IntN(5) {
					case 0:
						expire(t, f, e.Prefix)
						gone[e.Prefix] = true
					case 1:
						if err := f.Unblock(e.Prefix); err != nil {
							t.Fatal(err)
						}
						delete(blocked, e.Prefix)
					}
				}
				for range 4 {
					p := randomPrefix(random)
					if p.Bits() > 8 {
						if err := f.SetAllow(p); err != nil {
							t.Fatal(err)
						}
						allowed[p] = true
					}
				}
				if round%2 == 1 {
					// Removal must change no verdict.
					f.lists.Lock()
					clock := now()
					err := f.collect(func(e *bpf.XDPEntry) bool { return e.Expires == 0 || e.Expires > clock })
					f.lists.Unlock()
					if err != nil {
						t.Fatal(err)
					}
					for p := range gone {
						delete(blocked, p)
					}
					clear(gone)
				}
				for range 400 {
					src := randomAddr(random)
					if got, want := inspect(t, f, syn(src)).Verdict, naive(src, blocked, allowed, gone); got != want {
						t.Fatalf("round %d, %v: got %s, want %s", round, src, got, want)
					}
				}
			}
		})
	}
}

func naive(src netip.Addr, blocked map[netip.Prefix]Entry, allowed, gone map[netip.Prefix]bool) string {
	best := Entry{Prefix: netip.PrefixFrom(src, -1)}
	found := false
	for p, e := range blocked {
		if p.Contains(src) && !gone[p] && (!found || p.Bits() > best.Prefix.Bits()) {
			best, found = e, true
		}
	}
	if !found {
		return "passed"
	}
	for p := range allowed {
		if p.Contains(src) {
			return "allowed"
		}
	}
	if best.Action == ActionMonitor {
		return "monitored"
	}
	return "dropped"
}

// randomAddr draws from few enough addresses that prefixes nest and hit.
func randomAddr(random *rand.Rand) netip.Addr {
	few := func() byte { return []byte{0, 1, 2, 127, 128, 255}[random.IntN(6)] }
	if random.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10 + byte(random.IntN(2)), few(), few(), few()})
	}
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8 + byte(random.IntN(2))}
	for i := 4; i < 16; i++ {
		if random.IntN(3) == 0 {
			a[i] = few()
		}
	}
	return netip.AddrFrom16(a)
}

func randomPrefix(random *rand.Rand) netip.Prefix {
	a := randomAddr(random)
	bits := a.BitLen()
	switch random.IntN(4) {
	case 0:
	case 1:
		bits = min(bits, 64)
	default:
		// Short ones would decide everything.
		bits = 12 + random.IntN(bits-11)
	}
	p, _ := a.Prefix(bits)
	return p
}

func TestEntries(t *testing.T) {
	f := newFilter(t, Config{})
	want := []Entry{
		{Prefix: netip.MustParsePrefix("10.0.0.0/9"), Action: ActionDrop, Rule: 1},
		{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Action: ActionMonitor, Rule: 2, Hits: 3},
		{Prefix: netip.MustParsePrefix("2001:db8::/33"), Action: ActionDrop, Rule: 3, DryRun: true},
		{Prefix: netip.MustParsePrefix("2001:db8::/64"), Action: ActionDrop, Rule: 4},
		{Prefix: netip.MustParsePrefix("2001:db8::1/128"), Action: ActionDrop, Rule: 5},
	}
	for _, e := range want {
		e.Hits = 99 // read only
		if err := f.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		drops(t, f, netip.MustParseAddr("10.0.0.1"))
	}
	// Storing again keeps the hits.
	if err := f.Put(want[1]); err != nil {
		t.Fatal(err)
	}
	if err := f.Block(netip.MustParsePrefix("10.9.9.9/32"), time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	expire(t, f, netip.MustParsePrefix("10.9.9.9/32"))
	got, err := f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Entry) int { return int(a.Rule) - int(b.Rule) })
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := f.Block(netip.MustParsePrefix("10.9.9.8/32"), time.Hour, 6); err != nil {
		t.Fatal(err)
	}
	got, err = f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(got, func(e Entry) bool { return e.Rule == 6 })
	if ttl := got[i].TTL; ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("got TTL %v of an hour just begun", ttl)
	}
}

func TestReplace(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 1 << 16})
	first := make([]Entry, 0, 30_000)
	for i := range 10_000 {
		four := netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 1})
		six := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), 0, 0, 15: 1})
		first = append(first, Entry{Prefix: netip.PrefixFrom(four, 32)}, Entry{Prefix: netip.PrefixFrom(six, 128)},
			Entry{Prefix: netip.PrefixFrom(six, 64).Masked()})
	}
	start := time.Now()
	if err := f.Replace(first); err != nil {
		t.Fatal(err)
	}
	t.Logf("stored %d entries in %v", len(first), time.Since(start))
	kept, lost := netip.MustParseAddr("100.0.7.1"), netip.MustParseAddr("100.0.8.1")
	if !drops(t, f, kept) || !drops(t, f, lost) {
		t.Fatal("an entry of the first list does not drop")
	}
	second := []Entry{
		{Prefix: netip.PrefixFrom(kept, 32), Rule: 7},
		{Prefix: netip.MustParsePrefix("198.18.0.0/15")},
		{Prefix: netip.MustParsePrefix("2001:db9::/32")},
	}
	if err := f.Replace(second); err != nil {
		t.Fatal(err)
	}
	got, err := f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(second) {
		t.Errorf("got %d entries after the second list, want %d", len(got), len(second))
	}
	for addr, want := range map[string]bool{
		kept.String(): true, lost.String(): false, "198.19.1.1": true, "2001:db9::5": true, "2001:db8::1": false,
	} {
		if got := drops(t, f, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: dropped %v, want %v", addr, got, want)
		}
	}
	// The filter tables hold what the second list needs and no more.
	fresh := f.memory.filters.blank()
	for _, e := range second {
		fresh.mark(e.Prefix)
	}
	if diff := cmp.Diff(fresh.wide4, f.memory.filters.wide4); diff != "" {
		t.Errorf("/16 table (-want +got):\n%s", diff)
	}
	if !slices.Equal(fresh.nets4, f.memory.filters.nets4) || !slices.Equal(fresh.nets6, f.memory.filters.nets6) {
		t.Error("the filter tables differ from those of the list")
	}
	// Host filters shrink in two steps, the second when no packet can be under way.
	if err := f.collect(func(*bpf.XDPEntry) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string][2]*hostFilter{
		"IPv4": {&fresh.hosts4, &f.memory.filters.hosts4}, "IPv6": {&fresh.hosts6, &f.memory.filters.hosts6},
	} {
		size := hostWords(len(h[0].hashes))
		want := hostFilter{words: make([]uint64, size), mask: uint32(size - 1)}
		for _, hash := range h[0].hashes {
			want.mark(hash)
		}
		if h[1].mask != want.mask || !slices.Equal(want.words, h[1].words[:size]) {
			t.Errorf("%s: the host filter differs from that of the list, which needs %d words", name, size)
		}
	}
}

func TestReplaceAllow(t *testing.T) {
	f := newFilter(t, Config{})
	parse := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, list := range [][]netip.Prefix{parse("10.0.0.0/8", "2001:db8::/32"), parse("10.0.0.0/8", "192.0.2.1/32"), nil} {
		if err := f.ReplaceAllow(list); err != nil {
			t.Fatal(err)
		}
		got, err := f.Allowed()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmpopts.EquateEmpty(), cmpopts.SortSlices(netip.Prefix.Compare)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestListErrors(t *testing.T) {
	f := newFilter(t, Config{MaxEntries: 2})
	prefix := netip.MustParsePrefix("10.0.0.1/32")
	for _, test := range []struct {
		name string
		call func() error
		want error
	}{
		{"unblock nothing", func() error { return f.Unblock(prefix) }, ErrNotFound},
		{"unblock a net of its own", func() error { return f.Unblock(netip.MustParsePrefix("10.0.0.0/9")) }, ErrNotFound},
		{"remove allow nothing", func() error { return f.RemoveAllow(prefix) }, ErrNotFound},
		{"no prefix", func() error { return f.Block(netip.Prefix{}, 0, 0) }, ErrInvalid},
		{"negative ttl", func() error { return f.Block(prefix, -1, 0) }, ErrInvalid},
		{"unknown action", func() error { return f.Put(Entry{Prefix: prefix, Action: 9}) }, ErrInvalid},
		{"more than ip4", func() error { return f.Block(netip.MustParsePrefix("::ffff:0:0/90"), 0, 0) }, ErrInvalid},
		{"full hosts", func() error { return fill(f, 32) }, ErrFull},
		{"full nets", func() error { return fill(f, 31) }, ErrFull},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := test.call(); !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}

func fill(f *Filter, bits int) error {
	for i := range 3 {
		if err := f.Block(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), bits), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// TestTTL lets an entry expire by the clock, first unseen, then collected.
func TestTTL(t *testing.T) {
	f := newFilter(t, Config{})
	src := netip.MustParseAddr("198.51.100.1")
	const ttl = 300 * time.Millisecond
	start := time.Now()
	if err := f.Block(netip.PrefixFrom(src, 32), ttl, 1); err != nil {
		t.Fatal(err)
	}
	if !drops(t, f, src) {
		t.Fatal("a fresh entry does not drop")
	}
	poll(t, "the entry to expire", func() bool { return !drops(t, f, src) })
	if elapsed := time.Since(start); elapsed < ttl {
		t.Errorf("expired after %v, want no sooner than %v", elapsed, ttl)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func([]event.PacketEvent) error { return nil }) }()
	poll(t, "the entry to be collected", func() bool {
		f.lists.Lock()
		defer f.lists.Unlock()
		var value bpf.XDPEntry
		return errors.Is(f.maps.Hosts4.Lookup(src.As4(), &value), ebpf.ErrKeyNotExist) && f.expiry == 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// poll waits for a real clock or a real process, within ten seconds.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

func TestClose(t *testing.T) {
	f := newFilter(t, Config{})
	done := make(chan error, 1)
	go func() { done <- f.Run(t.Context(), func([]event.PacketEvent) error { return nil }) }()
	poll(t, "Run to start", f.running.Load)
	if err := f.Run(t.Context(), nil); err == nil {
		t.Error("a second Run at once gives no error")
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Errorf("got error %v from Close", err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("got error %v from Run after Close", err)
	}
	prefix := netip.MustParsePrefix("10.0.0.0/8")
	_, statsErr := f.Stats()
	_, entriesErr := f.Entries()
	_, allowedErr := f.Allowed()
	for name, err := range map[string]error{
		"Block": f.Block(prefix, 0, 0), "Unblock": f.Unblock(prefix), "SetAllow": f.SetAllow(prefix),
		"Replace": f.Replace(nil), "SetSimulate": f.SetSimulate(true),
		"Stats": statsErr, "Entries": entriesErr, "Allowed": allowedErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got error %v, want %v", name, err, ErrClosed)
		}
	}
}
