package control

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParsePrefix reads an address ("192.0.2.7", "2001:db8::1") or a network in
// CIDR notation ("192.0.2.0/24"). An IPv4 address in IPv6 form is turned into
// IPv4. A zone, or bits set beyond the length of the network, are refused: they
// usually mean something else than what would be blocked. Errors wrap
// ErrInvalid.
func ParsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%w: %q is neither an address nor a network such as 192.0.2.0/24", ErrInvalid, s)
		}
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%w: %q has a zone; give the address without %%%s", ErrInvalid, s, a.Zone())
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %q is neither an address nor a network such as 192.0.2.0/24", ErrInvalid, s)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%w: %q is wider than all IPv4 addresses in IPv6 form", ErrInvalid, s)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if masked := p.Masked(); masked != p {
		return netip.Prefix{}, fmt.Errorf("%w: %q has bits set beyond /%d; give %s for the network or %s for the address",
			ErrInvalid, s, p.Bits(), masked, p.Addr())
	}
	return p, nil
}
