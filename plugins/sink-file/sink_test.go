package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestSinkThroughTheSDK(t *testing.T) {
	cfg := defaults()
	cfg.Path = filepath.Join(t.TempDir(), "events.ndjson")
	counts := make(map[string]uint64)
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{Counter: func(name string, n uint64) { counts[name] += n }}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.file.Close(); err != nil {
			t.Error(err)
		}
	}()
	if diff := cmp.Diff([]event.Kind{event.KindAlert, event.KindAction}, s.Consumes()); diff != "" {
		t.Errorf("consumes (-want +got):\n%s", diff)
	}
	stream := &event.Stream{ID: 1, Name: "alerts", Plugin: "detector-rules"}
	alert := &event.AlertEvent{ID: "a1", Sequence: 1, Time: time.Unix(1, 0), RuleID: "r", Entities: []event.Field{{Key: "src_ip", Value: "::1"}}}
	action := &event.ActionEvent{ID: "x1", Sequence: 1, Time: time.Unix(2, 0), AlertID: "a1", Action: "notify"}
	for range 2 { // the same batches again, as after a restart
		for _, b := range []sdk.Batch{
			sdk.AlertBatch(stream, alert), sdk.ActionBatch(stream, action), sdk.LogBatch(stream, &event.LogEvent{Message: "not asked for"}),
		} {
			if err := s.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(text) {
		var e struct{ Kind, ID string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Kind+" "+e.ID)
	}
	if diff := cmp.Diff([]string{"alert a1", "action x1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if counts["lines"] != 2 || counts["duplicates"] != 2 {
		t.Errorf("got %v, want 2 lines and 2 duplicates", counts)
	}
}

func TestInventoryIsWrittenWhenAskedFor(t *testing.T) {
	cfg := defaults()
	cfg.Path, cfg.Kinds = filepath.Join(t.TempDir(), "events.ndjson"), []string{"inventory"}
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.file.Close(); err != nil {
			t.Error(err)
		}
	}()
	if diff := cmp.Diff([]event.Kind{event.KindInventory}, s.Consumes()); diff != "" {
		t.Errorf("consumes (-want +got):\n%s", diff)
	}
	e := &event.InventoryEvent{ID: "p1", Target: "host", Name: "openssl"}
	if err := s.Write(t.Context(), sdk.InventoryBatch(&event.Stream{ID: 1}, e)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Kind, ID, Package string }
	if err := json.Unmarshal(text, &got); err != nil || got.Kind != "inventory" || got.ID != "p1" || got.Package != "openssl" {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestIdleWithoutAPath(t *testing.T) {
	cfg := defaults()
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), sdk.AlertBatch(&event.Stream{}, &event.AlertEvent{ID: "a"})); err != nil {
		t.Error(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for _, tt := range []struct {
		change func(*config)
		want   string
	}{
		{func(c *config) { c.Kinds = []string{"raw"} }, `kinds: "raw": want alert, action, inventory, log or packet`},
		{func(c *config) { c.Path = "events.ndjson" }, `path = "events.ndjson": write the absolute path`},
	} {
		cfg := defaults()
		tt.change(&cfg)
		s := &sink{cfg: &cfg}
		if err := s.setup(t.Context(), sdk.Env{}); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
