package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/host/internal/action"
	"github.com/ironpost/ironpost/host/internal/config"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The codes of refusals.
const (
	// CodeAction: the host knows no such verb.
	CodeAction = "unknown_action"
	// CodeAlert: the alert that the intent names is not known, or not any more.
	CodeAlert = "unknown_alert"
	// CodeTarget: the target is not what the alert names.
	CodeTarget = "other_target"
	// CodeAmbiguous: the alert names more than one target.
	CodeAmbiguous = "ambiguous_target"
	// CodeOrigin: who told may not speak about that target.
	CodeOrigin = "untrusted_origin"
	// CodeOwn: the target is a part of the host's.
	CodeOwn = "own_part"
	// CodeProtected: nothing may be done to the target.
	CodeProtected = "protected"
	// CodeTTL: the time to live is absent or makes no sense.
	CodeTTL = "invalid_ttl"
	// CodeAlready: the same is in effect already, or about to be, which is told and
	// is no refusal; or it is being released.
	CodeAlready = "in_effect"
	// CodeCooldown: the policy has just done the same.
	CodeCooldown = "cooldown"
	// CodeBreaker: too many intents within a minute.
	CodeBreaker = "breaker_open"
	// CodeAtOnce, CodeShare and CodeGroup: too much is under effect already.
	CodeAtOnce = "too_many_at_once"
	CodeShare  = "share_of_running"
	CodeGroup  = "too_many_alike"
	// CodeFull: there are too many intents.
	CodeFull = "list_full"
	// CodeEnforcer: the enforcer refuses.
	CodeEnforcer = "enforcer_refuses"
	// CodeApproval: nobody agreed in time.
	CodeApproval = "not_approved"
)

// The details of intents that the host reads: those of package sdk.
const (
	detailTTL      = "ttl_seconds"
	detailMode     = "policy_mode"
	detailPolicy   = "policy"
	detailCooldown = "cooldown_seconds"
	detailGroup    = "group"
	detailRunning  = "running"
	detailName     = "target_name"
	detailResolved = "resolved_by"
	detailProtect  = "protected"
	detailApproval = "approvals"
	detailRelease  = "release_needed"
	detailNetwork  = "network"
)

// maxRefusals is how many refusals are recorded within a minute; further ones are
// counted alone.
const maxRefusals = 120

// verbs are those that enforcers carry out, and whether a target stops working.
func verbs() map[string]bool {
	return map[string]bool{"evidence": false, "net-isolate": false, "pause": false, "stop": true, "kill": true}
}

// Knows reports whether an action is one that a Guard carries out.
func Knows(action string) bool {
	_, ok := verbs()[action]
	return ok
}

// name is what people call the target.
func (in *intent) name() string {
	if n := in.get(detailName); n != "" {
		return n
	}
	return in.Target[:min(len(in.Target), 12)]
}

// endless reports whether there is no effect to end.
func (in *intent) endless() bool { return in.Action == "evidence" && in.get(detailRelease) == "false" }

// refusal is why an intent is not followed.
type refusal struct{ code, reason string }

