package engine

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
)

// The labels that this plugin and others read.
const (
	// LabelProtect, set to true, keeps every answer off a container.
	LabelProtect = "ironpost.protect"
	// LabelEnforce, set to true, admits answers where only named containers are in.
	LabelEnforce = "ironpost.enforce"
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.swarm.service.name"
)

// The states of a container, as Docker names them.
const (
	StateRunning = "running"
	StatePaused  = "paused"
)

// Container is what there is to know of one. A Container of a list leaves out what
// is marked as inspected.
type Container struct {
	ID, Name string
	// Image is how it was named when the container was made; ImageID is its digest.
	Image, ImageID string
	Labels         map[string]string
	// State is created, running, paused, restarting, removing, exited or dead.
	State string
	// NetworkMode is host, none, default, bridge, the name of a network, or
	// container: and the id of the one whose network it uses.
	NetworkMode string
	// Endpoints are its attachments to networks, by the name of the network.
	Endpoints []Endpoint

	// Listed alone:

	// LinkedFrom are the names of containers with a link of the old kind to this one:
	// they know it by its address on the default network.
	LinkedFrom []string

	// Inspected:

	PID       int
	StartedAt string
	// RestartPolicy is no, always, unless-stopped or on-failure.
	RestartPolicy string
	// AutoRemove says that it is removed when it ends.
	AutoRemove bool
}

// DefaultNetwork is the network of containers that name none. It has neither aliases
// nor static addresses.
const DefaultNetwork = network.NetworkBridge

// Running reports whether the container has processes, paused or not.
func (c *Container) Running() bool { return c.State == StateRunning || c.State == StatePaused }

// Project is the compose project, "" for none; Service the swarm service.
func (c *Container) Project() string { return c.Labels[labelProject] }

// Service is the swarm service that the container is a task of, "" for none.
func (c *Container) Service() string { return c.Labels[labelService] }

// NetworkOwner is the id of the container whose network this one uses, "" when it
// has its own.
func (c *Container) NetworkOwner() string {
	owner, ok := strings.CutPrefix(c.NetworkMode, "container:")
	if !ok {
		return ""
	}
	return owner
}

// maxChain bounds how many containers a network is handed on by.
const maxChain = 16

// OwnerOf follows container:X from c to the container, among all, that has a network
// of its own, which may be c itself; nil when it is gone.
func OwnerOf(all []Container, c *Container) *Container {
	for range maxChain {
		next := c.NetworkOwner()
		if next == "" {
			return c
		}
		if c = find(all, next); c == nil {
			return nil
		}
	}
	return nil
}

// find looks for a container by what container:X may say: id or name.
func find(all []Container, id string) *Container {
	i := slices.IndexFunc(all, func(c Container) bool { return c.ID == id || c.Name == id })
	if i < 0 && len(id) >= 12 && strings.Trim(id, "0123456789abcdef") == "" {
		i = slices.IndexFunc(all, func(c Container) bool { return strings.HasPrefix(c.ID, id) })
	}
	if i < 0 {
		return nil
	}
	return &all[i]
}

