package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSinkThroughTheSDK(t *testing.T) {
	cfg := defaults()
	cfg.Dir = t.TempDir()
	counts := make(map[string]uint64)
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{Counter: func(name string, n uint64) { counts[name] += n }}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.store.Load().Close(); err != nil {
			t.Error(err)
		}
	}()
	stream := &event.Stream{ID: 1, Name: "x", Plugin: "detector-rules"}
	at := time.Now()
	cited := &event.LogEvent{Stream: stream, Sequence: 7, Time: at, Message: "Failed password"}
	alert := &event.AlertEvent{
		Sequence: 3, ID: "0123456789abcdef0123456789abcdef", Time: at, RuleID: "ssh_brute_force", Severity: event.SeverityHigh,
		Entities: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}},
	}
	alert.CiteLog(cited)
	action := &event.ActionEvent{Sequence: 4, ID: "x1", Time: at, AlertID: alert.ID, Action: "notify", Outcome: event.OutcomeSimulated}
	for range 2 { // the same batches again, as after a restart
		for _, b := range []sdk.Batch{
			sdk.AlertBatch(stream, alert), sdk.ActionBatch(stream, action), sdk.LogBatch(stream, cited),
		} {
			if err := s.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.UpdateAlert(t.Context(), alert.ID[:8], "acknowledged", "ann", ""); !ok || err != nil {
		t.Errorf("update: got %v, %v", ok, err)
	}
	var got []string
	for _, kind := range []event.Kind{event.KindAlert, event.KindAction, event.KindLog} {
		err := s.Query(t.Context(), sdk.Query{Kind: kind, Limit: 10}, func(r sdk.Record) bool {
			switch {
			case r.Alert != nil:
				got = append(got, "alert "+r.Alert.Entity("src_ip")+" "+r.State+" "+r.Alert.Logs[0].Message)
			case r.Action != nil:
				got = append(got, "action "+r.Action.ID+" "+r.Action.Outcome.String())
			default:
				got = append(got, kind.String())
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"alert 203.0.113.9 acknowledged Failed password", "action x1 simulated"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if counts["written"] != 4 {
		t.Errorf("got %v, want 4 written", counts)
	}
	if err := s.health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKeepEvents(t *testing.T) {
	cfg := defaults()
	cfg.Dir, cfg.KeepEvents = t.TempDir(), true
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.store.Load().Close(); err != nil {
			t.Error(err)
		}
	}()
	if diff := cmp.Diff([]event.Kind{event.KindAlert, event.KindAction, event.KindInventory, event.KindLog, event.KindPacket}, s.Consumes()); diff != "" {
		t.Errorf("consumes (-want +got):\n%s", diff)
	}
	stream := &event.Stream{ID: 1, Name: "x"}
	err := s.Write(t.Context(), sdk.LogBatch(stream, &event.LogEvent{Sequence: 7, Time: time.Now(), Message: "m"}))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = s.Query(t.Context(), sdk.Query{Kind: event.KindLog}, func(r sdk.Record) bool {
		n++
		return r.Log.Stream.Name == "x"
	})
	if err != nil || n != 1 {
		t.Errorf("got %d events and %v, want 1", n, err)
	}
}

func TestRelativeDirectoryIsRefused(t *testing.T) {
	cfg := defaults() // which the host completes
	s := &sink{cfg: &cfg}
	err := s.setup(t.Context(), sdk.Env{})
	if want := `dir = "data:sink-sqlite": write the absolute path`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
