package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ironpost/ironpost/plugins/internal/ndjson"
	"github.com/ironpost/ironpost/plugins/sink-file/rotate"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// config is the section [sink_file].
type config struct {
	Path     string   `config:"path" help:"file to write; its directory must exist; empty: nothing is written"`
	Kinds    []string `config:"kinds" oneof:"alert,action,inventory,log,packet" help:"kinds of event to write"`
	MaxBytes sdk.Size `config:"max_bytes" min:"0" help:"size past which the file is renamed to path.1 and a new one begun; 0: no limit"`
	Keep     int      `config:"keep" min:"0" max:"1000" help:"renamed files to keep"`
	Fsync    bool     `config:"fsync" help:"wait for the disk before events count as written"`
}

func defaults() config {
	return config{Kinds: []string{"alert", "action"}, MaxBytes: 100 << 20, Keep: 5, Fsync: true}
}

var kinds = [...]event.Kind{event.KindAlert, event.KindAction, event.KindInventory, event.KindLog, event.KindPacket}

// sink writes into a rotate.File; with no path it discards.
type sink struct {
	cfg     *config
	file    *rotate.File // nil without a path
	kinds   []event.Kind
	count   func(name string, n uint64)
	counted rotate.Stats
	lines   []byte // scratch
}

var (
	_ sdk.Sink     = (*sink)(nil)
	_ sdk.Syncer   = (*sink)(nil)
	_ sdk.Consumer = (*sink)(nil)
)

func (s *sink) setup(_ context.Context, env sdk.Env) error {
	s.kinds = s.kinds[:0]
	for _, name := range s.cfg.Kinds {
		i := slices.IndexFunc(kinds[:], func(k event.Kind) bool { return k.String() == name })
		if i < 0 {
			return fmt.Errorf("kinds: %q: want alert, action, inventory, log or packet", name)
		}
		s.kinds = append(s.kinds, kinds[i])
	}
	s.count = env.Counter
	if s.cfg.Path == "" {
		return nil
	}
	if !filepath.IsAbs(s.cfg.Path) {
		return fmt.Errorf("path = %q: write the absolute path", s.cfg.Path)
	}
	file, err := rotate.Open(rotate.Config{
		Path: s.cfg.Path, MaxBytes: int64(s.cfg.MaxBytes), Keep: s.cfg.Keep, Fsync: s.cfg.Fsync,
	})
	if err != nil {
		return err
	}
	s.file = file
	return nil
}

func (s *sink) health(context.Context) error {
	if s.file == nil {
		return nil // it was told to write nothing
	}
	return s.file.Health()
}

// Consumes asks for the configured kinds.
func (s *sink) Consumes() []event.Kind {
	var want []event.Kind
	for _, k := range kinds {
		if slices.Contains(s.cfg.Kinds, k.String()) {
			want = append(want, k)
		}
	}
	return want
}

// Write appends a batch.
func (s *sink) Write(_ context.Context, batch sdk.Batch) error {
	if s.file == nil || !slices.Contains(s.kinds, batch.Kind) {
		return nil
	}
	s.lines = s.lines[:0]
	for e := range batch.Alerts() {
		s.lines = ndjson.AppendAlert(s.lines, e)
	}
	for e := range batch.Actions() {
		s.lines = ndjson.AppendAction(s.lines, e)
	}
	for e := range batch.Inventory() {
		s.lines = ndjson.AppendInventory(s.lines, e)
	}
	for e := range batch.Logs() {
		s.lines = ndjson.AppendLog(s.lines, e)
	}
	for e := range batch.Packets() {
		s.lines = ndjson.AppendPacket(s.lines, e)
	}
	return s.file.Append(s.lines)
}

// Sync makes what was written durable, and reports the counters.
func (s *sink) Sync(context.Context) error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if s.count == nil {
		return nil
	}
	now := s.file.Stats()
	for _, c := range []struct {
		name        string
		now, before uint64
	}{
		{"lines", now.Lines, s.counted.Lines},
		{"duplicates", now.Duplicates, s.counted.Duplicates},
		{"repaired_lines", now.Repaired, s.counted.Repaired},
		{"rotations", now.Rotations, s.counted.Rotations},
		{"rotation_errors", now.RotateErrors, s.counted.RotateErrors},
		{"reopened", now.Reopened, s.counted.Reopened},
	} {
		if c.now > c.before {
			s.count(c.name, c.now-c.before)
		}
	}
	s.counted = now
	return nil
}
