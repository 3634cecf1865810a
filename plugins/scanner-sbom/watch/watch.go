package watch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Looker finds out about targets. Its methods are called concurrently.
type Looker interface {
	// Targets lists the targets that there are. The error is of those that could not be
	// listed, which are not to be taken for gone.
	Targets(ctx context.Context) ([]Target, error)
	// Events tells what happens to targets until ctx is done or the engine is gone.
	Events(ctx context.Context, tell func(Event)) error
	// Look finds what a target holds, and reads only what changed; it returns the target
	// as it is called now. The error wraps [ErrGone] when there is no such target any more.
	// memory is what a process before this one was told to keep at its last look, nil when this one
	// looked already.
	Look(ctx context.Context, t Target, memory []byte) (Target, *Holding, error)
	// Observe says what the processes of targets use; of a target that was not looked at
	// it says nothing.
	Observe(ctx context.Context, targets []string) (map[string]Observed, error)
	// Match holds packages against the advisories, and returns the findings by Ref.
	Match(ctx context.Context, packages []*inventory.Package) (map[string][]*match.Finding, error)
	// Examine looks whether the programs that findings name, by the Locations of their packages,
	// have the functions that advisories call vulnerable, and notes it in the findings, which are
	// the caller's own. What is not noted is not known.
	Examine(ctx context.Context, t Target, findings []*match.Finding) error
	// Rematch says of which packages Match would find something else than when Rematch was
	// called last, with what it finds now; all says that every package has to be matched again.
	// packages returns those of all targets, and is called when they are needed. One
	// goroutine calls it.
	Rematch(ctx context.Context, packages func() []*inventory.Package) (changed map[*inventory.Package][]*match.Finding, all bool, err error)
}

// ErrGone says that a target is not there any more.
var ErrGone = errors.New("the target is gone")

// Event says that something happened to a target.
type Event struct {
	Target Target
	Kind   EventKind
}

// EventKind says what happened.
type EventKind uint8

// The kinds.
const (
	// Appeared targets are to be looked at: a container was started or renamed, an image came.
	Appeared EventKind = iota
	// Executed says that somebody started, or ended, a process in it.
	Executed
	// Stopped says that its processes ended.
	Stopped
	// Vanished says that it was removed.
	Vanished
)

// Config says how to watch.
type Config struct {
	Looker Looker
	Out    sdk.Findings
	Log    hclog.Logger
	// Dir is where it is remembered what was told.
	Dir string
	// Rescan is how often every target is looked at again, Observe how often what runs is.
	Rescan, Observe time.Duration
	// Least is the least severity of an alert about a vulnerability.
	Least event.Severity
	// Workers is how many targets are looked at at once.
	Workers int
}

// Intervals of the loop, and how long after a start processes are looked at.
const (
	advisoriesEvery = 5 * time.Second
	saveEvery       = 2 * time.Second
	saveRate        = 1 << 20 // bytes a second of the files, each of which is written as a whole
	retryAfter      = 5 * time.Second
	// repeatEvery is how often the whole inventory is recorded again; the host keeps nothing
	// twice in a shorter time.
	repeatEvery = 25 * time.Hour
	maxQueued   = 4096
	maxStray    = 256 // programs that nobody brought, of a target
	maxUsers    = 16  // files of a package that are used
	// useLasts is how long a package counts as in use after it was seen last.
	useLasts = 24 * time.Hour
	// afterProcess is when a container is looked at in which a process was started or has ended,
	// after the last of them.
	afterProcess = time.Second
	// afterProcesses is when it is at the latest, should there be no last one.
	afterProcesses = 10 * time.Second
	// afterStop is when one is whose processes have ended. Most are removed at once, and Docker
	// may fail to remove one that is being read.
	afterStop = 3 * time.Second
)

// early is when a container that began something is looked at, beside the usual times.
func early() []time.Duration {
	return []time.Duration{0, 300 * time.Millisecond, time.Second, 3 * time.Second}
}

// Watch is a watch of targets.
type Watch struct {
	Config
	told *told
	// due holds the targets to be looked at, doubts those whose programs are to be examined.
	due, doubts *queue
	// soon holds those whose processes are to be looked at, later those that are to be looked
	// at themselves.
	soon, later *agenda

	mu      sync.Mutex
	targets map[string]*guarded
	failing map[string]failure
	counts  Counts

	// saveAfter is when the file is written again at the earliest; it is of save alone.
	saveAfter time.Time
}

// guarded is a target's state, and who works on it.
type guarded struct {
	// looking is held by who looks at the target, and the Mutex by who has its state.
	looking sync.Mutex
	sync.Mutex
	state
}

// Counts are what a watch has come to.
type Counts struct {
	Looks, Failed, Observations, Alerts, Held, Records, Dropped uint64
	// Examined are findings about functions that were looked for, RecordsHeld records of
	// packages that waited, each time that they did, and Forgotten things that were told and are
	// not remembered.
	Examined, RecordsHeld, Forgotten uint64
	// Problems are what looks could not read, by code.
	Problems map[string]uint64
}

// New returns a watch that goes on where one with the same folder stopped.
func New(c Config) *Watch {
	w := &Watch{
		Config: c, due: newQueue(maxQueued), doubts: newQueue(maxQueued), soon: newAgenda(), later: newAgenda(),
		targets: map[string]*guarded{}, failing: map[string]failure{}, told: openTold(c.Dir, c.Log),
	}
	w.Workers = cmp.Or(max(w.Workers, 0), 1)
	return w
}