func refusing(code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// bounded makes an intent of a proposal, of which no part is too long.
func bounded(enforcer string, a *pb.ActionEvent) *intent {
	in := &intent{
		ID: a.GetId(), Enforcer: action.Cut(enforcer, action.MaxText), AlertID: action.Cut(a.GetAlertId(), action.MaxText), Action: action.Cut(a.GetAction(), action.MaxText),
		Target: action.Cut(a.GetTarget(), action.MaxText), Reason: action.Cut(a.GetReason(), action.MaxReason),
	}
	for _, f := range a.GetDetails()[:min(len(a.GetDetails()), action.MaxDetails)] {
		in.Details = append(in.Details, detail{action.Cut(f.GetKey(), action.MaxText), action.Cut(f.GetValue(), action.MaxText)})
	}
	if in.ID == "" || len(in.ID) > action.MaxText {
		sum := sha256.Sum256([]byte(strings.Join([]string{in.ID, in.AlertID, in.Action, in.Target}, "\x00")))
		in.ID = hex.EncodeToString(sum[:16])
	}
	return in
}

// Decide judges an intent that an enforcer proposes, and has it carried out where
// the mode says so. Its error says that it could not be recorded, and it may be
// proposed again. An intent that was decided before is left alone. The intent
// remains the caller's.
func (g *Guard) Decide(ctx context.Context, enforcer string, a *pb.ActionEvent) error {
	in := bounded(enforcer, a)
	_, err := g.decide(ctx, in)
	return err
}

// decide is Decide; it returns why the intent is refused, if it is.
func (g *Guard) decide(ctx context.Context, in *intent) (*refusal, error) {
	no, simulated, err := g.settleOn(ctx, in)
	if no != nil || err != nil || !simulated {
		return no, err
	}
	// The enforcer is asked with no lock held: one that hangs holds up itself.
	return g.simulate(ctx, in)
}

// settleOn is decide up to where an enforcer is asked, which simulated tells.
func (g *Guard) settleOn(ctx context.Context, in *intent) (no *refusal, simulated bool, err error) {
	g.deciding.Lock()
	defer g.deciding.Unlock()
	mode := g.Mode()
	if m := config.Mode(in.get(detailMode)); m == config.Detect || m == config.Simulate && mode == config.Enforce {
		mode = m
	}
	if mode == config.Detect {
		g.count("not_asked")
		return nil, false, nil
	}
	g.mu.Lock()
	_, known := g.intents[key(in.Enforcer, in.ID)]
	g.mu.Unlock()
	if known {
		g.count("repeated")
		return nil, false, nil
	}
	in.Created = g.Clock.Wall().Round(0).UTC()
	in.Changed = in.Created
	in.Simulated = mode == config.Simulate
	if no := g.disabled(); no != nil {
		return no, false, g.refuse(ctx, in, *no, mode)
	}
	no, by := g.judge(in)
	switch {
	case by != nil:
		return nil, false, g.cover(ctx, in, by, mode)
	case no != nil:
		return no, false, g.refuse(ctx, in, *no, mode)
	}
	if mode == config.Simulate {
		return nil, true, nil
	}
	return nil, false, g.admit(ctx, in)
}

// judge runs the checks, and fills in what the intent takes from its alert. by is
// an intent that has in effect already, or about to be, what is asked for.
func (g *Guard) judge(in *intent) (no *refusal, by *intent) {
	if no := g.judgeTarget(in); no != nil {
		return no, nil
	}
	if no := g.timeOf(in); no != nil {
		return no, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if by, no := g.coveredBy(in); by != nil || no != nil {
		return no, by
	}
	if no := g.within(in); no != nil {
		return no, nil
	}
	if in.Actor != "" || in.endless() {
		return nil, nil
	}
	return g.often(), nil
}

// judgeTarget checks who the intent is about, and who says so.
func (g *Guard) judgeTarget(in *intent) *refusal {
	if !Knows(in.Action) {
		return refusing(CodeAction, "The host does not know how to %q.", in.Action)
	}
	if in.Target == "" {
		return refusing(CodeTarget, "The intent names no target.")
	}
	if in.Actor == "" {
		if no := g.believable(in); no != nil {
			return no
		}
	}
	if why := g.Own(in.Target); why != "" {
		return refusing(CodeOwn, "It is a part of the host's own: %s.", why)
	}
	if why := in.get(detailProtect); why != "" {
		return refusing(CodeProtected, "Nothing is done to it: %s.", why)
	}
	return nil
}

// believable checks what the alert says, and who says it.
func (g *Guard) believable(in *intent) *refusal {
	about, known := g.Alert(in.AlertID)
	if !known {
		return refusing(CodeAlert, "The alert that it names is not known, or too old.")
	}
	in.Trace = about.Trace
	switch about.Provenance {
	case pb.Provenance_PROVENANCE_HOST:
	case pb.Provenance_PROVENANCE_CONTAINER:
		if about.Peer != "container:"+in.Target {
			return refusing(CodeOrigin, "What a container prints is believed about that container alone.")
		}
	default:
		return refusing(CodeOrigin, "An unauthenticated sender told about it.")
	}
	switch containers := slices.Compact(slices.Sorted(slices.Values(about.Containers))); {
	case len(containers) > 1:
		return refusing(CodeAmbiguous, "The alert names %d containers.", len(containers))
	case len(containers) == 1 && containers[0] != in.Target:
		return refusing(CodeTarget, "The alert names the container %.12s.", containers[0])
	case len(containers) == 0 && !about.Entities[in.get(detailResolved)]:
		return refusing(CodeTarget, "The alert names neither the container nor what leads to it.")
	}
	return nil
}

// timeOf takes the time to live, and how many have to agree.
func (g *Guard) timeOf(in *intent) *refusal {
	most := g.Policy.MaxTTL
	seconds, err := strconv.ParseInt(in.get(detailTTL), 10, 64)
	switch {
	case in.endless() && in.Action == "evidence":
	case err != nil || seconds <= 0:
		return refusing(CodeTTL, "Every effect needs a time to live; %q is none.", in.get(detailTTL))
	case most > 0 && seconds > int64(most/time.Second):
		in.TTL = most
	default:
		in.TTL = time.Duration(seconds) * time.Second
	}
	if n, err := strconv.Atoi(in.get(detailApproval)); err == nil {
		in.Approvals = min(max(n, 0), 2)
	}
	if in.Actor == "" && slices.Contains(g.Policy.Approve, in.Action) {
		in.Approvals = max(in.Approvals, 1)
	}
	if verbs()[in.Action] && g.Policy.TwoApprovals {
		in.Approvals = 2
	}
	if in.Actor != "" && in.Approvals > 0 {
		in.Approved = []string{in.Actor} // who orders it agrees
	}
	return nil
}

// within holds the intent against what is under effect already; g.mu is held.
func (g *Guard) within(in *intent) *refusal {
	targets := map[string]bool{in.Target: true}
	alike := make(map[string]map[string]bool)
	for _, group := range in.groups() {
		alike[group] = map[string]bool{in.Target: true}
	}
	open := 0
	seconds, _ := strconv.ParseInt(in.get(detailCooldown), 10, 64)
	cooldown := max(time.Duration(min(seconds, 1<<32))*time.Second, leastCooldown)
	for _, o := range g.intents {
		if in.Actor == "" && o.Target == in.Target && o.Action == in.Action && o.Enforcer == in.Enforcer {
			ago := in.Created.Sub(o.Created)
			if o.State.ended() && o.State != Refused && o.CoveredBy == "" && (in.Simulated || !o.Simulated) &&
				o.get(detailPolicy) == in.get(detailPolicy) && ago < cooldown {
				return refusing(CodeCooldown, "The policy did the same %v ago.", ago.Round(time.Second))
			}
		}
		if o.State.ended() {
			continue
		}
		open++
		if o.endless() {
			continue
		}
		targets[o.Target] = true
		for _, group := range o.groups() {
			if alike[group] != nil {
				alike[group][o.Target] = true
			}
		}
	}
	if open >= MaxIntents {
		return refusing(CodeFull, "There are %d intents that are not ended.", open)
	}
	if in.Actor != "" || in.endless() {
		return nil
	}
	p := g.Policy
	if p.MaxAtOnce > 0 && len(targets) > p.MaxAtOnce {
		return refusing(CodeAtOnce, "[guard] max_at_once = %d targets are under effect already.", p.MaxAtOnce)
	}
	running, err := strconv.Atoi(in.get(detailRunning))
	if err == nil && p.MaxShare > 0 && len(targets) > 1 && len(targets)*100 > p.MaxShare*running {
		return refusing(CodeShare, "It would be %d of %d running containers, more than [guard] max_share = %d %%.", len(targets), running, p.MaxShare)
	}
	for group, members := range alike {
		if p.MaxAlike > 0 && len(members) > p.MaxAlike {
			return refusing(CodeGroup, "[guard] max_alike = %d targets of %s are under effect already.", p.MaxAlike, group)
		}
	}
	return nil
}

// often asks the breaker; g.mu is held.
func (g *Guard) often() *refusal {
	now := g.Clock.Boot()
	g.breaker.Closes(now)
	_, was := g.breaker.Open()
	most := g.Policy.MaxPerMinute
	if most <= 0 || g.breaker.Admit(now, most) {
		return nil
	}
	closes, _ := g.breaker.Open()
	until := g.Clock.Wall().Add(closes - now).UTC().Format(time.RFC3339)
	if !was {
		g.Logger.Warn(fmt.Sprintf("The breaker of the container guard is open: more than [guard] max_per_minute = %d answers were proposed; none is made until %s.", most, until))
	}
	return refusing(CodeBreaker, "Too many answers were proposed within a minute; the breaker is open until %s.", until)
}

// refuse records why nothing is done.
func (g *Guard) refuse(ctx context.Context, in *intent, no refusal, mode config.Mode) error {
	g.mu.Lock()
	g.counts["refused_"+no.code]++
	now := g.Clock.Boot()
	g.refusals.Closes(now)
	spoken := g.refusals.Admit(now, maxRefusals)
	if !spoken {
		g.counts["refusals_unrecorded"]++
	}
	g.mu.Unlock()
	in.State, in.Note = Refused, no.reason
	in.After = append(in.After, detail{"code", no.code})
	if spoken {
		if err := g.record(ctx, in.event(pb.Outcome_OUTCOME_REFUSED, string(mode), no.reason)); err != nil {
			return err
		}
	}
	return g.keep(in)
}

// simulate asks the enforcer whether it could, and records the plan.
func (g *Guard) simulate(ctx context.Context, in *intent) (*refusal, error) {
	if e := g.Enforcer(in.Enforcer); e != nil {
		asking, cancel := context.WithTimeout(ctx, callPrepare)
		reply, err := call(asking, e.Prepare, in.request())
		cancel()
		if err == nil && reply.Outcome == pb.Outcome_OUTCOME_REFUSED {
			no := &refusal{CodeEnforcer, action.Cut(reply.Reason, action.MaxReason)}
			return no, g.refuse(ctx, in, *no, config.Simulate)
		}
	}
	in.State, in.Stamp = Done, g.Clock.Stamp(in.TTL)
	in.Note = "simulated"
	if err := g.record(ctx, in.event(pb.Outcome_OUTCOME_SIMULATED, string(config.Simulate), in.Reason)); err != nil {
		return nil, err
	}
	g.count("simulated")
	return nil, g.keep(in)
}

// admit makes the intent durable; Run carries it out.
func (g *Guard) admit(ctx context.Context, in *intent) error {
	in.State = Approved
	if len(in.Approved) < in.Approvals {
		in.State, in.Stamp = Planned, g.Clock.Stamp(g.approvalTTL())
	}
	if err := g.record(ctx, in.event(pb.Outcome_OUTCOME_PLANNED, string(config.Enforce), in.Reason)); err != nil {
		return err
	}
	g.count("planned")
	if err := g.keep(in); err != nil {
		return err
	}
	g.nudge()
	return nil
}

func (g *Guard) approvalTTL() time.Duration {
	if g.Policy.ApprovalTTL > 0 {
		return g.Policy.ApprovalTTL
	}
	return 15 * time.Minute
}

// keep stores a new intent, and forgets the oldest that ended.
func (g *Guard) keep(in *intent) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.order++
	in.Order = g.order
	k := key(in.Enforcer, in.ID)
	if err := g.table.Put(k, *in); err != nil {
		return err
	}
	g.intents[k] = in
	return g.forget()
}

// forget removes the oldest intents that ended, when there are too many; g.mu is
// held.
func (g *Guard) forget() error {
	if len(g.intents) <= MaxEnded+MaxIntents {
		return nil
	}
	var ended []*intent
	for _, in := range g.intents {
		if in.State.ended() {
			ended = append(ended, in)
		}
	}
	slices.SortFunc(ended, func(a, b *intent) int { return a.Changed.Compare(b.Changed) })
	keys := make([]string, 0, len(ended))
	for _, in := range ended[:min(len(ended), MaxIntents)] {
		k := key(in.Enforcer, in.ID)
		keys = append(keys, k)
		delete(g.intents, k)
	}
	return g.table.Delete(keys...)
}
