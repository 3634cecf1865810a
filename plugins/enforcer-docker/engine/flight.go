package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// outlast is how long a call is waited for that its caller gave up. The host's proxy
// waits no longer either.
const outlast = 5 * time.Minute

// flights are the calls under way that change something.
type flights struct {
	mu  sync.Mutex
	all map[*flight]struct{}
	// ended is for those who wait for the goroutines.
	ended sync.WaitGroup
}

// flight is one call. err is valid when done is closed.
type flight struct {
	container string // "" when it changes none
	cancel    context.CancelFunc
	done      chan struct{}
	err       error
}

// change makes a call that changes a container, and waits for it as long as ctx and a
// time allow. Who gives a call up does not end it, since the daemon goes on with what
// a client gave up.
func (e *Engine) change(ctx context.Context, container, what string, within time.Duration, do func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return wrap(what, err)
	}
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	f := e.flights.begin(context.WithoutCancel(ctx), container, do)
	select {
	case <-f.done:
		return wrap(what, f.err)
	case <-waiting.Done():
		return wrap(what, fmt.Errorf("%w: it may still be carried out", waiting.Err()))
	}
}

// Settle waits until every call that changes the container has ended, also those that
// were given up. Only then what is seen of it lasts. The error is ErrUnreachable.
func (e *Engine) Settle(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, f := range e.flights.of(container) {
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for a call on %s that was given up: %w: %w", Short(container), ErrUnreachable, ctx.Err())
		}
	}
	return nil
}

func (s *flights) begin(ctx context.Context, container string, do func(context.Context) error) *flight {
	ctx, cancel := context.WithTimeout(ctx, outlast)
	f := &flight{container: container, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*flight]struct{}{}
	}
	s.all[f] = struct{}{}
	s.ended.Go(func() {
		defer cancel()
		f.err = do(ctx)
		s.mu.Lock()
		delete(s.all, f)
		s.mu.Unlock()
		close(f.done)
	})
	return f
}

// of returns the calls under way on a container.
func (s *flights) of(container string) []*flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*flight
	for f := range s.all {
		if f.container == container {
			out = append(out, f)
		}
	}
	return out
}

// abandon gives up all calls, and returns when none is left.
func (s *flights) abandon() {
	s.mu.Lock()
	for f := range s.all {
		f.cancel()
	}
	s.mu.Unlock()
	s.ended.Wait()
}
