package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	alert := func(id, source string) *event.AlertEvent {
		return &event.AlertEvent{
			ID: id, Time: time.Unix(1_762_000_000, 0), RuleID: "ssh_brute_force", Title: "Brute force", Severity: event.SeverityHigh,
			Detector: "detector-rules", Group: source, Entities: []event.Field{{Key: "src_ip", Value: source}}, Count: 5,
			Provenance: event.ProvenanceHost, Evidence: event.EvidenceConfirmed,
		}
	}
	sdktest.TestEnforcer(t, sdktest.Value(plugin), sdktest.EnforcerConfig{
		Alerts: []*event.AlertEvent{alert("a", "203.0.113.9"), alert("b", "2001:db8::9")},
	})
}
