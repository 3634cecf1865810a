package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// watched is one interface that the configuration names.
type watched struct {
	name   string
	filter *xdp.Filter // nil when it could not be attached
	err    error
}

// network is the packet side of the host.
type network struct {
	interfaces []*watched
	running    sync.WaitGroup
	cancel     context.CancelFunc
}

// attach attaches the filter to every interface that is named. One that fails
// is reported and holds up nothing.
func attach(c config.EBPF, simulate bool, log hclog.Logger) *network {
	n := &network{cancel: func() {}}
	if !c.Enabled {
		return n
	}
	for _, name := range c.Interfaces {
		w := &watched{name: name}
		w.filter, w.err = xdp.Open(xdp.Config{
			Interface:     name,
			Mode:          xdp.Mode(c.Mode),
			Simulate:      simulate,
			FlushInterval: c.FlushInterval,
			MaxEntries:    c.MaxEntries,
			// Sequences are never used twice: microseconds since 1970 run ahead
			// of any number of summaries.
			FirstSequence: uint64(time.Now().UnixMicro()),
			Logger:        log.Named("xdp"),
		})
		if w.err != nil {
			log.Error("interface is not watched", "interface", name, "error", w.err)
		}
		n.interfaces = append(n.interfaces, w)
	}
	return n
}

// run publishes the summaries of every interface until stop.
func (n *network) run(p *pipeline.Pipeline, log hclog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	for _, w := range n.interfaces {
		if w.filter == nil {
			continue
		}
		n.running.Go(func() {
			err := w.filter.Run(ctx, func(events []event.PacketEvent) error {
				return p.PublishPackets(ctx, w.name, events[0].Sequence, packets(events))
			})
			if err != nil && ctx.Err() == nil {
				log.Error("the interface is no longer watched", "interface", w.name, "error", err)
			}
		})
	}
}

// stop ends the summaries and detaches.
func (n *network) stop() error {
	n.cancel()
	n.running.Wait()
	var errs []error
	for _, w := range n.interfaces {
		if w.filter != nil {
			errs = append(errs, w.filter.Close())
		}
	}
	return errors.Join(errs...)
}

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
			Ports: e.Ports, Peers: e.Peers,
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

// status describes the interfaces.
func (n *network) status() []*pb.Interface {
	var out []*pb.Interface
	for _, w := range n.interfaces {
		i := &pb.Interface{Name: w.name}
		out = append(out, i)
		if w.err != nil {
			i.Error = w.err.Error()
			continue
		}
		i.Mode = string(w.filter.AttachMode())
		stats, err := w.filter.Stats()
		if err != nil {
			i.Error = fmt.Sprintf("statistics: %v", err)
			continue
		}
		fillStats(i, stats)
	}
	return out
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
