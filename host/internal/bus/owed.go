package bus

// Owed reports whether the consumer was sent frames that are not durable.
func (q *Queue) Owed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sendNext > 0
}
