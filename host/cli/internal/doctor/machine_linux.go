package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func writable(path string) bool { return unix.Access(path, unix.R_OK|unix.W_OK) == nil }

// machine makes the checks that only Linux has.
func machine() []Check {
	checks := []Check{kernelCheck(release()), btf("/sys/kernel/btf/vmlinux")}
	status, err := os.ReadFile("/proc/self/status")
	if set, ok := capabilities(string(status)); err == nil && ok {
		checks = append(checks, privileges(set)...)
	}
	return append(checks, bpffs("/sys/fs/bpf"), landlock(), seccomp("/proc/sys/kernel/seccomp/actions_avail"))
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	name, _, _ := bytes.Cut(u.Release[:], []byte{0})
	return string(name)
}

func btf(path string) Check {
	c := Check{Name: "btf", Verdict: OK, Found: path, Needed: "loading the kernel program on any kernel"}
	if _, err := os.Stat(path); err != nil {
		c.Verdict, c.Found = Missing, "no "+path
		c.Mend = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian and Ubuntu are"
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
