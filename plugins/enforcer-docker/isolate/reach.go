package isolate

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
)

// Reach is what taking a container off its networks would touch.
type Reach struct {
	// Owner is the container that the endpoints belong to: itself, or the one whose
	// network it uses.
	Owner *engine.Container
	// Others are the other running containers of that network, the owner among them.
	Others []*engine.Container
	// Obstacle says why it cannot be done at all, "" when it can.
	Obstacle string
}

// ReachOf finds what isolating the container would touch, among all containers. It
// returns the zero Reach with an Obstacle when the container is not among them.
func ReachOf(all []engine.Container, id string) Reach {
	c := find(all, id)
	if c == nil {
		return Reach{Obstacle: "the container is gone"}
	}
	owner := engine.OwnerOf(all, c)
	if owner == nil {
		return Reach{Obstacle: "it uses the network of a container that is gone"}
	}
	r := Reach{Owner: owner, Obstacle: obstacle(c, owner)}
	for i := range all {
		if o := &all[i]; o.ID != id && o.Running() && engine.OwnerOf(all, o) == owner {
			r.Others = append(r.Others, o)
		}
	}
	return r
}

func obstacle(c, owner *engine.Container) string {
	switch {
	case c.Service() != "":
		return fmt.Sprintf("it is a task of the swarm service %s, which is not handled: the swarm would start another", bounded(c.Service()))
	case !c.Running() && c.State != "restarting":
		return "it is not running: it is " + bounded(c.State)
	case owner.NetworkMode == "host":
		return "it uses the network of the host, which it cannot be taken off"
	case owner.NetworkMode == "none" && len(owner.Endpoints) == 0:
		return "it has no network"
	}
	return ""
}

func find(all []engine.Container, id string) *engine.Container {
	i := slices.IndexFunc(all, func(c engine.Container) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// unnamed returns the first of others that the request does not allow to be cut.
func (r Request) unnamed(others []*engine.Container) *engine.Container {
	for _, o := range others {
		if !slices.Contains(r.Shared, o.ID) {
			return o
		}
	}
	return nil
}
