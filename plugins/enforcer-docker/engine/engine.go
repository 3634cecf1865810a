package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
)

// The errors that callers tell apart.
var (
	// ErrNotFound: the container or the network does not exist, or is being removed.
	ErrNotFound = errors.New("it does not exist")
	// ErrForbidden: Docker refuses it, as an address that is taken; or the host
	// does not admit the call.
	ErrForbidden = errors.New("forbidden")
	// ErrUnreachable: nobody answered, or not in time. A call that changes
	// something may have done so.
	ErrUnreachable = errors.New("no answer from Docker")
)

// Times within which calls end.
const (
	// callTimeout is for what changes nothing, or one thing at once.
	callTimeout = 30 * time.Second
	dialTimeout = 10 * time.Second
	// idleConns are kept for the next calls.
	idleConns = 8
	// StopGrace is what a container is given to end by itself.
	StopGrace = 10 * time.Second
)

// Calls are the calls of Docker's API that this package makes.
func Calls() []string {
	return []string{
		"GET /containers/json", "GET /containers/*/json", "GET /containers/*/top", "GET /containers/*/stats",
		"GET /containers/*/changes", "GET /containers/*/logs",
		"GET /images/**/json", "GET /networks/*", "GET /events",
		"POST /networks/create", "POST /networks/*/connect", "POST /networks/*/disconnect",
		"POST /containers/*/pause", "POST /containers/*/unpause",
		"POST /containers/*/stop", "POST /containers/*/start", "POST /containers/*/kill",
	}
}

// Engine calls one Docker daemon.
type Engine struct {
	transport *http.Transport
	// current knows the version of the API that was agreed on.
	current atomic.Pointer[client.Client]
	flights flights
}

// New returns the Engine behind the Unix socket at path. It calls nobody.
func New(path string) (*Engine, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	e := &Engine{transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
		// As many as are made at once when evidence is collected.
		MaxIdleConns:        idleConns,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
	}}
	return e, e.renew()
}

// renew forgets the version of the API: a client that has agreed on one only ever
// goes down from it, and a daemon that was replaced may not serve it any more.
func (e *Engine) renew() error {
	// The transport knows whom to dial; the client's own host is not asked.
	c, err := client.NewClientWithOpts(client.WithHTTPClient(&http.Client{Transport: gateway{e.transport}}), client.WithAPIVersionNegotiation())
	if err != nil {
		return fmt.Errorf("make a Docker client: %w", err)
	}
	e.current.Store(c)
	return nil
}

func (e *Engine) api() *client.Client { return e.current.Load() }

// gateway tells the host's answer, that nobody answers it, from Docker's, and bounds
// what is read of Docker's.
type gateway struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusBadGateway && resp.StatusCode != http.StatusGatewayTimeout {
		bound(r, resp)
		return resp, nil
	}
	const most = 1 << 10
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // whatever it says
	_ = resp.Body.Close()
	return nil, fmt.Errorf("%w: %s", ErrUnreachable, text)
}

// Close gives up the calls that change something and have not ended, and lets go of
// idle connections. It may be called more than once.
func (e *Engine) Close() error {
	e.flights.abandon()
	e.transport.CloseIdleConnections()
	return nil
}

// Pause freezes a container, and Unpause lets it go on.
func (e *Engine) Pause(ctx context.Context, id string) error {
	return e.change(ctx, id, "pause "+Short(id), callTimeout, func(ctx context.Context) error { return e.api().ContainerPause(ctx, id) })
}

// Unpause lets a container go on.
func (e *Engine) Unpause(ctx context.Context, id string) error {
	return e.change(ctx, id, "unpause "+Short(id), callTimeout, func(ctx context.Context) error { return e.api().ContainerUnpause(ctx, id) })
}

// Stop ends a container, by force after StopGrace.
func (e *Engine) Stop(ctx context.Context, id string) error {
	grace := int(StopGrace / time.Second)
	return e.change(ctx, id, "stop "+Short(id), callTimeout+StopGrace, func(ctx context.Context) error {
		return e.api().ContainerStop(ctx, id, container.StopOptions{Timeout: &grace})
	})
}

// Kill ends a container at once.
func (e *Engine) Kill(ctx context.Context, id string) error {
	return e.change(ctx, id, "kill "+Short(id), callTimeout, func(ctx context.Context) error { return e.api().ContainerKill(ctx, id, "KILL") })
}

// Start starts a container that was stopped.
func (e *Engine) Start(ctx context.Context, id string) error {
	return e.change(ctx, id, "start "+Short(id), callTimeout, func(ctx context.Context) error {
		return e.api().ContainerStart(ctx, id, container.StartOptions{})
	})
}

// Disconnect takes a container, running or not, off a network.
func (e *Engine) Disconnect(ctx context.Context, networkID, id string) error {
	return e.change(ctx, id, "disconnect "+Short(id)+" from "+Short(networkID), callTimeout, func(ctx context.Context) error {
		return e.api().NetworkDisconnect(ctx, networkID, id, true)
	})
}

// Connect attaches a container to a network with the settings of an endpoint:
// what was asked for when it was made, not what Docker chose then.
func (e *Engine) Connect(ctx context.Context, networkID, id string, as Endpoint) error {
	return e.change(ctx, id, "connect "+Short(id)+" to "+Short(networkID), callTimeout, func(ctx context.Context) error {
		return e.api().NetworkConnect(ctx, networkID, id, as.settings())
	})
}

// Network is what there is to know of a network.
type Network struct {
	ID, Name, Driver string
	Internal         bool
	Labels           map[string]string
}

// Network looks at a network, by its id or name.
func (e *Engine) Network(ctx context.Context, id string) (Network, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n, err := e.api().NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return Network{}, wrap("look at the network "+Short(id), err)
	}
	return Network{ID: n.ID, Name: n.Name, Driver: n.Driver, Internal: n.Internal, Labels: n.Labels}, nil
}

// QuarantineName is the network that Quarantine makes.
const QuarantineName = "ironpost-quarantine"

// Quarantine returns the network that leads nowhere, and makes it where it does
// not exist: internal, and without a way between the containers on it.
func (e *Engine) Quarantine(ctx context.Context) (Network, error) {
	n, err := e.Network(ctx, QuarantineName)
	if errors.Is(err, ErrNotFound) {
		err = e.change(ctx, "", "make the network "+QuarantineName, callTimeout, func(ctx context.Context) error {
			_, err := e.api().NetworkCreate(ctx, QuarantineName, network.CreateOptions{
				Driver: "bridge", Internal: true,
				Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
				Labels:  map[string]string{LabelProtect: "true"},
			})
			return err
		})
		if err != nil {
			return Network{}, err
		}
		n, err = e.Network(ctx, QuarantineName)
	}
	if err != nil {
		return Network{}, err
	}
	if !n.Internal {
		return Network{}, fmt.Errorf("use the network %s for quarantine: %w: it is not internal", QuarantineName, ErrForbidden)
	}
	return n, nil
}

// wrap says what was being done, and which of this package's errors it was.
func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w: %w", what, ErrNotFound, err)
	case errdefs.IsPermissionDenied(err):
		return fmt.Errorf("%s: %w: %w", what, ErrForbidden, err)
	case client.IsErrConnectionFailed(err), errors.Is(err, ErrUnreachable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errdefs.IsUnavailable(err):
		return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Short is the form of an id that people know.
func Short(id string) string {
	const digits = 12
	if len(id) != 64 {
		return id
	}
	return id[:digits]
}
