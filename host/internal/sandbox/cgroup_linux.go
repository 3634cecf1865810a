//go:build amd64 || arm64

package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// Names and weights of control groups.
const (
	hostGroup    = "host"    // the host itself, beside the plugins
	groupPrefix  = "plugin-" // one for each process that is started
	pluginWeight = "50"      // of the CPU, where the host has the default of 100
)

// removeTries and removeRetry bound the wait for the last process of a group to
// vanish after it was killed.
const (
	removeTries = 50
	removeRetry = 10 * time.Millisecond
)

// Cgroups bounds plugins by control groups of version 2 (cgroups(7)), below the
// one that the host runs in. The nil *Cgroups bounds nothing. Its methods are
// safe for concurrent use.
type Cgroups struct {
	dir  string // of the group that holds the host's and the plugins'
	why  string // it cannot be used; "" when it can
	next atomic.Uint64
}

// OpenCgroups prepares the control group that this process runs in, found from
// mountinfo and cgroup in proc, which is /proc/self: the process moves into a group
// of its own below it, the kernel is asked to account for what lies below, and what an
// earlier host left there is ended. A group that holds other processes, or that the
// process may not write to, is left as it is, and every report of a plugin says so:
// under systemd the host's unit needs Delegate=yes.
func OpenCgroups(proc string) *Cgroups {
	c := new(Cgroups)
	if err := c.open(proc); err != nil {
		c.why = err.Error()
	}
	return c
}

// Why says why plugins are not bounded by control groups; "" when they are.
func (c *Cgroups) Why() string {
	if c == nil {
		return "the host was not told to use control groups"
	}
	return c.why
}

func (c *Cgroups) open(proc string) error {
	dir, err := ownGroup(proc)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of the host's control group: %w", err)
	}
	controllers := strings.Fields(string(data))
	for _, needed := range []string{"memory", "pids"} {
		if !slices.Contains(controllers, needed) {
			return fmt.Errorf("control groups of version 2 have no %s controller in %s (with version 1 mounted, it is there)", needed, dir)
		}
	}
	// One that was started below by its service manager, or by itself before.
	if filepath.Base(dir) == hostGroup {
		dir = filepath.Dir(dir)
	} else if err := c.moveHost(dir); err != nil {
		return err
	}
	enable := "+memory +pids"
	if slices.Contains(controllers, "cpu") {
		enable += " +cpu"
	}
	if err := setGroup(dir, "cgroup.subtree_control", enable); err != nil {
		return fmt.Errorf("turn on limits below the host's control group: %w", err)
	}
	c.dir = dir
	c.sweep()
	return nil
}

// moveHost moves this process out of dir: the kernel bounds the groups below
// one only when it holds no process itself.
func (c *Cgroups) moveHost(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("list the processes of the host's control group: %w", err)
	}
	own := strconv.Itoa(os.Getpid())
	for pid := range strings.FieldsSeq(string(data)) {
		if pid != own {
			return fmt.Errorf("the host's control group %s holds other processes; run the host as a service with Delegate=yes", dir)
		}
	}
	host := filepath.Join(dir, hostGroup)
	if err := os.Mkdir(host, 0o755); err != nil && !os.IsExist(err) { //nolint:gosec // the kernel's tree, which everybody reads
		return fmt.Errorf("make a control group for the host (Delegate=yes lets a service): %w", err)
	}
	if err := setGroup(host, "cgroup.procs", own); err != nil {
		return fmt.Errorf("move the host into a control group of its own: %w", err)
	}
	return nil
}

// sweep ends what an earlier host left below the group.
func (c *Cgroups) sweep() {
	left, _ := filepath.Glob(filepath.Join(c.dir, groupPrefix+"*"))
	for _, dir := range left {
		_ = setGroup(dir, "cgroup.kill", "1") // what is left is ended by its own means too
		_ = unix.Rmdir(dir)
	}
}

// group is the control group of one process and its children.
type group struct {
	path string
	dir  *os.File
}

