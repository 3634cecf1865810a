package containers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/docker"
)

const (
	// inspectTimeout is how long an event waits for its container's settings.
	inspectTimeout = 5 * time.Second
	// maxRemembered bounds the containers whose settings are remembered.
	maxRemembered = 1024
	// maxListed and maxListBytes bound a list among the settings.
	maxListed    = 32
	maxListBytes = 4 << 10
	// maxPlace bounds where in the container something is mounted.
	maxPlace = 64
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
	var s settings
	if err := a.Read(ctx, "/containers/"+id+"/json", nil, &s); err != nil {
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
	cut := false
	b = appendList(b, "container_cap_add", capabilities(h.CapAdd), &cut)
	b = appendList(b, "container_cap_drop", capabilities(h.CapDrop), &cut)
	b = appendList(b, "container_security_options", h.SecurityOpt, &cut)
	devices := make([]string, len(h.Devices))
	for i, d := range h.Devices {
		devices[i] = d.PathOnHost
	}
	b = appendList(b, "container_devices", devices, &cut)
	b = appendList(b, "container_mounts", s.mounts(), &cut)
	if cut {
		b = appendBool(b, "container_settings_cut", true)
	}
	return b
}

// capabilities returns the names of capabilities in one form, SYS_ADMIN or ALL,
// those first that lead out of a container.
func capabilities(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(strings.ToUpper(n), "CAP_")
	}
	slices.SortStableFunc(out, func(a, b string) int { return capabilityRank(a) - capabilityRank(b) })
	return out
}

func capabilityRank(name string) int {
	switch name {
	case "ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT", "MAC_ADMIN", "NET_ADMIN":
		return 0
	}
	return 1
}

// mounts returns what is mounted from the host as source:place:mode, with %2C and
// %3A for a comma and a colon in a path. What leads out of a container stands first,
// then what may be written to; what is there again, at another place, is the last.
func (s *settings) mounts() []string {
	type mount struct {
		text string
		rank int
	}
	const again = 100
	escape := strings.NewReplacer(",", "%2C", ":", "%3A")
	var found []mount
	seen := make(map[string]bool)
	for _, m := range s.Mounts {
		// A volume is the container's own; what it shows of the host matters.
		if m.Type != "bind" {
			continue
		}
		mode, rank := "ro", 2*mountRank(m.Source)+1
		if m.RW {
			mode, rank = "rw", rank-1
		}
		source := m.Source + ":" + mode
		if seen[source] {
			rank = again
		}
		seen[source] = true
		place := escape.Replace(bounded(m.Destination, maxPlace))
		found = append(found, mount{escape.Replace(m.Source) + ":" + place + ":" + mode, rank})
	}
	slices.SortStableFunc(found, func(a, b mount) int { return a.rank - b.rank })
	out := make([]string, len(found))
	for i := range found {
		out[i] = found[i].text
	}
	return out
}

// mountRank is 0 for what gives a container the host, 1 for sockets, 2 for what is
// near to these. What rank 0 has fits into a list with every one of its values.
func mountRank(source string) int {
	switch source {
	case "/", "/run", "/var/run", "/var", "/var/lib", "/var/lib/docker", "/etc", "/root", "/root/.ssh", "/home", "/boot",
		"/run/docker.sock", "/var/run/docker.sock", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local/bin", "/bin", "/sbin", "/lib", "/proc", "/sys", "/dev":
		return 0
	}
	if strings.HasSuffix(source, ".sock") {
		return 1
	}
	for _, prefix := range [...]string{"/etc/", "/root/", "/run/", "/var/run/", "/var/spool/cron", "/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(source, prefix) {
			return 2
		}
	}
	return 3
}

func appendBool(b []byte, key string, value bool) []byte {
	if value {
		return append(append(append(b, '"'), key...), `":true,`...)
	}
	return append(append(append(b, '"'), key...), `":false,`...)
}

// appendList appends `"key":["value"],`, nothing for an empty list. A value that is
// there twice is told once. What is beyond the bounds is left out: the last value
// is "..." then, and cut is set.
func appendList(b []byte, key string, values []string, cut *bool) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(append(append(b, '"'), key...), `":[`...)
	size, told, left := 0, make(map[string]bool, maxListed), false
	for _, v := range values {
		switch {
		case told[v]:
			continue
		case len(told) == maxListed || size+len(v) > maxListBytes:
			left = true
			continue
		}
		told[v] = true
		size += len(v)
		b = append(b, '"')
		b, _ = appendText(b, []byte(v), 1<<20)
		b = append(b, `",`...)
	}
	if left {
		*cut = true
		b = append(b, `"...",`...)
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
func (r *remembered) of(ctx context.Context, e *events, ev *docker.Event) []byte {
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
		if !docker.NotFound(err) {
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
