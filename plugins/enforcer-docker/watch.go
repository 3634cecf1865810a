package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk"
)

// Times and bounds of watching.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	// settle is how long events are gathered before the host hears of them.
	settle = 50 * time.Millisecond
	// resync is how often the host looks at everything, for what no event told.
	resync = 5 * time.Minute
	// maxNamed is how many targets a report names.
	maxNamed = 256
)

// watcher tells the host when something happens to containers.
type watcher struct {
	docker  *engine.Engine
	targets sdk.Targets
	log     hclog.Logger

	mu     sync.Mutex
	broken error               // why Docker is not followed
	named  map[string]struct{} // what changed and was not reported
	all    bool                // anything may have changed
	woken  chan struct{}
}

func newWatcher(docker *engine.Engine, targets sdk.Targets, log hclog.Logger) *watcher {
	return &watcher{
		docker: docker, targets: targets, log: log,
		broken: errors.New("nobody has answered yet"), named: map[string]struct{}{}, woken: make(chan struct{}, 1),
	}
}

// health says why Docker is not followed, nil when it is.
func (w *watcher) health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		return nil
	}
	return fmt.Errorf("containers are not watched: %w", w.broken)
}

// run follows Docker's events until ctx is done. Docker keeps 256 and skips readers
// that are slow, so the host looks at everything after each new connection.
func (w *watcher) run(ctx context.Context) {
	var reports sync.WaitGroup
	reports.Go(func() { w.report(ctx) })
	defer reports.Wait()
	wait := firstPause
	for ctx.Err() == nil {
		err := w.docker.Events(ctx, time.Time{}, func() {
			wait = firstPause
			w.connected(nil)
			w.changed("")
		}, func(e engine.Event) {
			if telling(e.Action) {
				w.changed(e.Container)
			}
		})
		if ctx.Err() != nil {
			return
		}
		w.connected(err)
		w.log.Debug("Docker's events are followed again", "reason", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastPause)
	}
}

func (w *watcher) connected(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

// telling reports whether an event may change the effect of an answer.
func telling(action string) bool {
	action, _, _ = strings.Cut(action, ":")
	return slices.Contains([]string{"connect", "disconnect", "start", "restart", "die", "stop", "pause", "unpause", "destroy", "rename", "update"}, action)
}

// changed notes a container, "" for all.
func (w *watcher) changed(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case id == "" || len(w.named) >= maxNamed:
		w.all, w.named = true, map[string]struct{}{}
	case !w.all:
		w.named[id] = struct{}{}
	}
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// take returns what changed.
func (w *watcher) take() (names []string, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.named {
		names = append(names, id)
	}
	all = w.all
	w.named, w.all = map[string]struct{}{}, false
	return names, all
}

// report tells the host what changed, until ctx is done.
func (w *watcher) report(ctx context.Context) {
	tick := time.NewTicker(resync)
	defer tick.Stop()
	wait := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.changed("")
			continue
		case <-w.woken:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		names, all := w.take()
		if !all {
			if names = w.sharing(ctx, names); len(names) == 0 {
				continue
			}
		}
		if all {
			names = nil
		}
		if err := w.targets.Changed(ctx, names...); err == nil {
			wait = firstPause
			continue
		} else if ctx.Err() == nil {
			w.log.Warn("the host did not hear of changed containers", "error", err, "again_in", wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			w.changed("")
		}
		wait = min(2*wait, lastPause)
	}
}

// sharing adds the containers that use the network of one that changed, and the one
// whose network it uses. Where these cannot be had, or are too many, none is named,
// and changed notes all.
func (w *watcher) sharing(ctx context.Context, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	all, err := w.docker.Containers(ctx)
	if err != nil {
		w.changed("")
		return nil
	}
	out := slices.Clone(names)
	for i := range all {
		owner := all[i].NetworkOwner()
		if owner == "" {
			continue
		}
		if slices.Contains(names, owner) && !slices.Contains(out, all[i].ID) {
			out = append(out, all[i].ID)
		}
	}
	if len(out) > maxNamed {
		w.changed("")
		return nil
	}
	return out
}
