package enrichment

import (
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/sdk/event"
)

// Log adds fields to a log event, after those that it has. A field that the event
// had under the name of one that is added is taken out: what an attacker may have
// written does not pass for what the files say. A field may be there with several
// values. At most eight names of hosts are looked up. The strings that are added
// stay valid as long as the event's own.
//
// It allocates nothing but room for the fields where the event has none left.
func (e *Enricher) Log(ev *event.LogEvent) {
	p := e.plan.Load()
	if p == nil || p.idle {
		return
	}
	own := len(ev.Fields)
	put := func(field, value string) { own = add(ev, own, field, value) }
	if len(p.roles) > 0 {
		var best [2]int
		var found [2]netip.Addr
		var texts [2]string
		var names [8]string
		domains := 0
		for i := range own {
			n, ok := p.roleOf(ev.Fields[i].Key)
			if !ok {
				continue
			}
			value := ev.Fields[i].Value
			what := p.roles[n].what
			if what == asDomain {
				if domains < len(names) {
					names[domains] = value
					domains++
				}
				continue
			}
			if found[what].IsValid() && best[what] < n {
				continue
			}
			if a, ok := parseAddress(value); ok {
				best[what], found[what], texts[what] = n, a, value
			}
		}
		for i, a := range found {
			if a.IsValid() {
				p.address(i, a, texts[i], put)
			}
		}
		for _, name := range names[:domains] {
			p.domain(name, put)
		}
	}
	p.text(ev.Get, put)
}

// add adds a field in place of the event's own ones of that name, which are the
// first, and returns how many own fields the event has left.
func add(ev *event.LogEvent, own int, field, value string) int {
	for i := len(ev.Fields) - 1; i >= 0; i-- {
		f := &ev.Fields[i]
		if f.Key != field {
			continue
		}
		if i < own {
			ev.Fields = slices.Delete(ev.Fields, i, i+1)
			own--
		} else if f.Value == value {
			return own // both addresses are on the list
		}
	}
	ev.Fields = append(ev.Fields, event.Field{Key: field, Value: value})
	return own
}

// Packet puts what is known about the addresses of a packet summary; put is called
// with each field, several times with one that has several values.
func (e *Enricher) Packet(ev *event.PacketEvent, put func(field, value string)) {
	p := e.plan.Load()
	if p == nil || p.idle {
		return
	}
	for i, a := range [2]netip.Addr{ev.Source, ev.Destination} {
		s := &p.sides[i]
		if a.IsValid() && (s.geo || s.lists || len(s.tables) > 0) {
			text := ""
			if s.lists && p.ips.Lookup(a) != 0 {
				text = a.String()
			}
			p.address(i, a, text, put)
		}
	}
}

// Alert is Packet for the entities of an alert.
func (e *Enricher) Alert(ev *event.AlertEvent, put func(field, value string)) {
	p := e.plan.Load()
	if p == nil || p.idle {
		return
	}
	var done [2]bool
	for _, r := range p.roles {
		value := ev.Entity(r.field)
		switch {
		case value == "":
		case r.what == asDomain:
			p.domain(value, put)
		case !done[r.what]:
			var a netip.Addr
			if a, done[r.what] = parseAddress(value); done[r.what] {
				p.address(r.what, a, value, put)
			}
		}
	}
	p.text(func(field string) (string, bool) {
		value := ev.Entity(field)
		return value, value != ""
	}, put)
}

// parseAddress reads an address. What cannot be one is refused without an error,
// which would cost memory; an address with a zone is none of the Internet's.
func parseAddress(text string) (netip.Addr, bool) {
	if len(text) < 2 || len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return netip.Addr{}, false
	}
	separators := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '.' || c == ':':
			separators++
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return netip.Addr{}, false
		}
	}
	if separators < 2 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}
