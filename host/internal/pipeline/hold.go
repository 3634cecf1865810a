package pipeline

import (
	"context"
	"sync"
)

// hold ends the sending to one process of a plugin, while its answers are still
// received. The zero value holds nothing.
type hold struct {
	mu    sync.Mutex
	held  bool
	stops []context.CancelFunc
}

// begin returns a context for sending, which ends with ctx or with the hold. stop
// frees it.
func (h *hold) begin(ctx context.Context) (sending context.Context, stop context.CancelFunc) {
	sending, stop = context.WithCancel(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		stop()
	}
	h.stops = append(h.stops, stop)
	return sending, stop
}

// reset begins anew for another process.
func (h *hold) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held, h.stops = false, nil
}

// Settle returns when everything that the plugin was sent is durable, or with the
// cause of ctx. A plugin that says it is drained may not have read what it was sent
// last, nor the host what it answered last: an event stream may have a connection of
// its own.
func (m *Member) Settle(ctx context.Context) error {
	for _, q := range m.queues {
		if err := q.Settled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Hold sends nothing more to the process that is served, so that it can come to
// an end with what it has: nothing that it is still sent would be acknowledged.
// The next Serve sends again.
func (m *Member) Hold() {
	m.sending.mu.Lock()
	defer m.sending.mu.Unlock()
	m.sending.held = true
	for _, stop := range m.sending.stops {
		stop()
	}
}
