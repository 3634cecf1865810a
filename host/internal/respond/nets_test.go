package respond

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/control"
)

// randomNets returns a set, and the same as a map.
func randomNets(rng *rand.Rand, origin uint32) (nets, map[netip.Prefix]uint32) {
	var packed control.Networks
	plain := make(map[netip.Prefix]uint32)
	for range rng.IntN(40) {
		p, _ := canonical(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.IntN(4)), byte(rng.IntN(256))}), rng.IntN(33)))
		if rng.IntN(3) == 0 {
			p, _ = canonical(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(rng.IntN(4)), 15: byte(rng.IntN(256))}), rng.IntN(129)))
		}
		packed.Add(p)
		plain[p] = origin
	}
	s, _ := unpack(packed, origin)
	return s, plain
}

func (s nets) strings() []string {
	out := []string{}
	for i := range s.len() {
		p, origin := s.at(i)
		out = append(out, fmt.Sprint(p, " ", origin))
	}
	return out
}

func plainStrings(m map[netip.Prefix]uint32, keep func(netip.Prefix) bool) []string {
	out := []string{}
	for _, p := range sortedPrefixes(m) {
		if keep(p) {
			out = append(out, fmt.Sprint(p, " ", m[p]))
		}
	}
	return out
}

// TestNets holds sets of networks to maps.
func TestNets(t *testing.T) {
	all := func(netip.Prefix) bool { return true }
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s, ms := randomNets(rng, 1)
		u, mu := randomNets(rng, 2)
		check := func(what string, want, got []string) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, %s (-want +got):\n%s", seed, what, diff)
			}
		}
		check("set", plainStrings(ms, all), s.strings())
		both := func(p netip.Prefix) bool { _, ok := mu[p]; return ok }
		check("without", plainStrings(ms, func(p netip.Prefix) bool { return !both(p) }), s.without(u).strings())
		if got, want := s.common(u), len(plainStrings(ms, both)); got != want {
			t.Fatalf("seed %d: got %d in common, want %d", seed, got, want)
		}
		joined := make(map[netip.Prefix]uint32)
		maps.Copy(joined, ms)
		maps.Copy(joined, mu)
		check("over", plainStrings(joined, all), s.over(u).strings())
		for _, p := range append(sortedPrefixes(mu), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("255.255.255.255/32")) {
			origin, found := s.find(p)
			if want, ok := ms[p]; ok != found || want != origin {
				t.Fatalf("seed %d: find %s: got %d %v, want %d %v", seed, p, origin, found, want, ok)
			}
			from, to := s.inside(p)
			check("inside "+p.String(), plainStrings(ms, func(q netip.Prefix) bool { return p.Contains(q.Addr()) }), s.strings()[from:to])
			place, _ := s.seek(p)
			if want := len(plainStrings(ms, func(q netip.Prefix) bool { return comparePrefixes(q, p) < 0 })); place != want {
				t.Fatalf("seed %d: seek %s: got %d, want %d", seed, p, place, want)
			}
		}
		odd := func(i int, _ uint32) (uint32, bool) { return 7, i%2 == 1 }
		want := []string{}
		for i, line := range s.strings() {
			if i%2 == 1 {
				want = append(want, line[:len(line)-1]+"7")
			}
		}
		check("keep", want, s.keep(odd).strings())

		var b bytes.Buffer
		if err := s.write(&b); err != nil {
			t.Fatal(err)
		}
		back, err := readNets(b.Bytes(), 2)
		if err != nil || !slices.Equal(back.v4, s.v4) || !slices.Equal(back.v6, s.v6) {
			t.Fatalf("seed %d: got %v back, %v, want %v", seed, back, err, s)
		}
		if _, err := readNets(b.Bytes(), 1); err == nil && s.len() > 0 {
			t.Fatalf("seed %d: numbers past the end are read", seed)
		}
	}
}

func FuzzReadNets(f *testing.F) {
	s, _ := randomNets(rand.New(rand.NewPCG(1, 4)), 1)
	var b bytes.Buffer
	_ = s.write(&b)
	f.Add(b.Bytes())
	f.Add([]byte(netsMagic))
	f.Add(append([]byte(netsMagic), bytes.Repeat([]byte{0xff}, 16)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := readNets(raw, 2)
		if err != nil {
			return
		}
		for i := range s.len() {
			p, origin := s.at(i)
			if got, found := s.find(p); p.IsValid() && p == p.Masked() && (!found || got != origin) || origin > 1 {
				t.Errorf("%v of number %d is not found, but %d, %v", p, origin, got, found)
			}
		}
	})
}
