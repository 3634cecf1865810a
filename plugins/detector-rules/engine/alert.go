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

// fire raises the alert of a rule about what it found, unless it repeats another
// or there are too many.
func (e *Engine) fire(rs *ruleState, s *sighting, raise func(*event.AlertEvent)) {
	r, g := rs.program.rule, s.g
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
	a := e.alert(rs, s)
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

// alert makes the alert of a rule about what it found.
func (e *Engine) alert(rs *ruleState, s *sighting) *event.AlertEvent {
	p := rs.program
	r := p.rule
	a := &event.AlertEvent{
		RuleID: r.ID, Title: r.Title, Description: r.Description, Severity: r.Severity,
		Group: s.key, Tags: slices.Clone(r.Tags), Count: uint64(len(s.entries)),
		Evidence: event.EvidenceConfirmed,
	}
	if r.Forgeable {
		a.Evidence = event.EvidenceForgeable
	}
	for i := range s.entries {
		if !s.entries[i].confirmed {
			a.Evidence = event.EvidenceForgeable
		}
	}
	bodies := cited(p.window, s.entries)
	for _, b := range bodies {
		a.Hops = max(a.Hops, b.hops)
		switch {
		case b.log != nil:
			a.CiteLog(b.log)
		case b.packet != nil:
			a.CitePacket(b.packet)
		}
	}
	e.name(a, s, bodies)
	e.explain(a, p, s)
	return a
}

// cited returns the events that an alert cites: the last, and of a window over
// rules or values the last of each besides.
func cited(w *window, entries []entry) []*body {
	var out []*body
	if w == nil || !w.identifies() {
		for i := range entries {
			if b := entries[i].body; b != nil {
				out = append(out, b)
			}
		}
		return out[max(len(out)-event.MaxCited, 0):]
	}
	kept := make(map[int32]bool, event.MaxCited)
	room := event.MaxCited
	pick := make([]bool, len(entries))
	take := func(i int) {
		if room > 0 && !pick[i] && entries[i].body != nil {
			pick[i] = true
			room--
		}
	}
	for i, n := range slices.Backward(entries) {
		if !kept[n.id] {
			kept[n.id] = true
			take(i)
		}
	}
	for i := range slices.Backward(entries) {
		take(i)
	}
	for i := range entries {
		if pick[i] && !slices.Contains(out, entries[i].body) {
			out = append(out, entries[i].body)
		}
	}
	return out
}

// explain says in the details what the alert stands on.
func (e *Engine) explain(a *event.AlertEvent, p *program, s *sighting) {
	add := func(key, value string) { a.Details = append(a.Details, event.Field{Key: key, Value: value}) }
	r := p.rule
	switch {
	case r.Correlation != nil:
		asked, found := p.window.describe(r.Correlation, s.entries)
		add("correlation", asked)
		if found != "" {
			add("value", found)
		}
		add("rules", cut(strings.Join(r.Correlation.Rules, ", "), maxEntity))
	case r.Threshold != nil:
		add("threshold", fmt.Sprintf("%d in %ds", r.Threshold.Count, int(r.Threshold.Timeframe.Seconds())))
	}
	if p.window != nil {
		add("first_seen", stamp(s.entries[0].time))
		add("last_seen", stamp(s.entries[len(s.entries)-1].time))
		if names := p.groupNames(); len(names) > 0 {
			add("group_by", strings.Join(names, ", "))
		}
	}
	if matched := e.matched(p, s); matched != "" {
		add("matched", matched)
	}
}

func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

// name sets the entities. Only what all cited events agree on is named, since
// an answer acts on what is named; where they differ, the values are listed in
// the details.
func (e *Engine) name(a *event.AlertEvent, s *sighting, bodies []*body) {
	names := entityNames
	if len(s.names) > 0 {
		names = slices.Clone(names)
		for i, name := range s.names {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			// What was found belongs to the group, whatever was kept.
			a.SetEntity(name, strings.Clone(cut(s.group[i], maxEntity)))
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
