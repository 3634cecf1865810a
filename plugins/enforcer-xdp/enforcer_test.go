package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-xdp/answer"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestDecideThroughTheSDK(t *testing.T) {
	cfg := answer.Default()
	e := &enforcer{cfg: &cfg}
	if err := e.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	grave := &event.AlertEvent{
		ID: "a", RuleID: "ssh_brute_force", Severity: event.SeverityHigh, Evidence: event.EvidenceConfirmed,
		Provenance: event.ProvenanceHost, Entities: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}},
	}
	slight := &event.AlertEvent{ID: "b", RuleID: "port_scan", Severity: event.SeverityMedium}
	var got []string
	for a := range sdk.AlertBatch(&event.Stream{ID: 1, Provenance: event.ProvenanceHost}, grave, slight).Alerts() {
		if err := e.Decide(t.Context(), a, func(i sdk.Intent) { got = append(got, a.ID+" "+i.Action+" "+i.Target) }); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a block 203.0.113.9"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
