package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/target"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Plan implements sdk.Planner.
func (e *enforcer) Plan(ctx context.Context, ask sdk.PlanRequest) (sdk.Plan, error) {
	if !e.ready.Load() {
		return sdk.Plan{}, errors.New("the plugin has not started")
	}
	set := e.set.Load()
	if ask.Policy != nil {
		set = policy.Parse(ask.PolicyName, ask.Policy, e.cfg.DefaultTTL)
		if err := invalid(set); err != nil {
			return sdk.Plan{}, err
		}
		if ask.Alert == nil && ask.Target == "" {
			return described(set), nil
		}
	}
	plan, err := e.plan(ctx, set, ask)
	if err != nil {
		return plan, err
	}
	for i := range plan.Steps {
		e.rehearse(ctx, &plan.Steps[i])
	}
	return plan, nil
}

// plan decides about what is asked for, without a look at how.
func (e *enforcer) plan(ctx context.Context, set *policy.Set, ask sdk.PlanRequest) (sdk.Plan, error) {
	if ask.Alert != nil {
		found, err := e.resolver.Alert(ctx, ask.Alert)
		if err != nil {
			return sdk.Plan{}, err
		}
		return e.decideBy(ctx, set, ask.Alert, found), nil
	}
	all, err := e.docker.Containers(ctx)
	if err != nil {
		return sdk.Plan{}, err
	}
	c, err := target.Named(all, ask.Target)
	if err != nil {
		return sdk.Plan{}, err
	}
	return e.asked(ctx, set, ask, c, all)
}

// rehearse fills in what a step would call, or why it would be refused.
func (e *enforcer) rehearse(ctx context.Context, step *sdk.PlanStep) {
	intent := &event.ActionEvent{Action: step.Intent.Action, Target: step.Intent.Target, Details: step.Intent.Details}
	for _, f := range intent.Details {
		if f.Key == sdk.DetailProtect {
			step.Refused = f.Value
			return
		}
	}
	switch {
	case intent.Action == policy.Notify:
		return
	case intent.Action == policy.Evidence:
		step.Calls = evidence.Calls(intent)
		return
	}
	r, err := isolate.Read(intent)
	if err != nil {
		step.Refused = err.Error()
		return
	}
	before, err := e.isolator.Prepare(ctx, r)
	if err == nil {
		step.Calls, err = e.isolator.Calls(r, before)
	}
	if err != nil {
		step.Refused = err.Error()
	}
}

// wrong is what is wrong with a question.
type wrong string

func (w wrong) Error() string        { return string(w) }
func (w wrong) Is(target error) bool { return target == sdk.ErrPlanRequest }

// maxShown bounds how many problems of a file are told at once.
const maxShown = 20

// invalid says, a line each, what is wrong with the policies of a file; nil when
// nothing is.
func invalid(set *policy.Set) error {
	if len(set.Problems) == 0 && len(set.Policies) == 0 {
		return wrong("there is no policy in it")
	}
	if len(set.Problems) == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("%d of %d policies are wrong", len(set.Problems), len(set.Problems)+len(set.Policies))}
	for i, p := range set.Problems {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(set.Problems)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%s:%d: %s (%s)", p.File, max(p.Line, 1), p.Reason, p.Code))
	}
	return wrong(strings.Join(lines, "\n"))
}

// described tells what the policies of a file are, in the order in which they are
// asked.
func described(set *policy.Set) sdk.Plan {
	plan := sdk.Plan{Resolution: fmt.Sprintf("nothing is asked about; the policies are valid: %d", len(set.Policies))}
	for _, p := range set.Policies {
		plan.Policies = append(plan.Policies, sdk.PlanPolicy{Name: p.Name, File: p.File, Reason: p.String()})
	}
	return plan
}
