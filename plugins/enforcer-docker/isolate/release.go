package isolate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Release undoes the request, as sdk.Executor says. An error is worth another try.
func (x *Isolator) Release(ctx context.Context, r Request, picture []byte) (sdk.Effect, error) {
	b, err := decode(picture, r)
	if err != nil {
		return sdk.Effect{}, err
	}
	c, owner, _, err := x.look(ctx, r.Container)
	if errors.Is(err, engine.ErrNotFound) {
		return sdk.Effect{Outcome: event.OutcomeReleased, Reason: "the container is gone"}, nil
	}
	if err != nil {
		return sdk.Effect{}, err
	}
	was := State(c, owner)
	var missing []string
	var lost []engine.Endpoint
	switch r.Action {
	case policy.NetIsolate:
		if owner.ID != b.Owner {
			missing, lost = append(missing, "its network is another container's by now"), b.Endpoints
			break
		}
		missing, lost, err = x.reconnect(ctx, r, b, owner)
	case policy.Pause:
		switch {
		case b.Paused:
		case c.State == engine.StatePaused:
			err = x.docker.Unpause(ctx, c.ID)
		case !c.Running():
			missing = append(missing, "it was stopped meanwhile, and is left so")
		}
	default:
		err = x.restart(ctx, b, c)
	}
	after, owner, _, looked := x.look(ctx, r.Container)
	if errors.Is(looked, engine.ErrNotFound) {
		return sdk.Effect{Outcome: event.OutcomeReleased, Reason: "the container is gone"}, nil
	}
	if looked != nil {
		return sdk.Effect{}, errors.Join(err, looked)
	}
	b.Endpoints = slices.DeleteFunc(slices.Clone(b.Endpoints), func(p engine.Endpoint) bool { return at(&engine.Container{Endpoints: lost}, &p) != nil })
	if still := inEffect(r, b, after, owner); still != "" {
		if err == nil {
			err = errors.New(still)
		}
		if errors.Is(err, engine.ErrNotFound) && at(&engine.Container{Endpoints: lost}, &engine.Endpoint{Network: owner.NetworkMode}) != nil {
			// As Docker 28 does (daemon/container_operations.go, normalizeNetMode).
			err = fmt.Errorf("no network takes it as long as there is none with the name %s, its first: make one: %w", owner.NetworkMode, err)
		}
		return sdk.Effect{}, fmt.Errorf("restore %s: %w", engine.Short(c.ID), err)
	}
	if r.Action == policy.NetIsolate {
		missing = append(missing, changed(r, b, owner)...)
	}
	effect := sdk.Effect{Outcome: event.OutcomeReleased, Details: []event.Field{
		{Key: "state_before", Value: was}, {Key: "state_after", Value: State(after, owner)},
	}}
	if len(missing) > 0 {
		effect.Outcome, effect.Reason = event.OutcomePartial, bounded(strings.Join(missing, "; "))
	}
	return effect, nil
}

// inEffect says what of a request is still in effect on a container.
func inEffect(r Request, b Before, c, owner *engine.Container) string {
	switch r.Action {
	case policy.NetIsolate:
		for _, p := range b.Endpoints {
			if r.concerns(&p) && !slices.ContainsFunc(owner.Endpoints, func(o engine.Endpoint) bool { return o.Network == p.Network }) {
				return "it is not on " + p.Network
			}
		}
		if r.Quarantine && at(owner, &engine.Endpoint{Network: engine.QuarantineName}) != nil {
			return "it is still on " + engine.QuarantineName
		}
	case policy.Pause:
		if c.State == engine.StatePaused && !b.Paused {
			return "it is still paused"
		}
	default:
		if b.Running && !c.Running() {
			return "it does not run"
		}
	}
	return ""
}

// changed says what is not as it was on networks that the container is on again.
func changed(r Request, b Before, owner *engine.Container) []string {
	var out []string
	for _, p := range b.Endpoints {
		is := at(owner, &engine.Endpoint{Network: p.Network})
		if is == nil || !r.concerns(&p) {
			continue
		}
		if !p.SameMAC(is) {
			out = append(out, fmt.Sprintf("the MAC address %s on %s could not be had: it is %s, as Docker chose", p.MAC, p.Network, is.HardwareAddress))
		}
		// A link of the old kind is the address that the one that links began with.
		if p.Network == engine.DefaultNetwork && p.Address != "" && p.Address != is.Address && len(owner.LinkedFrom) > 0 {
			out = append(out, fmt.Sprintf("its address on %s is %s now; until it is restarted, who links to it will look for it at %s: %s",
				p.Network, is.Address, p.Address, strings.Join(owner.LinkedFrom, ", ")))
		}
	}
	return out
}

