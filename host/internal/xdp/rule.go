package xdp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The bounds of rules.
const (
	// MaxRules is how many rules a filter can have, MaxRulePrefixes how many
	// prefixes all of them together can name.
	MaxRules        = 64
	MaxRulePrefixes = 4096
	// MaxRuleRanges is how many ranges of ports a rule can name of either kind.
	MaxRuleRanges = 8
)

// Protocol is what a rule asks of the protocol of a packet.
type Protocol uint8

// The protocols of rules. ProtocolTCPSYN are the packets that ask for a
// connection: with SYN and without ACK, FIN and RST.
const (
	ProtocolAny Protocol = iota
	ProtocolTCP
	ProtocolTCPSYN
	ProtocolUDP
	ProtocolICMP
	ProtocolICMPv6
	// ProtocolOther is any other over IP.
	ProtocolOther
)

var protocolWords = [...]string{
	ProtocolAny: "any", ProtocolTCP: "tcp", ProtocolTCPSYN: "tcp-syn", ProtocolUDP: "udp",
	ProtocolICMP: "icmp", ProtocolICMPv6: "icmpv6", ProtocolOther: "other",
}

// String returns the word that ParseProtocol reads.
func (p Protocol) String() string {
	if int(p) < len(protocolWords) {
		return protocolWords[p]
	}
	return fmt.Sprintf("protocol(%d)", uint8(p))
}

// ParseProtocol reads any, tcp, tcp-syn, udp, icmp, icmpv6 or other; "" is any.
// Its error wraps ErrInvalid.
func ParseProtocol(word string) (Protocol, error) {
	if word == "" {
		return ProtocolAny, nil
	}
	if i := slices.Index(protocolWords[:], word); i >= 0 {
		return Protocol(i), nil
	}
	return 0, fmt.Errorf("protocol %q is not one of %v: %w", word, protocolWords, ErrInvalid)
}

// hasPorts tells whether packets that match may have ports.
func (p Protocol) hasPorts() bool { return p <= ProtocolUDP }

// PortRange is a range of ports with its ends; one port is a range of itself.
type PortRange struct {
	First, Last uint16
}

// String returns "22" or "8000-8100".
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Rule is about some of the traffic of some addresses. A packet matches when
// every condition holds; a condition that is empty always does.
type Rule struct {
	// ID is the caller's own number. Rules with equal ID and conditions are the
	// same rule.
	ID uint32
	// Priority goes before every other order: of the rules that match a packet one
	// with the lowest decides. It is given to SetRules alone; Rules returns 0.
	Priority uint16
	// From and To name the prefixes that contain the source and the destination.
	// A rule with prefixes of one family alone matches packets of that family.
	From, To []netip.Prefix
	Protocol Protocol
	// Ports and SourcePorts are those of TCP and UDP: a rule that names some matches
	// no other packet. At most MaxRuleRanges each.
	Ports, SourcePorts []PortRange
	// Action, Limit, Burst, TTL and DryRun are as in Entry. A source has a bucket of
	// its own in each rule with a limit.
	Action       Action
	Limit, Burst uint32
	TTL          time.Duration
	DryRun       bool
	// Hits, Drops and WouldDrops are as in Entry: read, and kept while the rule is
	// the same.
	Hits, Drops, WouldDrops uint64
}

// Canonical returns the rule as filters have it: prefixes and ports sorted and
// joined, defaults filled in. Its errors wrap ErrInvalid.
func (r Rule) Canonical() (Rule, error) { return r.check() }

