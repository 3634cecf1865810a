package suite

import (
	"slices"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// batches are a few events of each kind that the plugin wants.
func (h *Host) batches() []Batch {
	logs, journal, nic := testStream("logs", "syslog"), testStream("journal", ""), testStream("eth0", "packet")
	e, a, x := sampleLog(), sampleAlert(logs), sampleAction(logs)
	packages := testStream("packages", "")
	return slices.DeleteFunc([]Batch{
		Logs(logs, 1, e, e, e), Packets(nic, 1, samplePacket()), Alerts(journal, 1, a), Actions(journal, 2, x), Logs(logs, 4, e),
		Inventory(packages, 1, samplePackage()),
	}, func(b Batch) bool { return !h.wants(event.Kind(b.kind)) })
}

// many are batches of n events that the plugin wants.
func (h *Host) many(n int) []Batch {
	s := testStream("load", "")
	var out []Batch
	for _, b := range []Batch{
		Logs(s, 1, slices.Repeat([]*event.LogEvent{sampleLog()}, n)...),
		Packets(s, 1, slices.Repeat([]*event.PacketEvent{samplePacket()}, n)...),
		Alerts(s, 1, slices.Repeat([]*event.AlertEvent{sampleAlert(s)}, n)...),
	} {
		if h.wants(event.Kind(b.kind)) {
			out = append(out, b)
		}
	}
	return out
}

func sampleLog() *event.LogEvent {
	return &event.LogEvent{
		Time: testTime, ObservedTime: testTime.Add(time.Second), Severity: event.SeverityInfo, Host: "web1", Process: "sshd", PID: 7,
		Message: "Failed password", Fields: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}},
	}
}

func samplePacket() *event.PacketEvent {
	return &event.PacketEvent{Time: testTime, Interval: time.Second, Scope: event.ScopeSource, Packets: 1}
}

// sampleAlert cites the first event of a stream.
func sampleAlert(s *event.Stream) *event.AlertEvent {
	id := event.ID{Stream: s.ID, Sequence: 1}
	return &event.AlertEvent{
		ID: event.AlertID("r", "192.0.2.1", id), Time: testTime, ObservedTime: testTime, RuleID: "r", Title: "Brute force", Severity: event.SeverityHigh,
		Detector: "d", Group: "192.0.2.1", Entities: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}}, Count: 5, TraceID: event.Trace("host", id),
		Causes: []event.ID{id}, Logs: []*event.LogEvent{sampleLog()}, Provenance: event.ProvenanceHost, Evidence: event.EvidenceConfirmed,
	}
}

func samplePackage() *event.InventoryEvent {
	return &event.InventoryEvent{
		ID: event.InventoryID("host", "pkg:npm/p@1"), Time: testTime, Target: "host", Name: "p", Version: "1", Ecosystem: "npm", PURL: "pkg:npm/p@1",
		Findings: []event.Finding{{ID: "GHSA-1", Aliases: []string{"CVE-2026-1"}, Severity: event.SeverityHigh, Score: 8.1, Fixed: "2"}},
	}
}

func sampleAction(s *event.Stream) *event.ActionEvent {
	a := sampleAlert(s)
	return &event.ActionEvent{
		ID: "action", Time: testTime, AlertID: a.ID, TraceID: a.TraceID, Enforcer: "e", Action: "block", Target: "192.0.2.1",
		Outcome: event.OutcomeSimulated, Mode: "simulate", Expires: testTime.Add(time.Hour),
	}
}
