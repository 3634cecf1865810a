package host

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// packets converts summaries to their wire form.
func packets(events []event.PacketEvent) []*pb.PacketEvent {
	out := make([]*pb.PacketEvent, len(events))
	for i := range events {
		e := &events[i]
		p := &pb.PacketEvent{
			Offset: uint32(e.Sequence - events[0].Sequence), Time: uint64(e.Time.UnixNano()), IntervalNs: uint64(e.Interval),
			Interface: e.Interface, Scope: pb.PacketScope(e.Scope), Source: address(e.Source), Destination: address(e.Destination),
			DestinationPort: uint32(e.DestinationPort), Packets: e.Packets, Bytes: e.Bytes,
			Syn: e.SYN, Synack: e.SYNACK, Ack: e.ACK, Fin: e.FIN, Rst: e.RST, Odd: e.Odd,
			Udp: e.UDP, Icmp: e.ICMP, Other: e.Other, Dropped: e.Dropped, WouldDrop: e.WouldDrop,
			Ports: e.Ports, Peers: e.Peers, Echo: e.Echo, Reflected: e.Reflected, Service: uint32(e.Service), OddKinds: uint32(e.OddKinds),
		}
		for _, port := range e.PortSample {
			p.PortSample = append(p.PortSample, uint32(port))
		}
		out[i] = p
	}
	return out
}

func address(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

// fillStats puts the filter's counters into the status.
func fillStats(i *pb.Interface, s xdp.Stats) {
	for _, c := range s.Protocols {
		i.Packets += c.Packets
		i.Bytes += c.Bytes
	}
	i.Dropped = s.Verdicts["dropped"].Packets
	i.WouldDrop = s.Verdicts["would_drop"].Packets
	count := func(name string, n uint64) {
		if n > 0 {
			i.Counters = append(i.Counters, &pb.Count{Name: name, Value: n})
		}
	}
	for name, c := range s.Protocols {
		count("protocol."+name, c.Packets)
	}
	for name, c := range s.Verdicts {
		count("verdict."+name, c.Packets)
	}
	for name, c := range s.Drops {
		count("drop."+name, c.Packets)
	}
	for name, c := range s.WouldDrops {
		count("would_drop."+name, c.Packets)
	}
	for name, n := range s.Malformed {
		count("malformed."+name, n)
	}
	count("summaries", s.Summaries)
	count("lost.source_slots", s.Sources.MissedPackets+s.Sources.EvictedPackets)
	count("lost.destination_slots", s.Destinations.MissedPackets+s.Destinations.EvictedPackets)
	slices.SortFunc(i.Counters, func(a, b *pb.Count) int { return strings.Compare(a.Name, b.Name) })
}
