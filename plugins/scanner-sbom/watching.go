package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/machine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// watching is what the plugin does by itself while the host runs.
type watching struct {
	env sdk.Env

	mu sync.Mutex
	// unseen says which targets cannot be looked at, while something is watched.
	unseen func() error
	// docker is why Docker is not watched, nil when it is or need not be.
	docker error
}

// away notes that Docker cannot be asked, and why, or nil.
func (w *watching) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.docker = err
}

// looks has health ask what cannot be looked at; nil is nobody any more.
func (w *watching) looks(unseen func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unseen = unseen
}

// Watch implements [sdk.Watcher].
func (s *scanner) Watch(ctx context.Context, out sdk.Findings) error {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask for the name of the machine: %w", err)
	}
	r := rematcher{scanner: s}
	defer r.close()
	c := machine.Config{
		Containers: s.cfg.Containers, Images: s.cfg.Images, Host: s.cfg.Host, Name: name,
		Scan: s.how(func(string) {}), Folder: s.memory.scan,
		Processes: s.watching.env.Processes, Log: s.log, Rematch: r.rematch, Away: s.watching.away,
		Match: func(ctx context.Context, packages []*inventory.Package) ([]*match.Finding, error) {
			result, _, err := s.match(ctx, packages)
			if err != nil {
				return nil, err
			}
			return result.Findings, nil
		},
		Examine: s.examine,
	}
	if s.cfg.Containers || s.cfg.Images {
		c.Engine = s.docker()
		defer c.Engine.Close()
	}
	least, _ := event.ParseSeverity(s.cfg.AlertSeverity) // the SDK has checked it
	w := watch.New(watch.Config{
		Looker: machine.New(c), Out: out, Log: s.log, Dir: s.cfg.DatabaseDir,
		Rescan: s.cfg.Rescan, Observe: s.cfg.Observe, Least: least, Workers: 2,
	})
	s.watching.looks(w.Unseen)
	defer s.watching.looks(nil)
	stop := s.report(ctx, w)
	defer stop()
	defer s.keep()
	return s.unlessStuck(ctx, w.Run)
}

// reportEvery is how often the counters are brought up to date, and what was scanned is kept.
const reportEvery = 10 * time.Second

// report keeps the counters current until it is stopped.
func (s *scanner) report(ctx context.Context, w *watch.Watch) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(reportEvery)
		defer t.Stop()
		var before watch.Counts
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			now := w.Counts()
			for name, n := range map[string]uint64{
				"looks": now.Looks - before.Looks, "looks_failed": now.Failed - before.Failed,
				"looks_dropped": now.Dropped - before.Dropped, "observations": now.Observations - before.Observations,
				"alerts_held": now.Held - before.Held, "records_held": now.RecordsHeld - before.RecordsHeld,
				"told_forgotten": now.Forgotten - before.Forgotten, "symbols_examined": now.Examined - before.Examined,
			} {
				s.watching.env.Counter(name, n)
			}
			for code, n := range now.Problems {
				s.watching.env.Counter("look_problems_"+code, n-before.Problems[code])
			}
			before = now
			s.keep()
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// health says what is not watched.
func (s *scanner) health(context.Context) error {
	s.watching.mu.Lock()
	docker, unseen := s.watching.docker, s.watching.unseen
	s.watching.mu.Unlock()
	if docker != nil {
		return fmt.Errorf("containers are not watched: %w; start Docker, or set containers = false and images = false in [sbom]", docker)
	}
	if unseen == nil {
		return nil
	}
	if err := unseen(); err != nil {
		return fmt.Errorf("%w; run: ironpost scan NAME, which says more", err)
	}
	return nil
}
