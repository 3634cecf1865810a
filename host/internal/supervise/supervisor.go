package supervise

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/sandbox"
)

// State is the state of a supervised plugin.
type State string

// The states.
const (
	Starting State = "starting"
	Running  State = "running"
	Degraded State = "degraded"
	Draining State = "draining"
	Backoff  State = "backoff"
	Failed   State = "failed"
	Stopped  State = "stopped"
)

// ErrStopped is returned by Reload of a plugin that was stopped.
var ErrStopped = errors.New("the plugin was stopped")

// Spec is what a Supervisor needs to know of its plugin.
type Spec struct {
	Name   string
	Logger hclog.Logger
	// Start starts a process; Configure, which may be nil, makes it ready to be
	// served. Both may be called while another process of the plugin is served.
	Start     func(ctx context.Context) (*link.Conn, error)
	Configure func(ctx context.Context, conn *link.Conn) error
	// Alone has a new process configured only when the one before it has ended:
	// both would write the same files.
	Alone bool
	// Serve runs its links until ctx is done or the process ends.
	Serve func(ctx context.Context, conn *link.Conn) error
	// Work returns a number that grows with the work done. What brings the plugin
	// nearer to getting on, as a narrower search for a poison record, is work.
	Work func() uint64
	// Ended, which may be nil, is told why a process ended that was served, after
	// Serve has returned and before Work is asked what came of it; not of one that
	// the host ended.
	Ended func(cause error)
	// Owes, which may be nil, reports whether the plugin was sent something that
	// it has not called durable, and the host is not itself what it waits for.
	Owes func() bool
	// AnswerTimeout bounds how long a plugin may owe without getting anything
	// done; 0 is for ever.
	AnswerTimeout time.Duration
	// Patient says not to end a plugin that owes for too long while its health
	// names what it waits for; SetUp(false) lets the rest go on meanwhile.
	Patient bool
	// Hold, which may be nil, ends the sending to the process that is served,
	// before it drains for good.
	Hold func()
	// Settle, which may be nil, returns when everything that the process was sent
	// before Hold is durable, or when ctx is done.
	Settle func(ctx context.Context) error
	// SetUp is told whether the plugin is worth waiting for.
	SetUp func(up bool)
	// DrainTimeout bounds how long Stop and Reload wait for the plugin's work.
	DrainTimeout time.Duration
	// Past is what Keep was told last in an earlier life of the host. Keep, which
	// may be nil, is told whenever it changes, by one goroutine at a time.
	Past Past
	Keep func(Past)
}

// Past is what outlives the host.
type Past struct {
	// Barren is how many starts in a row got nothing done.
	Barren int `json:"barren"`
	// LastError is why the last of them ended.
	LastError string `json:"last_error"`
}

// Status is a snapshot of a supervised plugin.
type Status struct {
	State     State
	PID       int
	Restarts  uint32
	Started   time.Time // of the running process; zero when there is none
	LastError string
	// Health is "ok", "unknown", or what is missing.
	Health string
	Report sandbox.Report
	Usage  sandbox.Usage
	// CPU is the time of all processes so far.
	CPU time.Duration
	// HeapObjects is how many objects all processes have allocated so far, by
	// their own account; 0 where they do not say.
	HeapObjects uint64
}

// Supervisor supervises one plugin. Its methods are safe for concurrent use.
type Supervisor struct {
	spec   Spec
	reload chan reloadRequest
	stop   chan struct{} // closed by Stop
	once   sync.Once
	done   chan struct{} // closed when Run has returned

	// Of Run's goroutine alone.
	series  series
	waiting []reloadRequest // for the start under way
	down    bool            // SetUp was told false
	ending  sync.WaitGroup  // of what is left of processes that have ended

	mu           sync.Mutex
	state        State
	conn         *link.Conn // nil while no process runs
	restarts     uint32
	started      time.Time
	lastErr      string
	health       string
	cpu          time.Duration // of processes that have ended
	objects      uint64        // that the running one said it allocated
	objectsEnded uint64        // the same of processes that have ended
}

// reloadRequest is a call of Reload; done has room for its answer.
type reloadRequest struct{ done chan error }

// New returns a supervisor; Run starts the plugin.
func New(spec Spec) *Supervisor {
	if spec.Configure == nil {
		spec.Configure = func(context.Context, *link.Conn) error { return nil }
	}
	if spec.Owes == nil {
		spec.Owes = func() bool { return false }
	}
	if spec.Ended == nil {
		spec.Ended = func(error) {}
	}
	if spec.Hold == nil {
		spec.Hold = func() {}
	}
	if spec.Settle == nil {
		spec.Settle = func(context.Context) error { return nil }
	}
	if spec.Keep == nil {
		spec.Keep = func(Past) {}
	}
	return &Supervisor{
		spec:    spec,
		reload:  make(chan reloadRequest),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		series:  series{barren: spec.Past.Barren},
		state:   Starting,
		lastErr: spec.Past.LastError,
		health:  "unknown",
	}
}

