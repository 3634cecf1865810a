package network

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxPending bounds the scans and the floods of one interval that are kept
	// for its end, and the victims of reflections. Past it, a scan, or a flood that
	// crossed its bound, is counted as suppressed; another victim is left out.
	maxPending = 64
	// maxNamed is how many addresses an alert about several sources lists.
	maxNamed = 16
	// maxSuspects bounds how many of the groups seen last are looked at for
	// accomplices of a scan, in each of the two lists.
	maxSuspects = 512
	// decoyTime is how long ago a decoy may have been seen last.
	decoyTime = int64(2 * time.Second)
)

// interval is what the summaries of one interval hold that others of it may
// change. The host sends the sources of an interval before its destinations.
type interval struct {
	at      int64
	stream  uint64
	base    *baseline
	scans   []pendingScan
	floods  []*pendingFlood
	victims []victim
	logins  []login // kept by Flush: the destinations may come in another batch
}

// login is the part of a summary to come of a destination that a source has its
// alert for.
type login struct {
	to    netip.AddrPort
	visit visit
}

// pendingScan is a source that crossed the bound of a scan.
type pendingScan struct {
	g     *group[netip.Addr]
	aim   netip.Addr
	e     *event.PacketEvent
	cited []*event.PacketEvent
	f     finding
	now   int64
	done  bool
}

// pendingFlood is a source that is hot in this interval.
type pendingFlood struct {
	g       *group[netip.Addr]
	kind    floodKind
	n       uint64
	to      netip.Addr
	port    uint16 // 0 for several
	now     int64
	crossed bool
	joined  bool // it is one of many that flood a destination
	e       *event.PacketEvent
	t       torrent
}

// victim is an address that reflected datagrams reach.
type victim struct {
	addr    netip.Addr
	bytes   uint64
	packets uint64
	sources uint64
	service uint16            // of the strongest source
	most    uint64            // what that sent
	first   event.PacketEvent // the first summary
}

// reflect takes up a summary of a source that may reflect.
func (o *interval) reflect(e *event.PacketEvent) {
	n := strength(floodReflection, e)
	if n == 0 || !usable(e.Destination) {
		return
	}
	to := e.Destination.Unmap()
	i := slices.IndexFunc(o.victims, func(v victim) bool { return v.addr == to })
	if i < 0 {
		if len(o.victims) == maxPending {
			return
		}
		i = len(o.victims)
		if i < cap(o.victims) {
			o.victims = o.victims[:i+1]
		} else {
			o.victims = append(o.victims, victim{})
		}
		v := &o.victims[i]
		sample := append(v.first.PortSample[:0], e.PortSample...)
		*v = victim{addr: to, first: *e}
		v.first.PortSample = sample
	}
	v := &o.victims[i]
	v.bytes += n
	v.packets += e.Packets
	v.sources++
	if n > v.most {
		v.most, v.service = n, e.Service
	}
}

// explained is what hot sources of the interval send to a destination.
type explained struct {
	n       uint64
	sources []*pendingFlood
}

// explain returns the hot sources that flood a destination.
func (o *interval) explain(k floodKind, to netip.AddrPort) (x explained) {
	for _, h := range o.floods {
		if h.kind == k && h.to == to.Addr() && (h.port == 0 || h.port == to.Port()) {
			x.n += h.n
			x.sources = append(x.sources, h)
		}
	}
	return x
}

// scanHold is how long after a crossing of its bound a scanner is silent.
func (d *Detector) scanHold(f finding) int64 { return int64(max(d.cfg.Suppress, f.window)) }

// scanned takes up a source that crossed the bound of a scan.
func (d *Detector) scanned(e *event.PacketEvent, g *group[netip.Addr], f finding, now int64) {
	// Whoever scans what decoys were seen to scan is one of them.
	if all := d.destinations.get(netip.AddrPortFrom(g.aim, 0)); all != nil && !g.silent(alarmScan, now) && all.silent(alarmScan, now) {
		if q := all.quiet(alarmScan); now < q.since+int64(d.cfg.Remind) {
			q.held++
			d.hold(q, now, now+d.scanHold(f))
			d.destinations.mark(all)
			d.stats.suppressed.Add(1)
			return
		}
	}
	if !d.mayRaise(RulePortScan, g.quiet(alarmScan), now, time.Duration(d.scanHold(f))) {
		return
	}
	if len(d.open.scans) == maxPending {
		d.stats.suppressed.Add(1)
		return
	}
	g.pinned = true
	d.open.scans = append(d.open.scans, pendingScan{g: g, aim: g.aim, e: e.Clone(), cited: g.cited, f: f, now: now})
}

