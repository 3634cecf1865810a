package isolate

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// The details of an intent that say what Request needs to know. The host bounds how
// many there are and how long, so a list is given one by one.
const (
	detailNetwork    = sdk.DetailNetwork // the name of one to leave; without any, all
	detailQuarantine = "quarantine"      // true: over to the network of quarantine
	detailShared     = "also_cut"        // the id of one that may be cut as well
)

// MaxShared bounds how many containers may be cut off with another.
const MaxShared = 8

// Request is what an intent asks for.
type Request struct {
	// Action is a verb of package policy that changes containers.
	Action string
	// Container is the id.
	Container string
	// Networks are the names of those to leave; none is all.
	Networks []string
	// Quarantine says that the container goes over to that network.
	Quarantine bool
	// Shared are the ids of the containers that may lose their network with it.
	Shared []string
}

// ErrRequest wraps what is wrong with an intent.
var ErrRequest = errors.New("invalid intent")

var validID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Read reads the request of an intent. Errors wrap ErrRequest.
func Read(intent *event.ActionEvent) (Request, error) {
	r := Request{Action: intent.Action, Container: intent.Target}
	if !policy.Changes(r.Action) || !slices.Contains(policy.Verbs(), r.Action) {
		return r, fmt.Errorf("%w: the action %q is not known", ErrRequest, bounded(r.Action))
	}
	for _, f := range intent.Details {
		switch f.Key {
		case detailNetwork:
			r.Networks = append(r.Networks, f.Value)
		case detailQuarantine:
			r.Quarantine = f.Value == "true"
		case detailShared:
			r.Shared = append(r.Shared, f.Value)
		}
	}
	for _, id := range append([]string{r.Container}, r.Shared...) {
		if !validID.MatchString(id) {
			return r, fmt.Errorf("%w: %q is no id of a container", ErrRequest, bounded(id))
		}
	}
	return r, nil
}

// Details are the details of the intent for the request.
func (r Request) Details() []event.Field {
	var out []event.Field
	for _, name := range r.Networks {
		out = append(out, event.Field{Key: detailNetwork, Value: name})
	}
	if r.Quarantine {
		out = append(out, event.Field{Key: detailQuarantine, Value: "true"})
	}
	for _, id := range r.Shared {
		out = append(out, event.Field{Key: detailShared, Value: id})
	}
	return out
}

// concerns reports whether an endpoint is to be cut.
func (r Request) concerns(p *engine.Endpoint) bool {
	if r.Quarantine && p.Network == engine.QuarantineName {
		return false
	}
	return len(r.Networks) == 0 || slices.Contains(r.Networks, p.Network)
}

func bounded(s string) string { return engine.Clip(s, 200) }
