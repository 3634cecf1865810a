package network

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Detector finds attacks in packet summaries. Make one with New.
type Detector struct {
	cfg          Config
	loginMetrics map[uint16]metric // by login port
	isLogin      [65536 / 64]uint64
	disabled     map[string]bool

	sources      table[netip.Addr]
	destinations table[netip.AddrPort] // port 0: the address as a whole
	logins       table[netip.AddrPort] // a source, and the port where it logs in
	listeners    table[netip.AddrPort] // port 0: since when the address is known
	services     map[uint16]int        // by port, at how many addresses one is known to listen
	bases        map[string]*baseline  // by interface
	base         *baseline             // the one used last
	open         interval

	newest  int64    // greatest event time seen, UTC nanoseconds
	deletes []string // keys of saved groups that are gone
	stats   counters
}

// Stats counts what a Detector could not use or keep.
type Stats struct {
	// Late summaries were older than the windows of their group, which began
	// anew with them.
	Late uint64
	// Ignored summaries had no usable scope, address, time or interval.
	Ignored uint64
	// Evicted groups were forgotten to make room for others.
	Evicted uint64
	// Suppressed counts crossings of a bound that raised no alert: the group had
	// its alert already, they belong to the attack of another group, the ports are
	// those of services that are away, or the rule is disabled.
	Suppressed uint64
	// Corrupt entries of saved state were left out by Restore.
	Corrupt uint64
	// Unsaved sources had one probe each and were too many to save.
	Unsaved uint64
	// Drowned sources sent one SYN each to a port under flood, and were not
	// remembered.
	Drowned uint64
}

type counters struct {
	late, ignored, evicted, suppressed, corrupt, unsaved, drowned atomic.Uint64
}

// New returns a Detector; its error names the key of a value out of range.
func New(cfg Config) (*Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Detector{cfg: cfg.complete(), bases: make(map[string]*baseline), disabled: make(map[string]bool), services: make(map[uint16]int)}
	var err error
	if d.loginMetrics, err = d.cfg.services(); err != nil {
		return nil, err
	}
	for port := range d.loginMetrics {
		d.isLogin[port/64] |= 1 << (port % 64)
	}
	for _, rule := range d.cfg.Disabled {
		d.disabled[rule] = true
	}
	d.sources.init(prefixSource, d.cfg.MaxSources)
	d.destinations.init(prefixDestination, d.cfg.MaxDestinations)
	d.logins.init(prefixLogin, d.cfg.MaxDestinations)
	d.listeners.init(prefixListener, d.cfg.MaxListeners)
	d.listeners.removed = d.unlearn
	return d, nil
}

// Stats returns the counts so far. It is safe for concurrent use.
func (d *Detector) Stats() Stats {
	return Stats{
		Late:       d.stats.late.Load(),
		Ignored:    d.stats.ignored.Load(),
		Evicted:    d.stats.evicted.Load(),
		Suppressed: d.stats.suppressed.Load(),
		Corrupt:    d.stats.corrupt.Load(),
		Unsaved:    d.stats.unsaved.Load(),
		Drowned:    d.stats.drowned.Load(),
	}
}

// Packet examines one summary and raises what is complete. What the other
// summaries of the same interval may change is raised by the first summary of
// another one, or by Flush. e may be reused when Packet returns; the alerts cite
// copies.
func (d *Detector) Packet(e *event.PacketEvent, raise func(*event.AlertEvent)) {
	source := e.Scope == event.ScopeSource && usable(e.Source)
	if e.Time.IsZero() || e.Interval <= 0 || !source && (e.Scope != event.ScopeDestination || !usable(e.Destination)) {
		d.stats.ignored.Add(1)
		return
	}
	at := e.Time.UnixNano()
	var stream uint64
	if e.Stream != nil {
		stream = e.Stream.ID
	}
	if at != d.open.at || stream != d.open.stream {
		d.Flush(raise)
		d.open.at, d.open.stream = at, stream
		d.open.logins = d.open.logins[:0]
	}
	base := d.baseline(e.Interface, at)
	d.open.base = base
	if source {
		d.source(e, base, raise)
	} else {
		d.destination(e, base, raise)
	}
}

