package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
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

// Bounds of a plugin's life.
const (
	maxBarren      = 5 // starts in a row without progress before the circuit opens
	firstPause     = 100 * time.Millisecond
	maxPause       = 30 * time.Second
	workedPause    = 5 * time.Second  // at most, after a life that got something done
	longLife       = 10 * time.Second // of a process that worked: its end is no part of a series
	healthInterval = 5 * time.Second
	maxSilent      = 2 // health checks without an answer before it is killed
)

// errSilent ends a process that does not answer.
var errSilent = errors.New("it does not answer its health check")

// Spec is what a Supervisor needs to know of its plugin.
type Spec struct {
	Name   string
	Logger hclog.Logger
	// Start starts and configures a process.
	Start func(ctx context.Context) (*link.Conn, error)
	// Serve runs its links until ctx is done or the process ends.
	Serve func(ctx context.Context, conn *link.Conn) error
	// Work returns a number that grows with the work done.
	Work func() uint64
	// SetUp is told whether the plugin is worth waiting for.
	SetUp func(up bool)
	// DrainTimeout bounds how long Stop waits for the plugin's work.
	DrainTimeout time.Duration
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
}

// Supervisor supervises one plugin. Its methods are safe for concurrent use.
type Supervisor struct {
	spec   Spec
	reload chan struct{}
	stop   chan struct{} // closed by Stop
	once   sync.Once
	done   chan struct{} // closed when Run has returned

	mu       sync.Mutex
	state    State
	conn     *link.Conn // nil while no process runs
	restarts uint32
	started  time.Time
	lastErr  string
	health   string
	cpu      time.Duration // of processes that have ended
}

// New returns a supervisor; Run starts the plugin.
func New(spec Spec) *Supervisor {
	return &Supervisor{
		spec:   spec,
		reload: make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		state:  Starting,
		health: "unknown",
	}
}

// Run keeps the plugin running until Stop is called or ctx is done, which kills
// it at once.
func (s *Supervisor) Run(ctx context.Context) {
	defer close(s.done)
	defer s.set(Stopped, "")
	var series series
	for first := true; ; first = false {
		if !first {
			s.mu.Lock()
			s.restarts++
			s.mu.Unlock()
		}
		began := time.Now()
		worked, err := s.life(ctx)
		switch {
		case ctx.Err() != nil || s.stopping():
			return
		case errors.Is(err, errReload):
			series.forget()
			continue
		}
		pause := series.next(worked, time.Since(began))
		switch {
		case series.barren >= maxBarren:
			if !s.openCircuit(ctx, err) {
				return
			}
			series.forget()
			continue
		case pause == 0:
			s.set(Starting, errText(err)) // people see why
			s.spec.Logger.Warn("plugin ended, starting it again", "error", err)
			continue
		}
		s.set(Backoff, errText(err))
		wait := pause/2 + rand.N(pause) //nolint:gosec // jitter needs no secrecy
		s.spec.Logger.Warn("plugin failed, starting it again after a pause", "error", err, "pause", wait.String(), "attempt", series.barren)
		if !s.sleep(ctx, wait) {
			return
		}
	}
}

// series is what is remembered of the lives before: one that gets a little done
// each time must not be started as fast as the machine can.
type series struct {
	barren int           // lives in a row that got nothing done
	pause  time.Duration // the last one; 0 when there was none
	short  bool          // the last life worked, and was short
}

// forget begins a new series.
func (s *series) forget() { *s = series{} }

// next notes the end of a life and returns the pause before the next.
func (s *series) next(worked bool, lived time.Duration) time.Duration {
	if worked {
		s.barren = 0
		if lived >= longLife || s.pause == 0 && !s.short {
			*s = series{short: lived < longLife}
			return 0
		}
	} else {
		s.barren++
	}
	s.pause = min(max(2*s.pause, firstPause), maxPause)
	if worked { // a plugin that gets on is not kept away for long
		s.pause = min(s.pause, workedPause)
	}
	return s.pause
}

// errReload ends a process because a new one was asked for.
var errReload = errors.New("reload")

func errText(err error) string {
	if err == nil {
		return "it ended by itself"
	}
	return err.Error()
}

