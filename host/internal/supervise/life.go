package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ironpost/ironpost/host/internal/link"
)

// errClosed ends a life whose process runs on without its stream.
var errClosed = errors.New("it closed its event stream")

// exitWait is how long the end of a process may follow that of its links: then
// the end tells more.
const exitWait = 200 * time.Millisecond

// process is a started process; the zero value is none.
type process struct {
	conn       *link.Conn
	configured bool
}

func (p process) kill() {
	if p.conn != nil {
		p.conn.Kill()
	}
}

// outcome says how a life ended.
type outcome struct {
	worked   bool
	owed     bool // something was left undone
	reloaded bool // a successor takes over
	next     process
	err      error
}

// begin makes the process ready to be served; it starts one when there is none.
func (s *Supervisor) begin(ctx context.Context, p process) (*link.Conn, error) {
	if p.configured {
		return p.conn, nil
	}
	s.set(Starting, "")
	p, err := s.start(ctx, p.conn, true)
	return p.conn, err
}

// start starts a process unless conn is one, configures it if asked to, and
// gives up when Stop is called meanwhile.
func (s *Supervisor) start(ctx context.Context, conn *link.Conn, configure bool) (process, error) {
	ctx, cancel := context.WithCancel(ctx)
	started := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.stop:
			cancel()
		case <-started:
		}
	}()
	defer func() {
		close(started)
		<-watched
		cancel()
	}()
	if conn == nil {
		var err error
		if conn, err = s.spec.Start(ctx); err != nil {
			return process{}, err
		}
	}
	if configure {
		if err := s.spec.Configure(ctx, conn); err != nil {
			conn.Kill()
			return process{}, err
		}
	}
	return process{conn, configure}, nil
}

// attempt is what became of the start of a successor.
type attempt struct {
	process
	err error
}

// live serves one process from start to end.
func (s *Supervisor) live(ctx context.Context, conn *link.Conn) (o outcome) {
	before := s.spec.Work()
	s.mu.Lock()
	s.conn, s.started, s.state, s.health = conn, time.Now(), Running, "unknown"
	s.mu.Unlock()
	defer s.end(ctx, conn)

	serveCtx, cancel := context.WithCancelCause(ctx)
	var serveErr error // once served is closed
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveErr = s.spec.Serve(serveCtx, conn)
	}()
	w := &watcher{supervisor: s, conn: conn, work: before, at: time.Now(), progress: make(chan struct{}, 1), stalled: make(chan bool, 1)}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := w.run(serveCtx); err != nil {
			cancel(err)
			conn.Kill()
		}
	}()
	var successor chan attempt // of the start under way
	reloading := false         // it was asked for
	fault := false             // it ended, and nobody had asked it to
	defer func() {
		cancel(nil)
		<-served
		<-watched
		if fault && ctx.Err() == nil {
			s.spec.Ended(o.err)
		}
		o.worked = o.worked || s.spec.Work() > before
		o.owed = w.owed.Load()
		if successor != nil { // whatever ended this life, it is the next
			if r := <-successor; r.err == nil {
				o.next, o.reloaded = r.process, reloading
			}
		}
	}()
	for {
		requests := s.reload
		if successor != nil {
			requests = nil
		}
		select {
		case <-served:
			successor = s.hurry(ctx, successor, before)
			o.err, fault = s.why(ctx, serveCtx, conn, serveErr), true
			return o
		case <-conn.Done():
			successor = s.hurry(ctx, successor, before)
			o.err, fault = s.why(ctx, serveCtx, conn, nil), true
			return o
		case <-w.progress:
			s.forget()
			s.setUp(true)
		case stalled := <-w.stalled:
			s.setUp(!stalled)
		case r := <-requests:
			s.waiting = append(s.waiting, r)
			successor, reloading = s.succeed(ctx), true
		case r := <-successor:
			successor, reloading = nil, false
			if r.err != nil {
				s.set(s.State(), fmt.Sprintf("reload: %v", r.err))
				s.spec.Logger.Error("the new process is of no use, the old one goes on", "error", r.err)
				s.answer(r.err)
				continue
			}
			s.spec.Hold()
			s.drain(ctx, conn)
			o.next, o.reloaded = r.process, true
			return o
		case <-s.stop:
			s.spec.Hold()
			s.drain(ctx, conn)
			return o
		case <-ctx.Done():
			return o
		}
	}
}

// succeed starts a successor of the process that is served.
func (s *Supervisor) succeed(ctx context.Context) chan attempt {
	successor := make(chan attempt, 1)
	go func() {
		p, err := s.start(ctx, nil, !s.spec.Alone)
		successor <- attempt{p, err}
	}()
	return successor
}

// hurry starts a successor to a process that has ended, or has lost its links,
// before it is known why, when nothing but the wait for that would be left to do.
func (s *Supervisor) hurry(ctx context.Context, successor chan attempt, before uint64) chan attempt {
	foreseen := s.series
	pause := foreseen.next(s.spec.Work() > before, time.Now())
	if successor != nil || pause > 0 || foreseen.open() || ctx.Err() != nil || s.stopping() {
		return successor
	}
	s.set(Starting, "")
	return s.succeed(ctx)
}

// end kills the process and keeps what it used.
func (s *Supervisor) end(ctx context.Context, conn *link.Conn) {
	conn.End()
	s.ending.Go(conn.Kill)
	var used time.Duration
	select {
	case <-conn.Done():
		if state, err := conn.Process().Wait(context.WithoutCancel(ctx)); err == nil {
			used = state.UserTime + state.SystemTime
		}
	default: // it does not vanish
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cpu += used
	s.objectsEnded += s.objects
	s.objects = 0
	s.conn, s.started = nil, time.Time{}
}

// why says what ended a life: what the watch found, what its links found, or
// else how the process ended.
func (s *Supervisor) why(ctx, serveCtx context.Context, conn *link.Conn, serveErr error) error {
	if cause := context.Cause(serveCtx); errors.Is(cause, errSilent) || errors.Is(cause, errStuck) {
		return cause
	}
	if serveErr != nil && status.Code(serveErr) != codes.Unavailable {
		return serveErr
	}
	timer := time.NewTimer(exitWait)
	defer timer.Stop()
	select {
	case <-conn.Done():
		state, err := conn.Process().Wait(context.WithoutCancel(ctx)) // it has ended
		if err != nil {
			return err
		}
		return fmt.Errorf("process %d ended: %s", conn.Process().Pid(), state)
	case <-timer.C:
	case <-ctx.Done():
	}
	if serveErr == nil {
		return errClosed
	}
	return serveErr
}

// drain lets the plugin finish.
func (s *Supervisor) drain(ctx context.Context, conn *link.Conn) {
	s.set(Draining, "")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.spec.DrainTimeout)
	defer cancel()
	err := conn.Drain(ctx, s.spec.DrainTimeout)
	if err == nil {
		err = s.spec.Settle(ctx)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil, status.Code(err) == codes.DeadlineExceeded: // here, or at the plugin first
		s.set(Draining, fmt.Sprintf("it did not finish its work within %v of being asked to, and was killed", s.spec.DrainTimeout))
		s.spec.Logger.Warn("plugin did not finish its work in time and is killed; what it did not acknowledge is delivered again", "deadline", s.spec.DrainTimeout.String())
	default:
		s.spec.Logger.Warn("plugin did not finish its work; what it did not acknowledge is delivered again", "error", err)
	}
}
