package guard

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// CodeDisabled refuses while an operator has the guard disabled.
const CodeDisabled = "guard_disabled"

// Action is the action by which it is told that the guard was disabled or enabled.
const Action = "guard"

// off is the guard's being disabled, as it is kept.
type off struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	// Release has what is in effect released.
	Release bool `json:"release,omitempty"`
}

const offKey = "disabled"

// loadOff learns whether an operator disabled the guard in an earlier life. Where
// that cannot be read it is disabled: whoever disabled it meant it.
func (g *Guard) loadOff() {
	kept, found, err := g.switched.Get(offKey)
	switch {
	case err != nil:
		g.Logger.Error("whether the guard is disabled cannot be read; it is", "error", err)
		g.off = &off{By: "the host", Reason: "what was kept of it cannot be read: " + err.Error(), Since: g.Clock.Wall().UTC()}
	case found:
		g.off = &kept
	}
}

// Disable has the guard answer nothing until Enable, over restarts too: what is
// proposed or ordered is refused, what has not begun never does. What is in effect
// stays until its time is over, or with release is released by Run. It may be
// called again, to release. It returns the state that holds, and the intents that
// are to be released.
func (g *Guard) Disable(ctx context.Context, actor, reason string, release bool) (*pb.GuardState, []*pb.GuardIntent, error) {
	g.deciding.Lock()
	defer g.deciding.Unlock()
	g.mu.Lock()
	now := off{By: actor, Reason: reason, Since: g.Clock.Wall().Round(0).UTC(), Release: release}
	if g.off != nil { // who did it first, and what was asked for then, stands
		now.By, now.Reason, now.Since, now.Release = g.off.By, g.off.Reason, g.off.Since, release || g.off.Release
	}
	if err := g.switched.Put(offKey, now); err != nil {
		g.mu.Unlock()
		return nil, nil, fmt.Errorf("disable the guard: %w", err)
	}
	g.off = &now
	var ending []*pb.GuardIntent
	for _, in := range g.open() {
		if release && !in.endless() {
			ending = append(ending, g.show(in))
		}
	}
	state := g.stateLocked()
	g.mu.Unlock()
	g.nudge()
	what := "It answers nothing; what is in effect stays until its time is over."
	if release {
		what = fmt.Sprintf("It answers nothing, and releases what is in effect: %d.", len(ending))
	}
	return state, ending, g.tell(ctx, "disabled", actor, sentence(reason, what))
}

// Enable has the guard answer again. It returns the state that holds.
func (g *Guard) Enable(ctx context.Context, actor string) (*pb.GuardState, error) {
	g.deciding.Lock()
	defer g.deciding.Unlock()
	g.mu.Lock()
	was := g.off
	if was != nil {
		if err := g.endReleased(was); err != nil {
			g.mu.Unlock()
			return nil, fmt.Errorf("enable the guard: %w", err)
		}
		if err := g.switched.Delete(offKey); err != nil {
			g.mu.Unlock()
			return nil, fmt.Errorf("enable the guard: %w", err)
		}
		g.off = nil
	}
	state := g.stateLocked()
	g.mu.Unlock()
	if was == nil {
		return state, nil
	}
	g.nudge()
	return state, g.tell(ctx, "enabled", actor, fmt.Sprintf("It was disabled by %s at %s.", was.By, was.Since.Format(time.RFC3339)))
}

// endReleased has what was to be released by the disabling, and is not yet, released
// all the same when the guard is enabled; g.mu is held.
func (g *Guard) endReleased(was *off) error {
	if !was.Release {
		return nil
	}
	ended := make(map[string]intent)
	for _, in := range g.open() {
		if in.State != Planned && in.State != Approved && !in.endless() && in.EndsAs == "" {
			in.EndsAs, in.Ending = Released, "the guard was disabled by "+was.By
			ended[key(in.Enforcer, in.ID)] = *in
		}
	}
	if len(ended) == 0 {
		return nil
	}
	return g.table.PutAll(ended)
}

// tell records that the guard was switched, for the sinks and the audit log.
func (g *Guard) tell(ctx context.Context, to, actor, reason string) error {
	g.Logger.Warn("the container guard is "+to, "user", actor)
	return g.record(ctx, &pb.ActionEvent{
		Id: rand.Text(), Enforcer: "host", Action: Action, Target: to, Outcome: pb.Outcome_OUTCOME_APPLIED, Mode: string(g.Mode()), Reason: reason,
		Details: []*pb.Field{{Key: "actor", Value: actor}},
	})
}

// State says whether the guard answers at all.
func (g *Guard) State() *pb.GuardState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stateLocked()
}

func (g *Guard) stateLocked() *pb.GuardState {
	if g.off == nil {
		return &pb.GuardState{Enabled: true}
	}
	return &pb.GuardState{By: g.off.By, Reason: g.off.Reason, Since: timestamppb.New(g.off.Since), ReleaseAll: g.off.Release}
}

// disabled is why nothing is answered, nil when the guard is enabled.
func (g *Guard) disabled() *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.off == nil {
		return nil
	}
	return refusing(CodeDisabled, "The guard is disabled since %s by %s; see: ironpost guard enable.", g.off.Since.Format(time.RFC3339), g.off.By)
}

// refuseDisabled ends an intent that had not begun when the guard was disabled.
func (g *Guard) refuseDisabled(ctx context.Context, in *intent) {
	no := g.disabled()
	if no == nil {
		return // it was enabled meanwhile
	}
	g.conclude(ctx, in, Refused, pb.Outcome_OUTCOME_REFUSED, no.reason, func(in *intent) { in.Note, in.After = no.reason, []detail{{"code", no.code}} })
}
