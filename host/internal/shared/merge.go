package shared

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of how often an engine that was away is tried.
const (
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

// mergeTimeout is how long the engine may take for a batch of differences, unless its
// own timeout is longer: no plugin waits for it.
const mergeTimeout = time.Second

// Run brings what this host decided alone together with the others, until ctx is done.
func (f *Front) Run(ctx context.Context) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			expected := f.expect()
			f.mu.Lock()
			f.expected = expected
			f.mu.Unlock()
		case <-f.wake:
		case <-timer.C:
		}
		if wait := f.merge(ctx); wait > 0 {
			timer.Reset(wait)
		}
	}
}

// merge applies the differences, until there are none or the engine does not answer. It
// returns when to try again; 0 is when there is news.
func (f *Front) merge(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		f.mu.Lock()
		if f.engine == nil || f.up {
			f.mu.Unlock()
			return 0
		}
		if wait := time.Until(f.retry); wait > 0 {
			f.mu.Unlock()
			return wait
		}
		if f.lost {
			f.tellAgain()
		}
		batch, ops := f.batch()
		if len(batch) == 0 {
			f.up, f.proven, f.err, f.since = true, false, nil, time.Now()
			f.mu.Unlock()
			f.log.Info("counting together with other hosts", "engine", f.name)
			return 0
		}
		engine, timeout := f.engine, max(f.timeout, mergeTimeout)
		f.mu.Unlock()
		reply, err := ask(ctx, engine, timeout, ops)
		switch {
		case err == nil:
			err = f.merged(ctx, batch, ops, reply)
		case !unreachable(err):
			err = f.oneByOne(ctx, engine, timeout, batch, ops)
		}
		if err != nil {
			f.mu.Lock()
			f.failed(engine, err)
			f.mu.Unlock()
		}
	}
	return 0
}

// unreachable reports whether the engine may take the same another time.
func unreachable(err error) bool {
	return errors.Is(err, link.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded)
}

// oneByOne applies a batch that the engine refuses, so that only what it does not take
// is left out.
func (f *Front) oneByOne(ctx context.Context, e Engine, timeout time.Duration, batch []*difference, ops []*pb.SharedOperation) error {
	for i := range batch {
		reply, err := ask(ctx, e, timeout, ops[i:i+1])
		if unreachable(err) {
			return err
		}
		if err := f.merged(ctx, batch[i:i+1], ops[i:i+1], reply); err != nil {
			return err
		}
	}
	return nil
}

// batch takes the oldest differences of the plugins in turn, as they are to be applied
// now; f.mu is held.
func (f *Front) batch() (batch []*difference, ops []*pb.SharedOperation) {
	plugins := slices.Sorted(maps.Keys(f.backlogs))
	f.turn++
	now := time.Now()
	for i := range plugins {
		b := f.backlogs[plugins[(f.turn+i)%len(plugins)]]
		room := (maxOperations - len(batch)) / (len(plugins) - i)
		for _, d := range b.first(nil, max(room, 1)) {
			op := d.due(now)
			if op == nil {
				f.forget(d)
				f.counts.Expired++
				continue
			}
			if !d.sent {
				d.sent = true
				f.save(d)
			}
			batch, ops = append(batch, d), append(ops, op)
			if len(batch) == maxOperations {
				return batch, ops
			}
		}
		if b.count == 0 {
			delete(f.backlogs, plugins[(f.turn+i)%len(plugins)])
		}
	}
	if len(batch) == 0 && len(f.backlogs) > 0 { // all of them were out of date
		return f.batch()
	}
	return batch, ops
}

// merged takes over what the engine made of a batch; a nil reply refuses it. An alert is
// safe before what pledged it is forgotten.
func (f *Front) merged(ctx context.Context, batch []*difference, ops []*pb.SharedOperation, reply *pb.SharedReply) error {
	f.mu.Lock()
	asked := make([]*pb.SharedOperation, len(batch))
	var due []task
	for i, d := range batch {
		asked[i] = d.op
		if reply == nil {
			continue
		}
		// One that was counted meanwhile is told to the engine as that next.
		current := !d.gone && (d.op == ops[i] || d.op.GetWindow() == nil)
		if !current {
			continue
		}
		r := &pb.SharedResult{Count: reply.Results[i].GetCount(), Done: reply.Results[i].GetDone()}
		before, again := f.local.settled(d.op)
		f.local.learn(d.op, r, true)
		w := d.op.GetWindow()
		switch {
		case w == nil || w.Counted:
		case !r.Done:
			f.recent.add(&difference{plugin: d.plugin, op: d.op, pledge: d.pledge, noted: d.noted})
		default:
			r.Limited = before.limited
			due = append(due, task{d.op, d.pledge, r, again})
		}
	}
	f.changed()
	f.mu.Unlock()
	if err := f.pay(ctx, due, true); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range batch {
		switch {
		case d.gone || d.op != asked[i] || d.op != ops[i] && d.op.GetWindow() != nil:
			continue
		case reply == nil:
			f.counts.Unmergeable++
		default:
			f.counts.Merged++
		}
		f.forget(d)
	}
	f.changed()
	return nil
}

// failed notes that the engine did not answer; f.mu is held.
func (f *Front) failed(e Engine, err error) {
	slow := errors.Is(err, context.DeadlineExceeded)
	if slow {
		f.counts.Slow++
	} else {
		f.counts.Failed++
	}
	if e != f.engine {
		return
	}
	f.lost = f.lost || !slow
	f.err = err
	switch {
	case f.up:
		f.up, f.since = false, time.Now()
		if f.proven {
			f.backoff = firstBackoff
		} else {
			f.backoff = min(2*f.backoff, lastBackoff)
		}
		f.log.Warn("the state engine does not answer; this host counts alone until it does", "engine", f.name, "error", err)
	case time.Now().Before(f.retry):
		return // of a call that was under way
	default:
		f.backoff = min(2*f.backoff, lastBackoff)
	}
	f.retry = time.Now().Add(f.backoff)
	f.nudge()
}

// backlog returns the differences of a plugin; f.mu is held.
func (f *Front) backlog(plugin string) *backlog {
	b := f.backlogs[plugin]
	if b == nil {
		b = newBacklog()
		f.backlogs[plugin] = b
	}
	return b
}

// note adds a difference; f.mu is held.
func (f *Front) note(d *difference) {
	f.number++
	d.number = f.number
	for _, old := range f.backlog(d.plugin).add(d) {
		f.counts.Dropped++
		f.unkeep(old)
	}
	f.save(d)
}

// forget leaves a difference out; f.mu is held.
func (f *Front) forget(d *difference) {
	f.backlog(d.plugin).remove(d)
	f.unkeep(d)
}

// tellAgain has the engine told what it said it has: it may have lost the last of it, or
// all. To hear it twice changes nothing. f.mu is held.
func (f *Front) tellAgain() {
	for _, d := range f.recent.take(time.Now()) {
		if _, settled := f.local.settled(d.op); settled || f.backlog(d.plugin).events[name(d.op)] != nil {
			continue
		}
		f.counts.Again++
		f.note(&difference{plugin: d.plugin, op: d.op, pledge: d.pledge, noted: d.noted, again: true, sent: true})
	}
	f.lost = false
}
