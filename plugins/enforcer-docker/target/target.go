package target

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// Found is what an alert is about.
type Found struct {
	// Container is nil where there is not exactly one.
	Container *engine.Container
	// By is the entity that led to it, as key=value.
	By string
	// Why says why there is none; "" when the alert is not about containers at all.
	Why string
	// All are all containers, running or not.
	All []engine.Container
}

// Resolver finds containers. The zero value of what is optional is safe.
type Resolver struct {
	Docker *engine.Engine
	// Processes looks at processes; nil leaves processes out.
	Processes sdk.Processes
	// Destination lets an alert be about the container of its destination address.
	Destination bool
	// Forgeable lets addresses of evidence that may be forged lead to containers.
	Forgeable bool
}

// Alert finds the container of an alert. An error is Docker's or the host's, and
// worth another try.
func (r *Resolver) Alert(ctx context.Context, a *event.AlertEvent) (Found, error) {
	if !Concerned(a) {
		return Found{}, nil
	}
	all, err := r.Docker.Containers(ctx)
	if err != nil {
		return Found{}, err
	}
	f := Found{All: all}
	s := &search{alert: a, all: all, resolver: r}
	switch {
	case a.Provenance == event.ProvenanceContainer:
		s.stream()
	case a.Provenance != event.ProvenanceHost:
		f.Why = unproved(a)
		return f, nil
	default:
		if err := s.entities(ctx); err != nil {
			return f, err
		}
	}
	f.Container, f.By, f.Why = s.result()
	return f, nil
}

// Concerned reports whether an alert may be about a container, without a look at
// any.
func Concerned(a *event.AlertEvent) bool {
	return a.Provenance == event.ProvenanceContainer ||
		slices.ContainsFunc(a.Entities, func(f event.Field) bool { return slices.Contains(keys, f.Key) })
}

// The entities that lead to containers.
const (
	keyID     = "container_id"
	keyCgroup = "cgroup"
	keyPID    = "pid"
	keySource = "src_ip"
	keyDest   = "dst_ip"
)

var keys = []string{keyID, keyCgroup, keyPID, keySource, keyDest}

// unproved says why an alert of no proof names nobody; an alert that names no
// container by its id is none of ours.
func unproved(a *event.AlertEvent) string {
	if a.Entity(keyID) == "" {
		return ""
	}
	return "the evidence came from a sender that proved nothing"
}

// search collects candidates.
type search struct {
	alert    *event.AlertEvent
	all      []engine.Container
	resolver *Resolver

	found []*engine.Container
	by    string
	why   string
}

// add notes a candidate.
func (s *search) add(c *engine.Container, key, value string) {
	if !slices.Contains(s.found, c) {
		s.found = append(s.found, c)
	}
	if s.by == "" {
		s.by = key + "=" + bounded(value)
	}
}

func (s *search) result() (c *engine.Container, by, why string) {
	switch {
	case s.why != "":
		return nil, "", s.why
	case len(s.found) == 1:
		return s.found[0], s.by, ""
	case len(s.found) > 1:
		const most = 4
		var names []string
		for _, c := range s.found[:min(len(s.found), most)] {
			names = append(names, bounded(c.Name))
		}
		return nil, "", fmt.Sprintf("it may be about %d containers: %s", len(s.found), strings.Join(names, ", "))
	}
	return nil, "", ""
}

// How a source names the container whose output a stream is: as its peer, and
// source-docker in the name of the stream as well.
const (
	peerPrefix   = "container:"
	streamPlugin = "source-docker"
	streamPrefix = "container/"
)

// stream finds the containers whose output the alert rests on.
func (s *search) stream() {
	for i := range s.all {
		c := &s.all[i]
		id := event.StreamID(streamPlugin, streamPrefix+c.ID)
		if s.alert.Peer == peerPrefix+c.ID || slices.ContainsFunc(s.alert.Causes, func(e event.ID) bool { return e.Stream == id }) {
			s.add(c, "peer", peerPrefix+c.ID)
		}
	}
	if len(s.found) == 0 {
		s.why = "the container that wrote the evidence is gone, or cannot be told"
	}
}

