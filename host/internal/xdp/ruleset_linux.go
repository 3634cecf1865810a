//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf"
)

// The numbers of xdp.h, checked against its types.
const ports = 1 << 16

var (
	_ [MaxRuleRanges]bpf.XDPPortRange = bpf.XDPRule{}.Ports
	_ [MaxRuleRanges]bpf.XDPPortRange = bpf.XDPRule{}.SourcePorts
)

// ruleset is a set of rules as the program reads it: masks with one bit for each
// rule, the lowest deciding.
type ruleset struct {
	set   bpf.XDPRuleSet
	rules [MaxRules]bpf.XDPRule
	// prefixes are those of both directions, but for the half in their keys.
	prefixes map[bpf.XDPRuleKey]bpf.XDPRulePrefix
	// ports and sourcePorts have a mask for each port; nil when no rule names any.
	ports, sourcePorts []uint64
}

// scopeTo marks the prefixes of destinations in bpf.XDPRuleKey.Scope.
const scopeTo = 4

// compileRules makes the masks of at most MaxRules rules, in the order of decision.
func compileRules(rules []storedRule) *ruleset {
	s := &ruleset{prefixes: make(map[bpf.XDPRuleKey]bpf.XDPRulePrefix)}
	from, to := make(map[netip.Prefix]uint64), make(map[netip.Prefix]uint64)
	var portAny, sourcePortAny uint64
	for i := range rules {
		r, bit := &rules[i], uint64(1)<<i
		s.rules[i] = r.encode()
		for _, class := range r.classes() {
			s.set.Classes[class] |= bit
		}
		name(from, r.From, bit, &s.set.FromAny)
		name(to, r.To, bit, &s.set.ToAny)
		if len(r.Ports)+len(r.SourcePorts) == 0 {
			s.set.Portless |= bit
		}
		if len(r.Ports) == 0 {
			portAny |= bit
		} else {
			s.need(bpf.XDPRuleNeedRULE_PORTS)
		}
		if len(r.SourcePorts) == 0 {
			sourcePortAny |= bit
		} else {
			s.need(bpf.XDPRuleNeedRULE_SOURCE_PORTS)
		}
	}
	s.addPrefixes(from, s.set.FromAny, 0, bpf.XDPRuleNeedRULE_FROM4)
	s.addPrefixes(to, s.set.ToAny, scopeTo, bpf.XDPRuleNeedRULE_TO4)
	if s.needs(bpf.XDPRuleNeedRULE_PORTS) {
		s.ports = portMasks(rules, portAny, func(r *storedRule) []PortRange { return r.Ports })
	}
	if s.needs(bpf.XDPRuleNeedRULE_SOURCE_PORTS) {
		s.sourcePorts = portMasks(rules, sourcePortAny, func(r *storedRule) []PortRange { return r.SourcePorts })
	}
	return s
}

func (s *ruleset) need(n bpf.XDPRuleNeed)       { s.set.Needs |= uint32(n) }
func (s *ruleset) needs(n bpf.XDPRuleNeed) bool { return s.set.Needs&uint32(n) != 0 }

// name notes which rule names the prefixes, or that it names none.
func name(in map[netip.Prefix]uint64, prefixes []netip.Prefix, bit uint64, none *uint64) {
	if len(prefixes) == 0 {
		*none |= bit
	}
	for _, p := range prefixes {
		in[p] |= bit
	}
}

// addPrefixes adds the prefixes of one direction. The trie finds the longest that
// contains an address, so each has the rules of all that contain it.
func (s *ruleset) addPrefixes(own map[netip.Prefix]uint64, none uint64, scope uint32, four bpf.XDPRuleNeed) {
	type open struct {
		prefix netip.Prefix
		mask   uint64
	}
	around := []open{}
	for _, p := range slices.SortedFunc(maps.Keys(own), outerFirst) {
		for len(around) > 0 && !around[len(around)-1].prefix.Contains(p.Addr()) {
			around = around[:len(around)-1]
		}
		mask := none | own[p]
		if n := len(around); n > 0 {
			mask |= around[n-1].mask
		}
		around = append(around, open{p, mask})
		need := four
		if p.Addr().Is6() {
			need <<= 1
		}
		s.need(need)
		s.prefixes[ruleKey(p, scope)] = bpf.XDPRulePrefix{Mask: mask, Own: own[p]}
	}
}

// portMasks returns the mask of each port.
func portMasks(rules []storedRule, anyPort uint64, of func(*storedRule) []PortRange) []uint64 {
	masks := make([]uint64, ports)
	for i := range masks {
		masks[i] = anyPort
	}
	for i := range rules {
		for _, r := range of(&rules[i]) {
			for port := int(r.First); port <= int(r.Last); port++ {
				masks[port] |= 1 << i
			}
		}
	}
	return masks
}

// classes are the classes of packets that a rule may match.
func (r *Rule) classes() []bpf.XDPRuleClass {
	const (
		tcp    = bpf.XDPRuleClassRULE_TCP
		syn    = bpf.XDPRuleClassRULE_SYN
		udp    = bpf.XDPRuleClassRULE_UDP
		icmp   = bpf.XDPRuleClassRULE_ICMP
		icmp6  = bpf.XDPRuleClassRULE_ICMP6
		other  = bpf.XDPRuleClassRULE_OTHER
		unread = bpf.XDPRuleClassRULE_UNREAD
	)
	switch r.Protocol {
	case ProtocolTCP:
		return []bpf.XDPRuleClass{tcp, syn, unread}
	case ProtocolTCPSYN:
		return []bpf.XDPRuleClass{syn, unread}
	case ProtocolUDP:
		return []bpf.XDPRuleClass{udp, unread}
	case ProtocolICMP:
		return []bpf.XDPRuleClass{icmp, unread}
	case ProtocolICMPv6:
		return []bpf.XDPRuleClass{icmp6, unread}
	case ProtocolOther:
		return []bpf.XDPRuleClass{other, unread}
	}
	return []bpf.XDPRuleClass{tcp, syn, udp, icmp, icmp6, other, unread}
}

