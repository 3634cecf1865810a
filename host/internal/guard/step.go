package guard

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/status"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// request is what an enforcer is asked with about an intent.
func (in *intent) request() *pb.ExecuteRequest {
	return &pb.ExecuteRequest{Intent: in.event(pb.Outcome_OUTCOME_PLANNED, string(config.Enforce), in.Reason), Before: in.Before}
}

// call makes a call about an intent.
func call(ctx context.Context, method func(context.Context, *pb.ExecuteRequest) (*pb.ExecuteResponse, error), req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	reply, err := method(ctx, req)
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	return reply, nil
}

// enter puts an intent into a state, durably but for the collecting of evidence. change, which may be nil, sets what
// goes with it. When it cannot be stored the intent stays as it was, and false is
// returned: it is tried again.
func (g *Guard) enter(in *intent, s State, change func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *in
	in.State, in.Changed = s, g.Clock.Wall().Round(0).UTC()
	if s != old.State {
		in.failures, in.due = 0, 0
	}
	if change != nil {
		change()
	}
	// What changes nothing may be begun anew, and does not keep waiting what comes after.
	if s == Executing && in.endless() {
		return true
	}
	if err := g.table.Put(key(in.Enforcer, in.ID), *in); err != nil {
		*in = old
		in.due = g.Clock.Boot() + maxRetry
		g.Logger.Error("the state of an intent is not kept, trying again", "intent", in.ID, "state", s, "error", err)
		return false
	}
	return true
}

// again has the step at hand tried after a pause.
func (g *Guard) again(in *intent, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in.Note = action.Cut(why.Error(), action.MaxReason)
	in.due = g.Clock.Boot() + min(minRetry<<min(in.failures, 16), maxRetry)
	in.failures++
}

