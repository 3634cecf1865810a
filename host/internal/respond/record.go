package respond

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// What the host itself does, in action events.
const (
	// HostName is the enforcer of what the host does by itself, OperatorName of
	// what an operator orders.
	HostName      = "host"
	OperatorName  = "operator"
	actionBlock   = "block"
	actionLimit   = "limit"
	actionMonitor = "monitor"
	actionRule    = "rule"
	actionNotify  = "notify"
	actionMode    = "mode"
	actionBreaker = "breaker"
)

// Bounds of what an enforcer's intent may bring into the journal; what is longer
// is cut, what is more is left out.
const (
	maxText    = 256
	maxReason  = 1024
	maxDetails = 32
)

// cut shortens a text to n bytes at most, whole characters, valid UTF-8.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// bounded returns a copy of an intent of which no part is too long, with only
// the parts that an enforcer may set.
func bounded(enforcer string, in *pb.ActionEvent) *pb.ActionEvent {
	out := &pb.ActionEvent{
		Id: cut(in.GetId(), maxText), AlertId: cut(in.GetAlertId(), maxText), Enforcer: cut(enforcer, maxText),
		Action: cut(in.GetAction(), maxText), Target: cut(in.GetTarget(), maxText), Reason: cut(in.GetReason(), maxReason),
		Expires: in.GetExpires(),
	}
	for _, f := range in.GetDetails()[:min(len(in.GetDetails()), maxDetails)] {
		out.Details = append(out.Details, &pb.Field{Key: cut(f.GetKey(), maxText), Value: cut(f.GetValue(), maxText)})
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
	a.Time = uint64(r.clock.Wall().UnixNano())
	data, err := proto.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("encode an action: %w", err)
	}
	index, err := r.journal.Append(uint8(pb.Kind_KIND_ACTION), data)
	if err != nil {
		return 0, fmt.Errorf("record an action: %w", err)
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
	if err := r.journal.Wait(ctx, index); err != nil {
		return fmt.Errorf("record an action: %w", err)
	}
	return nil
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
