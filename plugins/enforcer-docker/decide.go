package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/evidence"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/isolate"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/target"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// digestTimeout bounds how long a decision asks for an image's names.
const digestTimeout = 5 * time.Second

// decide decides about an alert by the policies in force.
func (e *enforcer) decide(ctx context.Context, alert *event.AlertEvent, found target.Found) sdk.Plan {
	return e.decideBy(ctx, e.set.Load(), alert, found)
}

// decideBy decides about an alert by a set of policies. It calls nobody but for the
// names of an image at registries, where a policy asks for them.
func (e *enforcer) decideBy(ctx context.Context, set *policy.Set, alert *event.AlertEvent, found target.Found) sdk.Plan {
	c := found.Container
	if c == nil {
		plan := sdk.Plan{Resolution: found.Why}
		if found.Why == "" {
			plan.Resolution = "the alert is about no container"
			return plan
		}
		e.counter("ambiguous", 1)
		plan.Steps = []sdk.PlanStep{{Intent: sdk.Intent{
			Action: policy.Notify,
			Reason: bounded(fmt.Sprintf("%s: nothing is done to a container: %s.", titleOf(alert), found.Why)),
			Details: []event.Field{
				{Key: "rule_id", Value: bounded(alert.RuleID)}, {Key: "severity", Value: alert.Severity.String()},
			},
		}}}
		return plan
	}
	plan := sdk.Plan{Target: c.ID, TargetName: c.Name, Resolution: "found by " + found.By}
	chosen := e.choose(set, policy.Subject{Alert: alert, Container: c, Digests: e.digests(ctx, c)}, &plan)
	if chosen == nil {
		return plan
	}
	d := decision{enforcer: e, set: set, policy: chosen, container: c, all: found.All, by: found.By}
	d.why = fmt.Sprintf("%s in the container %s", titleOf(alert), bounded(c.Name))
	d.rest = []event.Field{{Key: "rule_id", Value: bounded(alert.RuleID)}, {Key: "severity", Value: alert.Severity.String()}}
	if e.cfg.OptIn && c.Labels[engine.LabelEnforce] != "true" {
		d.onlyNotify = "the container has no label " + engine.LabelEnforce + "=true"
	}
	plan.Steps = d.steps(ctx)
	return plan
}

// choose asks the policies in order until one matches.
func (e *enforcer) choose(set *policy.Set, s policy.Subject, plan *sdk.Plan) *policy.Policy {
	for _, p := range set.Policies {
		why := p.Why(s)
		plan.Policies = append(plan.Policies, sdk.PlanPolicy{Name: p.Name, File: p.File, Matched: why == "", Reason: why})
		if why == "" {
			return p
		}
	}
	return nil
}

// digests asks for an image's names at registries, once.
func (e *enforcer) digests(ctx context.Context, c *engine.Container) func() []string {
	return sync.OnceValue(func() []string {
		ctx, cancel := context.WithTimeout(ctx, digestTimeout)
		defer cancel()
		names, err := e.docker.Digests(ctx, c.ImageID)
		if err != nil {
			e.log.Warn("the names of an image are not known", "image", c.ImageID, "error", err)
		}
		return names
	})
}

// asked is the plan for what an operator asks for: the policies' answer, or an
// action of the operator's own.
func (e *enforcer) asked(ctx context.Context, set *policy.Set, ask sdk.PlanRequest, c *engine.Container, all []engine.Container) (sdk.Plan, error) {
	plan := sdk.Plan{Target: c.ID, TargetName: c.Name, Resolution: "named by an operator"}
	d := decision{enforcer: e, set: set, container: c, all: all, by: "operator=" + bounded(ask.Target)}
	if ask.Action == "" {
		d.policy = e.choose(set, policy.Subject{Container: c, Digests: e.digests(ctx, c)}, &plan)
		if d.policy == nil {
			return plan, nil
		}
	} else {
		if !slices.Contains(policy.Verbs(), ask.Action) {
			return plan, fmt.Errorf("the action %q is not known; want one of %s", bounded(ask.Action), strings.Join(policy.Verbs(), ", "))
		}
		d.policy = &policy.Policy{Actions: []policy.Action{{Verb: ask.Action}}, TTL: e.cfg.DefaultTTL, Otherwise: policy.Notify}
	}
	if ask.TTLSeconds > 0 {
		ttl := time.Duration(min(ask.TTLSeconds, int64(policy.MaxTTL/time.Second)+1)) * time.Second
		if ttl > policy.MaxTTL {
			return plan, fmt.Errorf("a time of %d s: want at most %s", ask.TTLSeconds, policy.MaxTTL)
		}
		changed := *d.policy
		changed.TTL = ttl
		d.policy = &changed
	}
	d.why = "An operator asked for it"
	if ask.Reason != "" {
		d.why = bounded(ask.Reason)
	}
	d.operator = ask.Action != ""
	plan.Steps = d.steps(ctx)
	return plan, nil
}

// decision turns a policy into intents on a container.
type decision struct {
	enforcer  *enforcer
	set       *policy.Set
	policy    *policy.Policy
	container *engine.Container
	all       []engine.Container
	by        string
	why       string        // a sentence, without its end
	rest      []event.Field // further details
	// onlyNotify says why nothing else is proposed, "" for all.
	onlyNotify string
	// operator says that an action is asked for, which nothing else stands in for.
	operator bool
}

