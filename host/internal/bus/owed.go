package bus

import "context"

// Owed reports whether the consumer was sent frames that are not durable.
func (q *Queue) Owed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sendNext > 0
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
