package network

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Detector finds scans and floods in packet summaries. Make one with New.
type Detector struct {
	cfg          Config
	sources      table[netip.Addr]
	destinations table[netip.AddrPort]
	newest       int64    // greatest event time seen, UTC nanoseconds
	deletes      []string // keys of saved groups that are gone
	stats        counters
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
	// Suppressed counts summaries that crossed a bound of a group that had its
	// alert already.
	Suppressed uint64
	// Corrupt entries of saved state were left out by Restore.
	Corrupt uint64
	// Unsaved sources had one probe each and were too many to save.
	Unsaved uint64
}

type counters struct {
	late, ignored, evicted, suppressed, corrupt, unsaved atomic.Uint64
}

// New returns a Detector; its error names the key of a value out of range.
func New(cfg Config) (*Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Detector{cfg: cfg.complete()}
	d.sources.init(d.cfg.MaxSources)
	d.destinations.init(d.cfg.MaxDestinations)
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
	}
}

// Packet examines one summary and raises what it completes. e may be reused
// when Packet returns; the alerts cite copies.
func (d *Detector) Packet(e *event.PacketEvent, raise func(*event.AlertEvent)) {
	if e.Time.IsZero() || e.Interval <= 0 {
		d.stats.ignored.Add(1)
		return
	}
	switch {
	case e.Scope == event.ScopeSource && usable(e.Source):
		d.source(e, raise)
	case e.Scope == event.ScopeDestination && usable(e.Destination):
		d.destination(e, raise)
	default:
		d.stats.ignored.Add(1)
	}
}

func usable(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

func (d *Detector) source(e *event.PacketEvent, raise func(*event.AlertEvent)) {
	seen, burst := probesOf(e), d.hot(e)
	addr := e.Source.Unmap()
	g := d.sources.get(addr)
	if g == nil {
		if !seen.remarkable() && !burst {
			return
		}
		g = add(d, &d.sources, addr)
	}
	now := advance(d, g, e)
	g.scan.add(d.cfg, e, seen, now)
	d.sources.touch(g)

	if f, ok := g.scan.verdict(d.cfg, now); ok {
		if d.mayRaise(&g.scanQuiet, now) {
			raise(d.scanAlert(e, addr, f, g))
		}
		g.scan = scan{}
		g.cited = nil
	} else if seen.remarkable() && g.scan.promising() {
		g.cite(e)
	}
	if !burst {
		return
	}
	g.flood.add(e)
	if f, ok := g.flood.verdict(d.cfg, now); ok && f.syn >= minSYNPerPort*f.ports {
		if d.mayRaise(&g.floodQuiet, now) {
			raise(d.sourceFloodAlert(e, addr, f, g))
		}
		g.flood = nil
	}
}

// minSYNPerPort tells a flood from a scan, which sends a SYN or a few to each
// port.
const minSYNPerPort = 10

func (d *Detector) destination(e *event.PacketEvent, raise func(*event.AlertEvent)) {
	if !d.hot(e) {
		return
	}
	to := netip.AddrPortFrom(e.Destination.Unmap(), e.DestinationPort)
	g := d.destinations.get(to)
	if g == nil {
		g = add(d, &d.destinations, to)
	}
	now := advance(d, g, e)
	g.flood.add(e)
	d.destinations.touch(g)
	f, ok := g.flood.verdict(d.cfg, now)
	if !ok {
		g.cite(e)
		return
	}
	if d.mayRaise(&g.floodQuiet, now) {
		raise(d.floodAlert(e, to, f, g))
	}
	g.flood = nil
	g.cited = nil
}

// hot reports whether one summary by itself looks like a part of a flood. An
// interval below 100 ms is taken for one, so that a handful of packets in a
// very short one is none.
func (d *Detector) hot(e *event.PacketEvent) bool {
	interval := max(e.Interval, 100*time.Millisecond)
	return float64(e.SYN) >= float64(d.cfg.FloodRate)*interval.Seconds() &&
		float64(e.SYN) > float64(d.cfg.FloodRatio)*float64(e.ACK)
}

// mayRaise reports whether a group may raise its alert now; if it may, the next
// ones are held back for Suppress.
func (d *Detector) mayRaise(q *quiet, now int64) bool {
	if now < q.until && q.until <= now+int64(d.cfg.Suppress) {
		q.held++
		d.stats.suppressed.Add(1)
		return false
	}
	q.until = now + int64(d.cfg.Suppress)
	q.before, q.held = q.held, 0
	return true
}

// add makes a group, in place of the one seen longest ago when there is no
// room.
func add[K key](d *Detector, t *table[K], k K) *group[K] {
	g, evicted := t.add(k)
	if evicted != nil {
		d.stats.evicted.Add(1)
		d.drop(evicted.saved, evicted.name)
	}
	return g
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
