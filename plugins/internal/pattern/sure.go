package pattern

import "slices"

// anchorsOf returns texts of a pattern such that the guarded captures stand at the
// same place in every reading of a message that holds each of the texts once. They
// spare the search for a second reading, which takes long when there are many
// readings that differ in fields that are not guarded. ok is false when no texts
// do that.
//
// A text of the pattern that every message has (so none of an optional part) is
// read at a place where the message holds it. When there is one such place alone,
// every reading has it there, and from there on the place of all that says itself
// how long it is.
func (p *program) anchorsOf(guard uint32) (texts []string, ok bool) {
	inside := 0 // the op after the optional part
	for i := range p.ops {
		o := &p.ops[i]
		if o.kind == opOpen {
			inside = o.skip
		}
		if o.slot < 0 || guard&(1<<o.slot) == 0 {
			continue
		}
		start, begins := p.anchor(i)
		if i < inside || !begins {
			return nil, false
		}
		if start != "" && !slices.Contains(texts, start) {
			texts = append(texts, start)
		}
		switch {
		case !o.isFree(), o.do == doAll, o.do == doWord:
			// Where it begins says where it ends.
		case i+1 < len(p.ops) && p.ops[i+1].kind == opLiteral && !p.ends(i+1):
			if end := p.ops[i+1].lit; !slices.Contains(texts, end) {
				texts = append(texts, end)
			}
		default:
			return nil, false
		}
	}
	return texts, true
}

// anchor returns the text whose place says where an op begins, "" when the start of
// the message does.
func (p *program) anchor(op int) (text string, ok bool) {
	for i := op; i > 0; i-- {
		before := &p.ops[i-1]
		switch {
		case p.ends(i), before.kind == opOpen, before.isChoice(), before.do == doAll:
			return "", false
		case before.kind == opLiteral:
			return before.lit, true
		}
	}
	return "", true
}

// isSure reports whether the message holds each of the anchors once.
func (m *matcher) isSure() bool {
	for i := range m.pattern.anchors {
		l := &m.pattern.anchors[i]
		if at := l.find(m.s, 0); at < 0 || l.find(m.s, at+1) >= 0 {
			return false
		}
	}
	return m.pattern.anchored
}
