package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/target"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// enforcer joins policies, containers and the SDK. Decisions, executions, bundles
// and questions come concurrently.
type enforcer struct {
	cfg *config
	// set is what is in force; never nil.
	set atomic.Pointer[policy.Set]

	// From setup on:
	log      hclog.Logger
	counter  func(name string, n uint64)
	docker   *engine.Engine
	resolver *target.Resolver
	isolator *isolate.Isolator
	store    *evidence.Store
	watch    *watcher
	ready    atomic.Bool
	// patience is how long Docker is waited for, and deaf when that was in vain the
	// last time, in nanoseconds since 1970.
	patience time.Duration
	deaf     atomic.Int64
	// stop ends watching, and returns when it has ended.
	stop func()
}

var (
	_ sdk.PolicyEnforcer = (*enforcer)(nil)
	_ sdk.Executor       = (*enforcer)(nil)
	_ sdk.Planner        = (*enforcer)(nil)
	_ sdk.BundleLoader   = (*enforcer)(nil)
)

func newEnforcer(cfg *config) *enforcer {
	e := &enforcer{cfg: cfg, log: hclog.NewNullLogger(), counter: func(string, uint64) {}, patience: patience}
	e.set.Store(&policy.Set{})
	return e
}

// setup takes the configuration, which is in place now, and begins to watch Docker.
func (e *enforcer) setup(ctx context.Context, env sdk.Env) error {
	if err := e.cfg.validate(); err != nil {
		return err
	}
	store, err := evidence.Open(e.cfg.store())
	if err != nil {
		return err
	}
	if env.Docker == "" {
		return errors.New("the host serves no calls of Docker; grant them with: ironpost plugin enable enforcer-docker")
	}
	docker, err := engine.New(env.Docker)
	if err != nil {
		return err
	}
	if env.Logger != nil {
		e.log = env.Logger
	}
	if env.Counter != nil {
		e.counter = env.Counter
	}
	e.docker, e.store, e.isolator = docker, store, isolate.New(docker, e.protected)
	e.resolver = &target.Resolver{Docker: docker, Processes: env.Processes, Destination: e.cfg.Destination, Forgeable: e.cfg.Forgeable}
	e.watch = newWatcher(docker, env.Targets, e.log)
	// The context of the setup ends with the setup, this with the process.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { e.watch.run(ctx) })
	e.stop = func() {
		cancel()
		watching.Wait()
		_ = docker.Close() // it never fails
	}
	e.ready.Store(true)
	return nil
}

// health tells people that Docker does not answer, or that there are no policies.
func (e *enforcer) health(context.Context) error {
	switch {
	case !e.ready.Load():
		return nil
	case len(e.set.Load().Policies) == 0:
		return errors.New("no policy is loaded; name a folder of policies in container.policies")
	}
	return e.watch.health()
}

// LoadBundle implements sdk.BundleLoader.
func (e *enforcer) LoadBundle(_ context.Context, name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	if name != bundleName {
		return sdk.BundleReport{}, fmt.Errorf("load bundle %q: this plugin knows the bundle %q alone", name, bundleName)
	}
	set := policy.Load(files, e.cfg.DefaultTTL)
	report := sdk.BundleReport{Files: set.Files, Rules: len(set.Policies) + len(set.Problems), Loaded: len(set.Policies)}
	for _, p := range set.Problems {
		report.Rejected = append(report.Rejected, sdk.BundleProblem{File: p.File, Rule: p.Policy, Line: p.Line, Code: p.Code, Reason: p.Reason})
	}
	if !check {
		e.set.Store(set)
	}
	return report, nil
}

// How long a decision waits for a Docker that does not answer, and for how long
// after it no other one asks: the host ends plugins that take 30 s over a batch,
// which may hold many alerts.
const (
	patience = 12 * time.Second
	pause    = 500 * time.Millisecond
)

// errDeaf: a decision has just waited in vain.
var errDeaf = fmt.Errorf("%w: it was waited for", engine.ErrUnreachable)

// Decide implements sdk.PolicyEnforcer.
func (e *enforcer) Decide(ctx context.Context, alert *event.AlertEvent, propose func(sdk.Intent)) error {
	if !e.ready.Load() || !target.Concerned(alert) {
		return nil
	}
	found, err := e.find(ctx, alert)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !certain(alert) {
			e.counter("unresolved", 1)
			return nil // it names addresses, which need not be containers'
		}
		found.Why = "its container is not known: " + err.Error()
	}
	for _, step := range e.decide(ctx, alert, found).Steps {
		propose(step.Intent)
	}
	return nil
}

// certain reports whether an alert is about a container for sure.
func certain(a *event.AlertEvent) bool {
	return a.Provenance == event.ProvenanceContainer || a.Entity("container_id") != ""
}

// find looks for the container of an alert, and waits for a Docker that is away.
func (e *enforcer) find(ctx context.Context, alert *event.AlertEvent) (target.Found, error) {
	if time.Since(time.Unix(0, e.deaf.Load())) < e.patience {
		return target.Found{}, errDeaf
	}
	waiting, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	for {
		found, err := e.resolver.Alert(waiting, alert)
		if !errors.Is(err, engine.ErrUnreachable) || ctx.Err() != nil {
			return found, err
		}
		if certain(alert) {
			select {
			case <-time.After(pause):
				continue
			case <-waiting.Done():
			}
		}
		if waiting.Err() != nil {
			e.deaf.Store(time.Now().UnixNano())
		}
		return found, err
	}
}
