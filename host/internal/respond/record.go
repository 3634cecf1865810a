package respond

import (
	"context"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/host/internal/action"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// What the host itself does, in action events.
const (
	// HostName is the enforcer of what the host does by itself, OperatorName of
	// what an operator orders.
	HostName      = "host"
	OperatorName  = "operator"
	actionAllow   = "allow"
	actionBlock   = "block"
	actionLimit   = "limit"
	actionMonitor = "monitor"
	actionRule    = "rule"
	actionNotify  = "notify"
	actionMode    = "mode"
	actionBreaker = "breaker"
)

// bounded returns a copy of an intent of which no part is too long, with only
// the parts that an enforcer may set.
func bounded(enforcer string, in *pb.ActionEvent) *pb.ActionEvent {
	out := &pb.ActionEvent{
		Id: action.Cut(in.GetId(), action.MaxText), AlertId: action.Cut(in.GetAlertId(), action.MaxText), Enforcer: action.Cut(enforcer, action.MaxText),
		Action: action.Cut(in.GetAction(), action.MaxText), Target: action.Cut(in.GetTarget(), action.MaxText), Reason: action.Cut(in.GetReason(), action.MaxReason),
		Expires: in.GetExpires(),
	}
	for _, f := range in.GetDetails()[:min(len(in.GetDetails()), action.MaxDetails)] {
		out.Details = append(out.Details, &pb.Field{Key: action.Cut(f.GetKey(), action.MaxText), Value: action.Cut(f.GetValue(), action.MaxText)})
	}
	return out
}

// The details of intents that the host reads.
const (
	detailTTL       = "ttl_seconds"
	detailLimit     = "limit"             // packets a second
	detailForgeable = "forgeable"         // what to do instead of a block that the evidence does not allow
	detailLimitTTL  = "limit_ttl_seconds" // ttl_seconds of that
)

// detail returns the value of a detail, "" when there is none.
func detail(a *pb.ActionEvent, key string) string {
	for _, f := range a.Details {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// set gives a detail one value, whatever it had.
func set(a *pb.ActionEvent, k, v string) {
	kept := a.Details[:0]
	for _, f := range a.Details {
		if f.Key != k {
			kept = append(kept, f)
		}
	}
	a.Details = append(kept, &pb.Field{Key: k, Value: v})
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// append puts an action event into the journal and into the history. The event
// must not change afterwards.
func (r *Responder) append(a *pb.ActionEvent) (uint64, error) {
	index, err := action.Append(r.journal, r.clock.Wall(), a)
	if err != nil {
		return 0, err
	}
	r.history.decide(a)
	return index, nil
}

// record appends an action event and returns when it is on the disk.
func (r *Responder) record(ctx context.Context, a *pb.ActionEvent) error {
	index, err := r.append(a)
	if err != nil {
		return err
	}
	return action.Wait(ctx, r.journal, index)
}

// say records what the host does by itself, and logs it; r.mu is held. It does
// not wait for the disk, and what cannot be recorded is logged as that.
func (r *Responder) say(outcome pb.Outcome, action, target, reason string) {
	r.log.Warn(reason)
	r.tell(&pb.ActionEvent{Enforcer: HostName, Action: action, Target: target, Outcome: outcome, Reason: reason})
}

// tell appends an event of the host's or an operator's making; r.mu is held.
func (r *Responder) tell(a *pb.ActionEvent) {
	a.Mode = string(r.mode.Mode)
	if _, err := r.append(a); err != nil {
		r.log.Error("an action is not recorded", "action", a.Action, "target", a.Target, "outcome", a.Outcome.String(), "error", err)
	}
}