// openCircuit waits for Reload; false when the plugin is to stop instead.
func (s *Supervisor) openCircuit(ctx context.Context, err error) bool {
	s.set(Failed, errText(err))
	s.spec.Logger.Error("plugin keeps failing and is left alone; mend it and run: ironpost plugin reload "+s.spec.Name, "error", err)
	s.spec.SetUp(false)
	select {
	case <-s.reload:
		s.spec.SetUp(true)
		return true
	case <-s.stop:
	case <-ctx.Done():
	}
	return false
}

func (s *Supervisor) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.reload:
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

// life runs one process from start to end and reports whether it worked.
func (s *Supervisor) life(ctx context.Context) (worked bool, err error) {
	s.set(Starting, "")
	conn, err := s.start(ctx)
	if err != nil {
		return false, err
	}
	before := s.spec.Work()
	s.mu.Lock()
	s.conn, s.started, s.state, s.health = conn, time.Now(), Running, "unknown"
	s.mu.Unlock()
	defer func() {
		conn.Kill()
		s.mu.Lock()
		s.cpu += s.finalCPU(ctx, conn)
		s.conn, s.started = nil, time.Time{}
		s.mu.Unlock()
	}()

	serveCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var serveErr error // once served is closed
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveErr = s.spec.Serve(serveCtx, conn)
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := s.watch(serveCtx, conn); err != nil {
			cancel(err)
			conn.Kill()
		}
	}()
	defer func() { <-watched }()
	defer cancel(nil)

	select {
	case <-served:
		err = serveErr
	case <-conn.Done():
		cancel(nil)
		<-served
		err = s.exitError(ctx, conn)
	case <-s.reload:
		s.drain(ctx, conn)
		cancel(errReload)
		<-served
		return true, errReload
	case <-s.stop:
		s.drain(ctx, conn)
		cancel(nil)
		<-served
		return true, nil
	case <-ctx.Done():
		cancel(nil)
		<-served
		return true, ctx.Err()
	}
	if cause := context.Cause(serveCtx); errors.Is(cause, errSilent) {
		err = cause
	}
	return s.spec.Work() > before, err
}

// start starts a process, and gives up when Stop is called meanwhile.
func (s *Supervisor) start(ctx context.Context) (*link.Conn, error) {
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
	return s.spec.Start(ctx)
}

func (s *Supervisor) exitError(ctx context.Context, conn *link.Conn) error {
	state, err := conn.Process().Wait(context.WithoutCancel(ctx)) // it has ended
	if err != nil {
		return err
	}
	return fmt.Errorf("process %d ended: %s", conn.Process().Pid(), state)
}

func (s *Supervisor) finalCPU(ctx context.Context, conn *link.Conn) time.Duration {
	select {
	case <-conn.Done():
		if state, err := conn.Process().Wait(context.WithoutCancel(ctx)); err == nil {
			return state.UserTime + state.SystemTime
		}
	default:
	}
	return 0
}

// drain lets the plugin finish.
func (s *Supervisor) drain(ctx context.Context, conn *link.Conn) {
	s.set(Draining, "")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.spec.DrainTimeout)
	defer cancel()
	if err := conn.Drain(ctx, s.spec.DrainTimeout); err != nil {
		s.spec.Logger.Warn("plugin did not finish its work in time", "error", err)
	}
}

// watch asks for health until ctx is done; its error ends the process.
func (s *Supervisor) watch(ctx context.Context, conn *link.Conn) error {
	silent := 0
	ask := func() error {
		h, err := conn.Health(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if silent++; silent >= maxSilent {
				return fmt.Errorf("%w: %w", errSilent, err)
			}
			return nil
		}
		silent = 0
		s.setHealth(h)
		return nil
	}
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	soon := time.After(500 * time.Millisecond)
	for {
		select {
		case <-soon:
		case <-ticker.C:
		case <-conn.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
		if err := ask(); err != nil {
			return err
		}
	}
}

func (s *Supervisor) setHealth(h *pb.HealthResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// Reload replaces the process by a new one, after a drain, and closes an open
// circuit.
func (s *Supervisor) Reload() {
	select {
	case s.reload <- struct{}{}:
	default:
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

// Status returns a snapshot.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	out := Status{
		State: s.state, Restarts: s.restarts, Started: s.started, LastError: s.lastErr, Health: s.health, CPU: s.cpu,
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
