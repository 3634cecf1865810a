package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/plugins/sink-postgres/store"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// sink writes into a store.Store.
type sink struct {
	cfg   *config
	store atomic.Pointer[store.Store] // nil without a url
	count func(name string, n uint64)
	stop  context.CancelFunc
	runs  sync.WaitGroup

	mu      sync.Mutex
	counted store.Stats
}

var (
	_ sdk.Sink     = (*sink)(nil)
	_ sdk.Syncer   = (*sink)(nil)
	_ sdk.Querier  = (*sink)(nil)
	_ sdk.Consumer = (*sink)(nil)
)

// setup does not wait for the server: what comes while it is away goes to the spool.
func (s *sink) setup(ctx context.Context, env sdk.Env) error {
	if s.cfg.URL == "" {
		return nil
	}
	cfg, err := s.cfg.storeConfig(env.HostID)
	if err != nil {
		return err
	}
	opened, err := store.Open(cfg) //nolint:contextcheck // it waits for nothing; its connections outlive setup
	if err != nil {
		return err
	}
	s.count = env.Counter
	// It runs as long as the plugin, which is longer than setup.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.runs.Go(func() {
		_ = opened.Run(running) // it ends with the context alone
	})
	s.store.Store(opened)
	return nil
}

// close ends what setup began.
func (s *sink) close() error {
	opened := s.store.Load()
	if opened == nil {
		return nil
	}
	s.stop()
	s.runs.Wait()
	return opened.Close()
}

func (s *sink) health(context.Context) error {
	opened := s.store.Load()
	if opened == nil {
		return nil // it was told to keep nothing
	}
	s.report(opened)
	return opened.Health()
}

// Consumes asks for alerts, actions and inventory, and for all else when it is kept.
func (s *sink) Consumes() []event.Kind {
	return stored.Kinds(s.cfg.KeepEvents && s.cfg.URL != "")
}

// Write takes a batch; Sync makes it durable.
func (s *sink) Write(ctx context.Context, batch sdk.Batch) error {
	to := s.store.Load()
	if to == nil {
		return nil
	}
	if err := to.MakeRoom(ctx); err != nil {
		return err
	}
	stored.Put(to, batch, s.cfg.KeepEvents)
	return nil
}

// Sync commits what was written, or has it on the disk of this host.
func (s *sink) Sync(ctx context.Context) error {
	to := s.store.Load()
	if to == nil {
		return nil
	}
	if err := to.Sync(ctx); err != nil {
		return err
	}
	s.report(to)
	return nil
}

// report brings the counters up to date.
func (s *sink) report(from *store.Store) {
	if s.count == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := from.Stats()
	for _, c := range []struct {
		name        string
		now, before uint64
	}{
		{"written", now.Written, s.counted.Written},
		{"spooled", now.Spooled, s.counted.Spooled},
		{"dropped_spool_full", now.Dropped, s.counted.Dropped},
		{"dropped_alerts_spool_full", now.DroppedAlerts, s.counted.DroppedAlerts},
		{"refused_rows", now.Refused, s.counted.Refused},
		{"corrupt_spool_bytes", now.Corrupt, s.counted.Corrupt},
		{"deleted_days", now.Deleted, s.counted.Deleted},
		{"server_errors", now.Errors, s.counted.Errors},
	} {
		if c.now > c.before {
			s.count(c.name, c.now-c.before)
		}
	}
	s.counted = now
}

// errUnset says why nothing can be asked.
var errUnset = errors.New("sink-postgres keeps nothing: set url in the section [sink_postgres]")

// Query gives stored events back, newest first.
func (s *sink) Query(ctx context.Context, q sdk.Query, yield func(sdk.Record) bool) error {
	from := s.store.Load()
	if from == nil {
		return errUnset
	}
	return from.Query(ctx, q, yield)
}

// UpdateAlert sets the state of an alert.
func (s *sink) UpdateAlert(ctx context.Context, id, state, actor, note string) (bool, error) {
	in := s.store.Load()
	if in == nil {
		return false, errUnset
	}
	return in.UpdateAlert(ctx, id, state, actor, note)
}
