package sdktest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// DetectorConfig says how to check a detector.
type DetectorConfig struct {
	Host HostConfig
	// Batches make it raise at least one alert.
	Batches []Batch
	// Stateless says that the detector's memory may be lost with it, so that
	// its alerts after a death are not compared.
	Stateless bool
}

// TestDetector checks a detector: alerts are complete; the same events give the
// same alert ids; one that is killed anywhere and given its state back raises what
// an undisturbed one raises; hostile events cost themselves.
func TestDetector(t *testing.T, target Target, c DetectorConfig) {
	t.Helper()
	begin := func(t *testing.T, state State) (*Host, *Link) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "detector")
		return h, h.Link("detector", state)
	}
	undisturbed := map[string]*event.AlertEvent{}
	t.Run("raises complete alerts", func(t *testing.T) {
		h, l := begin(t, nil)
		for _, b := range c.Batches {
			for _, a := range l.Alerts(l.Send(b)) {
				if a.ID == "" || a.RuleID == "" || a.Title == "" || a.Severity == 0 || a.Detector != h.Name || a.Time.IsZero() || a.TraceID.IsZero() || a.Provenance == 0 || len(a.Causes) == 0 {
					t.Errorf("the alert lacks something: %+v", a)
				}
				if undisturbed[a.ID] != nil {
					t.Errorf("alert %s (%s) was raised twice", a.ID, a.RuleID)
				}
				undisturbed[a.ID] = a
			}
		}
		if len(undisturbed) == 0 {
			t.Error("DetectorConfig.Batches raised no alert")
		}
	})
	ids := slices.Sorted(maps.Keys(undisturbed))
	t.Run("raises the same when killed", func(t *testing.T) {
		if c.Stateless {
			t.Skip("the detector is declared stateless")
		}
		for cut := range c.Batches {
			got := map[string]bool{}
			_, l := begin(t, nil)
			for _, b := range c.Batches[:cut] {
				for _, a := range l.Alerts(l.Send(b)) {
					got[a.ID] = true
				}
			}
			state := l.State()
			// Killed with one batch in hand, which the host gives again.
			l.Send(c.Batches[cut])
			l.Kill()
			_, l = begin(t, state)
			for _, b := range c.Batches[cut:] {
				for _, a := range l.Alerts(l.Send(b)) {
					got[a.ID] = true
				}
			}
			if d := cmp.Diff(ids, slices.Sorted(maps.Keys(got))); d != "" {
				t.Errorf("killed in batch %d: alerts (-undisturbed +killed):\n%s", cut, d)
			}
		}
	})
	t.Run("survives hostile events", func(t *testing.T) {
		h, l := begin(t, nil)
		s := testStream("hostile", "")
		first := uint64(1)
		for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert} {
			b := Garbage(kind, s, first, hostileBodies()...)
			l.Durable(l.Send(b))
			first += uint64(b.count)
		}
		l.Durable(l.Send(Logs(s, first, hostileLogs()...)))
		l.Durable(l.Send(Packets(s, first+100, &event.PacketEvent{}, &event.PacketEvent{Time: testTime, Scope: 255, Ports: 1<<32 - 1, Packets: 1<<64 - 1, Interval: -1})))
		l.Durable(l.Send(Alerts(s, first+200, hostileAlerts()...)))
		h.Health()
	})
	t.Run("stays responsive and drains", func(t *testing.T) {
		h, l := begin(t, nil)
		var last uint64
		h.healthWhile(func() {
			for range 20 {
				for _, b := range c.Batches {
					last = l.Send(b)
				}
			}
		})
		drains(t, h, l, last)
	})
	t.Run("refuses no state", func(t *testing.T) {
		// State of another version, or damaged: worth a counter, not a death.
		_, l := begin(t, State{"": []byte{0}, "\x00": nil, "unknown/key": []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")})
		if len(c.Batches) > 0 {
			l.Durable(l.Send(c.Batches[0]))
		}
	})
}

// EnforcerConfig says how to check an enforcer.
type EnforcerConfig struct {
	Host HostConfig
	// Alerts make it propose at least one intent.
	Alerts []*event.AlertEvent
}

// TestEnforcer checks an enforcer: intents are complete, bounded in time, and the
// same when an alert comes again; hostile alerts cost themselves.
func TestEnforcer(t *testing.T, target Target, c EnforcerConfig) {
	t.Helper()
	s := testStream("journal", "")
	begin := func(t *testing.T) (*Host, *Link) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "enforcer")
		return h, h.Link("enforcer", nil)
	}
	var want []*event.ActionEvent
	t.Run("proposes complete intents", func(t *testing.T) {
		h, l := begin(t)
		want = l.Intents(l.Send(Alerts(s, 1, c.Alerts...)))
		if len(want) == 0 {
			t.Fatal("EnforcerConfig.Alerts led to no intent")
		}
		for _, a := range want {
			ttl := slices.ContainsFunc(a.Details, func(f event.Field) bool { return f.Key == "ttl_seconds" })
			if a.ID == "" || a.AlertID == "" || a.Action == "" || a.Enforcer != h.Name || a.Outcome != event.OutcomePlanned || a.Action != "notify" && (!ttl || a.Target == "") {
				t.Errorf("the intent lacks something, an end (TTLSeconds) perhaps: %+v", a)
			}
		}
	})
	t.Run("proposes the same again", func(t *testing.T) {
		_, l := begin(t)
		for range 2 { // in a new life, and twice in the same
			if d := cmp.Diff(want, l.Intents(l.Send(Alerts(s, 1, c.Alerts...)))); d != "" {
				t.Errorf("(-first +again):\n%s", d)
			}
		}
	})
	t.Run("survives hostile alerts", func(t *testing.T) {
		h, l := begin(t)
		l.Durable(l.Send(Garbage(event.KindAlert, s, 1, hostileBodies()...)))
		l.Durable(l.Send(Alerts(s, 100, hostileAlerts()...)))
		h.Health()
	})
	t.Run("stays responsive and drains", func(t *testing.T) {
		h, l := begin(t)
		var last uint64
		h.healthWhile(func() {
			for i := range uint64(50) {
				last = l.Send(Alerts(s, 1+100*i, c.Alerts...))
			}
		})
		drains(t, h, l, last)
	})
}