// restart starts a container that ran, and pauses it when it was.
func (x *Isolator) restart(ctx context.Context, b Before, c *engine.Container) error {
	if !b.Running || c.Running() {
		return nil
	}
	if err := x.docker.Start(ctx, c.ID); err != nil || !b.Paused {
		return err
	}
	return x.docker.Pause(ctx, c.ID)
}

// reconnect attaches the owner of a network to what it was on. It says what is
// missing, with the endpoints that are lost as a whole; an error is worth another try.
func (x *Isolator) reconnect(ctx context.Context, r Request, b Before, owner *engine.Container) (missing []string, lost []engine.Endpoint, err error) {
	if q := at(owner, &engine.Endpoint{Network: engine.QuarantineName}); r.Quarantine && q != nil {
		err = x.docker.Disconnect(ctx, networkOf(q), owner.ID)
	}
	for i := range b.Endpoints {
		p := &b.Endpoints[i]
		if !r.concerns(p) {
			continue
		}
		network, renewed, failed := x.network(ctx, p)
		if errors.Is(failed, engine.ErrNotFound) {
			missing, lost = append(missing, fmt.Sprintf("the network %s was removed", p.Network)), append(lost, *p)
			continue
		}
		var why string
		if failed == nil {
			why, failed = x.attach(ctx, owner, p, network, renewed)
		}
		if why != "" {
			missing = append(missing, why)
		}
		err = errors.Join(err, failed)
	}
	return missing, lost, err
}

// attach restores one endpoint on a network, which was made anew or not.
func (x *Isolator) attach(ctx context.Context, owner *engine.Container, p *engine.Endpoint, network string, renewed bool) (missing string, err error) {
	want := *p
	want.NetworkID = network
	if renewed {
		missing = fmt.Sprintf("the network %s was made anew, and the container is on the new one", p.Network)
	}
	if is := at(owner, &want); is != nil {
		if want.Same(is) && (want.SameMAC(is) || !x.docker.SetsMAC()) {
			return missing, nil
		}
		// Somebody, or Docker at a start, attached it in another way.
		if err := x.docker.Disconnect(ctx, network, owner.ID); err != nil {
			return missing, err
		}
	}
	err = x.docker.Connect(ctx, network, owner.ID, want)
	if err == nil || errors.Is(err, engine.ErrUnreachable) || errors.Is(err, engine.ErrNotFound) || !p.Static() {
		return missing, err
	}
	// The address may be another container's by now.
	without := want
	without.IPv4, without.IPv6 = "", ""
	if again := x.docker.Connect(ctx, network, owner.ID, without); again != nil {
		return missing, errors.Join(err, again)
	}
	why := fmt.Sprintf("the address %s on %s could not be had: %v", strings.Trim(p.IPv4+" "+p.IPv6, " "), p.Network, err)
	return strings.TrimPrefix(missing+"; "+why, "; "), nil
}

// network finds the network of an endpoint, and says when it is another of that name.
func (x *Isolator) network(ctx context.Context, p *engine.Endpoint) (id string, renewed bool, err error) {
	n, err := x.docker.Network(ctx, networkOf(p))
	if err == nil {
		return n.ID, false, nil
	}
	if !errors.Is(err, engine.ErrNotFound) {
		return "", false, err
	}
	if n, err = x.docker.Network(ctx, p.Network); err != nil {
		return "", false, err
	}
	return n.ID, n.Name == p.Network, nil
}

// at returns the endpoint on the same network as p, by its id, or by its name where
// one of them has none.
func at(owner *engine.Container, p *engine.Endpoint) *engine.Endpoint {
	i := slices.IndexFunc(owner.Endpoints, func(o engine.Endpoint) bool {
		if o.NetworkID == "" || p.NetworkID == "" {
			return o.Network == p.Network
		}
		return o.NetworkID == p.NetworkID
	})
	if i < 0 {
		return nil
	}
	return &owner.Endpoints[i]
}
