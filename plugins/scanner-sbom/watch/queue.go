package watch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue holds the targets that are due, each once.
type queue struct {
	max int

	mu   sync.Mutex
	list []Target
	more chan struct{} // holds one token while the list is not empty
}

func newQueue(most int) *queue { return &queue{max: most, more: make(chan struct{}, 1)} }

// push adds a target, or replaces what is known of one that waits. It returns false when
// there is no room.
func (q *queue) push(t Target) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.list, func(o Target) bool { return o.ID == t.ID }); i >= 0 {
		if t.Name != "" {
			q.list[i] = t
		}
		return true
	}
	if len(q.list) >= q.max {
		return false
	}
	q.list = append(q.list, t)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// next takes the target that waits longest.
func (q *queue) next(ctx context.Context) (Target, error) {
	for {
		select {
		case <-q.more:
		case <-ctx.Done():
			return Target{}, ctx.Err()
		}
		q.mu.Lock()
		if len(q.list) == 0 {
			q.mu.Unlock()
			continue
		}
		t := q.list[0]
		q.list = slices.Delete(q.list, 0, 1)
		if len(q.list) > 0 {
			q.signal()
		}
		q.mu.Unlock()
		return t, nil
	}
}

// agenda holds when targets are to be observed.
type agenda struct {
	mu    sync.Mutex
	times map[string][]time.Time
	until map[string]time.Time // when what is put off comes at the latest
	kick  chan struct{}
}

func newAgenda() *agenda {
	return &agenda{times: map[string][]time.Time{}, until: map[string]time.Time{}, kick: make(chan struct{}, 1)}
}

// add notes that a target is to be observed so long after now; what was noted before is dropped.
func (a *agenda) add(target string, now time.Time, after []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []time.Time
	for _, d := range after {
		list = append(list, now.Add(d))
	}
	a.times[target] = list
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// putOff notes that a target is to be observed so long after now, and so puts off what was
// noted before, but never beyond most after the first of them: who makes events without end does
// not stay unseen.
func (a *agenda) putOff(target string, now time.Time, after, most time.Duration) {
	a.mu.Lock()
	first, ok := a.until[target]
	if !ok {
		first = now.Add(most)
		a.until[target] = first
	}
	a.mu.Unlock()
	a.add(target, now, []time.Duration{min(after, first.Sub(now))})
}

// drop forgets what is noted of a target.
func (a *agenda) drop(target string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.times, target)
	delete(a.until, target)
}

// together is how far ahead an observation may be to be made with one that is due: each
// costs a look at all processes.
const together = 50 * time.Millisecond

// take returns the targets that are due, and when the next one is, zero when there is none.
func (a *agenda) take(now time.Time) (due []string, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for target, list := range a.times {
		ready := false
		for len(list) > 0 && !list[0].After(now.Add(together)) {
			list, ready = list[1:], true
		}
		if ready {
			due = append(due, target)
		}
		if len(list) == 0 {
			delete(a.times, target)
			delete(a.until, target)
			continue
		}
		a.times[target] = list
		if next.IsZero() || list[0].Before(next) {
			next = list[0]
		}
	}
	slices.Sort(due)
	return due, next
}

// run calls observe when targets are due, until ctx is done.
func (a *agenda) run(ctx context.Context, observe func(context.Context, []string) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.kick:
		case <-ctx.Done():
			return nil
		}
		due, next := a.take(time.Now())
		if len(due) > 0 {
			if err := observe(ctx, due); err != nil {
				return err
			}
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
