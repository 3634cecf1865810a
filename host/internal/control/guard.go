package control

import (
	"context"
	"fmt"
	"math"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Guard carries out what enforcers do themselves, on containers.
type Guard interface {
	// ListIntents returns intents, the newest first, with all set those too that
	// ended; limit 0 is none.
	ListIntents(ctx context.Context, all bool, limit int) ([]*ironpostv1.GuardIntent, error)
	// PlanAnswer explains what an enforcer would do; alertID is an alert's id or "".
	PlanAnswer(ctx context.Context, enforcer, alertID string, plan *ironpostv1.PlanRequest) (*ironpostv1.PlanResponse, error)
	// Isolate has an order of actor's decided.
	Isolate(ctx context.Context, order IsolateOrder, actor string) ([]*ironpostv1.GuardIntent, error)
	// ReleaseIntents ends effects; id is that of an intent or a target, "" is all.
	ReleaseIntents(ctx context.Context, id, actor string) ([]*ironpostv1.GuardIntent, error)
	// Approve agrees to an intent.
	Approve(ctx context.Context, id, actor string) (*ironpostv1.GuardIntent, error)
	// DisableGuard has nothing answered until EnableGuard, and returns what is to be
	// released, which is nothing unless release is set.
	DisableGuard(ctx context.Context, release bool, reason, actor string) (*ironpostv1.GuardSwitchResponse, error)
	EnableGuard(ctx context.Context, actor string) (*ironpostv1.GuardSwitchResponse, error)
	// ListEvidence returns the incidents of which evidence is kept, the newest first;
	// one that is named, by the beginning of its id, is verified. limit 0 is none.
	ListEvidence(ctx context.Context, id string, limit int) ([]*ironpostv1.Incident, error)
}

// IsolateOrder is what an operator wants done to a target, by its id or name.
type IsolateOrder struct {
	Enforcer, Target, Action, Reason string
	TTL                              time.Duration
}

// MaxGuardName is the most bytes of a name that the calls about answers take.
const MaxGuardName = 256

const maxGuardReason = 1024

// MaxPolicyBytes is the most bytes of a policy file by which PlanAnswer is asked to
// judge. It is also the most that enforcer-docker reads of one.
const MaxPolicyBytes = 256 << 10

func guardName(what, s string, needed bool) error {
	if len(s) > MaxGuardName || needed && s == "" {
		return fmt.Errorf("%w: %s of %d bytes; want 1 to %d", ErrInvalid, what, len(s), MaxGuardName)
	}
	return nil
}

// callerName is who makes a call.
func callerName(ctx context.Context) string {
	if c, ok := CallerFrom(ctx); ok {
		return c.Name()
	}
	return "unknown"
}

func (h *handlers) ListIntents(ctx context.Context, req *ironpostv1.ListIntentsRequest) (*ironpostv1.ListIntentsResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard history")
	}
	list, err := h.Guard.ListIntents(ctx, req.GetAll(), int(min(req.GetLimit(), math.MaxInt32)))
	return &ironpostv1.ListIntentsResponse{Intents: list}, err
}

func (h *handlers) PlanAnswer(ctx context.Context, req *ironpostv1.PlanAnswerRequest) (*ironpostv1.PlanResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard plan")
	}
	plan := req.GetPlan()
	if plan == nil {
		plan = &ironpostv1.PlanRequest{}
	}
	switch {
	case len(plan.GetPolicy()) > MaxPolicyBytes:
		return nil, fmt.Errorf("%w: a policy file of %d bytes; at most %d are read", ErrInvalid, len(plan.GetPolicy()), MaxPolicyBytes)
	case req.GetAlertId() != "" && plan.GetTarget() != "", req.GetAlertId() == "" && plan.GetTarget() == "" && len(plan.GetPolicy()) == 0:
		return nil, fmt.Errorf("%w: give either an alert or a container, or a policy alone", ErrInvalid)
	}
	for _, s := range []string{req.GetEnforcer(), req.GetAlertId(), plan.GetTarget(), plan.GetAction(), plan.GetPolicyName()} {
		if err := guardName("a name", s, false); err != nil {
			return nil, err
		}
	}
	return h.Guard.PlanAnswer(ctx, req.GetEnforcer(), req.GetAlertId(), plan)
}

func (h *handlers) Isolate(ctx context.Context, req *ironpostv1.IsolateRequest) (*ironpostv1.ListIntentsResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard isolate")
	}
	if err := guardName("a container's name", req.GetTarget(), true); err != nil {
		return nil, err
	}
	ttl, err := seconds("ttl_seconds", req.GetTtlSeconds())
	switch {
	case err != nil:
		return nil, err
	case len(req.GetReason()) > maxGuardReason || len(req.GetAction()) > MaxGuardName || len(req.GetEnforcer()) > MaxGuardName:
		return nil, fmt.Errorf("%w: a reason, an action or an enforcer is too long", ErrInvalid)
	}
	list, err := h.Guard.Isolate(ctx, IsolateOrder{
		Enforcer: req.GetEnforcer(), Target: req.GetTarget(), Action: req.GetAction(), Reason: req.GetReason(), TTL: ttl,
	}, callerName(ctx))
	return &ironpostv1.ListIntentsResponse{Intents: list}, err
}

func (h *handlers) ReleaseIntents(ctx context.Context, req *ironpostv1.IntentRequest) (*ironpostv1.ListIntentsResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard release")
	}
	if req.GetAll() != (req.GetId() == "") {
		return nil, fmt.Errorf("%w: give an intent or a container, or ask for all", ErrInvalid)
	}
	if err := guardName("an id", req.GetId(), false); err != nil {
		return nil, err
	}
	list, err := h.Guard.ReleaseIntents(ctx, req.GetId(), callerName(ctx))
	return &ironpostv1.ListIntentsResponse{Intents: list}, err
}

func (h *handlers) ApproveIntent(ctx context.Context, req *ironpostv1.IntentRequest) (*ironpostv1.GuardIntent, error) {
	if h.Guard == nil {
		return nil, unsupported("guard approve")
	}
	if err := guardName("an id", req.GetId(), true); err != nil {
		return nil, err
	}
	return h.Guard.Approve(ctx, req.GetId(), callerName(ctx))
}

func (h *handlers) DisableGuard(ctx context.Context, req *ironpostv1.DisableGuardRequest) (*ironpostv1.GuardSwitchResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard disable")
	}
	if len(req.GetReason()) > maxGuardReason {
		return nil, fmt.Errorf("%w: a reason of %d bytes; want at most %d", ErrInvalid, len(req.GetReason()), maxGuardReason)
	}
	return h.Guard.DisableGuard(ctx, req.GetReleaseAll(), req.GetReason(), callerName(ctx))
}

func (h *handlers) EnableGuard(ctx context.Context, _ *ironpostv1.EnableGuardRequest) (*ironpostv1.GuardSwitchResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard enable")
	}
	return h.Guard.EnableGuard(ctx, callerName(ctx))
}

func (h *handlers) ListEvidence(ctx context.Context, req *ironpostv1.ListEvidenceRequest) (*ironpostv1.ListEvidenceResponse, error) {
	if h.Guard == nil {
		return nil, unsupported("guard evidence")
	}
	if err := guardName("an id", req.GetId(), false); err != nil {
		return nil, err
	}
	list, err := h.Guard.ListEvidence(ctx, req.GetId(), int(min(req.GetLimit(), math.MaxInt32)))
	return &ironpostv1.ListEvidenceResponse{Incidents: list}, err
}