func usable(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

// loginPort returns what a port is in the baseline, for a port at which
// somebody logs in.
func (d *Detector) loginPort(port uint16) (metric, bool) {
	if d.isLogin[port/64]>>(port%64)&1 == 0 {
		return 0, false
	}
	return d.loginMetrics[port], true
}

func (d *Detector) source(e *event.PacketEvent, base *baseline, raise func(*event.AlertEvent)) {
	seen, tries, hot := probesOf(e), contacts(e), d.hotSource(e, base)
	addr := e.Source.Unmap()
	if e.Reflected > 0 {
		d.open.reflect(e)
	}
	if e.Ports == 1 && len(e.PortSample) == 1 {
		if m, ok := d.loginPort(e.PortSample[0]); ok {
			d.visit(e, addr, m, base, raise)
		}
	}
	g := d.sources.get(addr)
	if g == nil {
		if !seen.remarkable() && !tries && hot == 0 || d.drowned(e) {
			return
		}
		g = add(d, &d.sources, addr)
	}
	now := advance(d, g, e)
	// Of a summary with ICMP the last address may be that of neighbour discovery.
	if to := e.Destination; usable(to) && !to.IsMulticast() && (e.ICMP == 0 || !g.aim.IsValid()) {
		g.aim = to.Unmap()
	}
	g.scan.add(&d.cfg, e, seen, now)
	d.sources.touch(g)

	if f, ok := g.scan.verdict(&d.cfg, now); ok && d.familiar(&f) {
		d.stats.suppressed.Add(1)
	} else if ok {
		d.scanned(e, g, f, now)
		g.scan, g.crossed = scan{}, now
		g.cited = nil
	} else if seen.remarkable() && g.scan.promising() {
		g.cite(e)
	}
	if tries {
		d.swept(e, g, now, raise)
	} else {
		g.sweep.answer(e, now)
	}
	for k := range floodReflection {
		if hot>>k&1 != 0 {
			d.flooding(e, g, k, now)
		}
	}
}

// drowned reports whether an unknown source sent one SYN to a port that is being
// flooded, as forged sources do: it is not worth remembering.
func (d *Detector) drowned(e *event.PacketEvent) bool {
	if e.SYN != 1 || e.Packets != 1 || len(e.PortSample) != 1 {
		return false
	}
	to := d.destinations.get(netip.AddrPortFrom(e.Destination.Unmap(), e.PortSample[0]))
	if to == nil || !to.silent(alarmFlood+alarm(floodSYN), e.Time.UnixNano()) {
		return false
	}
	d.stats.drowned.Add(1)
	return true
}

// hotSource returns a bit for each kind of flood that a summary of a source
// looks like a part of.
func (d *Detector) hotSource(e *event.PacketEvent, base *baseline) (hot uint8) {
	for k := range floodReflection {
		n := strength(k, e)
		// No interval counts as shorter than a tenth of a second.
		if 10*n < base.bound[k.metric()] || perSecond(n, e.Interval) < base.bound[k.metric()] {
			continue
		}
		switch {
		case k == floodSYN && d.answered(e):
		case k == floodSYN && e.SYN < minSYNPerPort*uint64(max(e.Ports, e.Peers)): // a scan
		default:
			hot |= 1 << k
		}
	}
	return hot
}

// minSYNPerPort tells a flood from a scan, which sends a SYN or a few to each
// port of each address.
const minSYNPerPort = 10

// answered reports whether enough ACKs come with the SYNs.
func (d *Detector) answered(e *event.PacketEvent) bool {
	return e.SYN <= uint64(d.cfg.FloodRatio)*e.ACK
}

// swept takes up a summary of a source that tries addresses.
func (d *Detector) swept(e *event.PacketEvent, g *group[netip.Addr], now int64, raise func(*event.AlertEvent)) {
	g.sweep.add(e, now)
	n, ok := g.sweep.verdict(&d.cfg, now)
	if !ok {
		return
	}
	// Who scans a network for ports tries its addresses as well.
	if g.silent(alarmScan, now) {
		d.stats.suppressed.Add(1)
	} else if d.mayRaise(RuleSweep, g.quiet(alarmSweep), now, d.cfg.Suppress) {
		raise(d.sweepAlert(e, g, n))
	}
	g.sweep = sweep{}
}

func (d *Detector) destination(e *event.PacketEvent, base *baseline, raise func(*event.AlertEvent)) {
	to := netip.AddrPortFrom(e.Destination.Unmap(), e.DestinationPort)
	if e.SYN+e.ACK > 0 && to.Port() != 0 && int(to.Port()) <= d.cfg.ListenerMaxPort {
		d.listener(e, to, base, raise)
	}
	unanswered := e.SYN > 0 && !d.answered(e)
	var hot uint8
	for k := range floodReflection {
		n := strength(k, e)
		if n > 0 && (k != floodSYN || unanswered) && base.over(k.metric(), perSecond(n, e.Interval)) {
			hot |= 1 << k
		}
	}
	// A fourth of the rate makes a window of its own worth its while.
	slow := unanswered && e.SYN > 1 && 4*perSecond(e.SYN, e.Interval) >= uint64(d.cfg.SlowFloodRate)
	m, login := d.loginPort(to.Port())
	g := d.destinations.get(to)
	if g == nil {
		if hot == 0 && !slow && (!login || e.SYN == 0) {
			return
		}
		g = add(d, &d.destinations, to)
	}
	now := advance(d, g, e)
	d.destinations.touch(g)
	if login {
		d.crowded(e, g, m, base, now, raise)
	}
	covered := false
	for k := range floodReflection {
		if hot>>k&1 != 0 {
			covered = d.flooded(e, g, k, base, now, raise) || covered
		}
	}
	if e.SYN+e.ACK > 0 && !covered {
		d.trickled(e, g, base, now, raise)
	}
}

// flooded takes up a summary of a destination that is a part of a flood. It
// reports whether the flood is that of one source, which has its own alert.
func (d *Detector) flooded(e *event.PacketEvent, g *group[netip.AddrPort], k floodKind, base *baseline, now int64, raise func(*event.AlertEvent)) bool {
	n := strength(k, e)
	from := d.open.explain(k, g.key)
	if from.n*10 < n*8 {
		from.sources = nil
	}
	if len(from.sources) == 1 {
		return true
	}
	for _, h := range from.sources {
		h.joined = true
		d.hold(h.g.quiet(alarmFlood+alarm(k)), now, now+int64(d.cfg.Suppress))
	}
	g.floods[k].add(surgeOf(e, n))
	t, ok := g.floods[k].verdict(&d.cfg, now)
	if !ok {
		g.cite(e)
		return false
	}
	q := g.quiet(alarmFlood + alarm(k))
	if d.mayRaise(floodRules[k], q, now, d.cfg.Suppress) {
		raise(d.floodAlert(e, g, k, t, base, from.sources))
	}
	g.floods[k] = nil
	g.cited = nil
	g.slow = nil
	return false
}

// trickled takes up a summary of a destination that may be a part of a slow
// flood.
func (d *Detector) trickled(e *event.PacketEvent, g *group[netip.AddrPort], base *baseline, now int64, raise func(*event.AlertEvent)) {
	g.slow = addTrickle(g.slow, e, now, d.cfg.SlowFloodWindow)
	sum, active := sumTrickle(g.slow)
	if active < steady || sum.syn <= uint64(d.cfg.FloodRatio)*sum.ack {
		return
	}
	rate := perSecond(sum.syn, d.cfg.SlowFloodWindow)
	if !base.over(metricSlow, rate) {
		return
	}
	q := g.quiet(alarmFlood + alarm(floodSYN))
	if d.mayRaise(RuleFlood, q, now, max(d.cfg.Suppress, d.cfg.SlowFloodWindow)) {
		raise(d.slowFloodAlert(e, g, sum, judged{rate, base.bound[metricSlow], base.usual[metricSlow], d.cfg.SlowFloodWindow}))
	}
	g.slow = nil
}

// mayRaise reports whether a group may raise its alert now, and counts a crossing
// that may not. For length after an alert, and after every later crossing up to
// Remind, it may not.
func (d *Detector) mayRaise(rule string, q *quiet, now int64, length time.Duration) bool {
	until := now + int64(length)
	longest := max(d.cfg.Remind, length)
	if d.disabled[rule] {
		d.stats.suppressed.Add(1)
		return false
	}
	// A silence that lies ahead by more than it can be is from before the clock
	// was set back.
	if now < q.until && q.until <= now+int64(longest) && q.since <= now {
		q.held++
		q.until = max(q.until, min(until, q.since+int64(longest)))
		d.stats.suppressed.Add(1)
		return false
	}
	q.since, q.until = now, until
	q.before, q.held = q.held, 0
	return true
}

// hold silences a group about what another group has an alert for, in one go for
// as long as mayRaise does at most.
func (d *Detector) hold(q *quiet, now, until int64) {
	if now >= q.until || now < q.since {
		q.since, q.until = now, now
	}
	longest := max(int64(d.cfg.Remind), until-now)
	q.until = max(q.until, min(until, q.since+longest))
}

// add makes a group, in place of the one seen longest ago when there is no
// room.
func add[K key](d *Detector, t *table[K], k K) *group[K] {
	return t.add(k, func(old *group[K]) {
		d.stats.evicted.Add(1)
		d.drop(old.saved, func() string { return t.name(old) })
	})
}

// advance moves the clock of a group to the time of e and returns it, in UTC
// nanoseconds. When e lies before all windows, as after the clock was set
// back, the group begins anew.
func advance[K key](d *Detector, g *group[K], e *event.PacketEvent) int64 {
	at := e.Time.UnixNano()
	if g.last != 0 && at <= g.last-int64(d.cfg.SlowScanWindow) {
		d.stats.late.Add(1)
		g.forget()
	}
	g.last = max(g.last, at)
	d.newest = max(d.newest, at)
	return g.last
}
