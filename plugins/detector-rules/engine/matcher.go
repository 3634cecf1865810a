package engine

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// matcher finds the rules that hold for one event. It is the scratch memory of
// a Set.
type matcher struct {
	*view
	atomStamp   []uint32
	atomValue   []bool
	ruleStamp   []uint32
	needleStamp []uint32
	candidates  []int32
	// folding holds the value that is looked up, folded, if hasFolded.
	folding   []byte
	hasFolded bool
	// written is where a number is written to be looked up.
	written [20]byte
}

func newMatcher(s *Set) *matcher {
	return &matcher{
		view: newView(s), atomStamp: make([]uint32, len(s.atoms)), atomValue: make([]bool, len(s.atoms)),
		ruleStamp: make([]uint32, len(s.rules)), needleStamp: make([]uint32, s.needles),
		candidates: make([]int32, 0, len(s.rules)), folding: make([]byte, 0, 4096),
	}
}

// begin makes ready for the next event.
func (m *matcher) begin() {
	if m.view.begin() {
		clear(m.atomStamp)
		clear(m.ruleStamp)
		clear(m.needleStamp)
	}
	m.candidates = m.candidates[:0]
}

// log returns the numbers of the rules that hold for a log event, in the order
// of the rules. The slice is valid until the next event. Most events bring no
// candidates; their fields never get into the view.
func (m *matcher) log(e *event.LogEvent) []int32 {
	m.begin()
	m.nominate(m.set.always)
	m.watchLog(e)
	if len(m.candidates) == 0 {
		return nil
	}
	m.view.log(e)
	return m.decide(rule.Logs)
}

// watchLog nominates rules by the fields of a log event that have an index. Of
// a name that comes twice the view has the first value alone, so it may nominate
// too many.
func (m *matcher) watchLog(e *event.LogEvent) {
	w := &m.set.watchedMembers
	if e.Process != "" {
		m.watch(w.process, e.Process)
	}
	if e.Message != "" {
		m.watch(w.message, e.Message)
	}
	if e.Host != "" {
		m.watch(w.host, e.Host)
	}
	if e.PID != 0 && w.pid != absent {
		m.watch(w.pid, alias(strconv.AppendUint(m.written[:0], uint64(e.PID), 10)))
	}
	if e.Severity != event.SeverityUnknown && w.severity != absent {
		m.watch(w.severity, e.Severity.String())
	}
	if e.Reason != "" {
		m.watch(w.reason, e.Reason)
	}
	if len(e.Raw) > 0 {
		m.watch(w.raw, alias(e.Raw))
	}
	watched := &m.set.watched
	for i := range e.Fields {
		if f := &e.Fields[i]; watched.maybe[sketch(f.Key)] {
			m.watch(watched.search(f.Key), f.Value)
		}
	}
}

func (m *matcher) watch(id int32, value string) {
	if id != absent {
		m.set.index[id].look(m, value)
	}
}

// packet is log for a packet summary.
func (m *matcher) packet(p *event.PacketEvent) []int32 {
	m.begin()
	m.view.packet(p)
	return m.match(rule.Packets)
}

// alert is log for another detector's alert.
func (m *matcher) alert(a *event.AlertEvent) []int32 {
	m.begin()
	m.view.alert(a)
	return m.match(rule.Alerts)
}

// match is log for the event in the view.
func (m *matcher) match(kind rule.Kinds) []int32 {
	m.nominate(m.set.always)
	for _, f := range m.present {
		m.set.index[f].look(m, m.value[f])
	}
	return m.decide(kind)
}

// foldOnce returns the value that is looked up, folded.
func (m *matcher) foldOnce(value string) string {
	if !m.hasFolded {
		m.folding, m.hasFolded = appendFold(m.folding[:0], value), true
	}
	return alias(m.folding)
}

// decide returns those of the candidates that hold, in the order of the rules.
func (m *matcher) decide(kind rule.Kinds) []int32 {
	out := m.candidates[:0]
	for _, number := range m.candidates {
		p := m.set.rules[number]
		if p.rule.Kinds&kind != 0 && m.eval(&p.root) {
			out = append(out, number)
		}
	}
	// Few rules hold at once, and in nearly the right order.
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j-1] > out[j]; j-- {
			out[j-1], out[j] = out[j], out[j-1]
		}
	}
	return out
}

func (m *matcher) nominate(rules []int32) {
	for _, number := range rules {
		if m.ruleStamp[number] != m.epoch {
			m.ruleStamp[number] = m.epoch
			m.candidates = append(m.candidates, number)
		}
	}
}

// fits compares a text that is not folded, without regard to case.
func (a *atom) fits(text string) (found, sure bool) {
	switch a.op {
	case rule.Equals:
		return a.is(text)
	case rule.Contains:
		return a.in(text)
	case rule.StartsWith:
		return a.begins(text)
	case rule.EndsWith:
		return a.ends(text)
	}
	return false, true
}

func fits(op rule.Operator, s, text string) bool {
	switch op {
	case rule.Equals:
		return s == text
	case rule.Contains:
		return strings.Contains(s, text)
	case rule.StartsWith:
		return strings.HasPrefix(s, text)
	case rule.EndsWith:
		return strings.HasSuffix(s, text)
	}
	return false
}

// inPrefix reports whether s is an address inside p. Texts that cannot be an
// address are told apart first, because the error of ParseAddr is an
// allocation.
func inPrefix(p netip.Prefix, s string) bool {
	if len(s) < 2 || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'f') && s[i] != '.' && s[i] != ':' {
			return s[i] == '%' && i > 1 && inPrefix(p, s[:i])
		}
	}
	a, err := netip.ParseAddr(s)
	return err == nil && p.Contains(a.Unmap())
}
