package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errStuck ends the plugin: nothing else ends a reader of a file, and the host starts the
// plugin anew without it.
var errStuck = errors.New("a reader of files does not come to an end")

// stuckFor is how long a reader may go on after its time. It takes a processor until
// then, and a start is not free either: what is watched is looked at again.
const stuckFor = 10 * time.Minute

// unlessStuck runs what goes on, and ends it when readers were at work all the time for
// stuckFor that scans left behind: then the error wraps errStuck.
func (s *scanner) unlessStuck(ctx context.Context, run func(ctx context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(stuckFor / 10)
		defer tick.Stop()
		for since := time.Now(); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			n := s.left.Now()
			switch {
			case n == 0:
				since = time.Now()
			case time.Since(since) >= stuckFor:
				end(fmt.Errorf("%w: %d are at work %v after their time", errStuck, n, stuckFor))
				return
			}
		}
	}()
	err := run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errStuck) {
		err = cause
	}
	end(nil)
	<-done
	return err
}

// broken writes down where a reader broke off, for whoever mends it.
func (s *scanner) broken(path string, stack []byte) {
	s.log.Warn("a reader of files broke off; the file is among the problems, please report this", "file", path, "stack", string(stack))
}
