package network

import (
	"net/netip"
	"slices"
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
	one := visitOf(e, d.cfg.LoginWindow)
	g.visits = addVisit(g.visits, one, now, d.cfg.LoginWindow)
	d.logins.touch(g)
	sum, short := logins(g.visits)
	bound := base.loginBound(m, now)
	if short == 0 || !base.reaches(m, short, bound) {
		return
	}
	own := g.visits
	g.visits = nil
	if d.mayRaise(RuleLogin, g.quiet(alarmLogin), now, d.cfg.Suppress) {
		raise(d.loginAlert(e, k, sum, judged{short, bound, base.usual[m], d.cfg.LoginWindow}, g.quiet(alarmLogin)))
	}
	if to := netip.AddrPortFrom(e.Destination.Unmap(), k.Port()); usable(to.Addr()) {
		d.excuse(to, own, one)
	}
}

// excuse takes what a source has its alert for off a destination, so that nothing
// else there goes unsaid. one is the summary at hand, which own contains and the
// destination has yet to receive.
func (d *Detector) excuse(to netip.AddrPort, own []visit, one visit) {
	if len(d.open.logins) < maxPending {
		d.open.logins = append(d.open.logins, login{to, one})
	}
	t := d.destinations.get(to)
	if t == nil {
		return
	}
	for _, v := range own {
		if v.number == one.number {
			v.less(one)
		}
		i := slices.IndexFunc(t.visits, func(w visit) bool { return w.number == v.number })
		if i >= 0 {
			t.visits[i].less(v)
		}
	}
	d.destinations.mark(t)
}

// crowded takes up a summary of a login port, from all sources.
func (d *Detector) crowded(e *event.PacketEvent, g *group[netip.AddrPort], m metric, base *baseline, now int64, raise func(*event.AlertEvent)) {
	if m == metricLogin {
		m = metricLogins
	} else {
		m = metricDatabases
	}
	one := visitOf(e, d.cfg.LoginWindow)
	for _, l := range d.open.logins {
		if l.to == g.key {
			one.less(l.visit)
		}
	}
	g.visits = addVisit(g.visits, one, now, d.cfg.LoginWindow)
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

func visitOf(e *event.PacketEvent, length time.Duration) visit {
	return visit{
		number: e.Time.UnixNano() / (int64(length) / steps),
		syn:    e.SYN, ack: e.ACK, closed: e.FIN + e.RST, bytes: e.Bytes,
	}
}

func (v *visit) at() int64 { return v.number }

func (v *visit) add(w visit) {
	v.syn += w.syn
	v.ack += w.ack
	v.closed += w.closed
	v.bytes += w.bytes
}

// less takes w off, down to zero.
func (v *visit) less(w visit) {
	v.syn -= min(w.syn, v.syn)
	v.ack -= min(w.ack, v.ack)
	v.closed -= min(w.closed, v.closed)
	v.bytes -= min(w.bytes, v.bytes)
}

// shortVisit is how many bytes a source sends, at most, in the mean connection
// in which a password is tried: a key exchange and a few attempts take 3 to 8 KB.
const shortVisit = 12 << 10

// addVisit adds counts to the steps of a window, in rising order, and drops the
// steps that left it. What lies before the window is left out.
func addVisit(window []visit, one visit, now int64, length time.Duration) []visit {
	first := now/(int64(length)/steps) - steps + 1
	if one.number < first {
		return window
	}
	return slide(window, one, first)
}

// logins returns the sum of the window, and how many of its connections were
// short: opened, answered, closed, and little sent, but more than the handshake.
// Who logs in sends one segment with ACK at least besides that of the handshake;
// a check of health sends none.
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
	return sum, min(sum.syn, sum.ack-sum.syn)
}