// steps are the intents, in order.
func (d *decision) steps(ctx context.Context) []sdk.PlanStep {
	var out []sdk.PlanStep
	verbs := map[string]bool{}
	for _, a := range d.policy.Actions {
		intent, ok := d.step(ctx, a)
		if !ok || verbs[intent.Action] {
			continue
		}
		verbs[intent.Action] = true
		out = append(out, sdk.PlanStep{Intent: intent})
	}
	return out
}

// step is the intent of one action; false when another action of the policy stands
// in for it already.
func (d *decision) step(ctx context.Context, a policy.Action) (sdk.Intent, bool) {
	if d.onlyNotify != "" {
		return d.intent(policy.Notify, d.onlyNotify, nil), true
	}
	if a.Verb == policy.Evidence && a.Export {
		return d.intent(a.Verb, "", []event.Field{{Key: evidence.DetailExport, Value: "true"}}), true
	}
	if a.Verb != policy.NetIsolate {
		return d.intent(a.Verb, "", nil), true
	}
	r := isolate.Request{Action: a.Verb, Container: d.container.ID, Networks: a.Networks, Quarantine: a.Quarantine}
	reach := isolate.ReachOf(d.all, d.container.ID)
	why := reach.Obstacle
	for _, o := range reach.Others {
		switch {
		case why != "":
		case d.enforcer.protected(o) != "":
			why = fmt.Sprintf("%s would lose its network with it, and is protected", bounded(o.Name))
		case !d.names(ctx, o):
			why = fmt.Sprintf("%s would lose its network with it, and is not meant", bounded(o.Name))
		case len(r.Shared) == isolate.MaxShared:
			why = fmt.Sprintf("more than %d others would lose their network with it", isolate.MaxShared)
		default:
			r.Shared = append(r.Shared, o.ID)
		}
	}
	switch {
	case why == "":
		return d.intent(a.Verb, "", r.Details()), true
	case d.operator:
		// The operator hears why when it is prepared.
		return d.intent(a.Verb, "", isolate.Request{Networks: a.Networks, Quarantine: a.Quarantine}.Details()), true
	case slices.ContainsFunc(d.policy.Actions, func(b policy.Action) bool { return b.Verb == d.policy.Otherwise }):
		return sdk.Intent{}, false
	}
	return d.intent(d.policy.Otherwise, "it cannot be isolated: "+why, nil), true
}

// names reports whether the policy names another container too.
func (d *decision) names(ctx context.Context, o *engine.Container) bool {
	if d.operator || d.policy.Name == "" {
		return false
	}
	return d.policy.Match.OfContainer(policy.Subject{Container: o, Digests: d.enforcer.digests(ctx, o)}) == ""
}

// intent makes the intent of a verb; note is why it is not another.
func (d *decision) intent(verb, note string, details []event.Field) sdk.Intent {
	e, c, p := d.enforcer, d.container, d.policy
	reason := d.why
	if p.Name != "" {
		reason += "; policy " + p.Name
	}
	if note != "" {
		reason += "; " + note
	}
	out := sdk.Intent{Action: verb, Target: c.ID, Reason: bounded(reason) + "."}
	add := func(key, value string) {
		if value != "" {
			out.Details = append(out.Details, event.Field{Key: key, Value: bounded(value)})
		}
	}
	add(sdk.DetailPolicy, p.Name)
	add("policy_version", d.set.Version)
	add(sdk.DetailMode, p.Mode)
	add(sdk.DetailName, c.Name)
	add(sdk.DetailResolved, d.by)
	add(sdk.DetailGroup, "image="+c.Image)
	if project := c.Project(); project != "" {
		add(sdk.DetailGroup, "project="+project)
	}
	if p.Cooldown > 0 {
		add(sdk.DetailCooldown, strconv.FormatInt(int64(p.Cooldown/time.Second), 10))
	}
	if policy.Changes(verb) {
		out.TTLSeconds = int64(p.TTL / time.Second)
		add(sdk.DetailRunning, strconv.Itoa(running(d.all)))
		add(sdk.DetailProtect, e.protected(c))
		if n := e.approvals(p, verb); n > 0 {
			add(sdk.DetailApproval, strconv.Itoa(n))
		}
	} else {
		add(sdk.DetailRelease, "false")
	}
	out.Details = append(append(out.Details, details...), d.rest...)
	return out
}

// approvals is how many operators have to agree to an action.
func (e *enforcer) approvals(p *policy.Policy, verb string) int {
	if verb == policy.Stop || verb == policy.Kill {
		return max(p.Approvals, e.cfg.StopApprovals)
	}
	return p.Approvals
}

// protected says why nothing may ever be done to a container, "" when it may.
func (e *enforcer) protected(c *engine.Container) string {
	if c.Labels[engine.LabelProtect] == "true" {
		return "it has the label " + engine.LabelProtect + "=true"
	}
	for _, p := range e.cfg.Critical {
		if policy.Glob(p, c.Name) || policy.Glob(p, c.Image) {
			return "it is critical: " + p
		}
	}
	// Docker gives a container its short id as the name of its machine.
	if host, err := os.Hostname(); err == nil && len(host) == 12 && strings.HasPrefix(c.ID, host) {
		return "the host itself runs in it"
	}
	return ""
}

func running(all []engine.Container) int {
	n := 0
	for i := range all {
		if all[i].Running() {
			n++
		}
	}
	return n
}

func titleOf(a *event.AlertEvent) string {
	if a.Title != "" {
		return bounded(a.Title)
	}
	return bounded(a.RuleID)
}

// bounded cuts others' words to what the host keeps of a detail.
func bounded(s string) string { return engine.Clip(s, 250) }
