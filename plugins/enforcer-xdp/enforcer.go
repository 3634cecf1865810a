package main

import (
	"context"

	"github.com/ironpost/ironpost/plugins/enforcer-xdp/answer"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// enforcer serves an answer.Policy.
type enforcer struct {
	cfg    *answer.Config
	policy *answer.Policy // from setup on
}

var _ sdk.PolicyEnforcer = (*enforcer)(nil)

func (e *enforcer) setup(context.Context, sdk.Env) error {
	policy, err := answer.New(*e.cfg)
	if err != nil {
		return err
	}
	e.policy = policy
	return nil
}

// Decide proposes at most one intent.
func (e *enforcer) Decide(_ context.Context, alert *event.AlertEvent, propose func(sdk.Intent)) error {
	if intent, ok := e.policy.Decide(alert); ok {
		propose(intent)
	}
	return nil
}
