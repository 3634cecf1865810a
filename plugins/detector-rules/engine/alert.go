package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
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
	if e.opts.Fleet && r.AsksFleet() {
		e.propose(rs, s)
		return
	}
	if r.Suppress != nil && e.repeats(rs, s) {
		return
	}
	rate := &rs.rates[e.now.speaker.class()]
	if !rate.allow(e.now.time, e.limitOf(r)) {
		rs.rateLimited++
		e.stats.RateLimited++
		return
	}
	a := e.alert(rs, s)
	a.Details = append(a.Details, heldBack(g, rate)...)
	toldHeldBack(g, rate)
	rs.alerts++
	e.stats.Alerts++
	raise(a)
}

// repeats reports, and counts, whether an alert of what was found repeats one that this host
// raised. The next ones repeat this one, if not.
func (e *Engine) repeats(rs *ruleState, s *sighting) bool {
	if !s.g.suppress(e.now.time, rs.program.rule.Suppress.Timeframe) {
		return false
	}
	rs.suppressed++
	e.stats.Suppressed++
	return true
}

// heldBack are the details about alerts that were held back since the last one.
func heldBack(g *group, rate *limiter) (out []event.Field) {
	if g != nil && g.suppressed > 0 {
		out = append(out, event.Field{Key: "suppressed", Value: strconv.FormatUint(g.suppressed, 10)})
	}
	if rate.held > 0 {
		out = append(out, event.Field{Key: "rate_limited", Value: strconv.FormatUint(rate.held, 10)})
	}
	return out
}

// toldHeldBack begins anew, once an alert has told.
func toldHeldBack(g *group, rate *limiter) {
	if g != nil {
		g.suppressed = 0
	}
	if rate.held > 0 {
		rate.held, rate.dirty = 0, true
	}
}

// limitOf is how many alerts of a rule there may be.
func (e *Engine) limitOf(r *rule.Rule) rule.Limit {
	if r.RateLimit.Count == 0 {
		return e.opts.RateLimit
	}
	return r.RateLimit
}

// alert makes the alert of a rule about what it found.
func (e *Engine) alert(rs *ruleState, s *sighting) *event.AlertEvent {
	p := rs.program
	r := p.rule
	if s.entries == nil {
		s.one[0] = e.passing()
		s.entries = s.one[:]
	}
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
	e.cite(p.window, s.entries)
	a.Causes = make([]event.ID, 0, len(e.cited))
	a.Details = make([]event.Field, 0, usualDetails)
	a.Entities = make([]event.Field, 0, len(entityNames))
	for i := range e.cited {
		c := &e.cited[i]
		a.Hops = max(a.Hops, c.hops)
		switch {
		case c.event != nil:
			if a.Logs == nil {
				a.Logs = make([]*event.LogEvent, 0, len(e.cited))
			}
			a.CiteLog(c.event)
		case c.packet != nil:
			a.CitePacket(c.packet)
		}
	}
	e.name(a, s, e.cited)
	e.explain(a, p, s)
	clear(e.cited)
	return a
}

// usualDetails is how many details an alert has mostly at most.
const usualDetails = 8

// citation is an event that an alert cites.
type citation struct {
	*body
	// event is the body's log event, nil if it has none.
	event *event.LogEvent
}

// cite finds the events that an alert cites, for e.cited: the last, and of a window
// over rules or values the last of each besides.
func (e *Engine) cite(w *window, entries []entry) {
	e.cited = e.cited[:0]
	if w == nil || !w.identifies() {
		for i := len(entries) - 1; i >= 0 && len(e.cited) < event.MaxCited; i-- {
			if b := entries[i].body; b != nil {
				e.cited = append(e.cited, citation{body: b})
			}
		}
		slices.Reverse(e.cited)
		e.read()
		return
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
		if b := entries[i].body; pick[i] && !slices.ContainsFunc(e.cited, func(c citation) bool { return c.body == b }) {
			e.cited = append(e.cited, citation{body: b})
		}
	}
	e.read()
}

// read reads the log events that are cited, into memory that they share.
func (e *Engine) read() {
	n := 0
	for i := range e.cited {
		if c := &e.cited[i]; c.log != nil {
			n++
		} else {
			c.event = c.body.event
		}
	}
	if n == 0 {
		return
	}
	events, s := make([]event.LogEvent, n), scan{shares: true, room: make([]event.Field, 0, n*usualFields)}
	for i := range e.cited {
		if c := &e.cited[i]; c.log != nil {
			n--
			c.event, s.b = &events[n], c.log
			s.log(c.event)
			c.event.Stream = c.source
		}
	}
}

// usualFields is how many fields a log event mostly has at most.
const usualFields = 6

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
func (e *Engine) name(a *event.AlertEvent, s *sighting, cited []citation) {
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
		if a.Entity(name) != "" || len(cited) == 0 {
			continue
		}
		values, everywhere := valuesOf(e.values[:0], cited, name)
		e.values = values
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

// valuesOf appends the different values that the events have for a field, in
// the order of their coming, and tells whether every event has it.
func valuesOf(values []string, cited []citation, name string) (_ []string, everywhere bool) {
	everywhere = true
	for i := range cited {
		v := cited[i].get(name)
		if v == "" {
			everywhere = false
		} else if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, everywhere
}

// get returns the value that an entity has in the event.
func (c *citation) get(name string) string {
	for _, f := range c.entities {
		if f.Key == name {
			return f.Value
		}
	}
	switch {
	case c.entities != nil:
		return ""
	case c.event != nil:
		v, _ := c.event.Get(name)
		return v
	case c.packet != nil:
		switch p := c.packet; {
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
