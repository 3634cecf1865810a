package pattern

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ironpost/ironpost/plugins/internal/octets"
	"github.com/ironpost/ironpost/sdk/event"
)

// headCache remembers the starts of messages that were read last, of which a log
// has few: "pam_unix(sshd:session): ". Messages are anyone's, so it holds a
// bounded number of texts of bounded length, and a start that is not there is read
// again, which is slower and never wrong.
type headCache [headSlots]atomic.Pointer[headHit]

const (
	headSlots = 1 << 6
	// The bytes of a start that is remembered.
	headLeast, headMost = 16, 64
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

// slot returns the place of a start, or of a message that may begin with one: that
// of its first bytes, so that where the start ends need not be known.
func (c *headCache) slot(text string) *atomic.Pointer[headHit] {
	key := (octets.Load(text) ^ octets.Load(text[8:])*0x9e37_79b9_7f4a_7c15) * 0x9e37_79b9_7f4a_7c15
	return &c[key>>(64-6)]
}

// get sets the fields of the start that a message has, and returns its length; 0
// when it is not known.
func (c *headCache) get(out *event.LogEvent, m string, fresh bool) int {
	if len(m) < headLeast {
		return 0
	}
	hit := c.slot(m).Load()
	if hit == nil || !strings.HasPrefix(m, hit.text) {
		return 0
	}
	for i := range hit.fields {
		if fresh {
			out.Fields = append(out.Fields, hit.fields[i])
		} else {
			out.Set(hit.fields[i].Key, hit.fields[i].Value)
		}
	}
	return len(hit.text)
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
	if c.cache != nil {
		if n := c.cache.get(out, m, fresh); n > 0 {
			return m[n:]
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
		if c.cache != nil && fresh && headLeast <= r.rest && r.rest <= headMost {
			c.cache.add(m[:r.rest], out.Fields[before:])
		}
		return m[r.rest:]
	}
	return ""
}
