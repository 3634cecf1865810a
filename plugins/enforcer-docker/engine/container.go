package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
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

	// Inspected:

	PID       int
	StartedAt string
	// RestartPolicy is no, always, unless-stopped or on-failure.
	RestartPolicy string
	// AutoRemove says that it is removed when it ends.
	AutoRemove bool
}

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

// Endpoint is how a container is attached to a network.
type Endpoint struct {
	Network   string `json:"network"`
	NetworkID string `json:"network_id"`
	// What was asked for, of which Docker knows all but whether the MAC address was.
	IPv4       string            `json:"ipv4,omitempty"`
	IPv6       string            `json:"ipv6,omitempty"`
	LinkLocal  []string          `json:"link_local,omitempty"`
	Aliases    []string          `json:"aliases,omitempty"`
	Links      []string          `json:"links,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	MAC        string            `json:"mac,omitempty"`
	GwPriority int               `json:"gw_priority,omitempty"`
	// What is.
	Address  string `json:"address,omitempty"`
	Address6 string `json:"address6,omitempty"`
}

// Static reports whether an address was asked for.
func (p *Endpoint) Static() bool { return p.IPv4 != "" || p.IPv6 != "" }

// Same reports whether two endpoints were asked for in the same way.
func (p *Endpoint) Same(o *Endpoint) bool {
	return p.NetworkID == o.NetworkID && p.IPv4 == o.IPv4 && p.IPv6 == o.IPv6 && slices.Equal(p.LinkLocal, o.LinkLocal) &&
		slices.Equal(p.Aliases, o.Aliases) && slices.Equal(p.Links, o.Links) && maps.Equal(p.DriverOpts, o.DriverOpts) &&
		(p.MAC == o.MAC || p.MAC == "") && p.GwPriority == o.GwPriority
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
func endpoint(id, name string, s *network.EndpointSettings) Endpoint {
	p := Endpoint{
		Network: name, NetworkID: s.NetworkID, Links: slices.Clone(s.Links), DriverOpts: maps.Clone(s.DriverOpts),
		GwPriority: s.GwPriority, Address: s.IPAddress, Address6: s.GlobalIPv6Address,
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
	if !derived(s.MacAddress, s.IPAddress) {
		p.MAC = s.MacAddress
	}
	return p
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
			State: s.State, NetworkMode: s.HostConfig.NetworkMode,
		}
		if s.NetworkSettings != nil {
			c.Endpoints = endpoints(s.ID, s.NetworkSettings.Networks)
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
	if s.ContainerJSONBase == nil || s.State == nil || s.HostConfig == nil || s.Config == nil || s.NetworkSettings == nil {
		return Container{}, fmt.Errorf("look at the container %s: half an answer", Short(id))
	}
	return Container{
		ID: s.ID, Name: strings.TrimPrefix(s.Name, "/"), Image: s.Config.Image, ImageID: s.Image, Labels: s.Config.Labels,
		State: s.State.Status, NetworkMode: string(s.HostConfig.NetworkMode), Endpoints: endpoints(s.ID, s.NetworkSettings.Networks),
		PID: s.State.Pid, StartedAt: s.State.StartedAt, RestartPolicy: string(s.HostConfig.RestartPolicy.Name), AutoRemove: s.HostConfig.AutoRemove,
	}, nil
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
func endpoints(id string, networks map[string]*network.EndpointSettings) []Endpoint {
	var out []Endpoint
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		if s := networks[name]; s != nil && name != network.NetworkHost && name != network.NetworkNone {
			out = append(out, endpoint(id, name, s))
		}
	}
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
