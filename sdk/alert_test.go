package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

// detectFunc is a Detector made of a function.
type detectFunc func(batch sdk.Batch, raise func(*event.AlertEvent)) error

func (f detectFunc) Detect(_ context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	return f(batch, raise)
}

func detector(f detectFunc) sdktest.Target {
	return sdktest.Value(func() sdk.Plugin { return sdk.Plugin{Name: "detector-test", Summary: "s", Detector: f} })
}

func stream(name string, p event.Provenance, peer string) *event.Stream {
	return &event.Stream{ID: event.StreamID("t", name), Name: name, Plugin: "t", Provenance: p, Peer: peer}
}

func TestAlertsAreCompleted(t *testing.T) {
	host, container := stream("host", event.ProvenanceHost, ""), stream("container", event.ProvenanceContainer, "")
	netA, netB := stream("a", event.ProvenanceNetwork, "192.0.2.1"), stream("b", event.ProvenanceNetwork, "192.0.2.2")
	unknown := stream("unknown", event.ProvenanceUnknown, "")
	tests := []struct {
		name    string
		streams []*event.Stream
		want    event.Provenance
		peer    string
	}{
		{"the host's own", []*event.Stream{host, host}, event.ProvenanceHost, ""},
		{"a container's among them", []*event.Stream{host, container, host}, event.ProvenanceContainer, ""},
		{"a sender's among them", []*event.Stream{netA, host}, event.ProvenanceNetwork, "192.0.2.1"},
		{"two senders' name none", []*event.Stream{netA, netB}, event.ProvenanceNetwork, ""},
		{"two senders' and the first again", []*event.Stream{netA, netB, netA}, event.ProvenanceNetwork, ""},
		{"unknown counts as the worst", []*event.Stream{host, unknown}, event.ProvenanceNetwork, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var kept []*event.LogEvent
			reused := &event.AlertEvent{}
			l := sdktest.Start(t, detector(func(batch sdk.Batch, raise func(*event.AlertEvent)) error {
				for e := range batch.Logs() {
					kept = append(kept, e.Clone())
				}
				if len(kept) == len(test.streams) {
					*reused = event.AlertEvent{RuleID: "r", Group: "g", Title: "T", Provenance: event.ProvenanceHost, ID: "mine", TraceID: event.TraceID{1}, Detector: "mine"}
					for _, e := range kept {
						reused.CiteLog(e)
					}
					raise(reused)
					raise(reused) // once more: nothing of the first sticks
				}
				return nil
			}), sdktest.HostConfig{HostID: "h"}).Link("detector", nil)
			var last uint64
			for i, s := range test.streams {
				at := observed.Add(time.Duration(i) * time.Second)
				last = l.Send(sdktest.Logs(s, uint64(10+i), &event.LogEvent{Time: at, ObservedTime: at.Add(time.Minute)}))
			}
			alerts := l.Alerts(last)
			if len(alerts) != 2 {
				t.Fatalf("%d alerts, want 2", len(alerts))
			}
			first := event.ID{Stream: test.streams[0].ID, Sequence: 10}
			n := time.Duration(len(test.streams) - 1)
			for _, a := range alerts {
				if a.Provenance != test.want || a.Peer != test.peer {
					t.Errorf("provenance %v, peer %q; want %v, %q", a.Provenance, a.Peer, test.want, test.peer)
				}
				if a.ID != event.AlertID("r", "g", first) || a.TraceID != event.Trace("h", first) || a.Detector != "detector-test" || a.Hops != 0 {
					t.Errorf("id %s, trace %s, detector %s, hops %d", a.ID, a.TraceID, a.Detector, a.Hops)
				}
				if !a.Time.Equal(observed.Add(n*time.Second)) || !a.ObservedTime.Equal(observed.Add(n*time.Second+time.Minute)) {
					t.Errorf("time %v, observed %v; want those of the last event", a.Time, a.ObservedTime)
				}
				if len(a.Causes) != len(test.streams) || len(a.Logs) != len(test.streams) {
					t.Errorf("%d causes, %d events", len(a.Causes), len(a.Logs))
				}
			}
		})
	}
}

