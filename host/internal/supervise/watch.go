package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Bounds of a plugin's silence.
const (
	firstHealth    = 500 * time.Millisecond
	healthInterval = 5 * time.Second
	restInterval   = 15 * time.Second // of one that is well and has nothing to do
	healthDeadline = 3 * time.Second  // of one answer
	maxSilent      = 2                // checks in a row without an answer before it is killed
)

// Why a process is ended that runs.
var (
	errSilent = errors.New("it does not answer its health check")
	errStuck  = errors.New("it does not acknowledge what it was sent")
)

// watcher watches one process.
type watcher struct {
	supervisor *Supervisor
	conn       *link.Conn
	work       uint64    // done when it was looked at last,
	at         time.Time // and when that, or owing nothing, was seen
	working    bool      // it got something done in this life
	ailing     bool      // its health names what it lacks
	given      bool      // nobody waits for it any more
	owed       atomic.Bool
	progress   chan struct{} // has room for the news that it got something done
	stalled    chan bool     // has room for the news that nobody should wait, or again
}

// run watches until ctx is done or the process ends; its error ends the process.
func (w *watcher) run(ctx context.Context) error {
	spec := &w.supervisor.spec
	interval := healthInterval
	if spec.AnswerTimeout > 0 {
		interval = min(interval, max(spec.AnswerTimeout/2, firstHealth))
	}
	// All plugins are looked at in the same moments, for which the machine wakes
	// once.
	next := time.NewTimer(untilNext(interval))
	defer next.Stop()
	soon := time.NewTimer(firstHealth)
	defer soon.Stop()
	var asked time.Time
	for {
		select {
		case <-soon.C:
		case <-next.C:
			next.Reset(untilNext(interval))
		case <-w.conn.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
		due := healthInterval
		if w.rests() {
			due = restInterval
		}
		if now := time.Now(); now.Sub(asked) >= due-interval/2 || spec.Patient && w.stuck(now) {
			asked = now
			if err := w.ask(ctx); err != nil {
				return err
			}
		}
		if err := w.look(time.Now()); err != nil {
			return err
		}
	}
}

// untilNext is the time to the next moment that is a multiple of interval.
func untilNext(interval time.Duration) time.Duration {
	now := time.Now()
	return now.Truncate(interval).Add(interval).Sub(now)
}

// rests reports whether a plugin was well when it was asked last, if it was, and
// has done nothing and been given nothing since it was looked at last.
func (w *watcher) rests() bool {
	spec := &w.supervisor.spec
	return !w.ailing && spec.Work() == w.work && !spec.Owes()
}

// ask asks for health; its error ends the process. One that does not answer is
// asked again at once.
func (w *watcher) ask(ctx context.Context) error {
	for silent := 1; ; silent++ {
		one, cancel := context.WithTimeout(ctx, healthDeadline)
		h, err := w.conn.Health(one)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			w.ailing = h.State != pb.HealthResponse_STATE_OK
			w.supervisor.setHealth(h)
			return nil
		case silent >= maxSilent:
			return fmt.Errorf("%w within %v, asked %d times", errSilent, healthDeadline, maxSilent)
		}
	}
}

// stuck reports whether the plugin owes an answer and has been silent for too long. One
// whose health says what it lacks may be: it is asked before it is ended.
func (w *watcher) stuck(now time.Time) bool {
	spec := &w.supervisor.spec
	return spec.AnswerTimeout > 0 && spec.Work() == w.work && spec.Owes() && now.Sub(w.at) >= spec.AnswerTimeout
}

// look compares what was done with what is owed; its error ends the process.
func (w *watcher) look(now time.Time) error {
	spec := &w.supervisor.spec
	work, owes := spec.Work(), spec.Owes()
	w.owed.Store(owes)
	if work != w.work || !owes {
		if work != w.work && !w.working {
			w.working = true
			w.progress <- struct{}{} // the only one
		}
		if w.given {
			w.tell(false)
		}
		w.work, w.at = work, now
		return nil
	}
	if !w.stuck(now) {
		return nil
	}
	if spec.Patient && w.ailing {
		if !w.given {
			w.tell(true)
		}
		return nil
	}
	return fmt.Errorf("%w for %v", errStuck, spec.AnswerTimeout)
}

// tell replaces what was told before and not heard.
func (w *watcher) tell(stalled bool) {
	w.given = stalled
	select {
	case <-w.stalled:
	default:
	}
	w.stalled <- stalled
}

func (s *Supervisor) setHealth(h *pb.HealthResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = h.HeapObjectsAllocated
	switch h.State {
	case pb.HealthResponse_STATE_OK:
		s.health = "ok"
	default:
		s.health = h.Reason
	}
	// A plugin whose peer is absent is running; only its health says so.
	if h.State == pb.HealthResponse_STATE_FAILING && s.state == Running {
		s.state = Degraded
	} else if h.State != pb.HealthResponse_STATE_FAILING && s.state == Degraded {
		s.state = Running
	}
}