// SinkConfig says how to check a sink.
type SinkConfig struct {
	Host HostConfig
	// Contents, when set, returns one line for each thing that the sink holds in
	// the place that Host.Section names. It is called after the plugin has
	// stopped.
	Contents func(t testing.TB) []string
}

// TestSink checks a sink: everything written is durable when it says so, writing
// again after a restart adds nothing, hostile events are stored or refused and
// never fatal. Every target that it starts uses the place that Host.Section names.
func TestSink(t *testing.T, target Target, c SinkConfig) {
	t.Helper()
	begin := func(t *testing.T) (*Host, *Link) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "sink")
		return h, h.Link("sink", nil)
	}
	batches := sinkBatches()
	write := func(t *testing.T) {
		t.Helper()
		h, l := begin(t)
		var last uint64
		for _, b := range batches {
			last = l.Send(b)
		}
		drains(t, h, l, last)
	}
	var before []string
	if !t.Run("writes and drains", write) {
		return
	}
	if c.Contents != nil {
		if before = c.Contents(t); len(before) == 0 {
			t.Error("the sink holds nothing after a durable write")
		}
	}
	t.Run("writing again adds nothing", func(t *testing.T) {
		write(t)
	})
	if c.Contents != nil {
		if d := cmp.Diff(before, c.Contents(t)); d != "" {
			t.Errorf("contents after the redelivery (-before +after):\n%.3000s", d)
		}
	}
	t.Run("survives hostile events", func(t *testing.T) {
		h, l := begin(t)
		s := testStream("hostile", "")
		first := uint64(1)
		for _, kind := range []event.Kind{event.KindLog, event.KindPacket, event.KindAlert, event.KindAction} {
			b := Garbage(kind, s, first, hostileBodies()...)
			l.Durable(l.Send(b))
			first += uint64(b.count)
		}
		l.Durable(l.Send(Logs(s, first, hostileLogs()...)))
		l.Durable(l.Send(Alerts(s, first+100, hostileAlerts()...)))
		l.Durable(l.Send(Actions(s, first+200, &event.ActionEvent{}, &event.ActionEvent{ID: "\x00", Outcome: 255, Details: hostileFields()})))
		h.Health()
	})
	t.Run("stays responsive", func(t *testing.T) {
		h, l := begin(t)
		s := testStream("load", "")
		h.healthWhile(func() {
			var last uint64
			for i := range uint64(30) {
				var events []*event.LogEvent
				for range 100 {
					events = append(events, &event.LogEvent{Time: testTime, ObservedTime: testTime, Message: "load", Host: "h"})
				}
				last = l.Send(Logs(s, 1+100*i, events...))
			}
			l.Durable(last)
		})
	})
}

// sinkBatches are a few events of each kind.
func sinkBatches() []Batch {
	logs, journal, nic := testStream("logs", "syslog"), testStream("journal", ""), testStream("eth0", "packet")
	e := &event.LogEvent{Time: testTime, ObservedTime: testTime.Add(time.Second), Severity: event.SeverityInfo, Host: "web1", Process: "sshd", PID: 7, Message: "Failed password", Fields: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}}}
	id := event.ID{Stream: logs.ID, Sequence: 1}
	a := &event.AlertEvent{
		ID: event.AlertID("r", "192.0.2.1", id), Time: testTime, ObservedTime: testTime, RuleID: "r", Title: "Brute force", Severity: event.SeverityHigh,
		Detector: "d", Group: "192.0.2.1", Entities: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}}, Count: 5, TraceID: event.Trace("host", id),
		Causes: []event.ID{id}, Logs: []*event.LogEvent{e}, Provenance: event.ProvenanceHost, Evidence: event.EvidenceConfirmed,
	}
	x := &event.ActionEvent{ID: "action", Time: testTime, AlertID: a.ID, TraceID: a.TraceID, Enforcer: "e", Action: "block", Target: "192.0.2.1", Outcome: event.OutcomeSimulated, Mode: "simulate", Expires: testTime.Add(time.Hour)}
	return []Batch{
		Logs(logs, 1, e, e, e), Packets(nic, 1, &event.PacketEvent{Time: testTime, Interval: time.Second, Scope: event.ScopeSource, Packets: 1}),
		Alerts(journal, 1, a), Actions(journal, 2, x), Logs(logs, 4, e),
	}
}