func TestAlertsOverAlertsInherit(t *testing.T) {
	cause := event.ID{Stream: 5, Sequence: 6}
	target := detector(func(batch sdk.Batch, raise func(*event.AlertEvent)) error {
		for a := range batch.Alerts() {
			raise(&event.AlertEvent{RuleID: "again", Group: a.Group})
		}
		return nil
	})
	journal := stream("journal", event.ProvenanceHost, "")
	in := []*event.AlertEvent{
		{RuleID: "r", Group: "1", Provenance: event.ProvenanceHost, Hops: 2, Causes: []event.ID{cause}, TraceID: event.TraceID{9}, Time: observed},
		{RuleID: "r", Group: "2", Provenance: event.ProvenanceNetwork, Peer: "192.0.2.1", Hops: 255},
	}
	var ids []string
	for first := range uint64(2) { // delivered again, cut elsewhere
		l := sdktest.Start(t, target, sdktest.HostConfig{}).Link("detector", nil)
		var got []*event.AlertEvent
		if first == 0 {
			got = l.Alerts(l.Send(sdktest.Alerts(journal, 7, in...)))
			if a := got[0]; a.Provenance != event.ProvenanceNetwork || a.Peer != "192.0.2.1" || a.Hops != 255 {
				t.Errorf("provenance %v, peer %q, hops %d; want the worst in the batch", a.Provenance, a.Peer, a.Hops)
			}
			if a := got[0]; a.TraceID != (event.TraceID{9}) || len(a.Causes) != 1 || a.Causes[0] != cause {
				t.Errorf("trace %s, causes %v; want those of the alert it is about", a.TraceID, a.Causes)
			}
			for _, a := range got {
				ids = append(ids, a.ID)
			}
			continue
		}
		got = append(l.Alerts(l.Send(sdktest.Alerts(journal, 7, in[0]))), l.Alerts(l.Send(sdktest.Alerts(journal, 8, in[1])))...)
		for i, a := range got {
			if a.ID != ids[i] {
				t.Errorf("alert %d has id %s and had %s", i, a.ID, ids[i])
			}
		}
	}
	if ids[0] == ids[1] {
		t.Error("alerts about different alerts have one id")
	}
}

func TestAlertsFitABatch(t *testing.T) {
	h := sdktest.Start(t, detector(func(batch sdk.Batch, raise func(*event.AlertEvent)) error {
		huge := strings.Repeat("é", 1<<20)
		a := &event.AlertEvent{RuleID: "huge", Title: huge, Description: huge, Tags: []string{huge}}
		for i := range 10000 {
			a.SetEntity(fmt.Sprint("k", i), "v")
			a.Details = append(a.Details, event.Field{Key: huge[:100], Value: huge[:200]})
		}
		for e := range batch.Logs() {
			a.CiteLog(e.Clone())
		}
		raise(a)
		for i := range 2000 {
			raise(&event.AlertEvent{RuleID: "many", Group: fmt.Sprint(i), Description: huge[:1000]})
		}
		return errors.New("and an error that costs nothing")
	}), sdktest.HostConfig{})
	l := h.Link("detector", nil)
	alerts := l.Alerts(l.Send(sdktest.Logs(lineStream, 1, &event.LogEvent{Message: "m"})))
	if len(alerts) != 2001 {
		t.Fatalf("%d alerts, want 2001", len(alerts))
	}
	if a := alerts[0]; a.RuleID != "huge" || len(a.Title) > 4096 || len(a.Entities) != 64 || len(a.Causes) != 1 {
		t.Errorf("the huge alert: title %d bytes, %d entities, %d causes", len(a.Title), len(a.Entities), len(a.Causes))
	}
	if d := cmp.Diff(map[string]uint64{"alerts_cut": 1, "detect_errors": 1}, h.Metrics()); d != "" {
		t.Errorf("metrics (-want +got):\n%s", d)
	}
}

// big is a detector whose state does not fit one message.
type big struct {
	detectFunc
	dirty map[string][]byte
}

func (b *big) Save(c *sdk.Changes) {
	for k, v := range b.dirty {
		if c.Put(k, v) || k == "impossible" {
			delete(b.dirty, k)
		}
	}
}

func TestStateInParts(t *testing.T) {
	dirty := map[string][]byte{"impossible": make([]byte, 2<<20)}
	for i := range 12 {
		dirty[fmt.Sprint("k", i)] = make([]byte, 300<<10)
	}
	restored := make(chan int, 10)
	target := sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "detector-big", Summary: "s", Detector: &restoring{big: &big{func(sdk.Batch, func(*event.AlertEvent)) error { return nil }, dirty}, restored: restored}}
	})
	h := sdktest.Start(t, target, sdktest.HostConfig{})
	l := h.Link("detector", nil)
	l.Durable(l.Send(sdktest.Logs(lineStream, 1, &event.LogEvent{})))
	state := l.State()
	if len(state) != 12 {
		t.Fatalf("%d keys were saved, want 12", len(state))
	}
	if got := h.Metrics()["state_refused"]; got != 1 {
		t.Errorf("state_refused = %d, want 1", got)
	}
	clear(dirty)
	l = sdktest.Start(t, target, sdktest.HostConfig{}).Link("detector", state)
	l.Durable(l.Send(sdktest.Logs(lineStream, 1, &event.LogEvent{})))
	if len(restored) != 1 || <-restored != 12 {
		t.Error("the state was not given back at once and whole")
	}
}

type restoring struct {
	*big
	restored chan int
}

func (r *restoring) Restore(entries iter.Seq2[string, []byte]) error {
	n := 0
	for range entries {
		n++
	}
	r.restored <- n
	return nil
}
