package pattern

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ironpost/ironpost/sdk/event"
)

// headCache remembers the starts of messages that were read last, of which a log
// has few: "pam_unix(sshd:session): ". Messages are anyone's, so it holds a
// bounded number of texts of bounded length, and a start that is not there is read
// again, which is slower and never wrong.
type headCache [headSlots]atomic.Pointer[headHit]

const (
	headSlots  = 64
	headLength = 64 // bytes of a start that is remembered
)

// headHit is a start and the fields that it gives.
type headHit struct {
	text   string
	fields []event.Field
}

// cacheable reports whether the first word of a message, with its blank, says all
// about the start: no blank stands before the end of any of the patterns, and no
// address in them.
func cacheable(heads []*pattern) bool {
	for _, p := range heads {
		if p.members || p.guard != 0 {
			return false
		}
		for i := range p.ops {
			o := &p.ops[i]
			last := i == len(p.ops)-1
			switch {
			case o.kind == opLiteral && strings.IndexByte(o.lit, ' ') >= 0 != last,
				last && strings.IndexByte(o.lit, ' ') != len(o.lit)-1,
				o.kind != opLiteral && o.kind != opWord:
				return false
			}
		}
	}
	return true
}

// slot returns the place of a start.
func (c *headCache) slot(text string) *atomic.Pointer[headHit] {
	n := len(text)
	return &c[(uint(n)*7+uint(text[n/2])*31+uint(text[n*3/4]))%headSlots]
}

// get sets the fields of a start and reports whether it is known.
func (c *headCache) get(out *event.LogEvent, text string, fresh bool) bool {
	hit := c.slot(text).Load()
	if hit == nil || hit.text != text {
		return false
	}
	if fresh {
		out.Fields = append(out.Fields, hit.fields...)
		return true
	}
	for _, f := range hit.fields {
		out.Set(f.Key, f.Value)
	}
	return true
}

// add remembers a start.
func (c *headCache) add(text string, fields []event.Field) {
	hit := &headHit{text: strings.Clone(text), fields: slices.Clone(fields)}
	for i := range hit.fields {
		hit.fields[i].Value = strings.Clone(hit.fields[i].Value)
	}
	c.slot(text).Store(hit)
}

// behead sets the fields of the start that the message has, and returns what
// follows it; "" when the message has none of them.
func (c *section) behead(r *matcher, out *event.LogEvent, m string, addresses, fresh bool) string {
	word := ""
	if c.cache != nil {
		if blank := strings.IndexByte(m, ' '); blank > 0 && blank < headLength {
			if word = m[:blank+1]; c.cache.get(out, word, fresh) {
				return m[blank+1:]
			}
		}
	}
	for _, p := range c.heads {
		if !strings.HasPrefix(m, p.lit) {
			continue
		}
		r.begin(p, m, true)
		if !r.match() {
			continue
		}
		before := len(out.Fields)
		r.put(out, p, addresses, fresh)
		if word != "" && r.rest == len(word) && fresh {
			c.cache.add(word, out.Fields[before:])
		}
		return m[r.rest:]
	}
	return ""
}
