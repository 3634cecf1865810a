package shared

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Engine is where several hosts count together; *link.Conn is one.
type Engine interface {
	// ApplyShared carries out operations in their order, each atomically, with one
	// result for each. After an error it is not known which were carried out.
	ApplyShared(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error)
}

// RaiseFunc raises an alert in a plugin's name. It returns when the alert is safe.
type RaiseFunc func(ctx context.Context, plugin string, alert *pb.AlertEvent) error

// DefaultTimeout is how long the engine may take for the operations of one call.
const DefaultTimeout = 20 * time.Millisecond

// Config says what a Front works with.
type Config struct {
	Logger hclog.Logger
	// Raise raises the alerts that were pledged for windows; nil raises none.
	Raise RaiseFunc
	// Timeout is how long the engine may take for one call; 0 is DefaultTimeout.
	Timeout time.Duration
	// Expected says that there is an engine for this host that may be down at the
	// moment: what is decided without it is noted. nil expects none. It is asked once
	// a second.
	Expected func() bool
	Limits   Limits
}

// Front is what plugins ask: it asks the engine when there is one, and decides from what
// this host knows otherwise. It is safe for concurrent use.
type Front struct {
	log      hclog.Logger
	raise    RaiseFunc
	expect   func() bool
	local    *Local
	wake     chan struct{} // Run looks at what is to be done
	changing func()        // something is to be kept; nil keeps nothing

	mu       sync.Mutex // guards what follows; local is locked after it
	timeout  time.Duration
	engines  map[string]Engine // by the name of the plugin
	name     string            // of the engine in use
	engine   Engine            // nil when there is none
	expected bool
	up       bool // the engine is asked for each call
	proven   bool // it has answered a call since
	lost     bool // it may have forgotten what it said it has
	since    time.Time
	err      error // what went wrong last
	retry    time.Time
	backoff  time.Duration
	backlogs map[string]*backlog // by plugin
	turn     int                 // of the plugins in a merge
	number   uint64              // of the last difference
	recent   recent
	keep     map[string][]byte // of the differences, for the next commit; nil is gone
	counts   Counts
}

// New returns a Front without an engine.
func New(c Config) *Front {
	f := &Front{
		log: c.Logger, raise: c.Raise, expect: c.Expected, local: NewLocal(c.Limits), wake: make(chan struct{}, 1),
		timeout: c.Timeout, engines: make(map[string]Engine), since: time.Now(), backoff: firstBackoff,
		backlogs: make(map[string]*backlog), keep: make(map[string][]byte),
	}
	if f.log == nil {
		f.log = hclog.NewNullLogger()
	}
	if f.raise == nil {
		f.raise = func(context.Context, string, *pb.AlertEvent) error { return nil }
	}
	if f.timeout <= 0 {
		f.timeout = DefaultTimeout
	}
	if f.expect == nil {
		f.expect = func() bool { return false }
	}
	f.expected = f.expect()
	return f
}

// SetTimeout changes how long the engine may take for one call.
func (f *Front) SetTimeout(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d > 0 {
		f.timeout = d
	}
}

// Use has an engine asked from now on. Of several, the first by name is.
func (f *Front) Use(name string, e Engine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.engines[name] = e
	f.choose()
}

// Drop has an engine asked no more, if it is still the one that was given to Use under
// that name.
func (f *Front) Drop(name string, e Engine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.engines[name] != e {
		return
	}
	delete(f.engines, name)
	f.choose()
}

// choose takes the first engine by name; f.mu is held.
func (f *Front) choose() {
	first := ""
	for n := range f.engines {
		if first == "" || n < first {
			first = n
		}
	}
	e := f.engines[first]
	if e == f.engine && first == f.name {
		return
	}
	if f.up || f.engine == nil {
		f.since = time.Now()
	}
	f.name, f.engine, f.up, f.lost = first, e, false, true
	f.retry, f.backoff, f.proven = time.Time{}, firstBackoff, false
	if e == nil {
		f.err = nil
	}
	f.nudge()
}

// Lost says that the engine has lost its memory: what this host told it of late is told
// again.
func (f *Front) Lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent.all = true
	f.lost = true
	f.up = false
	f.retry = time.Time{}
	f.nudge()
}

func (f *Front) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Apply carries out operations of a plugin, whose keys are its own, and raises the alerts
// that were pledged for the windows that they complete. The error is of a request that
// is not admitted, or of an alert that could not be kept.
func (f *Front) Apply(ctx context.Context, plugin string, req *pb.SharedRequest) (*pb.SharedReply, error) {
	if err := check(req, maxKey); err != nil {
		f.mu.Lock()
		f.counts.Refused++
		f.mu.Unlock()
		return nil, err
	}
	all := make([]task, len(req.Operations))
	for i, op := range req.Operations {
		all[i] = task{op: prefixed(plugin, op), pledge: pledgeOf(op)}
	}
	f.carryOut(ctx, all, false)
	if err := f.pay(ctx, all, false); err != nil {
		return nil, err
	}
	reply := &pb.SharedReply{Results: make([]*pb.SharedResult, len(all))}
	for i := range all {
		reply.Results[i] = all[i].result
	}
	return reply, nil
}

// task is an operation under way.
type task struct {
	op *pb.SharedOperation // with the whole key, without what is pledged
	pledge
	result *pb.SharedResult // nil while it is not decided
	// again says that it was decided before: an alert of it was counted then.
	again bool
}

