package engine

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// question asks whether an event completes a window over all hosts.
type question struct {
	rs *ruleState
	g  *group
	// at is the time of the event, class who speaks.
	at    int64
	class class
	op    sdk.SharedOperation
}

// ask puts the question whether the event at hand completes a window of the group over
// all hosts. The entry is in the group.
func (e *Engine) ask(rs *ruleState, f *supply, from *sighting, g *group, n entry, value []byte) {
	p := rs.program
	r := p.rule
	id := e.now.id()
	trace := event.Trace(e.opts.HostID, id)
	s := e.sighted()
	defer e.leave(s)
	s.by, s.cause, s.key, s.g = p, from, g.name(), g
	first := slices.IndexFunc(g.entries, func(o entry) bool { return o.time > n.time-p.window.span })
	end := slices.IndexFunc(g.entries, func(o entry) bool { return o.time > n.time })
	if end < 0 {
		end = len(g.entries)
	}
	s.entries = g.entries[max(first, 0):end]
	for i := range f.group {
		s.names = append(s.names, f.group[i].name)
		s.group = append(s.group, from.get(&f.group[i]))
	}
	a := e.alert(rs, s)
	// The events of others are not at hand: what completes the window names the alert.
	a.ID, a.TraceID = event.AlertID(r.ID, g.name(), id), trace
	count := r.FleetCount()
	a.Count = uint64(count) //nolint:gosec // positive
	a.Details = append(a.Details, event.Field{Key: "scope", Value: "fleet"})
	a.Time = time.Unix(0, n.time).UTC()
	if from := e.now.alert; from != nil {
		a.Hops, a.Provenance, a.Peer = min(from.Hops, event.MaxHops-1)+1, from.Provenance, from.Peer
	}
	by, limit := e.now.speaker.class(), e.limitOf(r)
	e.questions = append(e.questions, question{rs: rs, g: g, at: n.time, class: by, op: sdk.SharedOperation{
		Key: sharedKey(p.key, g.key), Span: time.Duration(p.window.span),
		Window: &sdk.WindowAdd{
			Time: time.Unix(0, n.time), ID: trace[:], Value: sharedValue(value), Threshold: count, Quiet: quiet(r.Suppress), Alert: a,
			Limit: &sdk.AlertLimit{Key: sharedKey(p.key, strconv.Itoa(int(by))), Span: limit.Timeframe, Count: uint64(limit.Count)}, //nolint:gosec // positive
		},
	}})
}

// id is that of the event at hand.
func (o *occurrence) id() event.ID {
	switch {
	case o.log != nil:
		return o.log.ID()
	case o.packet != nil:
		return o.packet.ID()
	case len(o.alert.Causes) > 0:
		return o.alert.Causes[0]
	}
	return event.ID{Stream: event.StreamID(o.alert.Detector, o.alert.ID)}
}

// sharedKey names a window to all hosts: whole where it is short.
func sharedKey(program, group string) string {
	if key := program + group; len(key) <= sdk.MaxSharedKey {
		return key
	}
	sum := sha256.Sum256([]byte(program + group))
	return program[:min(len(program), sdk.MaxSharedKey-len(sum))] + string(sum[:])
}

// sharedValue is a value as others compare it.
func sharedValue(value []byte) []byte {
	if len(value) <= sdk.MaxSharedValue {
		return slices.Clone(value)
	}
	sum := sha256.Sum256(value)
	return sum[:]
}

// Asking is how many questions there are.
func (e *Engine) Asking() int { return len(e.questions) }

// Questions returns what has to be asked of all hosts about the events so far, one
// operation each; it stays valid until Answer or Alone, one of which has to follow.
func (e *Engine) Questions() []sdk.SharedOperation {
	e.operations = e.operations[:0]
	for i := range e.questions {
		e.operations = append(e.operations, e.questions[i].op)
	}
	return e.operations
}

// Answer takes what came of the questions. The alerts of windows that are complete have
// been raised.
func (e *Engine) Answer(results []sdk.SharedResult) {
	for i := range e.questions[:min(len(e.questions), len(results))] {
		q := &e.questions[i]
		switch r := results[i]; {
		case r.Limited:
			e.limited(q)
		case r.Done:
			e.raised(q)
		case r.Count >= uint64(q.op.Window.Threshold): //nolint:gosec // positive
			e.held(q) // all hosts have been told shortly before
		}
	}
	e.answered()
}

// Alone decides the questions by what this host has counted, when nobody could be asked, and
// raises the alerts of windows that are complete.
func (e *Engine) Alone(raise func(*event.AlertEvent)) {
	for i := range e.questions {
		q := &e.questions[i]
		if !e.completeHere(q) {
			continue
		}
		if suppress := q.rs.program.rule.Suppress; suppress != nil && q.g.suppress(q.at, suppress.Timeframe) {
			e.held(q)
			continue
		}
		if !q.rs.rates[q.class].allow(q.at, e.limitOf(q.rs.program.rule)) {
			e.limited(q)
			continue
		}
		raise(q.op.Window.Alert)
		e.raised(q)
	}
	e.answered()
}

// completeHere reports whether what this host has counted up to the event completes its
// window. What came after it has questions of its own.
func (e *Engine) completeHere(q *question) bool {
	all := q.g.entries
	last := len(all) - 1
	for last >= 0 && all[last].time != q.at {
		last--
	}
	if q.g.gone || last < 0 {
		return false
	}
	q.g.entries = all[:last+1]
	_, end := e.complete(q.rs.program.window, q.g, last)
	q.g.entries = all
	return end > 0
}

// raised counts an alert that was raised.
func (e *Engine) raised(q *question) {
	q.rs.alerts++
	e.stats.Alerts++
	if q.rs.program.rule.Correlation != nil {
		q.rs.hits++
		q.rs.lastHit = q.at
	}
	if q.rs.program.rule.Suppress != nil {
		q.g.lastAlert, q.g.alerted = q.at, true
	}
	e.pass(q)
}

// held counts an alert that was held back.
func (e *Engine) held(q *question) {
	q.rs.suppressed++
	e.stats.Suppressed++
	e.pass(q)
}

// limited counts an alert that was one too many.
func (e *Engine) limited(q *question) {
	q.rs.rateLimited++
	e.stats.RateLimited++
	e.pass(q)
}

// answered forgets the questions.
func (e *Engine) answered() {
	clear(e.questions)
	clear(e.operations)
	e.questions = e.questions[:0]
}

// pass takes what a complete window counted out of the group.
func (e *Engine) pass(q *question) {
	g := q.g
	if g.gone {
		return
	}
	kept := g.entries[:0]
	for _, n := range g.entries {
		if n.time > q.at {
			kept = append(kept, n)
			continue
		}
		e.grow(g, -n.cost())
	}
	clear(g.entries[len(kept):])
	g.entries = kept
	if len(kept) == 0 && !g.alerted {
		e.empty(g)
		e.drop(g)
		return
	}
	e.touch(g)
}

// quiet is for how long an alert holds others of the same group back, on all hosts.
func quiet(s *rule.Suppress) time.Duration {
	if s == nil {
		return 0
	}
	return s.Timeframe
}
