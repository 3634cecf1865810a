package pipeline

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestRaise(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	defer w.stop()
	m := w.add(&pb.Description{Name: "rules", Kinds: []string{"state"}})
	raise := func(plugin, id string) error {
		return w.Raise(t.Context(), plugin, &pb.AlertEvent{Id: id, Detector: "a lie", Provenance: pb.Provenance_PROVENANCE_CONTAINER})
	}
	for _, plugin := range []string{"rules", "gone"} {
		if err := raise(plugin, plugin); err != nil {
			t.Fatal(err)
		}
		next := w.journal.Next()
		entries, err := w.journal.Read(t.Context(), next-1, 1) // waits for none: it is on disk
		if err != nil {
			t.Fatal(err)
		}
		var a pb.AlertEvent
		if err := proto.Unmarshal(entries[0].Data, &a); err != nil {
			t.Fatal(err)
		}
		if a.Id != plugin || a.Detector != plugin || a.Provenance != pb.Provenance_PROVENANCE_CONTAINER || a.ObservedTime == 0 {
			t.Errorf("got %v, want the alert in the name of %s", &a, plugin)
		}
	}
	if n := m.Alerts.Load(); n != 1 {
		t.Errorf("the plugin raised %d alerts, want 1", n)
	}
	before := w.journal.Next()
	if err := raise("rules", string(make([]byte, maxID+1))); err != nil {
		t.Fatal(err)
	}
	if drops := w.Stats.Drops(); w.journal.Next() != before || len(drops) != 1 || drops[0].Reason != "id_too_long" {
		t.Errorf("an alert that does not fit: %d journaled, drops %v", w.journal.Next()-before, drops)
	}
	if err := w.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := raise("rules", "too late"); !errors.Is(err, state.ErrJournalClosed) {
		t.Errorf("got %v, want %v", err, state.ErrJournalClosed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Raise(ctx, "rules", &pb.AlertEvent{Id: "x"}); err == nil {
		t.Error("an alert that cannot be kept was raised")
	}
}
