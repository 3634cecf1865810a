package engine

import (
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
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
}

func newMatcher(s *Set) *matcher {
	return &matcher{
		view: newView(s), atomStamp: make([]uint32, len(s.atoms)), atomValue: make([]bool, len(s.atoms)),
		ruleStamp: make([]uint32, len(s.rules)), needleStamp: make([]uint32, s.needles),
		candidates: make([]int32, 0, len(s.rules)),
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

// match returns the numbers of the rules that look at kind and hold for the
// event in the view, in the order of the rules. The slice is valid until the
// next begin.
func (m *matcher) match(kind rule.Kinds) []int32 {
	for _, f := range m.present {
		idx := &m.set.index[f]
		m.nominate(idx.present)
		if idx.exact != nil {
			m.nominate(idx.exact[m.lower(f)])
		}
		if idx.scanner.needles != nil {
			idx.scanner.scan(m, m.lower(f))
		}
	}
	m.nominate(m.set.always)
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
