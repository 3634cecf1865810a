package event

import (
	"net/netip"
	"time"
)

// Scope says what a PacketEvent sums up.
type Scope uint8

// The scopes of a PacketEvent.
const (
	// ScopeSource sums up what one source address sent in the interval.
	ScopeSource Scope = 1
	// ScopeDestination sums up what one destination address and port received
	// in the interval, from all sources: a flood from forged sources shows here
	// and nowhere else.
	ScopeDestination Scope = 2
)

// String returns the lower-case name of the scope.
func (s Scope) String() string {
	switch s {
	case ScopeSource:
		return "source"
	case ScopeDestination:
		return "destination"
	}
	return "unknown"
}

// OddKinds is a set of flag patterns that no TCP stack sends.
type OddKinds uint8

// The patterns.
const (
	OddNull   OddKinds = 1  // no flag
	OddFIN    OddKinds = 2  // FIN alone
	OddXmas   OddKinds = 4  // FIN, PSH and URG
	OddSYNFIN OddKinds = 8  // SYN and FIN, whatever else
	OddOther  OddKinds = 16 // any other
)

// PacketEvent sums up the packets of one source, or of one destination and
// port, over one interval. The kernel counts; no event is made per packet.
type PacketEvent struct {
	Stream   *Stream
	Sequence uint64
	// Time is the end of the interval; Interval its length.
	Time     time.Time
	Interval time.Duration
	// Interface is the name of the network interface.
	Interface string
	Scope     Scope
	// Source is set for ScopeSource; Destination and DestinationPort for
	// ScopeDestination. For ScopeSource Destination holds the last address
	// that the source sent to.
	Source          netip.Addr
	Destination     netip.Addr
	DestinationPort uint16

	Packets uint64
	Bytes   uint64
	// TCP packets by flag pattern. SYN counts SYN without ACK; ACK counts ACK
	// without SYN, FIN or RST; Odd counts patterns that no stack sends
	// (OddKinds).
	SYN, SYNACK, ACK, FIN, RST, Odd uint64
	UDP, ICMP, Other                uint64
	// Echo counts, of ICMP, the echo requests. Reflected counts, of UDP, the
	// datagrams from the source port of a service that is abused to amplify
	// (DNS, NTP, SSDP, memcached, ...), and Service is that port in the last
	// of them: replies to this host, or to whoever forged its address.
	Echo, Reflected uint64
	Service         uint16
	// OddKinds says what Odd counts.
	OddKinds OddKinds
	// Dropped and WouldDrop count packets that the block list stopped, or
	// would have stopped in simulate mode.
	Dropped, WouldDrop uint64
	// Ports is the number of distinct destination ports (ScopeSource), an
	// estimate from a bitmap: exact for a few, saturating at PortsMax.
	Ports uint32
	// Peers is the number of distinct destinations (ScopeSource) or sources
	// (ScopeDestination), an estimate from a bitmap.
	Peers uint32
	// PortSample holds up to 16 of the destination ports that were seen.
	PortSample []uint16
}

// ID returns the identity of the summary.
func (p *PacketEvent) ID() ID {
	if p.Stream == nil {
		return ID{Sequence: p.Sequence}
	}
	return ID{Stream: p.Stream.ID, Sequence: p.Sequence}
}

// Clone returns a copy that shares no memory with the event but its Stream.
func (p *PacketEvent) Clone() *PacketEvent {
	c := *p
	c.PortSample = append([]uint16(nil), p.PortSample...)
	return &c
}