// carryOut has operations decided by the engine, while it is up or is being told the
// differences, and by this host otherwise.
func (f *Front) carryOut(ctx context.Context, all []task, merging bool) {
	f.mu.Lock()
	f.counts.Operations += uint64(len(all))
	engine, timeout := f.engine, f.timeout
	if merging {
		timeout = max(timeout, mergeTimeout)
	}
	var asked []*pb.SharedOperation
	if f.up || merging && engine != nil {
		asked = f.askable(all)
	} else {
		f.decide(all, false)
	}
	f.mu.Unlock()
	if len(asked) == 0 {
		return
	}
	reply, err := ask(ctx, engine, timeout, asked)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed(engine, err)
		f.decide(all, true)
	} else {
		f.answered(all, reply)
	}
}

// prefixed is an operation as the engine gets it.
func prefixed(plugin string, op *pb.SharedOperation) *pb.SharedOperation {
	out := &pb.SharedOperation{Key: fullKey(plugin, op.Key), Span: op.Span, Operation: op.Operation}
	if w := op.GetWindow(); w != nil && (len(w.Alert) > 0 || w.Limit != nil) {
		out.Operation = &pb.SharedOperation_Window{Window: &pb.WindowAdd{Time: w.Time, Id: w.Id, Value: w.Value, Threshold: w.Threshold, Quiet: w.Quiet, Counted: w.Counted}}
	}
	return out
}

// fullKey is a plugin's key among those of all plugins.
func fullKey(plugin string, key []byte) []byte {
	return slices.Concat([]byte(plugin), []byte{0}, key)
}

// owner is the plugin that a whole key belongs to.
func owner(key []byte) string {
	plugin, _, _ := bytes.Cut(key, []byte{0})
	return string(plugin)
}

// ask has the engine carry out operations. Who asked may be gone meanwhile: what became
// of them is wanted all the same.
func ask(ctx context.Context, e Engine, timeout time.Duration, ops []*pb.SharedOperation) (*pb.SharedReply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	reply, err := e.ApplyShared(ctx, &pb.SharedRequest{Operations: ops})
	if err != nil {
		return nil, err
	}
	if len(reply.GetResults()) != len(ops) {
		return nil, fmt.Errorf("the state engine gave %d results for %d operations", len(reply.GetResults()), len(ops))
	}
	return reply, nil
}

// askable answers what this host knows for sure, and returns the rest for the engine;
// f.mu is held.
func (f *Front) askable(all []task) (rest []*pb.SharedOperation) {
	for i := range all {
		t := &all[i]
		if o, settled := f.local.settled(t.op); settled {
			t.result, t.again = o.result(false), true
			continue
		}
		rest = append(rest, t.op)
	}
	return rest
}

// answered takes the engine's results over; f.mu is held.
func (f *Front) answered(all []task, reply *pb.SharedReply) {
	f.proven = true
	next, now := 0, time.Now().UnixNano()
	for i := range all {
		t := &all[i]
		if t.result != nil {
			continue
		}
		r := reply.Results[next]
		next++
		t.result = &pb.SharedResult{Count: r.GetCount(), Done: r.GetDone()}
		f.local.learn(t.op, t.result, false)
		if w := t.op.GetWindow(); w != nil && !r.GetDone() && !w.Counted {
			f.recent.add(&difference{plugin: owner(t.op.Key), op: t.op, pledge: t.pledge, noted: now})
		}
	}
	f.counts.Together += uint64(next) //nolint:gosec // it is not negative
	f.changed()
}

// decide has this host decide what is not decided yet. asked says that the engine may
// have carried it out. f.mu is held.
func (f *Front) decide(all []task, asked bool) {
	note := f.engine != nil || f.expected
	now := time.Now().UnixNano()
	for i := range all {
		t := &all[i]
		if t.result != nil {
			continue
		}
		o := f.local.decide(t.op)
		t.result, t.again = o.result(note), !o.fresh
		if !note {
			f.counts.Alone++
			continue
		}
		f.counts.Local++
		f.difference(&difference{plugin: owner(t.op.Key), op: t.op, pledge: t.pledge, noted: now, sent: asked}, o)
	}
	f.changed()
}

// difference notes what was decided alone; f.mu is held.
func (f *Front) difference(d *difference, o outcome) {
	w := d.op.GetWindow()
	switch {
	case w == nil && d.op.GetCounter() != nil && d.sent:
		f.counts.Unsure++ // to add it again might count it twice
	case w == nil:
		if o.fresh {
			f.note(d)
		}
	case w.Counted:
		f.note(d)
	case len(o.counted) > 0:
		f.completed(d, o.counted)
	case o.fresh && !o.done:
		f.note(d)
	}
}

// completed has the engine told which events were counted in a window that this host
// completed alone: those that it has, or may have. What it never heard of, it need not
// hear of any more. f.mu is held.
func (f *Front) completed(d *difference, events []member) {
	b := f.backlog(d.plugin)
	for _, m := range events {
		op := asCounted(d.op)
		w := op.GetWindow()
		w.Id, w.Value, w.Time = []byte(m.id), []byte(m.value), uint64(m.time) //nolint:gosec // it goes back as it came
		old := b.events[name(op)]
		switch {
		case old != nil && !old.sent && !old.again:
			f.forget(old)
		case old != nil:
			old.op, old.pledge, old.again = op, pledge{}, false
			f.save(old)
		case m.known, m.id == string(d.op.GetWindow().Id) && d.sent:
			f.note(&difference{plugin: d.plugin, op: op, noted: d.noted, sent: true})
		}
	}
}
