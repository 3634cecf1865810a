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
	g.greeting.add(e, at)
	if !g.greeting.met() {
		return
	}
	whole := netip.AddrPortFrom(to.Addr(), 0)
	all := d.listeners.get(whole)
	since := at
	if all != nil {
		since = max(base.first, all.greeting.at)
	}
	learning := at-since < int64(d.cfg.ListenerLearning)
	if !learning && !g.greeting.answered() {
		return
	}
	g.greeting = greeting{}
	if all == nil {
		all = add(d, &d.listeners, whole)
		all.known, all.greeting.at = true, at
	}
	all.last = max(all.last, at)
	d.listeners.touch(all)
	if learning {
		d.learn(g)
		return
	}
	if d.disabled[RuleListener] {
		d.learn(g)
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
	d.learn(g)
	base.listeners++
	base.dirty = true
	raise(d.listenerAlert(e, to))
}

// learn takes a port for one that answers.
func (d *Detector) learn(g *group[netip.AddrPort]) {
	g.known = true
	if port := g.key.Port(); port != 0 {
		d.services[port]++
	}
}

// unlearn is told of a listener that is forgotten.
func (d *Detector) unlearn(g *group[netip.AddrPort]) {
	port := g.key.Port()
	if !g.known || port == 0 {
		return
	}
	if d.services[port]--; d.services[port] <= 0 {
		delete(d.services, port)
	}
}

// greeting is what was seen of a local port that is not known to answer.
type greeting struct {
	at  int64 // of the first SYN, UTC nanoseconds
	syn uint64
	ack uint64
	rst uint64 // not saved: what a restart cuts is seen again
	odd uint64
}

// add takes up a summary.
func (g *greeting) add(e *event.PacketEvent, at int64) {
	if g.at == 0 || at-g.at > int64(greetingTime) || at < g.at {
		*g = greeting{at: at}
	}
	g.syn += e.SYN
	g.ack += e.ACK
	g.rst += e.RST
	g.odd += e.Odd
}

// met reports whether every SYN so far was followed by something, which only a
// SYN+ACK brings about. Checks of health complete the handshake and close it, or
// break it off with a RST, and so do scanners that find an open port. It is enough
// where that is only learned.
func (g *greeting) met() bool { return g.syn > 0 && g.ack+g.rst >= g.syn && g.odd == 0 }

// checks is how many handshakes with nothing behind them within greetingTime are
// those of checks of health: a scanner comes to a port once.
const checks = 3

// answered reports whether somebody uses the port: who gets a SYN+ACK sends at
// least two segments with ACK, one to complete the handshake and one with what it
// wants, or completes handshakes again and again. A scanner sends one segment at the
// most, and its probes of the operating system come with odd flags.
func (g *greeting) answered() bool {
	return g.met() && (g.ack >= 2*g.syn || g.syn >= checks && g.ack >= g.syn)
}