// check returns the rule in the form that sets use.
func (r Rule) check() (Rule, error) {
	var err error
	if r.From, err = canonicalSet(r.From); err != nil {
		return r, fmt.Errorf("from: %w", err)
	}
	if r.To, err = canonicalSet(r.To); err != nil {
		return r, fmt.Errorf("to: %w", err)
	}
	if len(r.From) == 0 && len(r.To) == 0 && r.Protocol == ProtocolAny && len(r.Ports) == 0 && len(r.SourcePorts) == 0 {
		return r, fmt.Errorf("no condition, which would match everything: %w", ErrInvalid)
	}
	if len(r.From) > 0 && len(r.To) > 0 && families(r.From)&families(r.To) == 0 {
		return r, fmt.Errorf("from and to are of different families, which matches nothing: %w", ErrInvalid)
	}
	if int(r.Protocol) >= len(protocolWords) {
		return r, fmt.Errorf("%v: %w", r.Protocol, ErrInvalid)
	}
	if len(r.Ports)+len(r.SourcePorts) > 0 && !r.Protocol.hasPorts() {
		return r, fmt.Errorf("%v has no ports: %w", r.Protocol, ErrInvalid)
	}
	if r.Ports, err = canonicalPorts(r.Ports); err != nil {
		return r, fmt.Errorf("ports: %w", err)
	}
	if r.SourcePorts, err = canonicalPorts(r.SourcePorts); err != nil {
		return r, fmt.Errorf("source ports: %w", err)
	}
	if r.TTL < 0 {
		return r, fmt.Errorf("ttl %v: %w", r.TTL, ErrInvalid)
	}
	if r.Action, r.Limit, r.Burst, err = checkAction(r.Action, r.Limit, r.Burst); err != nil {
		return r, err
	}
	return r, nil
}

// same tells whether two checked rules are one: they match the same packets in
// the name of the same number.
func (r *Rule) same(o *Rule) bool {
	return r.ID == o.ID && r.Protocol == o.Protocol && slices.Equal(r.From, o.From) && slices.Equal(r.To, o.To) &&
		slices.Equal(r.Ports, o.Ports) && slices.Equal(r.SourcePorts, o.SourcePorts)
}

// canonicalSet sorts prefixes and leaves out those that others contain.
func canonicalSet(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if len(prefixes) > MaxRulePrefixes {
		return nil, fmt.Errorf("%d prefixes are more than %d: %w", len(prefixes), MaxRulePrefixes, ErrInvalid)
	}
	all := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		var err error
		if all[i], err = canonical(p); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, outerFirst)
	var out []netip.Prefix
	for _, p := range all {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out, nil
}

// outerFirst orders canonical prefixes so that one comes right before all that it
// contains.
func outerFirst(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// families returns 1 for IPv4, 2 for IPv6, 3 for both.
func families(prefixes []netip.Prefix) (f int) {
	for _, p := range prefixes {
		if p.Addr().Is4() {
			f |= 1
		} else {
			f |= 2
		}
	}
	return f
}

// canonicalPorts sorts ranges and joins those that touch.
func canonicalPorts(ranges []PortRange) ([]PortRange, error) {
	if len(ranges) > MaxRuleRanges {
		return nil, fmt.Errorf("%d ranges are more than %d: %w", len(ranges), MaxRuleRanges, ErrInvalid)
	}
	all := slices.SortedFunc(slices.Values(ranges), func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	var out []PortRange
	for _, r := range all {
		if r.Last < r.First {
			return nil, fmt.Errorf("range %v ends before it begins: %w", r, ErrInvalid)
		}
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

// byPriority sorts checked rules so that the first that matches decides: lower
// priorities first, then longer prefixes, then narrower protocols, then fewer
// ports, then the given order.
func byPriority(rules []Rule) {
	slices.SortStableFunc(rules, func(a, b Rule) int {
		return cmp.Or(
			cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(b.addressBits(), a.addressBits()),
			cmp.Compare(b.Protocol.narrowness(), a.Protocol.narrowness()),
			cmp.Compare(portCount(a.Ports)*portCount(a.SourcePorts), portCount(b.Ports)*portCount(b.SourcePorts)),
		)
	})
}

// addressBits is how many bits of addresses a rule fixes: the length of the prefix
// of the source and that of the destination, of several the shortest. Rules of
// different families never match the same packet.
func (r *Rule) addressBits() int {
	bits := 0
	for _, set := range [][]netip.Prefix{r.From, r.To} {
		if len(set) > 0 {
			bits += slices.MinFunc(set, func(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) }).Bits()
		}
	}
	return bits
}

// narrowness is 0 for any protocol, 2 for a part of one, else 1.
func (p Protocol) narrowness() int {
	switch p {
	case ProtocolAny:
		return 0
	case ProtocolTCPSYN:
		return 2
	}
	return 1
}

// portCount is how many ports ranges contain; no range contains all.
func portCount(ranges []PortRange) int {
	if len(ranges) == 0 {
		return 1 << 16
	}
	n := 0
	for _, r := range ranges {
		n += int(r.Last-r.First) + 1
	}
	return n
}
