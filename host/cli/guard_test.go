//go:build linux

package cli

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// guardIntent is the one intent of the backend.
func guardIntent(state string) *ironpostv1.GuardIntent {
	return &ironpostv1.GuardIntent{
		Id: "5d0c7f1e9a2b4c68", Enforcer: "enforcer-docker", AlertId: "8a51f0c2d3e4b6a7", Action: "net-isolate",
		Target: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", TargetName: "web-1\x1b[31m", Policy: "miners",
		Reason: "A miner runs in it", State: state, Ttl: durationpb.New(time.Hour),
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
