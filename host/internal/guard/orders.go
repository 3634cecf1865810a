package guard

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ListIntents returns intents, the newest first: those that are not ended, or with
// all set those too that ended, at most limit; 0 is no limit.
func (g *Guard) ListIntents(_ context.Context, all bool, limit int) ([]*pb.GuardIntent, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []*intent
	for _, in := range g.intents {
		if all || !in.State.ended() {
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b *intent) int { return int(int64(b.Order) - int64(a.Order)) })
	if limit > 0 {
		list = list[:min(len(list), limit)]
	}
	out := make([]*pb.GuardIntent, 0, len(list))
	for _, in := range list {
		out = append(out, g.show(in))
	}
	return out, nil
}

// show returns an intent as operators see it; g.mu is held.
func (g *Guard) show(in *intent) *pb.GuardIntent {
	out := &pb.GuardIntent{
		Id: in.ID, Enforcer: in.Enforcer, AlertId: in.AlertID, TraceId: in.Trace, Action: in.Action, Target: in.Target, TargetName: in.get(detailName),
		Policy: in.get(detailPolicy), Reason: in.Reason, State: string(in.State), Note: in.Note, Actor: in.Actor,
		Created: timestamppb.New(in.Created), Changed: timestamppb.New(in.Changed),
		Approvals: uint32(in.Approvals), Approved: in.Approved, Redone: uint32(in.Redone), TtlSeconds: in.TTL.Seconds(),
	}
	if !in.State.ended() && in.Stamp.TTL > 0 {
		out.Expires = timestamppb.New(g.Clock.Wall().Add(g.left(in.Stamp)))
	}
	for _, d := range slices.Concat(in.Details, in.After) {
		out.Details = append(out.Details, &pb.Field{Key: d.Key, Value: d.Value})
	}
	return out
}

// Plan asks an enforcer what it would do.
func (g *Guard) Plan(ctx context.Context, enforcer string, ask *pb.PlanRequest) (*pb.PlanResponse, error) {
	e := g.Enforcer(enforcer)
	if e == nil {
		return nil, fmt.Errorf("%w: %s does not run; see: ironpost plugin list", control.ErrConflict, enforcer)
	}
	return e.Plan(ctx, ask)
}

// Order is what an operator wants done.
type Order struct {
	Enforcer, Target, Action, Reason, Actor string
	TTL                                     time.Duration
}

// Isolate has an operator's order carried out: the intents that came of it, which
// are decided, and carried out in enforce mode by Run. It returns errors that wrap
// those of package control.
func (g *Guard) Isolate(ctx context.Context, o Order) ([]*pb.GuardIntent, error) {
	plan, err := g.Plan(ctx, o.Enforcer, &pb.PlanRequest{
		Target: o.Target, Action: o.Action, TtlSeconds: uint64(max(o.TTL, 0) / time.Second), Reason: o.Reason,
	})
	switch {
	case err != nil:
		return nil, err
	case plan.Target == "":
		return nil, fmt.Errorf("%w: %s", control.ErrNotFound, plan.Resolution)
	case len(plan.Steps) == 0:
		return nil, fmt.Errorf("%w: %s has nothing to do about %s", control.ErrInvalid, o.Enforcer, plan.TargetName)
	}
	var out []*pb.GuardIntent
	for _, step := range plan.Steps {
		if step.Refused != "" {
			return out, fmt.Errorf("%w: %s", control.ErrInvalid, step.Refused)
		}
		in := bounded(o.Enforcer, step.Intent)
		in.ID, in.Actor = rand.Text(), o.Actor
		if in.Reason == "" {
			in.Reason = o.Reason
		}
		no, err := g.decide(ctx, in)
		if err != nil {
			return out, err
		}
		if no != nil {
			return out, fmt.Errorf("%w: %s (%s)", control.ErrInvalid, no.reason, no.code)
		}
		if g.Mode() == config.Detect {
			return out, fmt.Errorf("%w: the mode is detect, in which nothing is done; see: ironpost mode", control.ErrConflict)
		}
		g.mu.Lock()
		out = append(out, g.show(in))
		g.mu.Unlock()
	}
	return out, nil
}

// named returns the intents that an id, the beginning of one with 8 letters or more,
// a target or a target's name means; g.mu is held.
func (g *Guard) named(id string) (out []*intent) {
	for _, in := range g.intents {
		long := len(id) >= 8
		if in.ID == id || in.Target == id || in.get(detailName) == id ||
			long && (strings.HasPrefix(in.ID, id) || strings.HasPrefix(in.Target, id)) {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b *intent) int { return int(int64(a.Order) - int64(b.Order)) })
	return out
}

// ReleaseIntents ends the effects of an intent or of all about a target, or all there
// are when id is "". Intents that have not begun never do. It returns those that it
// concerns; they are released by Run.
func (g *Guard) ReleaseIntents(_ context.Context, id, actor string) ([]*pb.GuardIntent, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.open()
	if id != "" {
		list = g.named(id)
		if len(list) == 0 {
			return nil, fmt.Errorf("%w: no intent and no container %q; see: ironpost guard history", control.ErrNotFound, id)
		}
	}
	var out []*pb.GuardIntent
	for _, in := range list {
		if in.State.ended() || in.endless() && in.State != Planned {
			continue
		}
		if in.State == Planned || in.State == Approved && g.busy[in.Target] == nil {
			old := *in
			in.State, in.Note, in.Changed = Released, "released by "+actor+" before it began", g.Clock.Wall().Round(0).UTC()
			if err := g.table.Put(key(in.Enforcer, in.ID), *in); err != nil {
				*in = old
				return out, err
			}
			out = append(out, g.show(in))
			continue
		}
		if in.EndsAs == "" {
			in.EndsAs, in.Ending, in.due = Released, "released by "+actor, 0
			if err := g.table.Put(key(in.Enforcer, in.ID), *in); err != nil {
				in.EndsAs, in.Ending = "", ""
				return out, err
			}
		}
		out = append(out, g.show(in))
	}
	g.nudge()
	return out, nil
}

// Approve agrees to an intent as a user, who does so once.
func (g *Guard) Approve(_ context.Context, id, actor string) (*pb.GuardIntent, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var waiting []*intent
	for _, in := range g.named(id) {
		if in.State == Planned && g.Clock.Remaining(in.Stamp) > 0 {
			waiting = append(waiting, in)
		}
	}
	switch len(waiting) {
	case 0:
		return nil, fmt.Errorf("%w: no intent %q waits for approval; see: ironpost guard history", control.ErrNotFound, id)
	case 1:
	default:
		return nil, fmt.Errorf("%w: %d intents are meant by %q; give the id of one", control.ErrInvalid, len(waiting), id)
	}
	in := waiting[0]
	if slices.Contains(in.Approved, actor) {
		return nil, fmt.Errorf("%w: %s has agreed already; another user has to", control.ErrConflict, actor)
	}
	old := *in
	in.Approved = append(slices.Clone(in.Approved), actor)
	if len(in.Approved) >= in.Approvals {
		in.State, in.Changed = Approved, g.Clock.Wall().Round(0).UTC()
	}
	if err := g.table.Put(key(in.Enforcer, in.ID), *in); err != nil {
		*in = old
		return nil, err
	}
	g.nudge()
	return g.show(in), nil
}

// Recorded returns a detail of what was told when an intent was carried out, by the
// id of the intent; "" when it is not known, or not any more.
func (g *Guard) Recorded(id, detail string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, in := range g.intents {
		if in.ID != id {
			continue
		}
		for _, d := range in.After {
			if d.Key == detail {
				return d.Value
			}
		}
	}
	return ""
}
