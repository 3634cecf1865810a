package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/host/internal/catalog"
	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/supervise"
)

// Start starts every enabled plugin that does not run yet, all at once, until
// ctx is done: what has been started by then stays, for Stop. It returns when
// they have come up, or may not be waited for any longer; sources send nothing
// before.
func (r *Roster) Start(ctx context.Context) {
	r.start(ctx)
	r.settle(ctx)
	r.openOnce.Do(func() { close(r.open) })
}

// start starts every enabled plugin that does not run yet.
func (r *Roster) start(ctx context.Context) {
	r.mu.RLock()
	plugins := slices.Clone(r.plugins)
	r.mu.RUnlock()
	// Sinks first, sources last, so that everyone has somebody to talk to.
	slices.SortStableFunc(plugins, func(a, b *plugin) int { return rank(b) - rank(a) })
	for _, p := range plugins {
		if ctx.Err() != nil {
			return
		}
		if !r.mayRun(p) || r.runningPlugin(p.name()) != nil {
			continue
		}
		unlock := r.lock(p.name())
		if r.mayRun(p) && r.runningPlugin(p.name()) == nil {
			r.run(ctx, p)
		}
		unlock()
	}
}

// mayRun reports whether the plugin is to run, as things stand.
func (r *Roster) mayRun(p *plugin) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.decision.State == catalog.Enabled && (r.config.Want == nil || r.config.Want(p.desc))
}

// settle lets the plugins that were started come up before a source sends its
// first record: until then it is not known what their configuration makes them
// want. One that does not come up is not waited for longer than it may take.
func (r *Roster) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Plugins.StartTimeout)
	defer cancel()
	_ = r.wait(ctx, func(p *plugin) bool { return !begins(p) }) // the supervisors tell
}

// begins reports whether events begin at the plugin: it waits until the others can
// take them.
func begins(p *plugin) bool {
	return slices.ContainsFunc(p.desc.GetKinds(), func(k string) bool { return k == "source" || k == "scanner" })
}

// rank orders plugins by how early in the flow they stand.
func rank(p *plugin) int {
	most := 0
	for _, k := range p.desc.GetKinds() {
		most = max(most, slices.Index(flow, k))
	}
	if slices.Contains(p.desc.GetKinds(), "source") {
		return 0
	}
	return most
}

// flow is the order of the kinds.
var flow = []string{"source", "parser", "detector", "enforcer", "scanner", "sink", "state"}

