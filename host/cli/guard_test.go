//go:build linux

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// guardIntent is the one intent of the backend.
func guardIntent(state string) *ironpostv1.GuardIntent {
	return &ironpostv1.GuardIntent{
		Id: "5d0c7f1e9a2b4c68", Enforcer: "enforcer-docker", AlertId: "8a51f0c2d3e4b6a7", Action: "net-isolate",
		Target: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", TargetName: "web-1\x1b[31m", Policy: "miners",
		Reason: "A miner runs in it", State: state, TtlSeconds: 3600,
		Created: timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), Expires: timestamppb.New(time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)),
	}
}

func (b *backend) ListIntents(context.Context, bool, int) ([]*ironpostv1.GuardIntent, error) {
	return []*ironpostv1.GuardIntent{guardIntent("applied")}, nil
}

func (b *backend) PlanAnswer(_ context.Context, _, alertID string, plan *ironpostv1.PlanRequest) (*ironpostv1.PlanResponse, error) {
	if plan.GetTarget() == "nobody" {
		return &ironpostv1.PlanResponse{Resolution: "no container has that name"}, nil
	}
	if alertID == "" && plan.GetTarget() == "" {
		if strings.Contains(string(plan.GetPolicy()), "wrong") {
			return nil, fmt.Errorf("%w: 1 of 1 policies are wrong\n%s:3: \"nome\" is not known (invalid_policy)", control.ErrInvalid, plan.GetPolicyName())
		}
		return &ironpostv1.PlanResponse{Policies: []*ironpostv1.PlanPolicy{{Name: "web", File: plan.GetPolicyName(), Reason: "line 1, order 1000: pause; for 1h0m0s"}}}, nil
	}
	if alertID == "00" {
		return nil, fmt.Errorf("%w: no alert 00; see: ironpost alerts list", control.ErrNotFound)
	}
	in := guardIntent("")
	return &ironpostv1.PlanResponse{
		Target: in.Target, TargetName: "web-1", Resolution: "the alert names it",
		Policies: []*ironpostv1.PlanPolicy{
			{Name: "databases", File: "a.yaml", Reason: "its image is not postgres"},
			{Name: "miners", File: "b.yaml", Matched: true},
		},
		Steps: []*ironpostv1.PlanStep{{
			Intent: &ironpostv1.ActionEvent{Action: "net-isolate"}, Calls: []string{"POST /networks/front/disconnect web-1"},
		}},
	}, nil
}

func (b *backend) Isolate(_ context.Context, order control.IsolateOrder, _ string) ([]*ironpostv1.GuardIntent, error) {
	if order.Target == "nobody" {
		return nil, fmt.Errorf("%w: no container has that name", control.ErrNotFound)
	}
	return []*ironpostv1.GuardIntent{guardIntent("approved")}, nil
}

func (b *backend) ReleaseIntents(context.Context, string, string) ([]*ironpostv1.GuardIntent, error) {
	return []*ironpostv1.GuardIntent{guardIntent("releasing")}, nil
}

func (b *backend) Approve(context.Context, string, string) (*ironpostv1.GuardIntent, error) {
	in := guardIntent("planned")
	in.Approvals, in.Approved = 2, []string{"alice"}
	return in, nil
}

func (b *backend) DisableGuard(_ context.Context, release bool, reason, actor string) (*ironpostv1.GuardSwitchResponse, error) {
	out := &ironpostv1.GuardSwitchResponse{State: &ironpostv1.GuardState{By: "alice", Since: timestamppb.New(began), Reason: reason, ReleaseAll: release}}
	if release {
		out.Intents = []*ironpostv1.GuardIntent{guardIntent("applied")}
	}
	return out, nil
}

func (b *backend) EnableGuard(context.Context, string) (*ironpostv1.GuardSwitchResponse, error) {
	return &ironpostv1.GuardSwitchResponse{State: &ironpostv1.GuardState{Enabled: true}}, nil
}

// evidence is of one incident, as it was kept or not.
func evidence(id, state string) *ironpostv1.Incident {
	i := &ironpostv1.Incident{
		Id: id + "9a2b4c68", Path: "/var/lib/ironpost/enforcer-docker/" + id, AlertId: "8a51f0c2d3e4b6a7", Container: guardIntent("").Target, ContainerName: "web-1" + hostile,
		Policy: "miners", Begun: timestamppb.New(began), Ended: timestamppb.New(began.Add(time.Second)), Bytes: 2048, Missing: map[string]string{"top.json": "it does not run"},
		Files: []*ironpostv1.IncidentFile{{Name: "export.tar", Bytes: 1024, Cut: true}, {Name: "inspect.json", Bytes: 1024}},
	}
	if state != "" {
		i.State, i.Manifest, i.Recorded = state, "aa11", "aa11"
		i.Files[0].State, i.Files[1].State = "ok", "ok"
	}
	if state == "changed" {
		i.Recorded, i.Faults = "bb22", []string{"The manifest is not the one that was recorded when the evidence was kept."}
	}
	return i
}

func (b *backend) ListEvidence(_ context.Context, id string, _ int) ([]*ironpostv1.Incident, error) {
	switch id {
	case "":
		return []*ironpostv1.Incident{evidence("5d0c7f1e", "")}, nil
	case "5d0c7f1e":
		return []*ironpostv1.Incident{evidence(id, "verified")}, nil
	case "ffff0000":
		return []*ironpostv1.Incident{evidence(id, "changed")}, nil
	}
	return nil, fmt.Errorf("%w: no such evidence", control.ErrNotFound)
}

// offlineEvidence is of a folder that somebody names.
func offlineEvidence(_ context.Context, c EvidenceConfig) ([]*ironpostv1.Incident, error) {
	if c.ID == "" {
		return nil, nil
	}
	i := evidence(c.ID, "unrecorded")
	i.Path, i.Recorded = c.Dir+"/"+c.ID, c.Recorded
	return []*ironpostv1.Incident{i}, nil
}
