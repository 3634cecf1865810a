//go:build amd64 || arm64

package shim

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights on files, in the terms of include/uapi/linux/landlock.h.
const (
	readRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execRights = readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE
	// privateRights do not let the plugin make directories, links or devices.
	privateRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	writeRights = privateRights | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	// fileRights are those that the kernel accepts for a rule on something that is no directory.
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

// basePaths are what BaseRead grants besides the process's own /proc; those
// that a system does not have are left out.
var basePaths = []struct {
	path   string
	rights uint64
}{
	{"/usr", execRights},
	{"/bin", execRights},
	{"/lib", execRights},
	{"/lib32", execRights},
	{"/lib64", execRights},
	{"/libx32", execRights},
	{"/etc/ld.so.cache", readRights},
	{"/etc/ld.so.preload", readRights},
	{"/dev/null", readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE},
	{"/dev/urandom", readRights},
}

// networkPaths are what name resolution and TLS read.
var networkPaths = []string{
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
	"/etc/protocols", "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	"/etc/ca-certificates", "/run/systemd/resolve",
}

// LandlockABI is the version that the kernel speaks; 0 means none.
func LandlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// handledRights returns what a ruleset of this ABI can restrict.
func handledRights(abi int) uint64 {
	fs := uint64(1<<13 - 1)
	for _, since := range []struct {
		abi   int
		right uint64
	}{
		{2, unix.LANDLOCK_ACCESS_FS_REFER},
		{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{9, unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX},
	} {
		if abi >= since.abi {
			fs |= since.right
		}
	}
	return fs
}

// prepareLandlock makes the ruleset and opens every granted path, while the
// process may still reach them. Nothing is in force before restrict.
func (s *shim) prepareLandlock() error {
	abi := LandlockABI()
	if abi == 0 {
		const why = "this kernel has no Landlock (Linux 5.13 with CONFIG_SECURITY_LANDLOCK, and landlock in the lsm= list)"
		for _, p := range []Protection{FileAccess, TCPAccess, AbstractSockets} {
			s.report.Miss(p, why)
		}
		return nil
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handledRights(abi)}
	older := func(p Protection, needs int, kernel string) {
		s.report.Miss(p, fmt.Sprintf("needs Landlock ABI %d (Linux %s); this kernel has %d", needs, kernel, abi))
	}
	have := []Protection{FileAccess}
	want := func(p Protection, needs int, kernel string, set func()) {
		if abi < needs {
			older(p, needs, kernel)
			return
		}
		have = append(have, p)
		set()
	}
	want(TruncateAccess, 3, "6.2", func() {})
	want(DeviceControl, 5, "6.10", func() {})
	if s.Network && len(s.ConnectPorts) == 0 {
		// Listeners come from the host, so binding stays denied.
		if abi >= 4 {
			attr.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_BIND_TCP
		}
	} else {
		want(TCPAccess, 4, "6.7", func() {
			attr.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		})
	}
	want(AbstractSockets, 6, "6.12", func() { attr.Scoped |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET })
	want(Signals, 6, "6.12", func() { attr.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL })
	if s.Network {
		s.report.Miss(Destinations, "Landlock knows TCP ports and no addresses; UDP is not limited")
	}
	if s.Network || s.LocalConnect && !s.OwnMounts {
		// To the others the filter denies every connect, or there is nothing in
		// their file tree to connect to.
		want(LocalSockets, 9, "7.1", func() {})
	}
	if !s.Network && abi >= 10 {
		have = append(have, UDPAccess)
		attr.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_BIND_UDP | unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return &Step{"make the Landlock ruleset", errno}
	}
	s.ruleset = int(fd)
	unix.CloseOnExec(s.ruleset)
	for _, p := range have {
		s.report.Apply(p)
	}
	return s.addRules(attr.Handled_access_fs, attr.Handled_access_net)
}

func (s *shim) addRules(handledFS, handledNet uint64) error {
	if err := s.allow(s.ExeFD, unix.LANDLOCK_ACCESS_FS_EXECUTE|unix.LANDLOCK_ACCESS_FS_READ_FILE, handledFS); err != nil {
		return &Step{"grant the execution of the program", err}
	}
	grant := func(paths []string, rights uint64, mustExist bool) error {
		for _, path := range paths {
			err := s.allowPath(path, rights, handledFS)
			switch {
			case err == nil:
			case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES):
				if mustExist {
					s.report.Absent = append(s.report.Absent, Missing{Protection(path), err.Error()})
				}
			default:
				return &Step{"grant access to " + path, err}
			}
		}
		return nil
	}
	if err := grant(s.ReadPaths, readRights, true); err != nil {
		return err
	}
	if err := grant(s.WritePaths, writeRights, true); err != nil {
		return err
	}
	if s.PrivateDir != "" {
		if err := s.allowPath(s.PrivateDir, privateRights, handledFS); err != nil {
			return &Step{"grant access to the private directory " + s.PrivateDir, err}
		}
	}
	if s.Network {
		if err := grant(networkPaths, readRights, false); err != nil {
			return err
		}
	}
	if s.BaseRead {
		for _, b := range basePaths {
			if err := grant([]string{b.path}, b.rights, false); err != nil {
				return err
			}
		}
		if err := s.allowOwnProc(handledFS); err != nil {
			return &Step{"grant access to the process's own /proc", err}
		}
	}
	if handledNet&unix.LANDLOCK_ACCESS_NET_CONNECT_TCP != 0 && s.Network {
		for _, port := range s.ConnectPorts {
			if err := s.allowConnect(port); err != nil {
				return &Step{fmt.Sprintf("grant connections to port %d", port), err}
			}
		}
	}
	return nil
}

// allowPath grants rights on path and everything below it.
func (s *shim) allowPath(path string, rights, handled uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return s.allow(fd, rights, handled)
}

// allowOwnProc grants reading /proc/PID of this process. The descriptor stays
// open in the plugin: the rule holds on to an inode that procfs would
// otherwise drop, and make anew, under memory pressure.
func (s *shim) allowOwnProc(handled uint64) error {
	fd, err := unix.Open("/proc/self", unix.O_PATH, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.allow(fd, readRights, handled)
}

func (s *shim) allow(fd int, rights, handled uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights & handled, Parent_fd: int32(fd)}
	return rawErr(unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0))
}

func (s *shim) allowConnect(port uint16) error {
	const ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT
	attr := struct{ allowed, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}
	return rawErr(unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.ruleset), ruleNetPort,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0))
}

// restrict puts the ruleset in force for this thread, and so for the plugin.
func (s *shim) restrict() error {
	if s.ruleset < 0 {
		return nil
	}
	if err := rawErr(unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(s.ruleset), 0, 0)); err != nil {
		return &Step{"put Landlock in force", err}
	}
	return nil
}
