package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Prepare implements sdk.Executor. The host asks again while Docker is away.
func (e *enforcer) Prepare(ctx context.Context, intent *event.ActionEvent) ([]byte, error) {
	before, err := e.prepare(ctx, intent)
	if errors.Is(err, engine.ErrUnreachable) {
		return nil, fmt.Errorf("%w: %w", sdk.ErrUnavailable, err)
	}
	return before, err
}

func (e *enforcer) prepare(ctx context.Context, intent *event.ActionEvent) ([]byte, error) {
	if intent.Action == policy.Evidence {
		if _, ok := e.store.Kept(intent); ok {
			return nil, nil // the host died before it knew; the container may be gone
		}
		if _, err := e.docker.Inspect(ctx, intent.Target); err != nil {
			return nil, err
		}
		return nil, nil
	}
	r, err := isolate.Read(intent)
	if err != nil {
		return nil, err
	}
	return e.isolator.Prepare(ctx, r)
}

// Execute implements sdk.Executor.
func (e *enforcer) Execute(ctx context.Context, intent *event.ActionEvent, before []byte) (sdk.Effect, error) {
	if intent.Action == policy.Evidence {
		return e.collect(ctx, intent)
	}
	r, err := isolate.Read(intent)
	if err != nil {
		return sdk.Effect{Outcome: event.OutcomeFailed, Reason: err.Error()}, nil
	}
	return e.isolator.Execute(ctx, r, before)
}

// collect gathers evidence, once for an intent.
func (e *enforcer) collect(ctx context.Context, intent *event.ActionEvent) (sdk.Effect, error) {
	kept, err := e.store.Collect(ctx, e.docker, intent)
	if err != nil {
		return sdk.Effect{Outcome: event.OutcomeFailed, Reason: err.Error()}, nil
	}
	effect := sdk.Effect{Outcome: event.OutcomeApplied, Reason: kept.Missing, Details: kept.Details()}
	if kept.Missing != "" {
		effect.Outcome = event.OutcomePartial
	}
	if kept.Cut != "" {
		effect.Reason = strings.TrimPrefix(effect.Reason+"; cut off: "+kept.Cut, "; ")
	}
	return effect, nil
}

// Inspect implements sdk.Executor.
func (e *enforcer) Inspect(ctx context.Context, intent *event.ActionEvent, before []byte) (sdk.Effect, error) {
	if intent.Action == policy.Evidence {
		if kept, ok := e.store.Kept(intent); ok {
			return sdk.Effect{Outcome: event.OutcomeApplied, Details: kept.Details()}, nil
		}
		return sdk.Effect{Outcome: event.OutcomeReleased, Reason: "no evidence is kept"}, nil
	}
	r, err := isolate.Read(intent)
	if err != nil {
		return sdk.Effect{}, err
	}
	return e.isolator.Inspect(ctx, r, before)
}

// Release implements sdk.Executor. Whatever was done is undone, also where nothing
// may be done to the container any more.
func (e *enforcer) Release(ctx context.Context, intent *event.ActionEvent, before []byte) (sdk.Effect, error) {
	if intent.Action == policy.Evidence {
		return sdk.Effect{Outcome: event.OutcomeReleased, Reason: "evidence is kept"}, nil
	}
	r, err := isolate.Read(intent)
	if err != nil {
		return sdk.Effect{}, err
	}
	return e.isolator.Release(ctx, r, before)
}
