package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/xdp"
)

func writable(path string) bool { return unix.Access(path, unix.R_OK|unix.W_OK) == nil }

// machine makes the checks that only Linux has.
func machine() []Check {
	checks := []Check{kernelCheck(release())}
	status, err := os.ReadFile("/proc/self/status")
	if set, ok := capabilities(string(status)); err == nil && ok {
		checks = append(append(checks, privileges(set)...), processes(set))
	}
	return append(checks, jit("/proc/sys/net/core/bpf_jit_enable"), bpffs("/sys/fs/bpf"), native(xdp.Supports()), landlock(), seccomp("/proc/sys/kernel/seccomp/actions_avail"))
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	name, _, _ := bytes.Cut(u.Release[:], []byte{0})
	return string(name)
}

// jit looks whether the kernel compiles programs, in a file that holds 0 when it
// interprets them. There is none in a kernel without the compiler.
func jit(path string) Check {
	c := Check{Name: "bpf jit", Verdict: OK, Found: "on", Needed: "filtering packets at full speed"}
	value, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.Found = "not to be seen by this user" // some distributions hide it; all have it on
	case errors.Is(err, fs.ErrNotExist):
		c.Verdict, c.Found = Warn, "not in this kernel: the packet filter is interpreted, many times slower"
		c.Mend = "use a kernel built with CONFIG_BPF_JIT=y, as those of Debian and Ubuntu are"
	case err != nil:
		c.Verdict, c.Found, c.Mend = Warn, "unknown: "+err.Error(), "look at "+path
	case strings.TrimSpace(string(value)) == "0":
		c.Verdict, c.Found = Warn, "off: the packet filter is interpreted, many times slower"
		c.Mend = "sysctl -w net.core.bpf_jit_enable=1"
	}
	return c
}

func bpffs(path string) Check {
	c := Check{Name: "bpffs", Verdict: OK, Found: path, Needed: "blocks that outlive a restart of the host"}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil || st.Type != unix.BPF_FS_MAGIC {
		c.Verdict, c.Found = Warn, "not mounted on "+path
		c.Mend = "mount -t bpf bpf " + path
	}
	return c
}

// native judges what the drivers of the interfaces say about XDP.
func native(all []xdp.Support, err error) Check {
	c := Check{Name: "native xdp", Verdict: OK, Needed: "filtering packets before the network stack sees them"}
	if err != nil {
		c.Verdict, c.Found = Warn, "unknown until a filter is attached: "+err.Error()
		c.Mend = "ironpost ebpf status shows the mode of each filter that is attached"
		return c
	}
	var can, cannot []string
	for _, s := range all {
		switch {
		case s.Loopback || !s.Up:
		case s.Native:
			can = append(can, s.Interface)
		case s.Why != "":
			cannot = append(cannot, s.Interface+" ("+s.Why+")")
		default:
			cannot = append(cannot, s.Interface)
		}
	}
	var found []string
	if len(can) > 0 {
		found = append(found, strings.Join(can, " "))
	}
	if len(cannot) > 0 {
		found = append(found, "generic, slower: "+strings.Join(cannot, ", "))
	}
	c.Found = strings.Join(found, "; ")
	if len(can) == 0 {
		c.Verdict = Warn
		c.Mend = "filters run in generic mode here; for native mode use an interface whose driver has XDP"
		if c.Found == "" {
			c.Found = "no interface is up"
		}
	}
	return c
}

func landlock() Check {
	c := Check{Name: "landlock", Verdict: OK, Needed: "plugins that see only granted files"}
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == 0:
		c.Found = fmt.Sprintf("ABI %d", abi)
		if abi < 4 {
			c.Verdict, c.Mend = Warn, "Linux 6.7 or newer also confines TCP ports (ABI 4)"
		}
	case errors.Is(errno, unix.EOPNOTSUPP):
		c.Verdict, c.Found = Missing, "built in, but switched off"
		c.Mend = "boot with landlock in the list of the kernel parameter lsm="
	default:
		c.Verdict, c.Found = Missing, "not in this kernel"
		c.Mend = "use a kernel with CONFIG_SECURITY_LANDLOCK=y"
	}
	return c
}

func seccomp(path string) Check {
	c := Check{Name: "seccomp", Verdict: OK, Needed: "plugins that make only granted system calls"}
	actions, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(actions), "errno") {
		c.Verdict, c.Found = Missing, "no seccomp filters"
		c.Mend = "use a kernel with CONFIG_SECCOMP_FILTER=y"
		return c
	}
	c.Found = "filters"
	return c
}
