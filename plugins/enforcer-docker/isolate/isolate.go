package isolate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// ErrRefused wraps why an intent is not carried out.
var ErrRefused = errors.New("not carried out")

// Isolator carries requests out.
type Isolator struct {
	docker    *engine.Engine
	protected func(*engine.Container) string
}

// New returns an Isolator. protected says why nothing may ever be done to a container,
// "" when it may; nil protects none. It is asked before every act, since containers may
// be made anew and configurations changed. A release asks nobody.
func New(docker *engine.Engine, protected func(*engine.Container) string) *Isolator {
	if protected == nil {
		protected = func(*engine.Container) string { return "" }
	}
	return &Isolator{docker, protected}
}

// Prepare takes the picture that the other methods need. It changes nothing. Errors
// wrap ErrRefused when the request cannot be carried out as it is.
func (x *Isolator) Prepare(ctx context.Context, r Request) ([]byte, error) {
	c, owner, all, err := x.look(ctx, r.Container)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, fmt.Errorf("%w: the container is gone", ErrRefused)
	}
	if err != nil {
		return nil, err
	}
	if why := x.protected(c); why != "" {
		return nil, errors.New(why)
	}
	if why := refusal(r, c, owner, all); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrRefused, why)
	}
	return picture(c, owner)
}

// refusal says why a request is not carried out on a container as it is.
func refusal(r Request, c, owner *engine.Container, all []engine.Container) string {
	switch {
	case c.Service() != "":
		return obstacle(c, owner)
	case r.Action == policy.NetIsolate:
		reach := ReachOf(all, c.ID)
		if reach.Obstacle != "" {
			return reach.Obstacle
		}
		if o := r.unnamed(reach.Others); o != nil {
			return fmt.Sprintf("%s would lose its network with it, and is not meant", title(o))
		}
		if !slices.ContainsFunc(owner.Endpoints, func(p engine.Endpoint) bool { return r.concerns(&p) }) {
			if len(r.Networks) > 0 {
				return "it is on none of the networks " + bounded(strings.Join(r.Networks, ", "))
			}
			return "it is on no network, perhaps by another answer"
		}
	case !c.Running():
		return "it is not running: it is " + c.State
	case r.Action == policy.Pause && c.State == engine.StatePaused:
		return "it is paused already"
	case r.Action != policy.Pause && c.AutoRemove:
		return "it would be removed when it ends, and could not be brought back"
	}
	return ""
}

// Calls are the calls that Execute would make on the container now, in order.
func (x *Isolator) Calls(r Request, picture []byte) ([]string, error) {
	b, err := decode(picture, r)
	if err != nil {
		return nil, err
	}
	switch r.Action {
	case policy.Pause:
		return []string{"POST /containers/" + b.Container + "/pause"}, nil
	case policy.Stop:
		return []string{fmt.Sprintf("POST /containers/%s/stop?t=%d", b.Container, int(engine.StopGrace.Seconds()))}, nil
	case policy.Kill:
		return []string{"POST /containers/" + b.Container + "/kill?signal=KILL"}, nil
	}
	var out []string
	for _, p := range b.Endpoints {
		if r.concerns(&p) {
			out = append(out, fmt.Sprintf("POST /networks/%s/disconnect {\"Container\":%q,\"Force\":true} (%s)", p.NetworkID, b.Owner, p.Network))
		}
	}
	if r.Quarantine {
		out = append(out, fmt.Sprintf("POST /networks/%s/connect {\"Container\":%q}", engine.QuarantineName, b.Owner))
	}
	return out, nil
}