// encode returns the kernel's form of a rule.
func (r *storedRule) encode() bpf.XDPRule {
	out := bpf.XDPRule{
		Expires: r.expires, Id: r.ID, Salt: r.salt, Rate: r.Limit, Burst: r.Burst, Action: uint8(r.Action),
		Slot: r.slot, Protocol: uint8(r.Protocol), PortCount: uint8(len(r.Ports)), SourcePortCount: uint8(len(r.SourcePorts)),
	}
	if r.DryRun {
		out.Flags |= uint8(bpf.XDPEntryFlagENTRY_DRY_RUN)
	}
	for i, p := range r.Ports {
		out.Ports[i] = bpf.XDPPortRange{First: p.First, Last: p.Last}
	}
	for i, p := range r.SourcePorts {
		out.SourcePorts[i] = bpf.XDPPortRange{First: p.First, Last: p.Last}
	}
	return out
}

// rulePrefixes are the prefixes that each rule of a set names.
type rulePrefixes struct{ from, to [MaxRules][]netip.Prefix }

// decodeRules is the inverse of encode, for all rules of a half.
func decodeRules(rules []bpf.XDPRule, prefixes *rulePrefixes, count func(slot uint8) bpf.XDPRuleCount) []storedRule {
	var out []storedRule
	for i := range rules {
		r := &rules[i]
		if r.Action == 0 {
			break
		}
		c := count(r.Slot % ruleSlots)
		s := storedRule{
			Rule: Rule{
				ID: r.Id, Protocol: Protocol(r.Protocol), Action: Action(r.Action), Limit: r.Rate, Burst: r.Burst,
				DryRun: r.Flags&uint8(bpf.XDPEntryFlagENTRY_DRY_RUN) != 0,
				From:   prefixes.from[i], To: prefixes.to[i],
				Ports: decodePorts(r.Ports[:], r.PortCount), SourcePorts: decodePorts(r.SourcePorts[:], r.SourcePortCount),
			},
			expires: r.Expires, salt: r.Salt, slot: r.Slot % ruleSlots,
			hits: c.Hits, passes: c.Passes, wouldDrops: c.WouldDrops,
		}
		out = append(out, s)
	}
	return out
}

func decodePorts(from []bpf.XDPPortRange, n uint8) []PortRange {
	var out []PortRange
	for _, r := range from[:min(int(n), len(from))] {
		out = append(out, PortRange{First: r.First, Last: r.Last})
	}
	return out
}

// ruleKey is the key of a prefix in half 0.
func ruleKey(p netip.Prefix, scope uint32) bpf.XDPRuleKey {
	k := bpf.XDPRuleKey{PrefixLen: 32 + uint32(p.Bits()), Scope: scope}
	if p.Addr().Is6() {
		k.Scope |= 2
	}
	b := p.Addr().AsSlice()
	for i := range len(b) / 4 {
		k.Addr[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}

// rulePrefix is the inverse of ruleKey.
func rulePrefix(k bpf.XDPRuleKey) netip.Prefix {
	var b [16]byte
	for i, w := range k.Addr {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	a := netip.AddrFrom4([4]byte(b[:4]))
	if k.Scope&2 != 0 {
		a = netip.AddrFrom16(b)
	}
	return netip.PrefixFrom(a, int(k.PrefixLen)-32)
}

// storePrefixes makes the prefixes those of a half of the trie.
func (f *Filter) storePrefixes(half uint32, set *ruleset) error {
	m := f.maps.RulePrefixes
	if err := eachOf(m, func(k bpf.XDPRuleKey, _ *bpf.XDPRulePrefix) bool { return k.Scope&1 != half }); err != nil {
		return fmt.Errorf("empty the prefixes of the rules: %w", err)
	}
	keys, values := make([]bpf.XDPRuleKey, 0, len(set.prefixes)), make([]bpf.XDPRulePrefix, 0, len(set.prefixes))
	for k, v := range set.prefixes {
		k.Scope |= half
		keys, values = append(keys, k), append(values, v)
	}
	if len(keys) == 0 {
		return nil
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("write the prefixes of the rules: %w", listError(err))
	}
	return nil
}

// readPrefixes returns what the rules of a half name.
func readPrefixes(m *ebpf.Map, half uint32) (*rulePrefixes, error) {
	out := new(rulePrefixes)
	err := eachOf(m, func(k bpf.XDPRuleKey, v *bpf.XDPRulePrefix) bool {
		if k.Scope&1 == half {
			out.add(k, v.Own)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read the prefixes of the rules: %w", err)
	}
	out.sort()
	return out, nil
}

func (p *rulePrefixes) add(k bpf.XDPRuleKey, own uint64) {
	to := &p.from
	if k.Scope&scopeTo != 0 {
		to = &p.to
	}
	for i := range to {
		if own>>i&1 != 0 {
			to[i] = append(to[i], rulePrefix(k))
		}
	}
}

func (p *rulePrefixes) sort() {
	for i := range MaxRules {
		slices.SortFunc(p.from[i], outerFirst)
		slices.SortFunc(p.to[i], outerFirst)
	}
}
