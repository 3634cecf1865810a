package host

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

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
	count("limit.within", s.Limited.Packets)
	count("limit.missed", s.LimitMissed.Packets)
	count("summaries", s.Summaries)
	count("lost.source_slots", s.Sources.MissedPackets+s.Sources.EvictedPackets)
	count("lost.destination_slots", s.Destinations.MissedPackets+s.Destinations.EvictedPackets)
	slices.SortFunc(i.Counters, func(a, b *pb.Count) int { return strings.Compare(a.Name, b.Name) })
}