// Execute carries the request out, as sdk.Executor says.
func (x *Isolator) Execute(ctx context.Context, r Request, picture []byte) (sdk.Effect, error) {
	b, err := decode(picture, r)
	if err != nil {
		return failed(err.Error()), nil
	}
	c, owner, all, err := x.look(ctx, r.Container)
	if errors.Is(err, engine.ErrNotFound) {
		return failed("the container is gone"), nil
	}
	if err != nil {
		return sdk.Effect{}, err
	}
	if why := x.protected(c); why != "" {
		return failed(why), nil
	}
	was := State(c, owner)
	var did error
	switch {
	case r.Action == policy.NetIsolate:
		if owner.ID != b.Owner {
			return failed("its network is another container's by now"), nil
		}
		if o := r.unnamed(ReachOf(all, c.ID).Others); o != nil {
			return failed(fmt.Sprintf("%s would lose its network with it, and is not meant", title(o))), nil
		}
		did = x.cut(ctx, r, owner)
	case r.Action == policy.Pause:
		if c.State == engine.StateRunning {
			did = x.docker.Pause(ctx, c.ID)
		}
	case c.Running() && r.Action == policy.Kill:
		did = x.docker.Kill(ctx, c.ID)
	case c.Running():
		did = x.docker.Stop(ctx, c.ID)
	}
	effect, err := x.judge(ctx, r, b)
	if err != nil {
		return sdk.Effect{}, errors.Join(did, err)
	}
	if r.Action == policy.NetIsolate {
		if undone, err := x.verify(ctx, r, picture); undone.Outcome != event.OutcomeUnknown || err != nil {
			return undone, err
		}
	}
	effect.Details = append(effect.Details, event.Field{Key: "state_before", Value: was})
	switch effect.Outcome {
	case event.OutcomeReleased:
		effect.Outcome = event.OutcomeFailed
		if did != nil {
			if errors.Is(did, engine.ErrUnreachable) {
				return sdk.Effect{}, did // it may still be carried out
			}
			effect.Reason = bounded(did.Error())
		}
	case event.OutcomeExpired:
		effect.Outcome = event.OutcomeFailed
	}
	return effect, nil
}