// join makes the group that the plugin is to be born in, nil when it cannot,
// which the report then says.
func (c *Cgroups) join(spec *Spec, pl *shim.Plan, report *Report) *group {
	if why := c.Why(); why != "" {
		report.Miss(shim.ControlGroup, why)
		return nil
	}
	g, err := c.newGroup(spec.Name, spec.MaxMemory, pl.MaxProcs)
	if err != nil {
		report.Miss(shim.ControlGroup, err.Error())
		return nil
	}
	report.Apply(shim.ControlGroup)
	pl.InControlGroup = true
	return g
}

func (c *Cgroups) newGroup(name string, memory, procs uint64) (*group, error) {
	name = strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, name)
	g := &group{path: filepath.Join(c.dir, fmt.Sprintf("%s%s-%d", groupPrefix, name, c.next.Add(1)))}
	if err := os.Mkdir(g.path, 0o755); err != nil { //nolint:gosec // the kernel's tree, which everybody reads
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	limits := [][2]string{{"pids.max", strconv.FormatUint(procs, 10)}}
	if memory != 0 {
		limits = append(limits, [2]string{"memory.max", strconv.FormatUint(memory, 10)}, [2]string{"memory.oom.group", "1"})
	}
	for _, l := range limits {
		if err := setGroup(g.path, l[0], l[1]); err != nil {
			_ = unix.Rmdir(g.path)
			return nil, fmt.Errorf("limit a control group: %w", err)
		}
	}
	// The share of the CPU is a courtesy: its controller may be absent.
	_ = setGroup(g.path, "cpu.weight", pluginWeight)
	dir, err := os.Open(g.path)
	if err != nil {
		_ = unix.Rmdir(g.path)
		return nil, fmt.Errorf("open a control group: %w", err)
	}
	g.dir = dir
	return g, nil
}

// remove ends what is left in the group and takes it away.
func (g *group) remove() {
	if g == nil {
		return
	}
	g.dir.Close()
	_ = setGroup(g.path, "cgroup.kill", "1") // Linux 5.14; the process group was killed before
	for range removeTries {
		if err := unix.Rmdir(g.path); !errors.Is(err, unix.EBUSY) {
			return
		}
		time.Sleep(removeRetry)
	}
}

// setGroup writes one value into a file of a control group. The kernel makes
// these files; it refuses to create any.
func setGroup(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644) //nolint:gosec // as the kernel makes it
}

// ownGroup returns the directory of the version 2 control group that the
// process runs in.
func ownGroup(proc string) (string, error) {
	data, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return "", fmt.Errorf("find the host's control group: %w", err)
	}
	own, found := "", false
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			own, found = path, true
		}
	}
	if !found {
		return "", errors.New("the machine has no control groups of version 2")
	}
	f, err := os.Open(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return "", fmt.Errorf("find the tree of control groups: %w", err)
	}
	defer f.Close()
	readOnly := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		root, point, options, ok := cgroup2Mount(lines.Text())
		if !ok {
			continue
		}
		rel, below := own, true
		if root != "/" {
			rel, below = strings.CutPrefix(own+"/", root+"/")
		}
		switch {
		case !below:
		case slices.Contains(strings.Split(options, ","), "ro"):
			readOnly = true
		default:
			return filepath.Join(point, rel), nil
		}
	}
	if readOnly {
		return "", errors.New("the tree of control groups is mounted read-only")
	}
	return "", errors.New("no tree of control groups of version 2 is mounted")
}

// cgroup2Mount reads one line of mountinfo (proc_pid_mountinfo(5)).
func cgroup2Mount(line string) (root, point, options string, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	if !found {
		return "", "", "", false
	}
	fields := strings.Fields(before)
	if fs := strings.Fields(after); len(fields) < 6 || len(fs) == 0 || fs[0] != "cgroup2" {
		return "", "", "", false
	}
	return unescape(fields[3]), unescape(fields[4]), fields[5], true
}

// unescape reads the octal escapes of mountinfo: \040 is a blank.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