// flooding takes up a source that is hot.
func (d *Detector) flooding(e *event.PacketEvent, g *group[netip.Addr], k floodKind, now int64) {
	h := &pendingFlood{g: g, kind: k, n: strength(k, e), to: e.Destination.Unmap(), now: now}
	if len(e.PortSample) == 1 && e.Ports == 1 {
		h.port = e.PortSample[0]
	}
	g.floods[k].add(surgeOf(e, h.n))
	if h.t, h.crossed = g.floods[k].verdict(&d.cfg, now); h.crossed {
		h.e = e.Clone()
		g.floods[k] = nil
	}
	if len(d.open.floods) < maxPending {
		g.pinned = true
		d.open.floods = append(d.open.floods, h)
	} else if h.crossed {
		d.stats.suppressed.Add(1)
	}
}

// Flush raises what waits for the rest of an interval. It is to be called when no
// more summaries are at hand, such as at the end of a batch.
func (d *Detector) Flush(raise func(*event.AlertEvent)) {
	o := &d.open
	if len(o.scans)+len(o.floods)+len(o.victims) == 0 {
		return
	}
	for i := range o.scans {
		if p := &o.scans[i]; !p.done {
			d.raiseScan(p, o.scans[i+1:], raise)
		}
	}
	for _, h := range o.floods {
		h.g.pinned = false
		if h.crossed && !h.joined && d.mayRaise(sourceFloodRules[h.kind], h.g.quiet(alarmFlood+alarm(h.kind)), h.now, d.cfg.Suppress) {
			raise(d.sourceFloodAlert(h, o.base))
		}
	}
	for i := range o.victims {
		d.reflected(&o.victims[i], o.base, raise)
	}
	for i := range o.scans {
		o.scans[i].g.pinned = false
	}
	clear(o.scans)
	clear(o.floods)
	o.scans, o.floods, o.victims = o.scans[:0], o.floods[:0], o.victims[:0]
}

// raiseScan raises the alert of a scan: of its source, or of no source when
// others scan the same address at the same time. One of those is the scanner, and
// the rest are decoys, if not all of them are: no alert may point at one.
func (d *Detector) raiseScan(p *pendingScan, others []pendingScan, raise func(*event.AlertEvent)) {
	var names []netip.Addr
	if p.aim.IsValid() {
		for i := range others {
			if o := &others[i]; !o.done && o.aim == p.aim {
				o.done = true
				names = append(names, o.g.key)
			}
		}
		names = d.suspects(names, p)
	}
	if len(names) == 0 {
		raise(d.scanAlert(p))
		return
	}
	whole := netip.AddrPortFrom(p.aim, 0)
	all := d.destinations.get(whole)
	if all == nil {
		all = add(d, &d.destinations, whole)
	}
	all.last = max(all.last, p.now)
	d.hold(all.quiet(alarmScan), p.now, p.now+d.scanHold(p.f))
	d.destinations.touch(all)
	names = append(names, p.g.key)
	slices.SortFunc(names, netip.Addr.Compare)
	raise(d.decoyAlert(p, slices.Compact(names)))
}

// suspects adds to names the sources that are half-way to a scan of the same
// address at the same time, or scan it and have their alert.
func (d *Detector) suspects(names []netip.Addr, p *pendingScan) []netip.Addr {
	for _, l := range []*list[netip.Addr]{&d.sources.probation, &d.sources.protected} {
		g := l.newest
		for n := 0; g != nil && n < maxSuspects; n++ {
			recent := p.now - decoyTime
			if g != p.g && g.aim == p.aim && (g.crossed > recent || g.scan.probing > recent && len(g.scan.ports) >= d.cfg.ScanPorts/2) {
				names = append(names, g.key)
			}
			g = g.next
		}
	}
	return names
}

// reflected takes up what reflectors sent to an address in an interval.
func (d *Detector) reflected(v *victim, base *baseline, raise func(*event.AlertEvent)) {
	e := &v.first
	if !base.over(metricReflection, perSecond(v.bytes, e.Interval)) {
		return
	}
	to := netip.AddrPortFrom(v.addr, 0)
	g := d.destinations.get(to)
	if g == nil {
		g = add(d, &d.destinations, to)
	}
	now := advance(d, g, e)
	d.destinations.touch(g)
	s := surgeOf(e, v.bytes)
	s.peers = v.sources
	g.floods[floodReflection].add(s)
	t, ok := g.floods[floodReflection].verdict(&d.cfg, now)
	if !ok {
		g.cite(e)
		return
	}
	if d.mayRaise(RuleAmplification, g.quiet(alarmFlood+alarm(floodReflection)), now, d.cfg.Suppress) {
		raise(d.amplificationAlert(v, g, t, base))
	}
	g.floods[floodReflection] = nil
	g.cited = nil
}
