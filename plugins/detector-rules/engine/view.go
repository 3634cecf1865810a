package engine

import (
	"net/netip"
	"strconv"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
	"github.com/ironpost/ironpost/sdk/event"
)

// view gives one event after the other to a matcher. It is the scratch memory of a
// Set.
type view struct {
	set      *Set
	scratch  *match.Scratch
	enricher Enricher
	// put gives the scratch a field, holds asks it about a test.
	put   func(field, value string)
	holds func(*sigma.Test) bool

	origins origins
	// kinds are the log sources of the kinds of event that are not logs.
	packets, alerts match.Origin

	logs       logView
	packetView packetView
	alertView  alertView
}

func newView(set *Set, enricher Enricher) *view {
	m := set.matcher
	v := &view{
		set: set, scratch: m.NewScratch(), enricher: enricher, origins: newOrigins(set),
		packets: m.Origin(rule.Packets.Source()), alerts: m.Origin(rule.Alerts.Source()),
	}
	v.logs.view, v.packetView.view, v.alertView.view = v, v, v
	v.put, v.holds = v.scratch.Text, v.scratch.Holds
	return v
}

// log returns the numbers of the programs whose conditions hold for a log event, in
// their order. The slice is valid until the next event.
func (v *view) log(e *event.LogEvent) []int32 {
	v.logs.event = e
	return v.programs(v.scratch.Match(&v.logs), rule.Logs)
}

// packet is log for a packet summary.
func (v *view) packet(p *event.PacketEvent) []int32 {
	v.packetView.event = p
	return v.programs(v.scratch.Match(&v.packetView), rule.Packets)
}

// alert is log for another detector's alert.
func (v *view) alert(a *event.AlertEvent) []int32 {
	v.alertView.event = a
	return v.programs(v.scratch.Match(&v.alertView), rule.Alerts)
}

// programs turns the numbers of a matcher's rules into those of the programs that look
// at a kind of event. Both are in the order of the rules.
func (v *view) programs(rules []int32, kind rule.Kinds) []int32 {
	out := rules[:0]
	for _, number := range rules {
		number = v.set.matched[number]
		if kinds := v.set.programs[number].rule.Kinds; kinds == 0 || kinds&kind != 0 {
			out = append(out, number)
		}
	}
	return out
}

// logView is a log event as rules see it: the names of LogEvent.Get, pid and
// severity.
type logView struct {
	*view
	event *event.LogEvent
}

// Sources implements match.Event.
func (v *logView) Sources(s *match.Scratch) { s.From(v.origins.of(v.event)) }

// Values implements match.Event.
func (v *logView) Values(s *match.Scratch) {
	e, asked := v.event, &v.set.asked
	if s.Looking() {
		asked = &v.set.watched
	}
	m := &asked.members
	if e.Process != "" {
		s.Put(m.process, e.Process)
	}
	if e.Message != "" {
		s.Put(m.message, e.Message)
	}
	if e.Host != "" {
		s.Put(m.host, e.Host)
	}
	if e.PID != 0 && m.pid != 0 {
		s.Int("pid", int64(e.PID))
	}
	if e.Severity != event.SeverityUnknown && m.severity != 0 {
		s.Put(m.severity, e.Severity.String())
	}
	if m.observed != 0 {
		s.Int(rule.Observed, e.ObservedTime.Unix())
	}
	if e.Reason != "" {
		s.Put(m.reason, e.Reason)
	}
	if len(e.Raw) > 0 {
		s.Put(m.raw, alias(e.Raw))
	}
	all := s.Keyworded()
	for i := range e.Fields {
		if f := &e.Fields[i]; all || asked.maybe[sketch(f.Key)] {
			s.Text(f.Key, f.Value)
		}
	}
}

// packetView is a packet summary as rules see it.
type packetView struct {
	*view
	event *event.PacketEvent
	// address is where addresses are written.
	source, destination [64]byte
}

// Sources implements match.Event.
func (v *packetView) Sources(s *match.Scratch) { s.From(v.packets) }

// Values implements match.Event.
func (v *packetView) Values(s *match.Scratch) {
	p := v.event
	address := func(name string, a netip.Addr, room []byte) {
		if a.IsValid() {
			s.Text(name, alias(a.AppendTo(room)))
		}
	}
	if v.set.asked.members.observed != 0 {
		s.Int(rule.Observed, p.Time.Unix())
	}
	address("src_ip", p.Source, v.source[:0])
	address("dst_ip", p.Destination, v.destination[:0])
	if p.DestinationPort != 0 {
		s.Int("dst_port", int64(p.DestinationPort))
	}
	if p.Interface != "" {
		s.Text("interface", p.Interface)
	}
	s.Text("scope", p.Scope.String())
	s.Int("interval_ms", max(p.Interval.Milliseconds(), 0))
	for i, n := range counters(p) {
		if field := v.set.asked.members.counter[i]; field != 0 {
			s.Int(counterNames[i], int64(min(n, 1<<63-1)))
		}
	}
	if v.enricher != nil {
		v.enricher.Packet(p, v.put)
	}
}

