package respond

import (
	"cmp"
	"net/netip"
	"slices"
)

// canonical returns the form of a prefix that all lists use: IPv4 as IPv4, no
// bits past its length. It reports false for one that has no such form.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() || p.Addr().Zone() != "" {
		return p, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// host is the network of one address.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// covering returns the longest prefix of m that contains all of p.
func covering[V any](m map[netip.Prefix]V, p netip.Prefix) (netip.Prefix, V, bool) {
	for bits := p.Bits(); bits >= 0; bits-- {
		at := netip.PrefixFrom(p.Addr(), bits).Masked()
		if v, ok := m[at]; ok {
			return at, v, true
		}
	}
	var none V
	return netip.Prefix{}, none, false
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// sortedPrefixes returns the keys of m in order.
func sortedPrefixes[V any](m map[netip.Prefix]V) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(m))
	for p := range m {
		out = append(out, p)
	}
	slices.SortFunc(out, comparePrefixes)
	return out
}

// inside returns those of the sorted prefixes that lie in p.
func inside(sorted []netip.Prefix, p netip.Prefix) []netip.Prefix {
	from, _ := slices.BinarySearchFunc(sorted, p, comparePrefixes)
	to := from
	for to < len(sorted) && p.Contains(sorted[to].Addr()) {
		to++
	}
	return sorted[from:to]
}
