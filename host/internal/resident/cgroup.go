package resident

import (
	"bytes"
	"os"
	"strings"
)

// ContainerIn returns the container in /proc/PID/cgroup, lines of hierarchy,
// controllers and path. Engines write the id, 64 hexadecimal digits, as the whole
// name of a group or at its end:
//
//	/docker/ID  /system.slice/docker-ID.scope
//	/kubepods/burstable/podUID/ID  /kubepods.slice/.../cri-containerd-ID.scope
//	/machine.slice/libpod-ID.scope/container
//	/system.slice/containerd.service/kubepods-podUID.slice:cri-containerd:ID
//
// The outermost one counts: it is the one that the engine of this machine knows,
// where containers run engines of their own. Monitors of containers (conmon) are
// outside of them. Hierarchies that name different containers name none. Below the
// group of a container that has root of its own over its groups (LXC,
// systemd-nspawn, machines of systemd) that root may choose any name, and what looks
// like an id there is none.
func ContainerIn(b []byte) Container {
	var found Container
	for line := range bytes.Lines(b) {
		_, rest, ok := strings.Cut(strings.TrimRight(string(line), "\n"), ":")
		if !ok {
			continue
		}
		_, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		c := containerOf(path)
		switch {
		case c.ID == "" || c == found:
		case found.ID == "":
			found = c
		default:
			return Container{}
		}
	}
	return found
}

// containerOf returns the container of a path in the tree of control groups.
func containerOf(path string) Container {
	var delegate string
	for name := range strings.SplitSeq(path, "/") {
		if uid, ok := userOf(name); ok && delegate == "" {
			delegate = uid
		}
		if rooted(name) {
			return Container{}
		}
		base := strings.TrimSuffix(name, ".scope")
		if len(base) < idLength {
			continue
		}
		id, before := base[len(base)-idLength:], base[:len(base)-idLength]
		if !isID(id) || before != "" && !strings.HasSuffix(before, "-") && !strings.HasSuffix(before, ":") {
			continue
		}
		if strings.HasSuffix(before, "conmon-") {
			return Container{}
		}
		return Container{id, delegate}
	}
	return Container{}
}

// rooted tells the groups of containers that are given their part of the tree:
// "lxc.payload.NAME" ("lxc" and "lxc.payload" in older versions),
// "systemd-nspawn@NAME.service", "machine-NAME.scope".
func rooted(name string) bool {
	return name == "lxc" || name == "lxc.payload" || strings.HasPrefix(name, "lxc.payload.") ||
		strings.HasPrefix(name, "systemd-nspawn@") || strings.HasPrefix(name, "machine-") && strings.HasSuffix(name, ".scope")
}

// idLength is the length of the id of a container: 256 bits in hexadecimal.
const idLength = 64

func isID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == idLength
}

// userOf returns the user of "user-1000.slice" or "user@1000.service", below which
// systemd lets that user make groups of any name.
func userOf(name string) (string, bool) {
	for _, form := range [][2]string{{"user-", ".slice"}, {"user@", ".service"}} {
		rest, ok := strings.CutPrefix(name, form[0])
		if uid, ends := strings.CutSuffix(rest, form[1]); ok && ends && uid != "" && strings.Trim(uid, "0123456789") == "" && len(uid) <= 10 {
			return uid, true
		}
	}
	return "", false
}

// Own returns the container that this process runs in, the zero Container outside of
// containers. In a control group namespace of its own, a container shows only by its
// host name, which is the beginning of its id unless somebody chose another.
func Own() Container {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Container{}
	}
	c := ContainerIn(b)
	if _, err := os.Stat("/.dockerenv"); c.ID == "" && err == nil {
		if name, err := os.Hostname(); err == nil && len(name) == shortID && strings.Trim(name, "0123456789abcdef") == "" {
			c.ID = name
		}
	}
	return c
}

// shortID is how much of an id Docker makes a host name of.
const shortID = 12
