package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// The rules.
const (
	RulePortScan        = "port_scan"
	RuleSweep           = "address_sweep"
	RuleFlood           = "syn_flood"
	RuleSourceFlood     = "syn_flood_source"
	RuleUDPFlood        = "udp_flood"
	RuleSourceUDPFlood  = "udp_flood_source"
	RuleICMPFlood       = "icmp_flood"
	RuleSourceICMPFlood = "icmp_flood_source"
	RuleAmplification   = "udp_amplification"
	RuleLogin           = "brute_force"
	RuleListener        = "new_listener"
)

// Rules returns the names of all rules.
func Rules() []string {
	return []string{
		RulePortScan, RuleSweep, RuleFlood, RuleSourceFlood, RuleUDPFlood, RuleSourceUDPFlood,
		RuleICMPFlood, RuleSourceICMPFlood, RuleAmplification, RuleLogin, RuleListener,
	}
}

// By kind of flood.
var (
	floodRules       = [floodKinds]string{RuleFlood, RuleUDPFlood, RuleICMPFlood, RuleAmplification}
	sourceFloodRules = [floodKinds]string{RuleSourceFlood, RuleSourceUDPFlood, RuleSourceICMPFlood}
	floodTitles      = [floodKinds]string{"SYN flood", "UDP flood", "ICMP flood", "Amplification attack"}
	floodNouns       = [floodKinds]string{"SYN", "datagrams", "ICMP messages", "bytes"}
)

// judged are the numbers that crossed a bound.
type judged struct {
	observed uint64
	bound    uint64
	usual    uint64 // what the baseline knows, 0 where it knows nothing
	window   time.Duration
}

// confidence is high for what passes its bound by far.
func (j judged) confidence() string {
	if j.observed >= 4*j.bound {
		return "high"
	}
	return "medium"
}

func (j judged) details(unit string) []event.Field {
	return []event.Field{
		{Key: "observed", Value: number(j.observed)},
		{Key: "bound", Value: number(j.bound)},
		{Key: "baseline", Value: number(j.usual)},
		{Key: "unit", Value: unit},
		{Key: "window", Value: j.window.String()},
		{Key: "confidence", Value: j.confidence()},
	}
}

func (d *Detector) scanAlert(p *pendingScan) *event.AlertEvent {
	a := newAlert(p.e, p.cited)
	a.RuleID, a.Title = RulePortScan, "Port scan"
	a.Group = p.g.key.String()
	a.SetEntity("src_ip", a.Group)
	a.SetEntity("dst_ip", aim(p.e, p.cited))
	describeScan(a, p, a.Group)
	held(a, p.g.quiet(alarmScan))
	return a
}

// decoyAlert names no source: which of them scans cannot be told.
func (d *Detector) decoyAlert(p *pendingScan, sources []netip.Addr) *event.AlertEvent {
	a := newAlert(p.e, p.cited)
	a.RuleID, a.Title = RulePortScan, "Port scan behind decoys"
	a.Group = p.aim.String()
	a.SetEntity("dst_ip", a.Group)
	describeScan(a, p, "Each of "+strconv.Itoa(len(sources))+" sources")
	a.Description += " At most one of them is the scanner; the addresses of the others are forged."
	a.Details = append(a.Details,
		event.Field{Key: "sources", Value: strconv.Itoa(len(sources))},
		event.Field{Key: "source_sample", Value: joinAddrs(sources)})
	return a
}

func describeScan(a *event.AlertEvent, p *pendingScan, who string) {
	f := &p.f
	a.Severity = event.SeverityMedium
	a.Count = uint64(max(f.sum.evidence, 1))
	speed := "fast"
	if f.slow {
		speed = "slow"
	}
	a.Description = fmt.Sprintf("%s reached at least %d distinct ports within %s (bound %d); %d probes, %d answered by an ACK.",
		who, f.observed(), f.window, f.bound, f.sum.probes, f.sum.acks)
	slices.Sort(f.numbers)
	j := judged{observed: uint64(f.observed()), bound: uint64(f.bound), window: f.window}
	a.Details = append(append(a.Details, j.details("ports")...),
		event.Field{Key: "technique", Value: f.technique()},
		event.Field{Key: "speed", Value: speed},
		event.Field{Key: "ports_probed", Value: strconv.Itoa(f.ports)},
		event.Field{Key: "ports_below_1024", Value: strconv.Itoa(f.low)},
		event.Field{Key: "probes", Value: number(f.sum.probes)},
		event.Field{Key: "ack", Value: number(f.sum.acks)},
		event.Field{Key: "port_sample", Value: joinPorts(f.numbers)})
}

