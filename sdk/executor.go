package sdk

import (
	"context"
	"errors"
	"fmt"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Executor is a PolicyEnforcer with effects of its own, on targets that the host
// cannot reach: containers.
//
// For an intent that passed every check the host calls Prepare, keeps what it
// returns on the disk, calls Execute, and keeps what came of it. From then on it
// calls Inspect now and again, and Execute again where the effect is gone before its
// time; when the time is over, or an operator says so, it calls Release. Host and
// plugin may be killed between any two of these and in the middle of one, which is
// then called again: each must come to the same end when it was done before, wholly
// or in part. In simulate mode Prepare alone is called.
//
// Calls are concurrent, but for those about one target. The context has the host's
// deadline; what was begun when it ends has the outcome event.OutcomeUnknown.
type Executor interface {
	// Prepare returns what Release will need to restore what is now, at most
	// MaxBefore bytes, in a form of the plugin's own. It changes nothing. An error
	// refuses the intent, unless it wraps ErrUnavailable.
	Prepare(ctx context.Context, intent *event.ActionEvent) (before []byte, err error)
	// Execute carries the intent out: event.OutcomeApplied, OutcomePartial, or
	// OutcomeFailed when nothing was changed.
	Execute(ctx context.Context, intent *event.ActionEvent, before []byte) (Effect, error)
	// Inspect reports the state that the intent is in now: event.OutcomeApplied,
	// OutcomePartial or OutcomeReleased (not in effect). OutcomeExpired says that
	// the target is gone for good and there is nothing to release.
	Inspect(ctx context.Context, intent *event.ActionEvent, before []byte) (Effect, error)
	// Release undoes it: event.OutcomeReleased, or OutcomePartial when what was
	// cannot be restored whole, which is not tried again.
	Release(ctx context.Context, intent *event.ActionEvent, before []byte) (Effect, error)
}

// ErrUnavailable wraps the error of an Executor's Prepare that cannot say now whether
// the intent can be carried out, since what it asks does not answer. The host asks
// again, for some minutes.
var ErrUnavailable = errors.New("no answer at the moment")

// MaxBefore bounds what Prepare returns, in bytes.
const MaxBefore = 256 << 10

// Effect is what a call of an Executor came to. An error beside it means that the
// outcome is not known.
type Effect struct {
	Outcome event.Outcome
	// Reason is one sentence for people: what is missing, and why.
	Reason string
	// Details are facts worth recording, such as the state after.
	Details []event.Field
}

// The details of intents that the host reads, beside those that Intent names. What
// is said of a target must be true when it is proposed: limits are shares of it.
const (
	DetailMode     = "policy_mode"      // detect, simulate or enforce, where it is less than the host's
	DetailPolicy   = "policy"           // the name of what decided
	DetailCooldown = "cooldown_seconds" // no second intent of the policy on the target before
	DetailGroup    = "group"            // what is alike: limits hold for it too; may be given often
	DetailRunning  = "running"          // how many targets there are, of which limits are shares
	DetailName     = "target_name"      // what people call the target
	DetailResolved = "resolved_by"      // the entity of the alert that led to the target, as key=value
	DetailProtect  = "protected"        // why nothing may ever be done to the target; refused
	DetailApproval = "approvals"        // how many operators have to agree: 1 or 2
	DetailRelease  = "release_needed"   // "false": there is no effect to end, and no time to live
	DetailNetwork  = "network"          // of what part of the target the action is, such as one network; may be given often, none is all
)

// Planner is a PolicyEnforcer that explains itself.
type Planner interface {
	// Plan says what would be proposed, and why. It changes nothing.
	Plan(ctx context.Context, ask PlanRequest) (Plan, error)
}

// ErrPlanRequest wraps what is wrong with a PlanRequest itself, such as the text of a
// policy: who asks is told, and that asking again does not help.
var ErrPlanRequest = errors.New("invalid question")

// PlanRequest asks about an alert, or about a target that an operator names. With
// neither it asks what the policies of Policy are, and whether they are valid.
type PlanRequest struct {
	// Alert is nil when Target is set.
	Alert *event.AlertEvent
	// Target is a name or an id as people write it, and Action the verb, "" for
	// what the policies say.
	Target, Action string
	// TTLSeconds and Reason are the operator's; 0 is the default.
	TTLSeconds int64
	Reason     string
	// Policy is the text of a policy file to judge by, in place of those in force,
	// and PolicyName what it is called.
	Policy     []byte
	PolicyName string
}

// Plan is what an enforcer would propose.
type Plan struct {
	// Target is what is meant, and TargetName what people call it; "" when that is
	// nothing, or ambiguous. Resolution says how it was found, or why not.
	Target, TargetName, Resolution string
	// Policies are those that were asked, in order.
	Policies []PlanPolicy
	Steps    []PlanStep
}

// PlanPolicy is what became of one policy.
type PlanPolicy struct {
	Name, File string
	Matched    bool
	// Reason says why it does not match.
	Reason string
}

// PlanStep is one intent that would be proposed.
type PlanStep struct {
	Intent Intent
	// Calls are those that would be made, in order.
	Calls []string
	// Refused says why it would not be carried out; "" when it would.
	Refused string
}

// Targets tells the host about targets of this plugin's intents.
type Targets interface {
	// Changed has the host inspect what is in effect on the targets, at most 256,
	// or on all when none is named. It returns before that is done.
	Changed(ctx context.Context, targets ...string) error
}

// targets implements Targets.
type targets struct{ host *commands }

// Changed implements Targets.
func (t targets) Changed(ctx context.Context, names ...string) error {
	_, err := t.host.call(ctx, &pb.HostCall{Call: &pb.HostCall_Targets{Targets: &pb.ReportTargets{Targets: names}}}, nil)
	if err != nil {
		return fmt.Errorf("report changed targets: %w", err)
	}
	return nil
}