// run gives the plugin its place and starts supervising it. The lock of its name
// is held.
func (r *Roster) run(ctx context.Context, p *plugin) {
	r.mu.RLock()
	stopping := r.stopping
	r.mu.RUnlock()
	if stopping {
		return
	}
	member, err := r.config.Pipeline.Add(p.desc) //nolint:contextcheck // a member lives until it is removed, longer than ctx
	if err != nil {
		r.log.Error("plugin has no place", "plugin", p.name(), "error", err)
		r.mu.Lock()
		p.decision = catalog.Decision{State: catalog.Refused, Refusal: catalog.NewRefusal(catalog.NameTaken, err.Error(),
			"a format that no other plugin parses", "ironpost plugin disable "+p.name())}
		r.mu.Unlock()
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	launching := new(atomic.Pointer[plugin])
	launching.Store(p)
	fresh := new(freshProcesses)
	background := new(sync.WaitGroup)
	past := r.pastOf(p)
	supervisor := supervise.New(supervise.Spec{
		Name:   p.name(),
		Logger: r.logger(p.name(), fromHost),
		Start: func(ctx context.Context) (*link.Conn, error) {
			l, err := r.launch(ctx, launching.Load())
			if err != nil {
				return nil, err
			}
			fresh.put(l)
			return l.conn, nil
		},
		Configure: func(ctx context.Context, c *link.Conn) error { return r.configure(ctx, fresh.get(c)) },
		Alone:     alone(p),
		Serve: func(ctx context.Context, c *link.Conn) error {
			l := fresh.get(c)
			defer fresh.drop(c)
			if begins(l.plugin) {
				select {
				case <-r.open:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return r.serve(ctx, background, member, l)
		},
		Work:          member.Work,
		Ended:         member.Ended,
		Owes:          member.Owes,
		AnswerTimeout: r.config.Plugins.AnswerTimeout,
		Patient:       patient(p),
		Hold:          member.Hold,
		Settle:        member.Settle,
		SetUp:         member.SetUp,
		DrainTimeout:  r.config.Plugins.DrainTimeout,
		Past:          past,
		Keep:          func(past supervise.Past) { r.keepPast(launching.Load(), past) },
	})
	r.mu.Lock()
	p.member, p.supervisor, p.stop, p.listeners = member, supervisor, stop, make(map[string]*os.File)
	p.background, p.rate, p.launching = background, new(rate), launching
	p.log = r.ring(p.name())
	r.running[p.name()] = p
	r.mu.Unlock()
	p.background.Go(func() { supervisor.Run(ctx) })
}

// alone reports whether two processes of the plugin must not be configured at a
// time: they would write the same files.
func alone(p *plugin) bool {
	return slices.Contains(p.desc.GetKinds(), "sink") || len(p.desc.GetPermissions().GetWrite()) > 0
}

// patient reports whether the plugin may wait for a peer of its own.
func patient(p *plugin) bool {
	return !slices.ContainsFunc(p.desc.GetKinds(), func(k string) bool { return k != "sink" && k != "enforcer" })
}

// replace lets the process of another plugin's bytes take over the place of one
// that runs, without a gap. What runs goes on when the new bytes are of no use.
// The lock of the name is held.
func (r *Roster) replace(ctx context.Context, run, p *plugin) error {
	p.listeners = run.listeners
	run.launching.Store(p)
	if err := run.supervisor.Reload(ctx); err != nil {
		run.launching.Store(run)
		p.listeners = nil
		return fmt.Errorf("%s goes on with the bytes it had: %w", p.name(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.member, p.supervisor, p.stop = run.member, run.supervisor, run.stop
	p.background, p.rate, p.launching = run.background, run.rate, run.launching
	p.log = run.log
	r.running[p.name()] = p
	run.member, run.supervisor, run.listeners = nil, nil, nil
	r.cool(run.digest)
	return nil
}

// fits reports whether a process of p can take over the place of run.
func fits(run, p *plugin) bool {
	return slices.Equal(run.desc.GetKinds(), p.desc.GetKinds()) && run.desc.GetFormat() == p.desc.GetFormat() && alone(run) == alone(p)
}

// halt drains and ends a plugin and takes its place away. The lock of its name
// is held.
func (r *Roster) halt(p *plugin) {
	p.supervisor.Stop()
	p.stop()
	p.background.Wait()
	r.config.Pipeline.Remove(p.name())
	for _, f := range p.listeners {
		_ = f.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, p.name())
	for _, other := range r.plugins { // a newer file stood for it
		if other != p && other.supervisor == p.supervisor {
			other.supervisor, other.member = nil, nil
		}
	}
	p.supervisor, p.member, p.listeners = nil, nil, nil
	r.cool(p.digest)
}

// haltAll ends plugins, each for itself, unless somebody else did it first.
func (r *Roster) haltAll(plugins []*plugin) {
	var wg sync.WaitGroup
	for _, p := range plugins {
		wg.Go(func() {
			defer r.lock(p.name())()
			if r.runningPlugin(p.name()) == p {
				r.halt(p)
			}
		})
	}
	wg.Wait()
}

// lock has changes of one plugin wait for each other, and for no other plugin's;
// it returns how to end that. r.change may be locked after it, never before.
func (r *Roster) lock(name string) (unlock func()) {
	r.mu.Lock()
	l := r.locks[name]
	if l == nil {
		l = new(sync.Mutex)
		r.locks[name] = l
	}
	r.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Stop ends everything in the order of the flow: sources and scanners first, so that what
// they delivered reaches the end. ctx bounds the wait for that. Nothing is
// started any more.
func (r *Roster) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.stopping = true
	running := slices.Collect(maps.Values(r.running))
	supervisors := make([]*supervise.Supervisor, 0, len(running))
	for _, p := range running {
		if begins(p) {
			supervisors = append(supervisors, p.supervisor)
		}
	}
	r.mu.Unlock()
	r.openOnce.Do(func() { close(r.open) })
	var wg sync.WaitGroup
	for _, s := range supervisors {
		wg.Go(func() { s.Drain(ctx) })
	}
	wg.Wait()
	err := r.config.Pipeline.Idle(ctx)
	if err != nil {
		err = fmt.Errorf("what was under way did not reach the end in time and comes again at the next start: %w", err)
	}
	r.config.Pipeline.Close()
	r.haltAll(running)
	r.mu.RLock()
	left := slices.Collect(maps.Values(r.running)) // started just before
	r.mu.RUnlock()
	r.haltAll(left)
	r.attending.Wait() // their processes are gone
	r.chill()
	return err
}

// Ready waits until every enabled plugin is running, or cannot.
func (r *Roster) Ready(ctx context.Context) error {
	return r.wait(ctx, func(*plugin) bool { return true })
}

// wait is Ready for the plugins that are meant.
func (r *Roster) wait(ctx context.Context, meant func(*plugin) bool) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		waiting := r.waiting(meant)
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not yet running: %s: %w", strings.Join(waiting, ", "), context.Cause(ctx))
		}
	}
}

func (r *Roster) waiting(meant func(*plugin) bool) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []string
	for name, p := range r.running {
		if !meant(p) {
			continue
		}
		switch s := p.supervisor.State(); {
		case s == supervise.Starting, s == supervise.Running && !p.member.Serving():
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// errGone is the error of a process that nobody knows.
var errGone = errors.New("the process is gone")
