package network

import (
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// visit takes up a summary of a source that sent to a login port alone.
func (d *Detector) visit(e *event.PacketEvent, addr netip.Addr, m metric, base *baseline, raise func(*event.AlertEvent)) {
	k := netip.AddrPortFrom(addr, e.PortSample[0])
	g := d.logins.get(k)
	if g == nil {
		if e.SYN == 0 {
			return
		}
		g = add(d, &d.logins, k)
	}
	now := advance(d, g, e)
	g.visits = addVisit(g.visits, e, now, d.cfg.LoginWindow)
	d.logins.touch(g)
	sum, short := logins(g.visits)
	bound := base.loginBound(m, now)
	if short == 0 || !base.reaches(m, short, bound) {
		return
	}
	g.visits = nil
	if d.mayRaise(RuleLogin, g.quiet(alarmLogin), now, d.cfg.Suppress) {
		raise(d.loginAlert(e, k, sum, judged{short, bound, base.usual[m], d.cfg.LoginWindow}, g.quiet(alarmLogin)))
	}
	// The destination is silent about what one source explains.
	if to := netip.AddrPortFrom(e.Destination.Unmap(), k.Port()); usable(to.Addr()) {
		t := d.destinations.get(to)
		if t == nil {
			t = add(d, &d.destinations, to)
			t.last = now
		}
		t.visits = nil
		hold(t.quiet(alarmLogin), now, now+int64(d.cfg.Suppress))
		d.destinations.touch(t)
	}
}

// crowded takes up a summary of a login port, from all sources.
func (d *Detector) crowded(e *event.PacketEvent, g *group[netip.AddrPort], m metric, base *baseline, now int64, raise func(*event.AlertEvent)) {
	if m == metricLogin {
		m = metricLogins
	} else {
		m = metricDatabases
	}
	g.visits = addVisit(g.visits, e, now, d.cfg.LoginWindow)
	sum, short := logins(g.visits)
	bound := base.loginBound(m, now)
	if short == 0 || !base.reaches(m, short, bound) {
		return
	}
	g.visits = nil
	if d.mayRaise(RuleLogin, g.quiet(alarmLogin), now, d.cfg.Suppress) {
		raise(d.loginsAlert(e, g, sum, judged{short, bound, base.usual[m], d.cfg.LoginWindow}))
	}
}

// visit is one step of the connections of a source to a port.
type visit struct {
	number int64
	syn    uint64
	ack    uint64
	closed uint64 // FIN and RST
	bytes  uint64
}

// shortVisit is how many bytes a source sends, at most, in the mean connection
// in which a password is tried: a key exchange and a few attempts take 3 to 8 KB.
const shortVisit = 12 << 10

// addVisit adds a summary to the window.
func addVisit(window []visit, e *event.PacketEvent, now int64, length time.Duration) []visit {
	size := int64(length) / steps
	one := visit{number: e.Time.UnixNano() / size, syn: e.SYN, ack: e.ACK, closed: e.FIN + e.RST, bytes: e.Bytes}
	first := now/size - steps + 1
	if last := len(window) - 1; last >= 0 && window[last].number >= one.number {
		w := &window[last]
		w.syn += one.syn
		w.ack += one.ack
		w.closed += one.closed
		w.bytes += one.bytes
	} else if one.number >= first {
		window = append(window, one)
	}
	gone := 0
	for gone < len(window) && window[gone].number < first {
		gone++
	}
	return append(window[:0], window[gone:]...)
}

// logins returns the sum of the window, and how many of its connections were
// short: opened, answered, closed, and little sent.
func logins(window []visit) (sum visit, short uint64) {
	for _, v := range window {
		sum.syn += v.syn
		sum.ack += v.ack
		sum.closed += v.closed
		sum.bytes += v.bytes
	}
	if sum.ack < sum.syn || 2*sum.closed < sum.syn || sum.bytes > shortVisit*sum.syn {
		return sum, 0
	}
	return sum, sum.syn
}
