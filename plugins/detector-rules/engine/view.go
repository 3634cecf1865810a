package engine

import (
	"net/netip"
	"strconv"

	"github.com/ironpost/ironpost/sdk/event"
)

// view holds the values of one event's fields, as far as rules name them, by
// the number that the Set gave to the name. Values alias the event.
type view struct {
	set   *Set
	epoch uint32
	// stamp says in which epoch a value was set, foldStamp in which it was
	// folded, numStamp in which it was read as a number.
	stamp, foldStamp, numStamp []uint32
	value, folded              []string
	number                     []float64
	isNumber                   []bool
	// present lists the fields of this epoch.
	present []int32
	// digits holds values that had to be written, fold those that were folded.
	// Slices of both stay valid when they move.
	digits, fold []byte
}

func newView(s *Set) *view {
	n := len(s.index)
	return &view{
		set: s, stamp: make([]uint32, n), foldStamp: make([]uint32, n), numStamp: make([]uint32, n),
		value: make([]string, n), folded: make([]string, n), number: make([]float64, n), isNumber: make([]bool, n),
		present: make([]int32, 0, n), digits: make([]byte, 0, 512), fold: make([]byte, 0, 4096),
	}
}

// begin forgets the last event. It reports true when the epoch began again at
// 1, and stamps kept elsewhere have to be cleared.
func (v *view) begin() bool {
	v.present = v.present[:0]
	v.digits = v.digits[:0]
	v.fold = v.fold[:0]
	v.epoch++
	if v.epoch == 0 {
		clear(v.stamp)
		clear(v.foldStamp)
		clear(v.numStamp)
		v.epoch = 1
		return true
	}
	return false
}

// put sets a field; the first value of a name stays.
func (v *view) put(id int32, value string) {
	if id >= 0 && v.stamp[id] != v.epoch {
		v.stamp[id] = v.epoch
		v.value[id] = value
		v.present = append(v.present, id)
	}
}

func (v *view) putUint(id int32, n uint64) {
	if id >= 0 {
		v.digits = room(v.digits, 20)
		at := len(v.digits)
		v.digits = strconv.AppendUint(v.digits, n, 10)
		v.put(id, alias(v.digits[at:]))
	}
}

func (v *view) putAddr(id int32, a netip.Addr) {
	if id >= 0 && a.IsValid() {
		v.digits = room(v.digits, 64)
		at := len(v.digits)
		v.digits = a.AppendTo(v.digits)
		v.put(id, alias(v.digits[at:]))
	}
}

// room makes sure that n bytes can be appended without moving what is there:
// values alias it.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		return make([]byte, 0, max(2*cap(b), n))
	}
	return b
}

// get returns the value of a field, "" when it is absent.
func (v *view) get(id int32) string {
	if v.stamp[id] != v.epoch {
		return ""
	}
	return v.value[id]
}

// lower returns the folded value of a field that is present.
func (v *view) lower(id int32) string {
	if v.foldStamp[id] != v.epoch {
		s := v.value[id]
		v.fold = room(v.fold, len(s))
		at := len(v.fold)
		v.fold = appendFold(v.fold, s)
		v.foldStamp[id], v.folded[id] = v.epoch, alias(v.fold[at:])
	}
	return v.folded[id]
}

// num returns the value of a present field as a number.
func (v *view) num(id int32) (float64, bool) {
	if v.numStamp[id] != v.epoch {
		v.numStamp[id] = v.epoch
		v.number[id], v.isNumber[id] = parseNumber(v.value[id])
	}
	return v.number[id], v.isNumber[id]
}

// parseNumber reads a number. Texts that cannot be one are told apart first,
// because the error of ParseFloat is an allocation.
func parseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// log takes the fields of a log event: the names of LogEvent.Get, pid and
// severity.
func (v *view) log(e *event.LogEvent) {
	m := &v.set.members
	if e.Process != "" {
		v.put(m.process, e.Process)
	}
	if e.Message != "" {
		v.put(m.message, e.Message)
	}
	if e.Host != "" {
		v.put(m.host, e.Host)
	}
	if e.PID != 0 {
		v.putUint(m.pid, uint64(e.PID))
	}
	if e.Severity != event.SeverityUnknown && m.severity >= 0 {
		v.put(m.severity, e.Severity.String())
	}
	if e.Reason != "" {
		v.put(m.reason, e.Reason)
	}
	if len(e.Raw) > 0 {
		v.put(m.raw, alias(e.Raw))
	}
	for i := range e.Fields {
		v.put(v.set.fields.find(e.Fields[i].Key), e.Fields[i].Value)
	}
}

// packet takes the fields of a packet summary.
func (v *view) packet(p *event.PacketEvent) {
	m := &v.set.members
	v.putAddr(m.srcIP, p.Source)
	v.putAddr(m.dstIP, p.Destination)
	if p.DestinationPort != 0 {
		v.putUint(m.dstPort, uint64(p.DestinationPort))
	}
	if p.Interface != "" {
		v.put(m.iface, p.Interface)
	}
	if m.scope >= 0 {
		v.put(m.scope, p.Scope.String())
	}
	v.putUint(m.intervalMS, uint64(max(p.Interval.Milliseconds(), 0)))
	for i, n := range counters(p) {
		v.putUint(m.counter[i], n)
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

// alert takes the fields of another detector's alert: rule_id, detector,
// title, group, severity, evidence, count, and its entities by name.
func (v *view) alert(a *event.AlertEvent) {
	m := &v.set.members
	v.put(m.ruleID, a.RuleID)
	v.put(m.detector, a.Detector)
	v.put(m.title, a.Title)
	if a.Group != "" {
		v.put(m.group, a.Group)
	}
	v.put(m.severity, a.Severity.String())
	v.put(m.evidence, a.Evidence.String())
	v.putUint(m.count, a.Count)
	for i := range a.Entities {
		v.put(v.set.fields.find(a.Entities[i].Key), a.Entities[i].Value)
	}
}

// members are the numbers of the fields that are members of events, absent where
// no rule names one.
type members struct {
	process, message, host, pid, severity, reason, raw int32
	srcIP, dstIP, dstPort, iface, scope, intervalMS    int32
	counter                                            [len(counterNames)]int32
	ruleID, detector, title, group, evidence, count    int32
}

func newMembers(fields *names) members {
	id := fields.find
	m := members{
		process: id("process"), message: id("message"), host: id("host"), pid: id("pid"), severity: id("severity"),
		reason: id("reason"), raw: id("raw"), srcIP: id("src_ip"), dstIP: id("dst_ip"), dstPort: id("dst_port"),
		iface: id("interface"), scope: id("scope"), intervalMS: id("interval_ms"),
		ruleID: id("rule_id"), detector: id("detector"), title: id("title"), group: id("group"),
		evidence: id("evidence"), count: id("count"),
	}
	for i, name := range counterNames {
		m.counter[i] = id(name)
	}
	return m
}
