package host

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// The bounds of a dump.
const (
	maxTopSources = 1 << 16 // sources that are told apart; later ones are not seen
	maxDumpTime   = time.Minute
	defaultTop    = 10
	maxTop        = 1000
	defaultDump   = 1000
	maxDump       = 10000
)

// tap sums up the summaries of one interface for a while.
type tap struct {
	name    string
	sources map[netip.Addr]*pb.TopSource
	ports   map[uint16]*pb.TopPort
}

func newTap(name string) *tap {
	return &tap{name: name, sources: make(map[netip.Addr]*pb.TopSource), ports: make(map[uint16]*pb.TopPort)}
}

func (t *tap) add(events []event.PacketEvent) {
	for i := range events {
		e := &events[i]
		switch e.Scope {
		case event.ScopeSource:
			s := t.sources[e.Source]
			if s == nil {
				if len(t.sources) == maxTopSources {
					continue
				}
				s = &pb.TopSource{Address: e.Source.String()}
				t.sources[e.Source] = s
			}
			s.Packets += e.Packets
			s.Bytes += e.Bytes
			s.Dropped += e.Dropped
			s.WouldDrop += e.WouldDrop
		case event.ScopeDestination:
			p := t.ports[e.DestinationPort]
			if p == nil {
				p = &pb.TopPort{Port: uint32(e.DestinationPort)}
				t.ports[e.DestinationPort] = p
			}
			p.Packets += e.Packets
			p.Bytes += e.Bytes
		}
	}
}

// fill puts the sources and the ports with the most packets into a response.
func (t *tap) fill(out *pb.DumpFilterResponse, top int) {
	top = bounded(top, defaultTop, maxTop)
	for _, s := range t.sources {
		out.Sources = append(out.Sources, s)
	}
	for _, p := range t.ports {
		out.Ports = append(out.Ports, p)
	}
	slices.SortFunc(out.Sources, func(a, b *pb.TopSource) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Address, b.Address))
	})
	slices.SortFunc(out.Ports, func(a, b *pb.TopPort) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Port, b.Port))
	})
	out.Sources = out.Sources[:min(top, len(out.Sources))]
	out.Ports = out.Ports[:min(top, len(out.Ports))]
}

// bounded is n, or a standard for 0, and at most most.
func bounded(n, standard, most int) int {
	if n <= 0 {
		n = standard
	}
	return min(n, most)
}

// tap gives summaries to those who watch.
func (n *network) tap(events []event.PacketEvent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for t := range n.taps {
		if t.name == events[0].Interface {
			t.add(events)
		}
	}
}

// watch sums up an interface for a time, at least two summaries.
func (n *network) watch(ctx context.Context, name string, span time.Duration) *tap {
	span = min(max(span, 2*n.settings.FlushInterval+50*time.Millisecond), maxDumpTime)
	t := newTap(name)
	n.mu.Lock()
	n.taps[t] = true
	n.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
	n.mu.Lock()
	delete(n.taps, t)
	n.mu.Unlock()
	return t
}

// fillLists puts the rules and a page of the lists into a response.
func fillLists(out *pb.DumpFilterResponse, filter *xdp.Filter, r *pb.DumpFilterRequest) error {
	if err := fillRules(out, filter); err != nil {
		return err
	}
	return fillEntries(out, filter, r)
}

// fillEntries puts a page of the lists into a response: what is allowed, then
// what is blocked, each by address.
func fillEntries(out *pb.DumpFilterResponse, filter *xdp.Filter, r *pb.DumpFilterRequest) error {
	allowed, err := filter.Allowed()
	if err != nil {
		return fmt.Errorf("dump the filter: %w", err)
	}
	blocked, err := filter.Entries()
	if err != nil {
		return fmt.Errorf("dump the filter: %w", err)
	}
	slices.SortFunc(allowed, netip.Prefix.Compare)
	slices.SortFunc(blocked, func(a, b xdp.Entry) int { return a.Prefix.Compare(b.Prefix) })
	out.Total = uint64(len(allowed) + len(blocked))
	skip, limit := int(r.GetSkip()), bounded(int(r.GetLimit()), defaultDump, maxDump)
	for _, p := range page(allowed, skip, limit) {
		out.Entries = append(out.Entries, &pb.FilterEntry{Prefix: p.String(), Action: "allow"})
	}
	now := time.Now()
	for _, e := range page(blocked, skip-len(allowed), limit-len(out.Entries)) {
		entry := &pb.FilterEntry{Prefix: e.Prefix.String(), Action: e.Action.String(), Hits: e.Hits, DryRun: e.DryRun, Rule: e.Rule}
		if e.TTL > 0 {
			entry.Expires = timestamppb.New(now.Add(e.TTL))
		}
		out.Entries = append(out.Entries, entry)
	}
	return nil
}

// fillRules puts the rules into a response.
func fillRules(out *pb.DumpFilterResponse, filter *xdp.Filter) error {
	rules, err := filter.Rules()
	if err != nil {
		return fmt.Errorf("dump the filter: %w", err)
	}
	now := time.Now()
	for _, r := range rules {
		rule := &pb.BlockRule{
			From: texts(r.From), To: texts(r.To), Protocol: r.Protocol.String(), Ports: texts(r.Ports), SourcePorts: texts(r.SourcePorts),
			Action: r.Action.String(), Limit: r.Limit, Burst: r.Burst, DryRun: r.DryRun,
			Hits: r.Hits, Dropped: r.Drops, WouldDrop: r.WouldDrops,
		}
		if r.TTL > 0 {
			rule.Expires = timestamppb.New(now.Add(r.TTL))
		}
		out.Rules = append(out.Rules, rule)
	}
	return nil
}

// texts writes each element.
func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.String()
	}
	return out
}

// page returns at most limit elements after the first skip.
func page[T any](list []T, skip, limit int) []T {
	skip = min(max(skip, 0), len(list))
	return list[skip:min(skip+max(limit, 0), len(list))]
}