// counterNames are the fields of a packet summary that are plain numbers; counters
// gives their values in the same order.
var counterNames = [...]string{
	"packets", "bytes", "syn", "synack", "ack", "fin", "rst", "odd", "udp", "icmp", "other", "dropped", "would_drop", "ports", "peers",
	"echo", "reflected", "service", "odd_kinds",
}

func counters(p *event.PacketEvent) [len(counterNames)]uint64 {
	return [...]uint64{
		p.Packets, p.Bytes, p.SYN, p.SYNACK, p.ACK, p.FIN, p.RST, p.Odd, p.UDP, p.ICMP, p.Other,
		p.Dropped, p.WouldDrop, uint64(p.Ports), uint64(p.Peers),
		p.Echo, p.Reflected, uint64(p.Service), uint64(p.OddKinds),
	}
}

// alertView is another detector's alert as rules see it: rule_id, detector, title,
// group, severity, evidence, count, and its entities by name.
type alertView struct {
	*view
	event *event.AlertEvent
}

// Sources implements match.Event.
func (v *alertView) Sources(s *match.Scratch) { s.From(v.alerts) }

// Values implements match.Event.
func (v *alertView) Values(s *match.Scratch) {
	a := v.event
	if v.set.asked.members.observed != 0 {
		s.Int(rule.Observed, a.ObservedTime.Unix())
	}
	s.Text("rule_id", a.RuleID)
	s.Text("detector", a.Detector)
	s.Text("title", a.Title)
	if a.Group != "" {
		s.Text("group", a.Group)
	}
	s.Text("severity", a.Severity.String())
	s.Text("evidence", a.Evidence.String())
	s.Int("count", int64(min(a.Count, 1<<63-1)))
	for i := range a.Entities {
		s.Text(a.Entities[i].Key, a.Entities[i].Value)
	}
	if v.enricher != nil {
		v.enricher.Alert(a, v.put)
	}
}

// members are the numbers of the fields that are members of events, 0 where no
// rule names one.
type members struct {
	process, message, host, pid, severity, reason, raw int32
	// observed is rule.Observed, which exceptions that expire ask for.
	observed int32
	counter  [len(counterNames)]int32
}

// asked are the fields that rules name, or those of them whose values nominate
// rules.
type asked struct {
	members members
	// maybe has the sketches of their names: an event has many that no rule asks
	// for, and a load tells most of them apart.
	maybe [256]bool
}

// newAsked makes asked of those fields for which wants is true.
func newAsked(m *match.Matcher, names map[string]bool, wants func(field int32) bool) asked {
	var out asked
	id := func(name string) int32 {
		if field := m.Field(name); field != 0 && wants(field) {
			return field
		}
		return 0
	}
	out.members = members{
		process: id("process"), message: id("message"), host: id("host"), pid: id("pid"),
		severity: id("severity"), reason: id("reason"), raw: id("raw"),
		observed: id(rule.Observed),
	}
	for i, name := range counterNames {
		out.members.counter[i] = id(name)
	}
	for name := range names {
		if id(name) != 0 {
			out.maybe[sketch(name)] = true
		}
	}
	return out
}

// addFields adds the names of the fields that a condition asks for. seen has the
// parts that were looked at: conditions share theirs.
func addFields(x *sigma.Expr, names map[string]bool, seen map[*sigma.Expr]bool) {
	if seen[x] {
		return
	}
	seen[x] = true
	if x.Test != nil {
		names[x.Test.Field], names[x.Test.Other] = true, true
	}
	for _, s := range x.Subs {
		addFields(s, names, seen)
	}
}

// get returns the value that a field has in the event at hand, the first if there
// are several, "" when it is absent.
func (o *occurrence) get(name string) string {
	switch {
	case o.log != nil:
		return fieldOf(o.log, name)
	case o.packet != nil:
		return packetField(o.packet, name)
	case o.alert != nil:
		return alertField(o.alert, name)
	}
	return ""
}

func fieldOf(l *event.LogEvent, name string) string {
	switch {
	case name == "pid" && l.PID != 0:
		return strconv.FormatUint(uint64(l.PID), 10)
	case name == "severity" && l.Severity != event.SeverityUnknown:
		return l.Severity.String()
	}
	value, _ := l.Get(name)
	return value
}

func packetField(p *event.PacketEvent, name string) string {
	switch name {
	case "src_ip":
		if p.Source.IsValid() {
			return p.Source.String()
		}
	case "dst_ip":
		if p.Destination.IsValid() {
			return p.Destination.String()
		}
	case "dst_port":
		if p.DestinationPort != 0 {
			return strconv.Itoa(int(p.DestinationPort))
		}
	case "interface":
		return p.Interface
	case "scope":
		return p.Scope.String()
	case "interval_ms":
		return strconv.FormatInt(max(p.Interval.Milliseconds(), 0), 10)
	}
	for i, n := range counters(p) {
		if counterNames[i] == name {
			return strconv.FormatUint(n, 10)
		}
	}
	return ""
}

func alertField(a *event.AlertEvent, name string) string {
	switch name {
	case "rule_id":
		return a.RuleID
	case "detector":
		return a.Detector
	case "title":
		return a.Title
	case "group":
		return a.Group
	case "severity":
		return a.Severity.String()
	case "evidence":
		return a.Evidence.String()
	case "count":
		return strconv.FormatUint(a.Count, 10)
	}
	return a.Entity(name)
}