func (d *Detector) sweepAlert(e *event.PacketEvent, g *group[netip.Addr], n int) *event.AlertEvent {
	a := newAlert(e, nil)
	a.RuleID, a.Title = RuleSweep, "Address sweep"
	a.Severity = event.SeverityMedium
	a.Group = g.key.String()
	a.Count = g.sweep.echo + g.sweep.probes
	a.SetEntity("src_ip", a.Group)
	j := judged{observed: uint64(n), bound: uint64(d.cfg.SweepAddresses), window: d.cfg.SweepWindow}
	a.Description = fmt.Sprintf("%s tried at least %d addresses within %s (bound %d): %d echo requests, %d TCP probes.",
		a.Group, n, j.window, j.bound, g.sweep.echo, g.sweep.probes)
	a.Details = append(append(a.Details, j.details("addresses")...),
		event.Field{Key: "technique", Value: g.sweep.technique()},
		event.Field{Key: "echo", Value: number(g.sweep.echo)},
		event.Field{Key: "probes", Value: number(g.sweep.probes)})
	if len(e.PortSample) > 0 {
		a.Details = append(a.Details, event.Field{Key: "port_sample", Value: joinPorts(e.PortSample)})
	}
	held(a, g.quiet(alarmSweep))
	return a
}

func (d *Detector) judgeFlood(k floodKind, t torrent, base *baseline) judged {
	m := k.metric()
	return judged{t.rate(), base.bound[m], base.usual[m], d.cfg.FloodWindow}
}

// floodUnit is the unit of the rate of a kind of flood.
func floodUnit(k floodKind) string {
	switch k {
	case floodSYN:
		return "syn/s"
	case floodReflection:
		return "bytes/s"
	}
	return "packets/s"
}

func (d *Detector) floodAlert(e *event.PacketEvent, g *group[netip.AddrPort], k floodKind, t torrent, base *baseline, from []*pendingFlood) *event.AlertEvent {
	a := newAlert(e, g.cited)
	a.RuleID, a.Title = floodRules[k], floodTitles[k]
	a.Severity = event.SeverityHigh
	a.Count = uint64(t.intervals)
	target(a, g.key)
	j := d.judgeFlood(k, t, base)
	a.Description = fmt.Sprintf("%s receives %d %s a second (bound %d), from about %d sources an interval; their addresses may be forged.",
		a.Group, j.observed, floodNouns[k], j.bound, t.peers)
	a.Details = append(append(a.Details, j.details(floodUnit(k))...), floodDetails(k, t)...)
	a.Details = append(a.Details, event.Field{Key: "sources", Value: number(t.peers)})
	if len(from) > 0 {
		var names []netip.Addr
		for _, h := range from {
			names = append(names, h.g.key)
		}
		a.Details = append(a.Details, event.Field{Key: "source_sample", Value: joinAddrs(names)})
	}
	held(a, g.quiet(alarmFlood+alarm(k)))
	return a
}

// target names what is attacked: an address and port, or an address.
func target(a *event.AlertEvent, to netip.AddrPort) {
	a.SetEntity("dst_ip", to.Addr().String())
	if to.Port() == 0 {
		a.Group = to.Addr().String()
		return
	}
	a.Group = to.String()
	a.SetEntity("dst_port", strconv.Itoa(int(to.Port())))
}

func floodDetails(k floodKind, t torrent) []event.Field {
	details := []event.Field{{Key: "intervals", Value: strconv.Itoa(t.intervals)}}
	if k == floodSYN {
		details = append(details, event.Field{Key: "syn", Value: number(t.n)}, event.Field{Key: "ack", Value: number(t.ack)})
	}
	return details
}

func (d *Detector) slowFloodAlert(e *event.PacketEvent, g *group[netip.AddrPort], sum trickle, j judged) *event.AlertEvent {
	a := newAlert(e, g.cited)
	a.RuleID, a.Title = RuleFlood, "Slow SYN flood"
	a.Severity = event.SeverityMedium
	a.Count = 1
	target(a, g.key)
	a.Description = fmt.Sprintf("%s received %d SYN and %d ACK within %s, %d a second (bound %d); the addresses of the sources may be forged.",
		a.Group, sum.syn, sum.ack, j.window, j.observed, j.bound)
	a.Details = append(append(a.Details, j.details("syn/s")...),
		event.Field{Key: "syn", Value: number(sum.syn)},
		event.Field{Key: "ack", Value: number(sum.ack)},
		event.Field{Key: "source_intervals", Value: number(sum.peers)})
	held(a, g.quiet(alarmFlood+alarm(floodSYN)))
	return a
}

func (d *Detector) sourceFloodAlert(h *pendingFlood, base *baseline) *event.AlertEvent {
	a := newAlert(h.e, nil)
	a.RuleID, a.Title = sourceFloodRules[h.kind], floodTitles[h.kind]+" from one source"
	a.Severity = event.SeverityHigh
	a.Group = h.g.key.String()
	a.Count = uint64(h.t.intervals)
	a.SetEntity("src_ip", a.Group)
	a.SetEntity("dst_ip", aim(h.e, nil))
	if h.port != 0 {
		a.SetEntity("dst_port", strconv.Itoa(int(h.port)))
	}
	j := d.judgeFlood(h.kind, h.t, base)
	a.Description = fmt.Sprintf("%s sends %d %s a second (bound %d); the address may be forged.",
		a.Group, j.observed, floodNouns[h.kind], j.bound)
	a.Details = append(append(a.Details, j.details(floodUnit(h.kind))...), floodDetails(h.kind, h.t)...)
	a.Details = append(a.Details, event.Field{Key: "ports", Value: number(h.t.ports)})
	held(a, h.g.quiet(alarmFlood+alarm(h.kind)))
	return a
}