// conclude records what became of an intent, and then puts it into the state. A host
// that is killed in between finds it in the state before, and does both again: what
// became of an intent is told at least once. Of what had no effect on its target, what
// comes after prepares meanwhile; nothing is done before it is told and kept.
func (g *Guard) conclude(ctx context.Context, in *intent, s State, outcome pb.Outcome, reason string, change func(*intent)) {
	g.mu.Lock()
	after := *in
	after.State = s
	change(&after)
	a := after.event(outcome, string(g.Mode()), reason)
	g.counts[string(s)]++
	g.mu.Unlock()
	index, err := action.Append(g.Journal, g.Clock.Wall(), a)
	if err == nil {
		if s == Done {
			g.proceed(in)
		}
		// It has happened: it is recorded whoever has stopped waiting.
		err = action.Wait(context.WithoutCancel(ctx), g.Journal, index)
	}
	if err != nil {
		g.Logger.Error("what became of an intent is not recorded", "intent", in.ID, "error", err)
	}
	g.enter(in, s, func() { change(in) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if in.concluding {
		in.concluding = false
		close(g.telling[in.Target])
		delete(g.telling, in.Target)
	}
}

// proceed has what comes after an intent on the same target prepare, up to settled.
func (g *Guard) proceed(in *intent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in.concluding, g.telling[in.Target] = true, make(chan struct{})
	g.leave(in)
	g.nudge()
}

// settled returns true when what came before on a target is told and kept, false when
// ctx is done first.
func (g *Guard) settled(ctx context.Context, in *intent) bool {
	g.mu.Lock()
	told := g.telling[in.Target]
	g.mu.Unlock()
	if told == nil {
		return true
	}
	select {
	case <-told:
		return true
	case <-ctx.Done():
		return false
	}
}

// fail ends an intent that has no effect.
func (g *Guard) fail(ctx context.Context, in *intent, reason string) {
	g.Logger.Error("an answer failed", "action", in.Action, "target", in.name(), "reason", reason)
	g.conclude(ctx, in, Failed, pb.Outcome_OUTCOME_FAILED, reason, func(in *intent) { in.Note = action.Cut(reason, action.MaxReason) })
}

// refuseUnapproved ends an intent that nobody agreed to.
func (g *Guard) refuseUnapproved(ctx context.Context, in *intent) {
	reason := fmt.Sprintf("%d of %d approvals were given in time.", len(in.Approved), in.Approvals)
	g.conclude(ctx, in, Refused, pb.Outcome_OUTCOME_REFUSED, reason, func(in *intent) { in.Note, in.After = reason, []detail{{"code", CodeApproval}} })
}

// begin carries an approved intent out.
func (g *Guard) begin(ctx context.Context, in *intent) {
	if mode := g.Mode(); mode != config.Enforce {
		g.fail(ctx, in, fmt.Sprintf("The mode was changed to %s meanwhile.", mode))
		return
	}
	reply, err := g.ask(ctx, in, Enforcer.Prepare)
	switch {
	case err != nil && g.Clock.Wall().Sub(in.Changed) > waitEnforcer:
		g.fail(ctx, in, "The enforcer did not answer: "+err.Error())
		return
	case err != nil:
		g.again(in, err)
		return
	case reply.Outcome == pb.Outcome_OUTCOME_REFUSED:
		reason := action.Cut(reply.Reason, action.MaxReason)
		g.conclude(ctx, in, Refused, pb.Outcome_OUTCOME_REFUSED, reason, func(in *intent) { in.Note, in.After = reason, []detail{{"code", CodeEnforcer}} })
		return
	case !g.settled(ctx, in):
		return
	case g.disabled() != nil:
		g.refuseDisabled(ctx, in)
		return
	}
	g.execute(ctx, in, func() { in.Before, in.Stamp = reply.Before, g.Clock.Stamp(in.TTL) })
}

// ask makes a call of the intent's enforcer, if it runs.
func (g *Guard) ask(ctx context.Context, in *intent, method func(Enforcer, context.Context, *pb.ExecuteRequest) (*pb.ExecuteResponse, error)) (*pb.ExecuteResponse, error) {
	e := g.Enforcer(in.Enforcer)
	if e == nil {
		return nil, fmt.Errorf("%s does not run", in.Enforcer)
	}
	g.mu.Lock() // its end may be put off meanwhile, see cover
	req := in.request()
	g.mu.Unlock()
	return call(ctx, func(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
		return method(e, ctx, req)
	}, req)
}

// execute has the intent carried out, with change made as it is announced.
func (g *Guard) execute(ctx context.Context, in *intent, change func()) {
	if !g.enter(in, Executing, change) {
		return
	}
	reply, err := g.ask(ctx, in, Enforcer.Execute)
	if err == nil && reply.Outcome == pb.Outcome_OUTCOME_UNSPECIFIED {
		err = errors.New(reply.Reason)
	}
	if err != nil {
		g.enter(in, Unknown, func() { in.Note = action.Cut(err.Error(), action.MaxReason) })
		return
	}
	g.settle(ctx, in, reply)
}

// settle takes over what a call says of the state that an intent is in now.
func (g *Guard) settle(ctx context.Context, in *intent, reply *pb.ExecuteResponse) {
	reason := action.Cut(reply.Reason, action.MaxReason)
	pause := inspectEvery
	if reply.Outcome == pb.Outcome_OUTCOME_PARTIAL && in.Redone < maxRedone {
		pause = min(minRetry<<(2*in.Redone), inspectEvery)
	}
	after := func(in *intent) {
		in.Note, in.After, in.due = reason, facts(reply), g.Clock.Boot()+pause
	}
	switch reply.Outcome {
	case pb.Outcome_OUTCOME_APPLIED, pb.Outcome_OUTCOME_PARTIAL:
		state := Applied
		if reply.Outcome == pb.Outcome_OUTCOME_PARTIAL {
			state = Partial
		}
		if in.endless() {
			state = Done
		}
		if in.State == state {
			g.enter(in, state, func() { after(in) })
			return
		}
		g.conclude(ctx, in, state, reply.Outcome, sentence(in.Reason, reason), after)
	case pb.Outcome_OUTCOME_RELEASED: // it is not in effect
		g.redo(ctx, in, reason)
	case pb.Outcome_OUTCOME_EXPIRED: // the target is gone
		g.conclude(ctx, in, Released, pb.Outcome_OUTCOME_RELEASED, sentence("The target is gone", reason), after)
	default:
		g.fail(ctx, in, sentence("Nothing was done", reason))
	}
}

// facts returns what a call adds to the record, bounded.
func facts(reply *pb.ExecuteResponse) []detail {
	out := details(reply.Details[:min(len(reply.Details), action.MaxDetails)])
	for i := range out {
		out[i] = detail{action.Cut(out[i].Key, action.MaxText), action.Cut(out[i].Value, 4*action.MaxText)}
	}
	return out
}

func sentence(s, more string) string {
	switch {
	case more == "":
		return s
	case s == "":
		return more
	}
	return s + ": " + more
}

// redo does again what somebody undid, up to a limit.
func (g *Guard) redo(ctx context.Context, in *intent, reason string) {
	if in.endless() && in.Redone > 0 {
		g.fail(ctx, in, sentence("It did not come to an end", reason))
		return
	}
	if in.Redone >= maxRedone {
		title := fmt.Sprintf("%s on %s is undone again and again", in.Action, in.name())
		text := fmt.Sprintf("It was done again %d times; it is given up, and what is left of it is released.", in.Redone)
		if err := g.Raise(ctx, in.event(pb.Outcome_OUTCOME_FAILED, string(g.Mode()), text), title, text); err != nil {
			g.Logger.Error("an alert is not raised", "title", title, "error", err)
		}
		g.mu.Lock()
		in.EndsAs, in.Ending = Failed, text
		g.mu.Unlock()
		g.release(ctx, in)
		return
	}
	g.Logger.Warn("an answer is not in effect, or not all of it, and is done again", "action", in.Action, "target", in.name(), "reason", reason)
	g.execute(ctx, in, func() { in.Redone++ })
}

// find learns what became of a call.
func (g *Guard) find(ctx context.Context, in *intent) {
	g.mu.Lock()
	if g.Clock.Remaining(in.Stamp) <= 0 && in.Stamp.TTL > 0 {
		in.EndsAs, in.Ending = Expired, "its time is over"
	}
	ends := in.EndsAs != ""
	g.mu.Unlock()
	if ends {
		g.release(ctx, in)
		return
	}
	g.inspect(ctx, in)
}

// inspect holds what is in effect against what should be.
func (g *Guard) inspect(ctx context.Context, in *intent) {
	g.mu.Lock()
	in.reported = false
	g.mu.Unlock()
	reply, err := g.ask(ctx, in, Enforcer.Inspect)
	if err == nil && reply.Outcome == pb.Outcome_OUTCOME_UNSPECIFIED {
		err = errors.New(reply.Reason)
	}
	if err != nil {
		g.again(in, err)
		return
	}
	// What is done in part is completed: somebody may have been killed half-way.
	if reply.Outcome == pb.Outcome_OUTCOME_PARTIAL && !in.endless() && (in.State == Applied || in.Redone < maxRedone) {
		g.redo(ctx, in, reply.Reason)
		return
	}
	g.settle(ctx, in, reply)
}

// release ends the effect.
func (g *Guard) release(ctx context.Context, in *intent) {
	if in.State != Releasing && !g.enter(in, Releasing, nil) {
		return
	}
	reply, err := g.ask(ctx, in, Enforcer.Release)
	if err == nil && reply.Outcome == pb.Outcome_OUTCOME_UNSPECIFIED {
		err = errors.New(reply.Reason)
	}
	if err == nil && reply.Outcome == pb.Outcome_OUTCOME_FAILED {
		err = errors.New(reply.Reason)
	}
	if err != nil {
		g.again(in, fmt.Errorf("not released: %w", err))
		return
	}
	g.mu.Lock()
	state, ending := in.EndsAs, in.Ending
	g.mu.Unlock()
	outcome := pb.Outcome_OUTCOME_RELEASED
	switch state {
	case Expired:
		outcome = pb.Outcome_OUTCOME_EXPIRED
	case Failed:
		outcome = pb.Outcome_OUTCOME_FAILED
	default:
		state = Released
	}
	reason := sentence(ending, action.Cut(reply.Reason, action.MaxReason))
	if reply.Outcome == pb.Outcome_OUTCOME_PARTIAL {
		reason = sentence("what was is not restored whole", reason)
	}
	g.conclude(ctx, in, state, outcome, reason, func(in *intent) {
		in.Note, in.After = reason, facts(reply)
		if reply.Outcome == pb.Outcome_OUTCOME_PARTIAL {
			in.After = append(in.After, detail{"restored", "partial"})
		}
		in.Before = nil
	})
}