// Run keeps the plugin running until Stop is called or ctx is done, which kills
// it at once. A plugin whose circuit was open when the host last ended is not
// started before Reload.
func (s *Supervisor) Run(ctx context.Context) {
	defer close(s.done)
	defer s.set(Stopped, "")
	defer s.ending.Wait()
	if s.series.open() && !s.openCircuit(ctx, errors.New(s.spec.Past.LastError)) {
		return
	}
	var next process
	for {
		began := time.Now()
		life, err := s.begin(ctx, next)
		next = process{}
		s.answer(err)
		o := outcome{err: err}
		if err == nil {
			o = s.live(ctx, life)
			next = o.next
		}
		switch {
		case ctx.Err() != nil || s.stopping():
			next.kill()
			return
		case o.reloaded:
			s.forget()
			if o.err != nil { // it ended while its successor came up
				s.set(Starting, o.err.Error())
			}
			continue
		}
		idle := !o.owed && time.Since(began) >= longLife
		pause := s.note(o.worked || idle, o.err)
		if s.series.open() {
			next.kill()
			next = process{}
			if !s.openCircuit(ctx, o.err) {
				return
			}
			continue
		}
		s.countRestart()
		if pause == 0 {
			s.set(Starting, errText(o.err)) // people see why
			s.spec.Logger.Warn("plugin ended, starting it again", "error", errText(o.err))
			continue
		}
		next.kill() // it was not foreseen
		next = process{}
		s.set(Backoff, errText(o.err))
		wait := pause/2 + rand.N(pause) //nolint:gosec // jitter needs no secrecy
		s.spec.Logger.Warn("plugin failed, starting it again after a pause", "error", errText(o.err), "pause", wait.String(), "attempt", s.series.barren)
		if !s.sleep(ctx, wait) {
			return
		}
	}
}

// note notes the end of a life and returns the pause before the next.
func (s *Supervisor) note(worked bool, err error) time.Duration {
	before := s.series.barren
	pause := s.series.next(worked, time.Now())
	if s.series.barren != before {
		s.spec.Keep(Past{Barren: s.series.barren, LastError: errText(err)})
	}
	return pause
}

// forget begins a new series.
func (s *Supervisor) forget() {
	if s.series.barren > 0 {
		s.series.forget()
		s.spec.Keep(Past{})
	}
}

func (s *Supervisor) countRestart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
}

func errText(err error) string {
	if err == nil {
		return "it ended by itself"
	}
	return err.Error()
}

// openCircuit waits for Reload; false when the plugin is to stop instead.
func (s *Supervisor) openCircuit(ctx context.Context, err error) bool {
	s.set(Failed, errText(err))
	s.spec.Logger.Error("plugin keeps failing and is left alone; mend it and run: ironpost plugin reload "+s.spec.Name, "error", errText(err))
	s.setUp(false)
	select {
	case r := <-s.reload:
		s.waiting = append(s.waiting, r)
		s.forget()
		s.setUp(true)
		return true
	case <-s.stop:
	case <-ctx.Done():
	}
	return false
}

// setUp tells whether the plugin is worth waiting for, when that changed.
func (s *Supervisor) setUp(up bool) {
	if s.down == up {
		s.down = !up
		s.spec.SetUp(up)
	}
}

func (s *Supervisor) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case r := <-s.reload:
		s.waiting = append(s.waiting, r)
		return true
	case <-s.stop:
	case <-ctx.Done():
	}
	return false
}

func (s *Supervisor) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *Supervisor) set(state State, lastErr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	if lastErr != "" {
		s.lastErr = lastErr
	}
	if state != Running && state != Degraded {
		s.health = "unknown"
	}
}

// answer tells those who wait for a start what became of it.
func (s *Supervisor) answer(err error) {
	for _, r := range s.waiting {
		r.done <- err
	}
	s.waiting = nil
}

// Reload replaces the process by a new one and returns when that is configured,
// or with the reason why it is not. While a process is served, it goes on until
// its successor is up, drains then, and stays when there is no successor. An
// open circuit is closed, a pause ended. The error of ctx, or ErrStopped, leaves
// open what became of it.
func (s *Supervisor) Reload(ctx context.Context) error {
	r := reloadRequest{done: make(chan error, 1)}
	select {
	case s.reload <- r:
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-r.done:
		return err
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop drains the plugin, ends its process and returns when Run has returned.
func (s *Supervisor) Stop() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

// Drain lets a running plugin finish what it has, while its links stay open. It
// takes Spec.DrainTimeout at most, whether or not ctx is done.
func (s *Supervisor) Drain(ctx context.Context) {
	if conn := s.Conn(); conn != nil {
		s.drain(ctx, conn)
	}
}

// Conn returns the connection of the running process, nil when there is none.
func (s *Supervisor) Conn() *link.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// State returns the state alone.
func (s *Supervisor) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Status returns a snapshot.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	out := Status{
		State: s.state, Restarts: s.restarts, Started: s.started, LastError: s.lastErr, Health: s.health, CPU: s.cpu,
		HeapObjects: s.objectsEnded + s.objects,
	}
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		out.PID = conn.Process().Pid()
		out.Report = conn.Process().Report()
		if u, err := conn.Process().Usage(); err == nil {
			out.Usage = u
			out.CPU += u.CPU
		}
	}
	return out
}
