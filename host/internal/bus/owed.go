package bus

import (
	"context"
	"slices"
)

// Owed reports whether the consumer was sent frames that are not durable.
func (q *Queue) Owed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sendNext > 0
}

// Left returns when nothing of a stream is held, or wait says no. Whoever changes
// the answer of wait calls Nudge or Rewind. It fails with the cause of ctx.
func (q *Queue) Left(ctx context.Context, stream uint64, wait func() bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && wait() && slices.ContainsFunc(q.items, func(it *item) bool { return it.frame.Stream == stream }) {
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Settled returns when the consumer owes nothing, or with the cause of ctx.
func (q *Queue) Settled(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.sendNext > 0 && !q.closed {
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