// Endpoint is how a container is attached to a network.
type Endpoint struct {
	Network   string `json:"network"`
	NetworkID string `json:"network_id"`
	// What was asked for. Docker does not tell whether a MAC address was, for all but
	// the first network: MAC is one that Docker would not have chosen.
	IPv4       string            `json:"ipv4,omitempty"`
	IPv6       string            `json:"ipv6,omitempty"`
	LinkLocal  []string          `json:"link_local,omitempty"`
	Aliases    []string          `json:"aliases,omitempty"`
	Links      []string          `json:"links,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	MAC        string            `json:"mac,omitempty"`
	GwPriority int               `json:"gw_priority,omitempty"`
	// What is.
	Address         string `json:"address,omitempty"`
	Address6        string `json:"address6,omitempty"`
	HardwareAddress string `json:"hardware_address,omitempty"`
}

// Static reports whether an address was asked for.
func (p *Endpoint) Static() bool { return p.IPv4 != "" || p.IPv6 != "" }

// Same reports whether o, which is, is as p was asked for, but for the MAC address.
func (p *Endpoint) Same(o *Endpoint) bool {
	return p.NetworkID == o.NetworkID && p.IPv4 == o.IPv4 && p.IPv6 == o.IPv6 && slices.Equal(p.LinkLocal, o.LinkLocal) &&
		slices.Equal(p.Aliases, o.Aliases) && slices.Equal(p.Links, o.Links) && maps.Equal(p.DriverOpts, o.DriverOpts) &&
		p.GwPriority == o.GwPriority
}

// SameMAC reports whether o has the MAC address that was asked for in p, if any was.
func (p *Endpoint) SameMAC(o *Endpoint) bool {
	return p.MAC == "" || strings.EqualFold(p.MAC, o.HardwareAddress)
}

// settings is the endpoint as Docker takes it.
func (p *Endpoint) settings() *network.EndpointSettings {
	s := &network.EndpointSettings{
		Aliases: p.Aliases, Links: p.Links, DriverOpts: p.DriverOpts, MacAddress: p.MAC, GwPriority: p.GwPriority,
	}
	if p.Static() || len(p.LinkLocal) > 0 {
		s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: p.IPv4, IPv6Address: p.IPv6, LinkLocalIPs: p.LinkLocal}
	}
	return s
}

// endpoint reads what Docker says of one.
func (e *Engine) endpoint(id, name string, s *network.EndpointSettings) Endpoint {
	p := Endpoint{
		Network: name, NetworkID: s.NetworkID, Links: slices.Clone(s.Links), DriverOpts: maps.Clone(s.DriverOpts),
		GwPriority: s.GwPriority, Address: s.IPAddress, Address6: s.GlobalIPv6Address, HardwareAddress: s.MacAddress,
	}
	for _, alias := range s.Aliases {
		// Docker adds the short id by itself, up to API 1.44 also to what it shows.
		if alias != Short(id) && !slices.Contains(p.Aliases, alias) {
			p.Aliases = append(p.Aliases, alias)
		}
	}
	if c := s.IPAMConfig; c != nil {
		p.IPv4, p.IPv6, p.LinkLocal = c.IPv4Address, c.IPv6Address, slices.Clone(c.LinkLocalIPs)
	}
	if !derived(s.MacAddress, s.IPAddress) && !(e.serves(randomMAC) && random(s.MacAddress)) {
		p.MAC = s.MacAddress
	}
	return p
}

// Versions of the API by which daemons are told apart.
const (
	// setsNoMAC is of Docker 25, the first of those that pass over the MAC address of a
	// running container that is connected (moby/moby#48192; mended in 2026).
	setsNoMAC = "1.44"
	// randomMAC is of Docker 28, the first that makes random MAC addresses
	// (libnetwork/netutils.GenerateRandomMAC).
	randomMAC = "1.48"
)

// serves reports whether the API that was agreed on is at least a version.
func (e *Engine) serves(version string) bool {
	return versions.GreaterThanOrEqualTo(e.api().ClientVersion(), version)
}

// SetsMAC reports whether Connect is known to give a running container the MAC
// address that is asked for.
func (e *Engine) SetsMAC() bool { return !e.serves(setsNoMAC) }

// random reports whether a MAC address may be one of those that Docker draws: for one
// machine, administered locally.
func random(mac string) bool {
	hw, err := net.ParseMAC(mac)
	return err == nil && len(hw) == 6 && hw[0]&3 == 2
}

// derived reports whether Docker made a MAC address of the IPv4 address. Such a one
// must not be asked for: the address, and so it, may be another container's by then.
func derived(mac, address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is4() {
		return false
	}
	b := ip.As4()
	return mac == fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// Containers lists all containers, running or not.
func (e *Engine) Containers(ctx context.Context) ([]Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	listed, err := e.api().ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, wrap("list the containers", err)
	}
	out := make([]Container, 0, len(listed))
	for i := range listed {
		s := &listed[i]
		c := Container{
			ID: s.ID, Name: name(s.Names), Image: s.Image, ImageID: s.ImageID, Labels: s.Labels,
			State: s.State, NetworkMode: s.HostConfig.NetworkMode, LinkedFrom: linkedFrom(s.Names),
		}
		if s.NetworkSettings != nil {
			c.Endpoints = e.endpoints(s.ID, s.NetworkSettings.Networks)
		}
		out = append(out, c)
	}
	return out, nil
}

// Inspect looks at one container.
func (e *Engine) Inspect(ctx context.Context, id string) (Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := e.api().ContainerInspect(ctx, id)
	if err != nil {
		return Container{}, wrap("look at the container "+Short(id), err)
	}
	return e.inspected(id, &s)
}

// inspected reads what Docker says of a container.
func (e *Engine) inspected(id string, s *container.InspectResponse) (Container, error) {
	if s.ContainerJSONBase == nil || s.State == nil || s.HostConfig == nil || s.Config == nil || s.NetworkSettings == nil {
		return Container{}, fmt.Errorf("look at the container %s: half an answer", Short(id))
	}
	out := Container{
		ID: s.ID, Name: strings.TrimPrefix(s.Name, "/"), Image: s.Config.Image, ImageID: s.Image, Labels: s.Config.Labels,
		State: s.State.Status, NetworkMode: string(s.HostConfig.NetworkMode), Endpoints: e.endpoints(s.ID, s.NetworkSettings.Networks),
		PID: s.State.Pid, StartedAt: s.State.StartedAt, RestartPolicy: string(s.HostConfig.RestartPolicy.Name), AutoRemove: s.HostConfig.AutoRemove,
	}
	first := out.NetworkMode
	if first == network.NetworkDefault {
		first = DefaultNetwork
	}
	for i := range out.Endpoints {
		if p := &out.Endpoints[i]; p.Network == first && s.Config.MacAddress != "" { //nolint:staticcheck // nothing else tells it
			p.MAC = s.Config.MacAddress //nolint:staticcheck // nothing else tells it
		}
	}
	return out, nil
}

// Digests are the names that the registries have for an image: NAME@sha256:...
func (e *Engine) Digests(ctx context.Context, image string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := e.api().ImageInspect(ctx, image)
	if err != nil {
		return nil, wrap("look at the image "+Short(image), err)
	}
	return s.RepoDigests, nil
}

// endpoints returns attachments in the order of their networks' names. Those to
// host and none are no attachments.
func (e *Engine) endpoints(id string, networks map[string]*network.EndpointSettings) []Endpoint {
	var out []Endpoint
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		if s := networks[name]; s != nil && name != network.NetworkHost && name != network.NetworkNone {
			out = append(out, e.endpoint(id, name, s))
		}
	}
	return out
}

// linkedFrom reads who has a link to a container from its names: /PARENT/ALIAS.
func linkedFrom(names []string) []string {
	var out []string
	for _, n := range names {
		if parent, _, ok := strings.Cut(strings.TrimPrefix(n, "/"), "/"); ok && !slices.Contains(out, parent) {
			out = append(out, parent)
		}
	}
	slices.Sort(out)
	return out
}

// name is the container's own name; others are links.
func name(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}