// cut takes the owner of a network off what the request concerns.
func (x *Isolator) cut(ctx context.Context, r Request, owner *engine.Container) error {
	var errs []error
	for _, p := range owner.Endpoints {
		if r.concerns(&p) {
			errs = append(errs, x.docker.Disconnect(ctx, networkOf(&p), owner.ID))
		}
	}
	if r.Quarantine && !slices.ContainsFunc(owner.Endpoints, func(p engine.Endpoint) bool { return p.Network == engine.QuarantineName }) {
		q, err := x.docker.Quarantine(ctx)
		if err == nil {
			err = x.docker.Connect(ctx, q.ID, owner.ID, engine.Endpoint{})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// networkOf is what to call an endpoint's network: a container that never ran has
// no id for it yet, and the default network has another one after each start of dockerd.
func networkOf(p *engine.Endpoint) string {
	if p.NetworkID == "" || p.Network == engine.DefaultNetwork {
		return p.Network
	}
	return p.NetworkID
}

// verify looks for containers that came to share the network meanwhile, and gives
// it back when there are any. The zero Effect says that all is well.
func (x *Isolator) verify(ctx context.Context, r Request, picture []byte) (sdk.Effect, error) {
	all, err := x.docker.Containers(ctx)
	if err != nil {
		return sdk.Effect{}, err
	}
	o := r.unnamed(ReachOf(all, r.Container).Others)
	if o == nil {
		return sdk.Effect{}, nil
	}
	back, err := x.Release(ctx, r, picture)
	if err != nil {
		return sdk.Effect{}, err
	}
	why := fmt.Sprintf("%s lost its network with it, and is not meant", title(o))
	if back.Outcome != event.OutcomeReleased {
		return sdk.Effect{Outcome: event.OutcomePartial, Reason: why + "; what was cannot be restored whole: " + back.Reason, Details: back.Details}, nil
	}
	effect := failed(why + "; it was put back")
	effect.Details = back.Details
	return effect, nil
}

// Inspect reports the state that the request is in, as sdk.Executor says.
func (x *Isolator) Inspect(ctx context.Context, r Request, picture []byte) (sdk.Effect, error) {
	b, err := decode(picture, r)
	if err != nil {
		return sdk.Effect{}, err
	}
	return x.judge(ctx, r, b)
}

// judge looks at a container: Applied, Partial, Released or Expired.
func (x *Isolator) judge(ctx context.Context, r Request, b Before) (sdk.Effect, error) {
	c, owner, _, err := x.look(ctx, r.Container)
	if errors.Is(err, engine.ErrNotFound) {
		return sdk.Effect{Outcome: event.OutcomeExpired, Reason: "the container is gone"}, nil
	}
	if err != nil {
		return sdk.Effect{}, err
	}
	effect := sdk.Effect{Details: []event.Field{{Key: "state_after", Value: State(c, owner)}}}
	if r.Action == policy.NetIsolate {
		effect.Outcome, effect.Reason = network(r, b, owner)
	} else {
		effect.Outcome, effect.Reason = process(r, c)
	}
	return effect, nil
}

// network judges net-isolate.
func network(r Request, b Before, owner *engine.Container) (event.Outcome, string) {
	var left []string
	quarantined := false
	for _, p := range owner.Endpoints {
		if r.concerns(&p) {
			left = append(left, p.Network)
		}
		quarantined = quarantined || p.Network == engine.QuarantineName
	}
	had := 0
	for _, p := range b.Endpoints {
		if r.concerns(&p) {
			had++
		}
	}
	switch {
	case len(left) == 0 && r.Quarantine && !quarantined && owner.Running():
		return event.OutcomePartial, "it is off its networks, and not on " + engine.QuarantineName
	case len(left) == 0:
		return event.OutcomeApplied, ""
	case len(left) < had:
		return event.OutcomePartial, "it is still on " + bounded(strings.Join(left, ", "))
	}
	return event.OutcomeReleased, "it is on " + bounded(strings.Join(left, ", "))
}

// process judges pause, stop and kill.
func process(r Request, c *engine.Container) (event.Outcome, string) {
	switch {
	case c.Running() && r.Action == policy.Pause && c.State == engine.StatePaused:
		return event.OutcomeApplied, ""
	case c.Running() || c.State == "restarting":
		return event.OutcomeReleased, "it is " + c.State
	case r.Action == policy.Pause:
		return event.OutcomeApplied, "it is not paused but " + c.State
	}
	return event.OutcomeApplied, ""
}

// look inspects a container and the owner of its network, among all containers, when
// no call on them is under way any more. What does not wait for each other is asked at
// once: an answer waits for it.
func (x *Isolator) look(ctx context.Context, id string) (c, owner *engine.Container, all []engine.Container, err error) {
	if err := x.docker.Settle(ctx, id); err != nil {
		return nil, nil, nil, err
	}
	var listing sync.WaitGroup
	var unlisted error
	listing.Go(func() { all, unlisted = x.docker.Containers(ctx) })
	one, err := x.docker.Inspect(ctx, id)
	listing.Wait()
	if err = cmp.Or(err, unlisted); err != nil {
		return nil, nil, nil, err
	}
	if i := slices.IndexFunc(all, func(o engine.Container) bool { return o.ID == one.ID }); i >= 0 {
		one.LinkedFrom = all[i].LinkedFrom
		all[i] = one
	}
	if one.NetworkOwner() == "" {
		return &one, &one, all, nil
	}
	found := engine.OwnerOf(all, &one)
	if found == nil {
		return nil, nil, nil, fmt.Errorf("find the network of %s: %w", engine.Short(id), engine.ErrNotFound)
	}
	if err := x.docker.Settle(ctx, found.ID); err != nil {
		return nil, nil, nil, err
	}
	other, err := x.docker.Inspect(ctx, found.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	other.LinkedFrom = found.LinkedFrom
	return &one, &other, all, nil
}

// title is what people call a container.
func title(c *engine.Container) string {
	return fmt.Sprintf("the container %s (%s)", bounded(c.Name), engine.Short(c.ID))
}

func failed(why string) sdk.Effect {
	return sdk.Effect{Outcome: event.OutcomeFailed, Reason: bounded(why)}
}
