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

// question asks whether an event completes a window over all hosts, or whether an alert is
// neither a duplicate nor one too many by what all of them raised.
type question struct {
	rs *ruleState
	g  *group // nil when there is none
	// at is the time of the event, class who speaks.
	at    int64
	class class
	// proposes says that the window is complete here, and the alert is in question.
	proposes bool
	op       sdk.SharedOperation
}

// ask puts the question whether the event at hand completes a window of the group over
// all hosts. The entry is in the group.
func (e *Engine) ask(rs *ruleState, f *supply, from *sighting, g *group, n entry, value []byte) {
	p := rs.program
	r := p.rule
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
	id := e.pledge(a, g.name(), e.now.id(), n.time)
	count := r.FleetCount()
	a.Count = uint64(count) //nolint:gosec // positive
	q := question{rs: rs, g: g, at: n.time, class: e.now.speaker.class()}
	q.op = sdk.SharedOperation{Key: sharedKey(p.key, g.key), Span: time.Duration(p.window.span), Window: &sdk.WindowAdd{
		ID: id[:], Value: sharedValue(value), Threshold: count, Quiet: quiet(r.Suppress),
	}}
	e.put(q, a, true)
}

// propose puts the question whether an alert of what was found is to be raised: a window of
// its own, which it completes.
func (e *Engine) propose(rs *ruleState, s *sighting) {
	p := rs.program
	r := p.rule
	q := question{rs: rs, g: s.g, at: e.now.time, class: e.now.speaker.class(), proposes: true}
	w := &sdk.WindowAdd{Threshold: 1}
	q.op = sdk.SharedOperation{Key: sharedKey(p.key, "alerts"), Span: proposalSpan, Window: w}
	switch suppress := r.Suppress; {
	case suppress == nil:
	case !suppress.Fleet:
		if e.repeats(rs, s) {
			return
		}
	case s.g.repeats(q.at, suppress.Timeframe): // this host's own: nobody has to be asked
		e.held(&q)
		return
	default:
		q.op.Key, w.Quiet = sharedKey(p.key, "alerts"+s.g.key), suppress.Timeframe
	}
	a := e.alert(rs, s)
	first := e.now.id()
	if len(a.Causes) > 0 {
		first = a.Causes[0]
	}
	e.pledge(a, a.Group, first, q.at)
	// A rule may find more than one thing by the same event.
	id := sha256.Sum256([]byte(e.opts.HostID + "|" + a.ID))
	w.ID = id[:16]
	e.put(q, a, r.RateLimit.Fleet)
}

// proposalSpan is the span of windows that one event completes: they hold nothing, and what
// was asked is remembered for ten minutes.
const proposalSpan = time.Second

// pledge makes an alert one that the host can raise later, named after an event of a group. It
// returns the name that the event has on all hosts.
func (e *Engine) pledge(a *event.AlertEvent, group string, id event.ID, at int64) event.TraceID {
	trace := event.Trace(e.opts.HostID, id)
	a.ID, a.TraceID = event.AlertID(a.RuleID, group, id), trace
	a.Details = append(a.Details, event.Field{Key: "scope", Value: "fleet"})
	a.Time = time.Unix(0, at).UTC()
	if from := e.now.alert; from != nil {
		a.Hops, a.Provenance, a.Peer = min(from.Hops, event.MaxHops-1)+1, from.Provenance, from.Peer
	}
	return trace
}

// put adds a question with the alert that it is about, and the rule's limit: of all hosts or
// of this one.
func (e *Engine) put(q question, a *event.AlertEvent, fleet bool) {
	limit := e.limitOf(q.rs.program.rule)
	of := strconv.Itoa(int(q.class))
	if !fleet {
		of += "|" + e.opts.HostID
	}
	w := q.op.Window
	a.Details = append(a.Details, heldBack(q.g, &q.rs.rates[q.class])...)
	w.Time, w.Alert = time.Unix(0, q.at), a
	w.Limit = &sdk.AlertLimit{Key: sharedKey(q.rs.program.key, of), Span: limit.Timeframe, Count: uint64(limit.Count)} //nolint:gosec // positive
	e.questions = append(e.questions, q)
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
			rate := &q.rs.rates[q.class]
			rate.held, rate.dirty = rate.held+1, true
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
		if !q.proposes && !e.completeHere(q) {
			continue
		}
		if q.op.Window.Quiet > 0 && q.g.repeats(q.at, q.op.Window.Quiet) {
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
	toldHeldBack(q.g, &q.rs.rates[q.class])
	if q.rs.program.rule.Correlation != nil && !q.proposes {
		q.rs.hits++
		q.rs.lastHit = q.at
	}
	if q.op.Window.Quiet > 0 {
		q.g.lastAlert, q.g.alerted = q.at, true
	}
	e.pass(q)
}

// held counts an alert that was held back.
func (e *Engine) held(q *question) {
	q.g.suppressed++
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
	if g == nil || g.gone {
		return
	}
	if q.proposes { // the window was passed when it was complete
		e.touch(g)
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
