package network

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// greetingTime is how long the segments of a first connection are collected.
	greetingTime = 10 * time.Second
	// listenerMemory is how long a listener is known that nobody contacts.
	listenerMemory = 30 * 24 * time.Hour
	// listenersHour bounds the alerts about new listeners in an hour.
	listenersHour = 10
	// listenerStep is how often the time of the last contact is saved.
	listenerStep = time.Hour
)

// listener takes up a summary of TCP to a port at which somebody may listen.
func (d *Detector) listener(e *event.PacketEvent, to netip.AddrPort, base *baseline, raise func(*event.AlertEvent)) {
	at := e.Time.UnixNano()
	d.newest = max(d.newest, at)
	g := d.listeners.get(to)
	if g == nil {
		if e.SYN == 0 || e.Odd > 0 {
			return
		}
		g = add(d, &d.listeners, to)
	}
	d.listeners.refresh(g)
	if g.known {
		if at-g.last >= int64(listenerStep) {
			g.last = at
			d.listeners.mark(g)
		}
		return
	}
	g.last = max(g.last, at)
	d.listeners.mark(g)
	if !g.greeting.add(e, at) {
		return
	}
	g.greeting = greeting{}
	whole := netip.AddrPortFrom(to.Addr(), 0)
	all := d.listeners.get(whole)
	if all == nil {
		all = add(d, &d.listeners, whole)
		all.known, all.greeting.at = true, at
	}
	all.last = max(all.last, at)
	d.listeners.touch(all)
	if since := max(base.first, all.greeting.at); at-since < int64(d.cfg.ListenerLearning) {
		g.known = true
		return
	}
	if d.disabled[RuleListener] {
		g.known = true
		d.stats.suppressed.Add(1)
		return
	}
	if hour := at / int64(time.Hour); hour != base.hour {
		base.hour, base.listeners = hour, 0
	}
	// What this hour has no alert left for is told when somebody comes again in a
	// later one.
	if base.listeners >= listenersHour {
		d.stats.suppressed.Add(1)
		return
	}
	g.known = true
	base.listeners++
	base.dirty = true
	raise(d.listenerAlert(e, to))
}

// greeting is what was seen of a local port that is not known to answer.
type greeting struct {
	at  int64 // of the first SYN, UTC nanoseconds
	syn uint64
	ack uint64
	odd uint64
}

// add takes up a summary and reports whether it shows that the port answers:
// who gets a SYN+ACK sends at least two segments with ACK, one to complete the
// handshake and one with what it wants. A scanner sends none or one, and its
// probes of the operating system come with odd flags.
func (g *greeting) add(e *event.PacketEvent, at int64) bool {
	if g.at == 0 || at-g.at > int64(greetingTime) || at < g.at {
		*g = greeting{at: at}
	}
	g.syn += e.SYN
	g.ack += e.ACK
	g.odd += e.Odd
	return g.syn > 0 && g.ack >= 2*g.syn && g.odd == 0
}
