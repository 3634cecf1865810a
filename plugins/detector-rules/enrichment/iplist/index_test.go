package iplist

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// random makes lists whose networks overlap a lot, at both ends of the addresses
// too.
func random(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		switch r.IntN(4) {
		case 0:
			p, _ := addr6(key6{0x2001_0db8_0000_0000 | uint64(r.IntN(4)), r.Uint64() & (1<<60 | 0xff)}).Prefix(56 + r.IntN(73))
			fmt.Fprintln(&b, p)
		case 1:
			p, _ := addr6(key6{^uint64(0) >> r.IntN(2) << r.IntN(2), ^uint64(r.IntN(4))}).Prefix(120 + r.IntN(9))
			fmt.Fprintln(&b, p)
		case 2:
			p, _ := addr4(key4(0xcb007000 | r.Uint32N(1<<11))).Prefix(21 + r.IntN(12))
			fmt.Fprintln(&b, p)
		case 3:
			p, _ := addr4(^key4(r.Uint32N(64))).Prefix(28 + r.IntN(5))
			fmt.Fprintln(&b, p)
		}
	}
	return b.String()
}

// TestAgainstNetworksOneByOne changes lists of an index at random, and asks it and
// the networks themselves.
func TestAgainstNetworksOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1)) //nolint:gosec // the same each time
	texts := map[string]string{}
	var x *Index
	for range 200 {
		name := fmt.Sprint("list", r.IntN(6))
		var list *List
		if delete(texts, name); r.IntN(5) > 0 {
			text := random(r, 1+r.IntN(40))
			var err error
			if list, err = Parse([]byte(text)); err != nil {
				t.Fatal(err)
			}
			texts[name] = text
		}
		next, err := x.With(name, list)
		if err != nil {
			t.Fatal(err)
		}
		x = next
		for range 100 {
			a, _ := netip.ParseAddr(strings.Split(strings.TrimSpace(random(r, 1)), "/")[0])
			var want []string
			for name, text := range texts {
				if slices.ContainsFunc(naive(text), func(p netip.Prefix) bool { return p.Contains(a) }) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, x.Names(x.Lookup(a))); diff != "" {
				t.Fatalf("lists of %v (-want +got):\n%s", a, diff)
			}
		}
	}
	for name := range texts {
		var err error
		if x, err = x.With(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.v4.starts)+len(x.v6.high) != 0 || len(x.sets) != 1 {
		t.Errorf("an index whose lists have ended has %d and %d boundaries, %d sets", len(x.v4.starts), len(x.v6.high), len(x.sets))
	}
}

func TestEnds(t *testing.T) {
	l, err := Parse([]byte("255.255.255.255\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n192.0.2.0/24\n"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := (*Index)(nil).With("l", l)
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{
		"255.255.255.255": true, "255.255.255.254": false, "0.0.0.0": false, "192.0.1.255": false, "192.0.2.0": true, "192.0.2.255": true,
		"192.0.3.0": false, "::ffff:192.0.2.9": true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true, "ffff::": false, "::": false,
	} {
		if got := x.Lookup(netip.MustParseAddr(a)) != 0; got != want {
			t.Errorf("%s: got %v, want %v", a, got, want)
		}
	}
	for _, none := range []*Index{nil, {}} {
		if none.Lookup(netip.MustParseAddr("192.0.2.1")) != 0 || none.Lookup(netip.MustParseAddr("::1")) != 0 || none.Lookup(netip.Addr{}) != 0 {
			t.Error("an index without lists has an address")
		}
	}
}

func TestBounds(t *testing.T) {
	l, err := Parse([]byte("192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var x *Index
	for i := range MaxLists {
		if x, err = x.With(fmt.Sprint(i), l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.With("one more", l); !errors.Is(err, ErrTooManyLists) {
		t.Errorf("got %v, want %v", err, ErrTooManyLists)
	}
	if got := len(x.Names(x.Lookup(netip.MustParseAddr("192.0.2.1")))); got != MaxLists {
		t.Errorf("got %d lists, want %d", got, MaxLists)
	}
	if x, err = x.With("0", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := x.With("one more", l); err != nil {
		t.Errorf("got %v, want the place of the list that ended", err)
	}
	// Sixty-four lists whose bounds overlap in ever new ways.
	r := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same each time
	for x = nil; ; {
		var many List
		for i := range 70_000 {
			if r.IntN(2) == 0 {
				k := key4(0xcb000000 | 2*i) //nolint:gosec // far below 32 bits
				many.v4 = append(many.v4, span[key4]{k, k})
			}
		}
		name := fmt.Sprint(r.Uint64())
		if x, err = x.With(name, &many); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooManySets) {
		t.Errorf("got %v, want %v", err, ErrTooManySets)
	}
}

// millions are a million networks each that touch nowhere.
var millions = []struct {
	name string
	// network makes one, and an address beside it.
	network func(*rand.Rand) (network netip.Prefix, beside netip.Addr)
}{
	{"IPv4 addresses", func(r *rand.Rand) (netip.Prefix, netip.Addr) {
		k := key4(0x01000000 + r.Uint32N(0xdf000000)&^1)
		return netip.PrefixFrom(addr4(k), 32), addr4(k + 1)
	}},
	{"IPv6 networks", func(r *rand.Rand) (netip.Prefix, netip.Addr) {
		k := key6{0x2000<<48 | r.Uint64()>>3&^1, 0}
		return netip.PrefixFrom(addr6(k), 64), addr6(key6{k.high + 1, r.Uint64()})
	}},
	{"IPv6 addresses", func(r *rand.Rand) (netip.Prefix, netip.Addr) {
		k := key6{0x2000<<48 | r.Uint64()>>3, r.Uint64() &^ 1}
		return netip.PrefixFrom(addr6(k), 128), addr6(key6{k.high, k.low + 1})
	}},
	{"IPv6 addresses in two crowds", func(r *rand.Rand) (netip.Prefix, netip.Addr) {
		k := key6{0x2001<<48 | uint64(r.IntN(2))<<60 | r.Uint64()>>48, r.Uint64() &^ 1}
		return netip.PrefixFrom(addr6(k), 128), addr6(key6{k.high, k.low + 1})
	}},
}

func BenchmarkLookup(b *testing.B) {
	for _, m := range millions {
		b.Run(m.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
			const n = 1_000_000
			p := parser{list: new(List)}
			asked := make([]netip.Addr, 0, 2*n)
			for range n {
				network, beside := m.network(r)
				p.add(network)
				asked = append(asked, network.Addr(), beside)
			}
			r.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
			x, err := (*Index)(nil).With("l", &List{v4: join(p.list.v4), v6: join(p.list.v6)})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i, hits := 0, 0
			for b.Loop() {
				if x.Lookup(asked[i]) != 0 {
					hits++
				}
				if i++; i == len(asked) {
					i = 0
				}
			}
			b.ReportMetric(float64(x.Bytes())/1e6, "MB")
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	const n = 100_000
	for i := range n {
		fmt.Fprintf(&text, "%d.%d.%d.0/24\n", 11+i>>16, i>>8&255, i&255)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/network")
}