// Counts returns what the watch has come to.
func (w *Watch) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts
	c.Problems, c.Forgotten = maps.Clone(c.Problems), w.told.lost()
	return c
}

func (w *Watch) count(f func(*Counts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.counts)
}

// Run watches until ctx is done. An error is of Out alone: everything else is tried again.
func (w *Watch) Run(ctx context.Context) error {
	if err := w.rematch(ctx); err != nil { // from here on it tells what changes
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.follow(ctx) })
	for range w.Workers {
		g.Go(func() error { return w.work(ctx) })
		g.Go(func() error { return w.doubtful(ctx) })
	}
	g.Go(func() error { return w.soon.run(ctx, w.observe) })
	g.Go(func() error {
		return w.later.run(ctx, func(_ context.Context, targets []string) error {
			for _, id := range targets {
				w.push(Target{ID: id})
			}
			return nil
		})
	})
	every := func(interval time.Duration, f func(context.Context) error) {
		g.Go(func() error {
			t := time.NewTicker(interval)
			defer t.Stop()
			for {
				select {
				case <-t.C:
					if err := f(ctx); err != nil {
						return err
					}
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
	every(w.Rescan, w.rescan)
	every(w.Observe, func(ctx context.Context) error { return w.observe(ctx, w.running()) })
	every(advisoriesEvery, w.rematch)
	every(saveEvery, w.save)
	every(repeatEvery, func(ctx context.Context) error {
		w.told.stale()
		return w.rescan(ctx)
	})
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// follow lists the targets and then follows what happens to them, again and again.
func (w *Watch) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.rescan(ctx); err != nil {
			return err
		}
		err := w.Looker.Events(ctx, w.happened)
		if err != nil && ctx.Err() == nil {
			w.Log.Debug("events are not followed; trying again", "error", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
	return nil
}

// happened takes note of an event.
func (w *Watch) happened(e Event) {
	id := e.Target.ID
	switch e.Kind {
	case Appeared:
		w.push(e.Target)
	case Executed:
		w.soon.add(id, time.Now(), early())
		w.later.putOff(id, time.Now(), afterProcess, afterProcesses)
	case Stopped:
		w.soon.drop(id)
		g := w.target(e.Target)
		g.Lock()
		g.uses, g.old, g.unowned = nil, nil, nil
		g.Unlock()
		w.later.add(id, time.Now(), []time.Duration{afterStop})
	case Vanished:
		w.soon.drop(id)
		w.later.drop(id)
		w.push(e.Target)
	}
}

// push has a target looked at.
func (w *Watch) push(t Target) {
	if !w.due.push(t) {
		w.count(func(c *Counts) { c.Dropped++ })
	}
}

// rescan has every target looked at, and forgets those that are gone.
func (w *Watch) rescan(ctx context.Context) error {
	list, err := w.Looker.Targets(ctx)
	here := map[string]bool{}
	for _, t := range list {
		here[t.ID] = true
		w.push(t)
	}
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Debug("targets are not listed; trying again", "error", err)
		}
		return nil // who is not listed may be there
	}
	for _, id := range w.told.names() {
		if !here[id] {
			w.push(Target{ID: id}) // its look says whether it is gone
		}
	}
	return nil
}

// work looks at targets that are due.
func (w *Watch) work(ctx context.Context) error {
	for {
		t, err := w.due.next(ctx)
		if err != nil {
			return nil
		}
		if err := w.look(ctx, t); err != nil {
			return err
		}
	}
}

// target returns the state of a target, new if it was not known.
func (w *Watch) target(t Target) *guarded {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.targets[t.ID]
	if g == nil {
		g = &guarded{state: state{target: t}}
		w.targets[t.ID] = g
	}
	return g
}

// known returns the state of a target, nil if it is not known.
func (w *Watch) known(id string) *guarded {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.targets[id]
}

// running are the ids of the targets that may have processes and were looked at.
func (w *Watch) running() []string {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	var out []string
	for _, g := range all {
		g.Lock()
		if g.holding != nil && g.target.runs() {
			out = append(out, g.target.ID)
		}
		g.Unlock()
	}
	slices.Sort(out)
	return out
}

// look finds what a target holds, tells of it, and then watches what it begins.
func (w *Watch) look(ctx context.Context, t Target) error {
	g := w.target(t)
	g.looking.Lock()
	defer g.looking.Unlock()
	var memory []byte
	if g.fresh() {
		memory = w.told.memory(t.ID)
	}
	t, h, err := w.Looker.Look(ctx, t, memory)
	w.count(func(c *Counts) { c.Looks++ })
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ErrGone):
		w.failed(t, nil)
		return w.forget(ctx, t)
	}
	w.failed(t, err)
	if err != nil {
		return nil
	}
	g.Lock()
	former := g.departures(h, time.Now())
	g.Unlock()
	found, err := w.Looker.Match(ctx, matched(h, former))
	if err != nil {
		w.count(func(c *Counts) { c.Failed++ })
		w.Log.Warn("packages were not held against the advisories", "target", t.ID, "error", err)
	}
	g.Lock()
	g.becomes(t, h, former, found, func(c Change) bool { return w.told.fresh(t.ID, RuleDatabase, c.Path, c.Package) })
	w.problems(&g.state)
	err = w.tell(ctx, &g.state)
	g.Unlock()
	if t.runs() {
		w.soon.add(t.ID, time.Now(), early())
	}
	return err
}

// fresh says whether the target was not looked at yet.
func (g *guarded) fresh() bool {
	g.Lock()
	defer g.Unlock()
	return g.holding == nil
}
