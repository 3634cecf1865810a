package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// The rules.
const (
	RulePortScan    = "port_scan"
	RuleFlood       = "syn_flood"
	RuleSourceFlood = "syn_flood_source"
)

func (d *Detector) scanAlert(e *event.PacketEvent, from netip.Addr, f finding, g *group[netip.Addr]) *event.AlertEvent {
	a := newAlert(e, g.cited)
	a.RuleID, a.Title = RulePortScan, "Port scan"
	a.Severity = event.SeverityMedium
	a.Group = from.String()
	a.Count = uint64(max(f.sum.evidence, 1))
	a.SetEntity("src_ip", a.Group)
	a.SetEntity("dst_ip", aim(e, g.cited))
	speed := "fast"
	if f.slow {
		speed = "slow"
	}
	ports := max(f.ports, f.low)
	a.Description = fmt.Sprintf("%s reached at least %d distinct ports within %s; %d probes, %d answered by an ACK.",
		a.Group, ports, f.window, f.sum.probes, f.sum.acks)
	slices.Sort(f.numbers)
	a.Details = []event.Field{
		{Key: "ports", Value: strconv.Itoa(ports)},
		{Key: "ports_bound", Value: strconv.Itoa(f.bound)},
		{Key: "window", Value: f.window.String()},
		{Key: "speed", Value: speed},
		{Key: "ports_probed", Value: strconv.Itoa(f.ports)},
		{Key: "ports_below_1024", Value: strconv.Itoa(f.low)},
		{Key: "probes", Value: number(f.sum.probes)},
		{Key: "ack", Value: number(f.sum.acks)},
		{Key: "port_sample", Value: joinPorts(f.numbers)},
	}
	held(a, g.scanQuiet)
	return a
}

func (d *Detector) floodAlert(e *event.PacketEvent, to netip.AddrPort, t torrent, g *group[netip.AddrPort]) *event.AlertEvent {
	a := newAlert(e, g.cited)
	a.RuleID, a.Title = RuleFlood, "SYN flood"
	a.Severity = event.SeverityHigh
	a.Group = to.String()
	a.Count = uint64(t.intervals)
	a.SetEntity("dst_ip", to.Addr().String())
	a.SetEntity("dst_port", strconv.Itoa(int(to.Port())))
	a.Description = fmt.Sprintf("%s receives %d SYN a second and %d ACK for %d SYN, from about %d sources an interval; their addresses may be forged.",
		a.Group, t.rate(), t.ack, t.syn, t.peers)
	a.Details = append(d.floodDetails(t), event.Field{Key: "sources", Value: number(t.peers)})
	held(a, g.floodQuiet)
	return a
}

func (d *Detector) sourceFloodAlert(e *event.PacketEvent, from netip.Addr, t torrent, g *group[netip.Addr]) *event.AlertEvent {
	a := newAlert(e, g.cited)
	a.RuleID, a.Title = RuleSourceFlood, "SYN flood from one source"
	a.Severity = event.SeverityHigh
	a.Group = from.String()
	a.Count = uint64(t.intervals)
	a.SetEntity("src_ip", a.Group)
	a.SetEntity("dst_ip", aim(e, g.cited))
	if e.Ports == 1 && len(e.PortSample) == 1 {
		a.SetEntity("dst_port", strconv.Itoa(int(e.PortSample[0])))
	}
	a.Description = fmt.Sprintf("%s sends %d SYN a second and %d ACK for %d SYN; the address may be forged.",
		a.Group, t.rate(), t.ack, t.syn)
	a.Details = append(d.floodDetails(t), event.Field{Key: "ports", Value: number(t.ports)})
	held(a, g.floodQuiet)
	return a
}

func (d *Detector) floodDetails(t torrent) []event.Field {
	return []event.Field{
		{Key: "syn_per_second", Value: number(t.rate())},
		{Key: "syn_per_second_bound", Value: strconv.Itoa(d.cfg.FloodRate)},
		{Key: "syn", Value: number(t.syn)},
		{Key: "ack", Value: number(t.ack)},
		{Key: "syn_per_ack_bound", Value: strconv.Itoa(d.cfg.FloodRatio)},
		{Key: "intervals", Value: strconv.Itoa(t.intervals)},
		{Key: "intervals_bound", Value: strconv.Itoa(d.cfg.FloodIntervals)},
	}
}

// newAlert begins an alert with the summary that completed it, which gives the
// alert its id, and then the earlier ones.
func newAlert(e *event.PacketEvent, earlier []*event.PacketEvent) *event.AlertEvent {
	a := &event.AlertEvent{Time: e.Time, Evidence: event.EvidenceForgeable, Tags: []string{"network"}}
	if e.Interface != "" {
		a.Details = []event.Field{{Key: "interface", Value: e.Interface}}
	}
	a.CitePacket(e.Clone())
	for _, p := range earlier {
		a.CitePacket(p)
	}
	return a
}

// aim returns the address that a source attacks, as far as the summaries tell,
// newest first. Each knows the last address that the source sent to, which may be
// a group that its neighbour discovery asked; "" when all do.
func aim(e *event.PacketEvent, earlier []*event.PacketEvent) string {
	for i := len(earlier); ; i-- {
		if to := e.Destination.Unmap(); usable(to) && !to.IsMulticast() {
			return to.String()
		}
		if i == 0 {
			return ""
		}
		e = earlier[i-1]
	}
}

// held says how many summaries the suppression before this alert held back.
func held(a *event.AlertEvent, q quiet) {
	if q.before > 0 {
		a.Details = append(a.Details, event.Field{Key: "suppressed", Value: number(q.before)})
	}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func joinPorts(ports []uint16) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(int(p))
	}
	return strings.Join(words, ",")
}
