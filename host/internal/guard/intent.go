package guard

import (
	"context"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// State is where an intent is in its life.
type State string

// The states of an intent.
const (
	// Planned waits for approval.
	Planned State = "planned"
	// Approved waits for its turn.
	Approved State = "approved"
	// Executing is announced to the disk; the enforcer may have begun.
	Executing State = "executing"
	// Applied is in effect, Partial in part.
	Applied State = "applied"
	Partial State = "partial"
	// Unknown: a call's outcome is not known.
	Unknown State = "unknown"
	// Releasing is announced to the disk; the effect may be gone.
	Releasing State = "releasing"
	// Released and Expired are over, by an order and by time; Failed had no effect,
	// or could not be kept in effect. Done had nothing to end. Refused was not
	// approved.
	Released State = "released"
	Expired  State = "expired"
	Failed   State = "failed"
	Done     State = "done"
	Refused  State = "refused"
)

// ended reports whether nothing is left to do.
func (s State) ended() bool {
	return slices.Contains([]State{Released, Expired, Failed, Done, Refused}, s)
}

// intent is an intent as it is kept.
type intent struct {
	ID       string `json:"id"`
	Enforcer string `json:"enforcer"`
	AlertID  string `json:"alert_id,omitempty"`
	Trace    []byte `json:"trace_id,omitempty"`
	Action   string `json:"action"`
	Target   string `json:"target"`
	Reason   string `json:"reason,omitempty"`
	// Actor is who ordered it, "" for the enforcer by itself.
	Actor string `json:"actor,omitempty"`
	// Details are the enforcer's, and go back to it.
	Details []detail `json:"details,omitempty"`

	State   State         `json:"state"`
	Created time.Time     `json:"created"`
	Changed time.Time     `json:"changed"`
	Order   uint64        `json:"order"`
	TTL     time.Duration `json:"ttl,omitempty"`
	// Stamp is the end of the effect from executing on, that of the wait for
	// approval before.
	Stamp expiry.Stamp `json:"stamp"`
	// Approvals are needed of so many, and were given by these.
	Approvals int      `json:"approvals,omitempty"`
	Approved  []string `json:"approved,omitempty"`

	// Simulated: nothing was, or is to be, done. It keeps no real answer waiting.
	Simulated bool `json:"simulated,omitempty"`
	// Before is what Prepare returned.
	Before []byte `json:"before,omitempty"`
	// Note says what the last call came to.
	Note string `json:"note,omitempty"`
	// Redone is how often it was done again after somebody undid it.
	Redone int `json:"redone,omitempty"`
	// Ending is why it is to be released, and by whom: the State it ends in.
	Ending string   `json:"ending,omitempty"`
	EndsAs State    `json:"ends_as,omitempty"`
	After  []detail `json:"after,omitempty"`
	// CoveredBy is the intent that had in effect already what this one asks for.
	CoveredBy string `json:"covered_by,omitempty"`

	failures int           // tries of the call at hand
	due      time.Duration // when it is to be looked at again, since boot
	reported bool          // something happened to the target since it was last inspected
	// concluding: it is done, which is being told; what comes after prepares meanwhile.
	concluding bool
}

// detail is a field of an action event as it is kept.
type detail struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func details(fields []*pb.Field) []detail {
	out := make([]detail, 0, len(fields))
	for _, f := range fields {
		out = append(out, detail{f.GetKey(), f.GetValue()})
	}
	return out
}

// get returns the value of the first detail with a key, "" when there is none.
func (in *intent) get(key string) string {
	for _, d := range in.Details {
		if d.Key == key {
			return d.Value
		}
	}
	return ""
}

// groups returns what the target is like.
func (in *intent) groups() (out []string) {
	for _, d := range in.Details {
		if d.Key == detailGroup {
			out = append(out, d.Value)
		}
	}
	return out
}

// key is what an intent is kept under: what one enforcer calls its intent is nothing
// to another.
func key(enforcer, id string) string { return enforcer + "\x00" + id }

// event returns the intent as an action event with an outcome.
func (in *intent) event(outcome pb.Outcome, mode, reason string) *pb.ActionEvent {
	a := &pb.ActionEvent{
		Id: in.ID, AlertId: in.AlertID, TraceId: in.Trace, Enforcer: in.Enforcer, Action: in.Action, Target: in.Target,
		Outcome: outcome, Mode: mode, Reason: reason,
	}
	if outcome == pb.Outcome_OUTCOME_APPLIED || outcome == pb.Outcome_OUTCOME_PARTIAL || outcome == pb.Outcome_OUTCOME_PLANNED {
		if in.Stamp.TTL > 0 {
			a.Expires = uint64(in.Stamp.Expires.UnixNano())
		}
	}
	for _, d := range slices.Concat(in.Details, in.After) {
		a.Details = append(a.Details, &pb.Field{Key: d.Key, Value: d.Value})
	}
	if in.Actor != "" {
		a.Details = append(a.Details, &pb.Field{Key: "actor", Value: in.Actor})
	}
	a.Details = append(a.Details, &pb.Field{Key: "state", Value: string(in.State)})
	return a
}

// record appends an action event to the journal and returns when it is on the disk.
func (g *Guard) record(ctx context.Context, a *pb.ActionEvent) error {
	index, err := action.Append(g.Journal, g.Clock.Wall(), a)
	if err != nil {
		return err
	}
	return action.Wait(ctx, g.Journal, index)
}

func (g *Guard) count(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[name]++
}

// left is what is left of a stamp, for people.
func (g *Guard) left(s expiry.Stamp) time.Duration { return max(g.Clock.Remaining(s), 0) }
