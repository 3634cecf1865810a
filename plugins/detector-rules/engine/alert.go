package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/sdk/event"
)

// entityNames are the fields that name what an alert is about. The fields of
// group_by join them.
var entityNames = []string{"src_ip", "dst_ip", "dst_port", "user", "process", "container_id", "host"}

// maxEntity bounds the text of an entity in bytes, maxListed how many values
// of an ambiguous one are listed.
const (
	maxEntity = 1024
	maxListed = 8
)

// body is the copy of an event that is kept to be cited. It is not changed once
// it is made; groups of several rules may share it.
type body struct {
	log    *event.LogEvent
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
		e.now.body = newBody(&e.now, limit)
	}
	return entry{time: e.now.time, stream: e.now.stream, confirmed: e.now.confirmed, body: e.now.body}
}

// citedMargin is left for the frame around a cited event.
const citedMargin = 256

// newBody copies the event at hand, cut to about limit bytes.
func newBody(now *occurrence, limit int) *body {
	var b *body
	switch {
	case now.log != nil:
		b = newLogBody(now.log, limit)
	case now.packet != nil:
		b = &body{packet: now.packet.Clone()}
	case now.alert != nil:
		b = new(body)
		if len(now.alert.Logs) > 0 {
			b = newLogBody(now.alert.Logs[0], limit)
		} else if len(now.alert.Packets) > 0 {
			b.packet = now.alert.Packets[0].Clone()
		}
		b.entities = event.CloneFields(now.alert.Entities)
		b.hops = now.alert.Hops + 1
		for _, f := range b.entities {
			b.size += 32 + len(f.Key) + len(f.Value)
		}
	}
	b.size += bodyCost
	if b.log != nil {
		b.size += logSize(b.log)
		b.clipped = b.size > limit || b.log.Flags&event.FlagTruncated != 0
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

// logBody is a body of a log event: one piece of memory, beside that of its texts.
type logBody struct {
	body
	event  event.LogEvent
	fields [usualFields]event.Field
}

const (
	// bodyCost is what a body costs beside its texts and fields.
	bodyCost = 256
	// usualFields is how many fields a log event mostly has at most.
	usualFields = 6
)

// newLogBody copies a log event. One that is larger than limit is cut.
func newLogBody(l *event.LogEvent, limit int) *body {
	b := &logBody{event: *l}
	b.log = &b.event
	if logSize(l) > limit {
		clip(b.log, limit)
	}
	own(b.log, b.fields[:0])
	return &b.body
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

// own gives a log event memory of its own: room for its fields, if it suffices,
// and one piece for all its texts.
func own(c *event.LogEvent, room []event.Field) {
	if len(c.Fields) > 0 {
		c.Fields = append(room, c.Fields...)
	}
	c.Raw = slices.Clone(c.Raw)
	texts := func(visit func(*string)) {
		for _, s := range [...]*string{&c.Host, &c.Process, &c.Message, &c.Reason} {
			visit(s)
		}
		for i := range c.Fields {
			visit(&c.Fields[i].Key)
			visit(&c.Fields[i].Value)
		}
	}
	size := 0
	texts(func(s *string) { size += len(*s) })
	memory := make([]byte, 0, size)
	texts(func(s *string) {
		memory = append(memory, *s...)
		*s = alias(memory[len(memory)-len(*s):])
	})
}

// cut shortens a text to at most n bytes without cutting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// fire raises the alert of a rule about the entries, unless it repeats another
// or there are too many. g is nil when the rule remembers nothing.
func (e *Engine) fire(rs *ruleState, key string, g *group, entries []entry, raise func(*event.AlertEvent)) {
	r := rs.program.rule
	if r.Suppress != nil && g.suppress(e.now.time, r.Suppress.Timeframe) {
		rs.suppressed++
		e.stats.Suppressed++
		return
	}
	limit := r.RateLimit
	if limit.Count == 0 {
		limit = e.opts.RateLimit
	}
	if !rs.rate.allow(e.now.time, limit) {
		rs.rateLimited++
		e.stats.RateLimited++
		return
	}
	a := e.alert(rs, key, entries)
	if g != nil && g.suppressed > 0 {
		a.Details = append(a.Details, event.Field{Key: "suppressed", Value: strconv.FormatUint(g.suppressed, 10)})
		g.suppressed = 0
	}
	if rs.rate.held > 0 {
		a.Details = append(a.Details, event.Field{Key: "rate_limited", Value: strconv.FormatUint(rs.rate.held, 10)})
		rs.rate.held = 0
	}
	rs.alerts++
	e.stats.Alerts++
	raise(a)
}

// alert makes the alert of a rule about the entries, the last of them cited.
func (e *Engine) alert(rs *ruleState, key string, entries []entry) *event.AlertEvent {
	r := rs.program.rule
	a := &event.AlertEvent{
		RuleID: r.ID, Title: r.Title, Description: r.Description, Severity: r.Severity,
		Group: key, Tags: slices.Clone(r.Tags), Count: uint64(len(entries)),
		Evidence: event.EvidenceConfirmed,
	}
	if r.Forgeable {
		a.Evidence = event.EvidenceForgeable
	}
	var bodies []*body
	for _, n := range entries {
		if !n.confirmed {
			a.Evidence = event.EvidenceForgeable
		}
		if n.body != nil {
			bodies = append(bodies, n.body)
		}
	}
	bodies = bodies[max(len(bodies)-event.MaxCited, 0):]
	for _, b := range bodies {
		a.Hops = max(a.Hops, b.hops)
		switch {
		case b.log != nil:
			a.CiteLog(b.log)
		case b.packet != nil:
			a.CitePacket(b.packet)
		}
	}
	e.name(a, rs.program, bodies)
	if t := r.Threshold; t != nil {
		a.Details = append(a.Details,
			event.Field{Key: "threshold", Value: fmt.Sprintf("%d in %ds", t.Count, int(t.Timeframe.Seconds()))},
			event.Field{Key: "first_seen", Value: stamp(entries[0].time)},
			event.Field{Key: "last_seen", Value: stamp(entries[len(entries)-1].time)})
		if len(t.GroupBy) > 0 {
			a.Details = append(a.Details, event.Field{Key: "group_by", Value: strings.Join(t.GroupBy, ", ")})
		}
	}
	return a
}

func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

// name sets the entities. Only what all cited events agree on is named, since
// an answer acts on what is named; where they differ, the values are listed in
// the details.
func (e *Engine) name(a *event.AlertEvent, p *program, bodies []*body) {
	names := entityNames
	if t := p.rule.Threshold; t != nil {
		names = slices.Clone(names)
		for i, name := range t.GroupBy {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			// The event at hand belongs to the group, whatever was kept.
			value := e.matcher.get(p.group[i])
			a.SetEntity(name, strings.Clone(cut(value, maxEntity)))
		}
	}
	for _, name := range names {
		if a.Entity(name) != "" || len(bodies) == 0 {
			continue
		}
		values, everywhere := valuesOf(bodies, name)
		switch {
		case len(values) == 1 && everywhere:
			a.SetEntity(name, strings.Clone(cut(values[0], maxEntity)))
		case len(values) > 0:
			text := strings.Join(values[:min(len(values), maxListed)], ", ")
			if len(values) > maxListed {
				text += fmt.Sprintf(" and %d more", len(values)-maxListed)
			}
			a.Details = append(a.Details, event.Field{Key: name, Value: cut(text, maxEntity)})
		}
	}
}

// valuesOf returns the different values that the events have for a field, in
// the order of their coming, and whether every event has it.
func valuesOf(bodies []*body, name string) (values []string, everywhere bool) {
	everywhere = true
	for _, b := range bodies {
		v := b.get(name)
		if v == "" {
			everywhere = false
		} else if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, everywhere
}

// get returns the value that an entity has in the event.
func (b *body) get(name string) string {
	for _, f := range b.entities {
		if f.Key == name {
			return f.Value
		}
	}
	switch {
	case b.entities != nil:
		return ""
	case b.log != nil:
		v, _ := b.log.Get(name)
		return v
	case b.packet != nil:
		switch p := b.packet; {
		case name == "src_ip" && p.Source.IsValid():
			return p.Source.String()
		case name == "dst_ip" && p.Destination.IsValid():
			return p.Destination.String()
		case name == "dst_port" && p.DestinationPort != 0:
			return strconv.Itoa(int(p.DestinationPort))
		}
	}
	return ""
}
