package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/plugins/sink-sqlite/store"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// config is the section [sink_sqlite].
type config struct {
	Dir            string        `config:"dir" help:"directory of the databases; data:sink-sqlite is the plugin's own below the host's data directory"`
	KeepEvents     bool          `config:"keep_events" help:"keep every log event and packet summary, not only those that an alert cites"`
	Retention      time.Duration `config:"retention" min:"0s" max:"87600h" help:"how long log events and packet summaries are kept, in whole days; 0s: for ever"`
	AlertRetention time.Duration `config:"alert_retention" min:"0s" max:"87600h" help:"how long alerts and actions are kept; 0s: for ever"`
	MaxAlertBytes  sdk.Size      `config:"max_alert_bytes" min:"0" help:"bound of the alerts and actions on disk, the oldest go first; 0: none"`
	MaxBytes       sdk.Size      `config:"max_bytes" min:"0" help:"bound of the log events and packet summaries on disk, the oldest days go first; 0: none"`
}

func defaults() config {
	return config{
		Dir:            "data:sink-sqlite",
		Retention:      30 * 24 * time.Hour,
		AlertRetention: 365 * 24 * time.Hour,
		MaxAlertBytes:  2 << 30,
		MaxBytes:       2 << 30,
	}
}

// sink writes into a store.Store.
type sink struct {
	cfg     *config
	store   atomic.Pointer[store.Store] // nil before setup
	count   func(name string, n uint64)
	counted store.Stats
}

var (
	_ sdk.Sink     = (*sink)(nil)
	_ sdk.Syncer   = (*sink)(nil)
	_ sdk.Querier  = (*sink)(nil)
	_ sdk.Consumer = (*sink)(nil)
)

func (s *sink) setup(ctx context.Context, env sdk.Env) error {
	if !filepath.IsAbs(s.cfg.Dir) {
		return fmt.Errorf("dir = %q: write the absolute path", s.cfg.Dir)
	}
	opened, err := store.Open(ctx, store.Config{
		Dir: s.cfg.Dir, Retention: s.cfg.Retention, AlertRetention: s.cfg.AlertRetention, MaxBytes: int64(s.cfg.MaxBytes),
		MaxAlertBytes: int64(s.cfg.MaxAlertBytes),
	})
	if err != nil {
		return err
	}
	s.count = env.Counter
	s.store.Store(opened)
	return nil
}

func (s *sink) health(context.Context) error {
	if opened := s.store.Load(); opened != nil {
		return opened.Health()
	}
	return nil
}

// Consumes asks for alerts, actions and inventory, and for all else when it is kept.
func (s *sink) Consumes() []event.Kind {
	return stored.Kinds(s.cfg.KeepEvents)
}

// Write takes a batch; Sync makes it durable.
func (s *sink) Write(ctx context.Context, batch sdk.Batch) error {
	to := s.store.Load()
	if err := to.MakeRoom(ctx); err != nil {
		return err
	}
	stored.Put(to, batch, s.cfg.KeepEvents)
	return nil
}

// Sync commits what was written, and reports the counters.
func (s *sink) Sync(ctx context.Context) error {
	from := s.store.Load()
	if err := from.Sync(ctx); err != nil {
		return err
	}
	if s.count == nil {
		return nil
	}
	now := from.Stats()
	for _, c := range []struct {
		name        string
		now, before uint64
	}{
		{"written", now.Written, s.counted.Written},
		{"dropped_max_bytes", now.Dropped, s.counted.Dropped},
		{"corrupt_databases", now.Corrupt, s.counted.Corrupt},
		{"salvaged_rows", now.Salvaged, s.counted.Salvaged},
		{"damaged_rows", now.Damaged, s.counted.Damaged},
		{"deleted_alerts", now.DeletedAlerts, s.counted.DeletedAlerts},
		{"deleted_days", now.Deleted, s.counted.Deleted},
		{"forgotten_packages", now.Forgotten, s.counted.Forgotten},
	} {
		if c.now > c.before {
			s.count(c.name, c.now-c.before)
		}
	}
	s.counted = now
	return nil
}

// Query gives stored events back, newest first.
func (s *sink) Query(ctx context.Context, q sdk.Query, yield func(sdk.Record) bool) error {
	return s.store.Load().Query(ctx, q, yield)
}

// UpdateAlert sets the state of an alert.
func (s *sink) UpdateAlert(ctx context.Context, id, state, actor, note string) (bool, error) {
	return s.store.Load().UpdateAlert(ctx, id, state, actor, note)
}
