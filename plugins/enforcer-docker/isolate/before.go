package isolate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
)

// beforeVersion is the version of Before; one that is not known is not read.
const beforeVersion = 1

// Before is the picture of a container that Release restores. Its form is kept on
// the host's disk: a member may be added, none changed.
type Before struct {
	Version   int    `json:"version"`
	Container string `json:"container"`
	// Owner is the container that the endpoints belong to.
	Owner         string            `json:"owner"`
	Running       bool              `json:"running"`
	Paused        bool              `json:"paused"`
	StartedAt     string            `json:"started_at,omitempty"`
	RestartPolicy string            `json:"restart_policy,omitempty"`
	Endpoints     []engine.Endpoint `json:"endpoints"`
}

// ErrBefore is a picture that this package did not make.
var ErrBefore = errors.New("the saved state cannot be read")

// picture encodes what there is to know of a container and the owner of its network.
func picture(c, owner *engine.Container) ([]byte, error) {
	return json.Marshal(Before{
		Version: beforeVersion, Container: c.ID, Owner: owner.ID, Running: c.Running(), Paused: c.State == engine.StatePaused,
		StartedAt: c.StartedAt, RestartPolicy: c.RestartPolicy, Endpoints: owner.Endpoints,
	})
}

// decode reads a picture of the request's container. Errors wrap ErrBefore.
func decode(data []byte, r Request) (Before, error) {
	var b Before
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("%w: %w", ErrBefore, err)
	}
	switch {
	case b.Version != beforeVersion:
		return b, fmt.Errorf("%w: its version is %d, and this plugin knows %d", ErrBefore, b.Version, beforeVersion)
	case b.Container != r.Container || !validID.MatchString(b.Owner):
		return b, fmt.Errorf("%w: it is of another container", ErrBefore)
	}
	return b, nil
}

// maxShown bounds how many endpoints a sentence names.
const maxShown = 8

// State describes a container in a line: "running; networks: back 172.19.0.2, front 172.18.0.3".
func State(c, owner *engine.Container) string {
	if owner == nil {
		return c.State
	}
	var b strings.Builder
	b.WriteString(c.State)
	if owner.ID != c.ID {
		fmt.Fprintf(&b, "; in the network of %s", engine.Short(owner.ID))
	}
	if len(owner.Endpoints) == 0 {
		if owner.NetworkMode == "host" {
			b.WriteString("; the network of the host")
			return b.String()
		}
		b.WriteString("; no networks")
		return b.String()
	}
	b.WriteString("; networks: ")
	for i, p := range owner.Endpoints {
		if i == maxShown {
			fmt.Fprintf(&b, " and %d more", len(owner.Endpoints)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Network)
		if p.Address != "" {
			b.WriteString(" " + p.Address)
		}
		if p.Address6 != "" {
			b.WriteString(" " + p.Address6)
		}
	}
	return b.String()
}