func (d *Detector) amplificationAlert(v *victim, g *group[netip.AddrPort], t torrent, base *baseline) *event.AlertEvent {
	a := newAlert(&v.first, g.cited)
	a.RuleID, a.Title = RuleAmplification, floodTitles[floodReflection]
	a.Severity = event.SeverityHigh
	a.Count = uint64(t.intervals)
	target(a, g.key)
	j := d.judgeFlood(floodReflection, t, base)
	a.Description = fmt.Sprintf("%s receives %d bytes a second (bound %d) from port %d of %d sources, %d bytes a packet: answers to questions that somebody else asked in its name.",
		a.Group, j.observed, j.bound, v.service, t.peers, v.bytes/max(v.packets, 1))
	a.Details = append(append(a.Details, j.details("bytes/s")...), floodDetails(floodReflection, t)...)
	a.Details = append(a.Details,
		event.Field{Key: "sources", Value: number(t.peers)},
		event.Field{Key: "src_port", Value: strconv.Itoa(int(v.service))},
		event.Field{Key: "bytes_per_packet", Value: number(v.bytes / max(v.packets, 1))})
	held(a, g.quiet(alarmFlood+alarm(floodReflection)))
	return a
}

func (d *Detector) loginAlert(e *event.PacketEvent, k netip.AddrPort, sum visit, j judged, q *quiet) *event.AlertEvent {
	a := newAlert(e, nil)
	a.RuleID, a.Title = RuleLogin, "Brute-force rate of connections"
	a.Severity = event.SeverityMedium
	a.Group = k.String()
	a.Count = j.observed
	a.SetEntity("src_ip", k.Addr().String())
	a.SetEntity("dst_ip", aim(e, nil))
	a.SetEntity("dst_port", strconv.Itoa(int(k.Port())))
	describeLogins(a, fmt.Sprintf("%s made %d short connections to port %d", k.Addr(), j.observed, k.Port()), sum, j)
	held(a, q)
	return a
}

func (d *Detector) loginsAlert(e *event.PacketEvent, g *group[netip.AddrPort], sum visit, j judged) *event.AlertEvent {
	a := newAlert(e, nil)
	a.RuleID, a.Title = RuleLogin, "Brute-force rate of connections from many sources"
	a.Severity = event.SeverityMedium
	a.Count = j.observed
	target(a, g.key)
	describeLogins(a, fmt.Sprintf("%s received %d short connections", g.key, j.observed), sum, j)
	a.Details = append(a.Details, event.Field{Key: "sources", Value: number(uint64(e.Peers))})
	held(a, g.quiet(alarmLogin))
	return a
}

func describeLogins(a *event.AlertEvent, what string, sum visit, j judged) {
	a.Description = fmt.Sprintf("%s within %s (bound %d): %d bytes each.", what, j.window, j.bound, sum.bytes/max(sum.syn, 1))
	a.Details = append(append(a.Details, j.details("connections")...),
		event.Field{Key: "syn", Value: number(sum.syn)},
		event.Field{Key: "ack", Value: number(sum.ack)},
		event.Field{Key: "closed", Value: number(sum.closed)},
		event.Field{Key: "bytes_per_connection", Value: number(sum.bytes / max(sum.syn, 1))})
}

func (d *Detector) listenerAlert(e *event.PacketEvent, to netip.AddrPort) *event.AlertEvent {
	a := newAlert(e, nil)
	a.RuleID, a.Title = RuleListener, "New listener contacted"
	a.Severity = event.SeverityLow
	a.Count = 1
	target(a, to)
	a.Description = fmt.Sprintf("%s was never seen to answer, and now somebody completed a connection to it.", to)
	a.Details = append(append(a.Details, judged{observed: 1, bound: 1, window: d.cfg.ListenerLearning}.details("connections")...),
		event.Field{Key: "syn", Value: number(e.SYN)},
		event.Field{Key: "ack", Value: number(e.ACK)},
		event.Field{Key: "sources", Value: number(uint64(e.Peers))})
	return a
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

// held says how many crossings the suppression before this alert held back.
func held(a *event.AlertEvent, q *quiet) {
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

// joinAddrs lists the first addresses.
func joinAddrs(addrs []netip.Addr) string {
	words := make([]string, min(len(addrs), maxNamed))
	for i := range words {
		words[i] = addrs[i].String()
	}
	return strings.Join(words, ",")
}