// entities finds the containers that the alert names.
func (s *search) entities(ctx context.Context) error {
	for _, f := range s.alert.Entities {
		switch f.Key {
		case keyID:
			s.id(f.Value)
		case keyCgroup:
			s.cgroup(f.Value)
		case keyPID:
			if err := s.pid(ctx, f.Value); err != nil {
				return err
			}
		case keySource:
			s.address(f.Key, f.Value)
		case keyDest:
			if s.resolver.Destination {
				s.address(f.Key, f.Value)
			}
		}
	}
	if len(s.found) > 0 && s.alert.Evidence == event.EvidenceForgeable && !s.resolver.Forgeable {
		s.why = "the evidence may be forged"
	}
	return nil
}

// id looks for a container by its whole id, or by the beginning that people see.
func (s *search) id(value string) {
	matched := false
	for i := range s.all {
		if c := &s.all[i]; c.ID == value || len(value) >= 12 && strings.HasPrefix(c.ID, value) {
			matched = true
			s.add(c, keyID, value)
		}
	}
	if !matched {
		s.why = fmt.Sprintf("there is no container %s any more", bounded(value))
	}
}

// placed are the control groups that Docker makes, with its two drivers. One of
// this form elsewhere in a path may be anybody's.
var placed = regexp.MustCompile(`^(?:/docker/|/system\.slice/docker-)([0-9a-f]{64})(?:\.scope)?(?:/|$)`)

// cgroup looks for the container of a control group.
func (s *search) cgroup(path string) {
	m := placed.FindStringSubmatch(path)
	if m == nil {
		return
	}
	for i := range s.all {
		if s.all[i].ID == m[1] {
			s.add(&s.all[i], keyCgroup, path)
		}
	}
}

// anywhere finds ids in a control group, as a hint only.
var anywhere = regexp.MustCompile(`[0-9a-f]{64}`)

// maxHints bounds the containers that are asked for a process.
const maxHints = 4

// younger is how much younger than the alert a process may be, for clocks that are
// read at different times.
const younger = time.Second

// pid looks for the container of a process.
func (s *search) pid(ctx context.Context, value string) error {
	pid, err := strconv.Atoi(value)
	if err != nil || pid <= 0 || s.resolver.Processes == nil {
		return nil
	}
	found, err := s.resolver.Processes.List(ctx, pid)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return nil // it ended
	}
	if at, ok := found[0].Started(); ok && !s.alert.Time.IsZero() && at.After(s.alert.Time.Add(younger)) {
		return nil // another one has its number by now
	}
	for _, id := range anywhere.FindAllString(found[0].ControlGroup, maxHints) {
		i := slices.IndexFunc(s.all, func(c engine.Container) bool { return c.ID == id })
		if i < 0 || !s.all[i].Running() {
			continue
		}
		in, err := s.resolver.Docker.Processes(ctx, id)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			continue
		case err != nil:
			return err
		case slices.Contains(in, pid):
			s.add(&s.all[i], keyPID, value)
		}
	}
	return nil
}

// address looks for the running containers that have an address.
func (s *search) address(key, value string) {
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.IsLoopback() || addr.IsUnspecified() {
		return
	}
	addr = addr.Unmap()
	for i := range s.all {
		c := &s.all[i]
		if c.Running() && slices.ContainsFunc(c.Endpoints, func(p engine.Endpoint) bool { return is(p.Address, addr) || is(p.Address6, addr) }) {
			s.add(c, key, value)
			s.sharers(c, key, value)
		}
	}
}

// sharers adds the containers that use the network of c, and so its addresses.
func (s *search) sharers(owner *engine.Container, key, value string) {
	for i := range s.all {
		if c := &s.all[i]; c.Running() && engine.OwnerOf(s.all, c) == owner {
			s.add(c, key, value)
		}
	}
}

func is(text string, addr netip.Addr) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Unmap() == addr
}

// Named finds the container that an operator means: by its name, its id, or a
// beginning of the id that is unique. Errors say what is wrong.
func Named(all []engine.Container, text string) (*engine.Container, error) {
	if i := slices.IndexFunc(all, func(c engine.Container) bool { return c.Name == text || c.ID == text }); i >= 0 && text != "" {
		return &all[i], nil
	}
	const least = 4
	var found []*engine.Container
	for i := range all {
		if len(text) >= least && strings.HasPrefix(all[i].ID, text) {
			found = append(found, &all[i])
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("there is no container %q", bounded(text))
	}
	return nil, fmt.Errorf("%d containers have an id that begins with %q", len(found), bounded(text))
}

func bounded(s string) string { return engine.Clip(s, 128) }
