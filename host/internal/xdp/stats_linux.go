//go:build amd64 || arm64

package xdp

import (
	"fmt"
	"sync/atomic"

	"github.com/ironpost/ironpost/bpf"
)

// The names of what xdp.h numbers.
var (
	protocolNames = [...]string{
		bpf.XDPProtocolPROTOCOL_UNKNOWN: "unknown",
		bpf.XDPProtocolPROTOCOL_NON_IP:  "non_ip",
		bpf.XDPProtocolPROTOCOL_ARP:     "arp",
		bpf.XDPProtocolPROTOCOL_TCP:     "tcp",
		bpf.XDPProtocolPROTOCOL_UDP:     "udp",
		bpf.XDPProtocolPROTOCOL_ICMP:    "icmp",
		bpf.XDPProtocolPROTOCOL_ICMP6:   "icmpv6",
		bpf.XDPProtocolPROTOCOL_OTHER:   "other",
	}
	verdictNames = [...]string{
		bpf.XDPVerdictVERDICT_PASS:       "passed",
		bpf.XDPVerdictVERDICT_ALLOWED:    "allowed",
		bpf.XDPVerdictVERDICT_MONITORED:  "monitored",
		bpf.XDPVerdictVERDICT_WOULD_DROP: "would_drop",
		bpf.XDPVerdictVERDICT_DROP:       "dropped",
	}
	reasonNames = [...]string{
		bpf.XDPReasonREASON_HOST4:     "block_host4",
		bpf.XDPReasonREASON_NET4:      "block_net4",
		bpf.XDPReasonREASON_HOST6:     "block_host6",
		bpf.XDPReasonREASON_NET6:      "block_net6",
		bpf.XDPReasonREASON_DEEP_VLAN: "deep_vlan",
		bpf.XDPReasonREASON_LIMIT:     "limit",
		bpf.XDPReasonREASON_RULE:      "rule",
	}
	malformedNames = [...]string{
		bpf.XDPMalformedMALFORMED_ETHERNET_SHORT:     "ethernet_short",
		bpf.XDPMalformedMALFORMED_VLAN_SHORT:         "vlan_short",
		bpf.XDPMalformedMALFORMED_IP4SHORT:           "ip4_short",
		bpf.XDPMalformedMALFORMED_IP4VERSION:         "ip4_version",
		bpf.XDPMalformedMALFORMED_IP4HEADER_LENGTH:   "ip4_header_length",
		bpf.XDPMalformedMALFORMED_IP4TOTAL_LENGTH:    "ip4_total_length",
		bpf.XDPMalformedMALFORMED_IP6SHORT:           "ip6_short",
		bpf.XDPMalformedMALFORMED_IP6VERSION:         "ip6_version",
		bpf.XDPMalformedMALFORMED_IP6PAYLOAD_LENGTH:  "ip6_payload_length",
		bpf.XDPMalformedMALFORMED_IP6EXTENSION_SHORT: "ip6_extension_short",
		bpf.XDPMalformedMALFORMED_IP6EXTENSION_DEEP:  "ip6_extension_deep",
		bpf.XDPMalformedMALFORMED_TCP_SHORT:          "tcp_short",
		bpf.XDPMalformedMALFORMED_TCP_OFFSET:         "tcp_offset",
		bpf.XDPMalformedMALFORMED_UDP_SHORT:          "udp_short",
		bpf.XDPMalformedMALFORMED_UDP_LENGTH:         "udp_length",
		bpf.XDPMalformedMALFORMED_ICMP_SHORT:         "icmp_short",
	}
)

// The arrays are as long as the numbers.
var (
	_ [bpf.XDPProtocolPROTOCOL_COUNT]string   = protocolNames
	_ [bpf.XDPVerdictVERDICT_COUNT]string     = verdictNames
	_ [bpf.XDPReasonREASON_COUNT]string       = reasonNames
	_ [bpf.XDPMalformedMALFORMED_COUNT]string = malformedNames
)

// Stats sums the counters of all processors up. They are read while they are
// counting, so totals of one call may differ by the packets of that instant.
func (f *Filter) Stats() (Stats, error) {
	if err := f.enter(); err != nil {
		return Stats{}, fmt.Errorf("read statistics: %w", err)
	}
	defer f.leave()
	s := Stats{
		Protocols:  make(map[string]Counter, len(protocolNames)),
		Verdicts:   make(map[string]Counter, len(verdictNames)),
		Drops:      make(map[string]Counter, len(reasonNames)),
		WouldDrops: make(map[string]Counter, len(reasonNames)),
		Malformed:  make(map[string]uint64, len(malformedNames)),
		Summaries:  f.summaries.Load(),
	}
	for i := range f.memory.cpus {
		c := &f.memory.cpus[i]
		addNamed(s.Protocols, protocolNames[:], c.Protocols[:])
		addNamed(s.Verdicts, verdictNames[:], c.Verdicts[:])
		addNamed(s.Drops, reasonNames[:], c.Drops[:])
		addNamed(s.WouldDrops, reasonNames[:], c.WouldDrops[:])
		for reason, name := range malformedNames {
			if name != "" {
				s.Malformed[name] += atomic.LoadUint64(&c.Malformed[reason])
			}
		}
		s.Fragments = plus(s.Fragments, &c.Fragments)
		s.DeepVLAN = plus(s.DeepVLAN, &c.DeepVlan)
		s.Limited = plus(s.Limited, &c.Limited)
		s.LimitMissed = plus(s.LimitMissed, &c.LimitMissed)
		addLoss(&s.Sources, &c.Sources)
		addLoss(&s.Destinations, &c.Destinations)
	}
	s.Verdicts[verdictNames[bpf.XDPVerdictVERDICT_PASS]] = passed(s)
	return s, nil
}

// passed is what came less what met with any other verdict.
func passed(s Stats) Counter {
	var c Counter
	for _, p := range s.Protocols {
		c.Packets += p.Packets
		c.Bytes += p.Bytes
	}
	for _, v := range s.Verdicts {
		c.Packets -= v.Packets
		c.Bytes -= v.Bytes
	}
	return c
}

func addNamed(to map[string]Counter, names []string, from []bpf.XDPCounter) {
	for i, name := range names {
		to[name] = plus(to[name], &from[i])
	}
}

func plus(to Counter, from *bpf.XDPCounter) Counter {
	to.Packets += atomic.LoadUint64(&from.Packets)
	to.Bytes += atomic.LoadUint64(&from.Bytes)
	return to
}

func addLoss(to *Loss, from *bpf.XDPTableLoss) {
	to.Evicted += atomic.LoadUint64(&from.Evicted)
	to.EvictedPackets += atomic.LoadUint64(&from.EvictedPackets)
	to.MissedPackets += atomic.LoadUint64(&from.MissedPackets)
}
