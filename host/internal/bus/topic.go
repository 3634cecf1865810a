package bus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Topic hands frames to all who subscribed.
type Topic struct {
	mu   sync.RWMutex
	subs []*subscription
	taps []*Tap
}

type subscription struct {
	queue *Queue
	// wait says whether a full queue holds the producer up at this moment.
	wait func() bool
	// lost is told how many records a full queue could not take.
	lost func(records uint64)
}

// Subscribe adds a queue, unless it is there already. When it is full, a producer waits as long as wait()
// says so when asked; else the frame is passed over and lost is told.
func (t *Topic) Subscribe(q *Queue, wait func() bool, lost func(records uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.subs, func(s *subscription) bool { return s.queue == q }) {
		return
	}
	t.subs = append(t.subs, &subscription{q, wait, lost})
}

// Unsubscribe removes a queue.
func (t *Topic) Unsubscribe(q *Queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs = slices.DeleteFunc(slices.Clone(t.subs), func(s *subscription) bool { return s.queue == q })
}

// Publish hands the frame, of which it takes ownership, to every subscriber.
// next is the sequence behind its last record; e may be nil. It waits for full
// queues whose subscription says so. When ctx is done nobody gets anything.
func (t *Topic) Publish(ctx context.Context, f *pb.Frame, next uint64, e *Entry) error {
	defer f.Free()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.mu.RLock()
	subs := t.subs
	for _, tap := range t.taps {
		tap.offer(f) // under the lock: the end of a tap frees what it was offered
	}
	t.mu.RUnlock()
	for _, s := range subs {
		if err := s.push(ctx, f, next, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscription) push(ctx context.Context, f *pb.Frame, next uint64, e *Entry) error {
	if err := s.queue.Ahead(ctx, s.wait); err != nil {
		return err
	}
	for {
		err := s.queue.Push(ctx, f.With(f.Header), next, e, false)
		switch {
		case err == nil, errors.Is(err, ErrClosed):
			return nil
		case !errors.Is(err, ErrFull):
			return err
		case !s.wait():
			s.lost(uint64(f.Count))
			return nil
		}
		// Full, and worth waiting for: but not beyond a change of mind.
		if err := s.queue.Room(ctx, f.Size()); err != nil {
			return err
		}
	}
}

// askAgain is how long a producer waits for room before it asks again whether
// to wait.
const askAgain = time.Second

// Room returns when the queue may have room, after any other change, or after a
// second.
func (q *Queue) Room(ctx context.Context, more int) error {
	q.mu.Lock()
	if q.closed || !q.full(more) {
		q.mu.Unlock()
		return nil
	}
	changed := q.change()
	q.mu.Unlock()
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Nudge wakes producers that wait for the queue, so that they ask again
// whether to wait.
func (q *Queue) Nudge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notify()
}

// Tap is a bounded look at a topic. What the reader does not take in time is
// counted and gone.
type Tap struct {
	frames  chan *pb.Frame
	dropped atomic.Uint64
}

// tapFrames is how many frames wait for the reader of a tap.
const tapFrames = 64

// Tap adds a tap. remove takes it away again and frees what was not read.
func (t *Topic) Tap() (tap *Tap, remove func()) {
	tap = &Tap{frames: make(chan *pb.Frame, tapFrames)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taps = append(slices.Clone(t.taps), tap)
	return tap, func() {
		t.mu.Lock()
		t.taps = slices.DeleteFunc(slices.Clone(t.taps), func(x *Tap) bool { return x == tap })
		t.mu.Unlock()
		for {
			select {
			case f := <-tap.frames:
				f.Free()
			default:
				return
			}
		}
	}
}

func (t *Tap) offer(f *pb.Frame) {
	g := f.With(f.Header)
	select {
	case t.frames <- g:
	default:
		t.dropped.Add(uint64(f.Count))
		g.Free()
	}
}

// Frames returns the frames as they pass; the reader frees each.
func (t *Tap) Frames() <-chan *pb.Frame { return t.frames }

// Dropped returns how many records the reader was too slow for.
func (t *Tap) Dropped() uint64 { return t.dropped.Load() }
