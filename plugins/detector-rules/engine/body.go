package engine

import (
	"bytes"
	"slices"

	"github.com/ironpost/ironpost/sdk/event"
)

// body is the copy of an event that is kept to be cited. It is not changed once
// it is made; groups of several rules may share it.
type body struct {
	// log is a log event as writer.log writes it, which is small and has no pointers:
	// most that are kept are never cited. source is its stream.
	log    []byte
	source *event.Stream
	// event stands for log where the event is cited at once, and by nothing that is
	// kept.
	event  *event.LogEvent
	packet *event.PacketEvent
	// For an alert, its entities stand for the event's fields, its first cited
	// event for the event.
	entities []event.Field
	hops     uint8
	// size is its cost in bytes; clipped says that it is not the whole event.
	size    int
	clipped bool
}

// entry makes an entry of the event at hand for a rule that counts to count.
func (e *Engine) entry(count int) entry {
	limit := event.MaxCitedBytes/min(count, event.MaxCited) - citedMargin
	if b := e.now.body; b == nil || b.size > limit || b.clipped {
		e.now.body = e.newBody(limit)
	}
	return entry{time: e.now.time, stream: e.now.stream, confirmed: e.now.confirmed, body: e.now.body}
}

// passing is entry for a rule that counts nothing: nothing but its alert needs the
// event.
func (e *Engine) passing() entry {
	if e.now.log == nil {
		return e.entry(1)
	}
	if e.now.passing == nil {
		l := *e.now.log
		if limit := event.MaxCitedBytes - citedMargin; logSize(&l) > limit {
			clip(&l, limit)
		}
		own(&l)
		e.now.passing = &body{event: &l}
	}
	return entry{time: e.now.time, stream: e.now.stream, confirmed: e.now.confirmed, body: e.now.passing}
}

// citedMargin is left for the frame around a cited event.
const citedMargin = 256

// newBody copies the event at hand, cut to about limit bytes.
func (e *Engine) newBody(limit int) *body {
	b, now := &body{size: bodyCost}, &e.now
	switch {
	case now.log != nil:
		e.keep(b, now.log, limit)
	case now.packet != nil:
		b.packet = now.packet.Clone()
	case now.alert != nil:
		if len(now.alert.Logs) > 0 {
			e.keep(b, now.alert.Logs[0], limit)
		} else if len(now.alert.Packets) > 0 {
			b.packet = now.alert.Packets[0].Clone()
		}
		b.entities = event.CloneFields(now.alert.Entities)
		b.hops = now.alert.Hops + 1
		for _, f := range b.entities {
			b.size += 32 + len(f.Key) + len(f.Value)
		}
	}
	if b.log != nil {
		b.clipped = b.clipped || b.size > limit
	}
	if b.packet != nil {
		b.size += 256
	}
	return b
}

func logSize(l *event.LogEvent) int {
	n := len(l.Host) + len(l.Process) + len(l.Message) + len(l.Raw) + len(l.Reason)
	for _, f := range l.Fields {
		n += 40 + len(f.Key) + len(f.Value)
	}
	return n
}

// bodyCost is what a body costs beside its texts and fields.
const bodyCost = 256

// keep copies a log event into a body. One that is larger than limit is cut.
func (e *Engine) keep(b *body, l *event.LogEvent, limit int) {
	size := logSize(l)
	if size > limit {
		clipped := *l
		clip(&clipped, limit)
		l, size = &clipped, logSize(&clipped)
	}
	w := writer{e.body[:0]}
	w.log(l)
	e.body = w.b
	b.log, b.source = bytes.Clone(w.b), l.Stream
	b.size += size
	b.clipped = l.Flags&event.FlagTruncated != 0
}

// clip cuts a log event to limit: its raw bytes and its message to a quarter each,
// its fields to what is left, and it is marked as truncated; whoever needs all of
// it has its id.
func clip(c *event.LogEvent, limit int) {
	c.Flags |= event.FlagTruncated
	c.Host, c.Process, c.Reason = cut(c.Host, 256), cut(c.Process, 256), cut(c.Reason, 256)
	c.Message = cut(c.Message, limit/4)
	c.Raw = c.Raw[:min(len(c.Raw), limit/4)]
	left := limit - len(c.Host) - len(c.Process) - len(c.Reason) - len(c.Message) - len(c.Raw)
	fields := c.Fields
	c.Fields = nil
	for _, f := range fields {
		f.Value = cut(f.Value, 512)
		if left -= 40 + len(f.Key) + len(f.Value); left < 0 {
			break
		}
		c.Fields = append(c.Fields, f)
	}
}

// own gives a log event memory of its own, one piece for all its texts.
func own(c *event.LogEvent) {
	size := len(c.Host) + len(c.Process) + len(c.Message) + len(c.Reason)
	for i := range c.Fields {
		size += len(c.Fields[i].Key) + len(c.Fields[i].Value)
	}
	memory := make([]byte, 0, size)
	copied := func(s string) string {
		from := len(memory)
		memory = append(memory, s...)
		return alias(memory[from:])
	}
	c.Host, c.Process, c.Message, c.Reason = copied(c.Host), copied(c.Process), copied(c.Message), copied(c.Reason)
	c.Raw, c.Fields = slices.Clone(c.Raw), slices.Clone(c.Fields)
	for i := range c.Fields {
		f := &c.Fields[i]
		f.Key, f.Value = copied(f.Key), copied(f.Value)
	}
}
