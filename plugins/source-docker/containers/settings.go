package containers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// inspectTimeout is how long an event waits for its container's settings.
	inspectTimeout = 5 * time.Second
	// maxRemembered bounds the containers whose settings are remembered.
	maxRemembered = 1024
	// maxListed and maxListBytes bound a list among the settings.
	maxListed    = 32
	maxListBytes = 4 << 10
)

// settings is what the host lets this plugin see of how a container is confined.
type settings struct {
	HostConfig struct {
		Privileged, ReadonlyRootfs                                       bool
		NetworkMode, PidMode, IpcMode, UTSMode, UsernsMode, CgroupnsMode string
		CapAdd, CapDrop, SecurityOpt                                     []string
		Devices                                                          []struct{ PathOnHost string }
	}
	Mounts []struct {
		Type, Source, Destination string
		RW                        bool
	}
	Config struct{ User string }
}

// inspect returns the settings of a container.
func (a *api) inspect(ctx context.Context, id string) (*settings, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	body, err := a.get(ctx, "/containers/"+url.PathEscape(id)+"/json", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the settings of %.12s: %w", id, err)
	}
	defer body.Close()
	var s settings
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&s); err != nil {
		return nil, fmt.Errorf("ask for the settings of %.12s: %w", id, err)
	}
	return &s, nil
}

// members returns the settings as members of an event, with a comma behind the
// last.
func (s *settings) members() []byte {
	h := &s.HostConfig
	b := appendBool(nil, "container_privileged", h.Privileged)
	b = appendBool(b, "container_read_only", h.ReadonlyRootfs)
	for _, m := range []struct{ key, value string }{
		{"container_network_mode", h.NetworkMode},
		{"container_pid_mode", h.PidMode},
		{"container_ipc_mode", h.IpcMode},
		{"container_uts_mode", h.UTSMode},
		{"container_userns_mode", h.UsernsMode},
		{"container_cgroupns_mode", h.CgroupnsMode},
		{"container_user", s.Config.User},
	} {
		if m.value != "" {
			b = appendMember(b, m.key, bounded(m.value, maxNameBytes))
		}
	}
	b = appendList(b, "container_cap_add", capabilities(h.CapAdd))
	b = appendList(b, "container_cap_drop", capabilities(h.CapDrop))
	b = appendList(b, "container_security_options", h.SecurityOpt)
	devices := make([]string, len(h.Devices))
	for i, d := range h.Devices {
		devices[i] = d.PathOnHost
	}
	b = appendList(b, "container_devices", devices)
	var mounts []string
	for _, m := range s.Mounts {
		// A volume is the container's own; what it shows of the host matters.
		if m.Type != "bind" {
			continue
		}
		mode := "ro"
		if m.RW {
			mode = "rw"
		}
		mounts = append(mounts, m.Source+":"+m.Destination+":"+mode)
	}
	return appendList(b, "container_mounts", mounts)
}

// capabilities returns the names of capabilities in one form: SYS_ADMIN, ALL.
func capabilities(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(strings.ToUpper(n), "CAP_")
	}
	return out
}

func appendBool(b []byte, key string, value bool) []byte {
	if value {
		return append(append(append(b, '"'), key...), `":true,`...)
	}
	return append(append(append(b, '"'), key...), `":false,`...)
}

// appendList appends `"key":["value"],`, nothing for an empty list. What is
// beyond the bounds is left out from the end, and the last value is "...".
func appendList(b []byte, key string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(append(append(b, '"'), key...), `":[`...)
	size := 0
	for i, v := range values {
		if size += len(v); i == maxListed || size > maxListBytes {
			b = append(b, `"...",`...)
			break
		}
		b = append(b, '"')
		b, _ = appendText(b, []byte(v), 1<<20)
		b = append(b, `",`...)
	}
	b[len(b)-1] = ']'
	return append(b, ',')
}

// remembered are the settings of containers that events told of. They cannot
// change in the life of a container. One goroutine uses it.
type remembered struct {
	members map[string][]byte
	order   []string // the oldest first
}

// of returns the members for an event about a container: of those that tell what
// a container may do they are asked for, others have what is remembered. Without
// an answer there are none.
func (r *remembered) of(ctx context.Context, e *events, ev *engineEvent) []byte {
	id := ev.Actor.ID
	known, ok := r.members[id]
	if ev.Action == "destroy" {
		r.forget(id)
	}
	if ok || !telling(ev.Action) {
		return known
	}
	s, err := e.api.inspect(ctx, id)
	switch {
	case err == nil:
		known = s.members()
	case ctx.Err() != nil:
		return nil
	default:
		e.source.counter("settings_unknown", 1)
		e.source.log.Debug("the settings of a container are not known", "container", id, "error", err)
		if !notFound(err) {
			return nil // another event may find Docker at ease
		}
	}
	r.keep(id, known)
	return known
}

// keep remembers the members of a container that is not known yet.
func (r *remembered) keep(id string, members []byte) {
	if r.members == nil {
		r.members = make(map[string][]byte)
	}
	if len(r.order) == maxRemembered {
		r.forget(r.order[0])
	}
	r.members[id] = members
	r.order = append(r.order, id)
}

func (r *remembered) forget(id string) {
	delete(r.members, id)
	if i := slices.Index(r.order, id); i >= 0 {
		r.order = slices.Delete(r.order, i, i+1)
	}
}

// telling reports whether what a container may do matters at an action.
func telling(action string) bool {
	switch action {
	case "create", "start", "restart":
		return true
	}
	return strings.HasPrefix(action, "exec_create")
}
