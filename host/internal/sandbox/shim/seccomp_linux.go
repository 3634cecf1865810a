//go:build amd64 || arm64

package shim

import (
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data (include/uapi/linux/seccomp.h), little-endian.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

func argLow(i int) bpf.Instruction { return bpf.LoadAbsolute{Off: uint32(dataArgs + 8*i), Size: 4} }
func argHigh(i int) bpf.Instruction {
	return bpf.LoadAbsolute{Off: uint32(dataArgs + 8*i + 4), Size: 4}
}

var (
	allow = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	deny  = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	// absent makes the C library fall back to an older call that can be inspected.
	absent = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	kill   = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
)

// namespaceFlags of clone(2). CLONE_NEWTIME shares a bit with the exit signal
// there, and can only be had by clone3 and unshare.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// denied are system calls that no plugin has a use for, on both architectures.
var denied = []uint32{
	// Other processes, and the kernel itself.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PERF_EVENT_OPEN, unix.SYS_BPF, unix.SYS_USERFAULTFD, unix.SYS_PERSONALITY,
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD, unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES, unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK,
	unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL, unix.SYS_VHANGUP,
	// It submits other system calls past this filter.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// Namespaces and mounts. A handle would open a file around Landlock.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
	// Keys, clocks, names.
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	// Memory and queues shared by name.
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN,
	unix.SYS_MEMFD_SECRET,
	// Pages in a socket that the sender can still write; what arrives must stay.
	unix.SYS_VMSPLICE,
	// Leaving the process group, by which the host kills.
	unix.SYS_SETSID, unix.SYS_SETPGID,
	// Ownership; an unprivileged process only gets errors from these.
	unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
}

// deniedAlone are denied to a plugin that declared no processes: besides
// starting one, what only makes sense towards another.
var deniedAlone = []uint32{
	unix.SYS_EXECVE, unix.SYS_TKILL, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_MEMFD_CREATE, unix.SYS_SETPRIORITY,
	unix.SYS_IOPRIO_SET,
}

// deniedReadOnly are denied to a plugin without WritePaths. Landlock does not
// cover them, and a plugin that shares the host's user owns the host's files.
var deniedReadOnly = []uint32{
	unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
	unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_REMOVEXATTRAT,
	unix.SYS_FILE_SETATTR,
}

// rule is what happens to one system call. body decides on its arguments; it
// returns on every path.
type rule struct {
	number uint32
	body   []bpf.Instruction
}

// filterFor is the filter of a plugin whose process id, in its own PID
// namespace, is pid. It is a list of what is refused: plugins are programs in any
// language, whose runtimes differ in what they need, and Landlock, the
// namespaces and the lack of privileges deny by default.
func filterFor(p *Plan, pid uint32) []bpf.Instruction {
	var rules []rule
	add := func(number uint32, body ...bpf.Instruction) { rules = append(rules, rule{number, body}) }
	refuse := func(numbers []uint32) {
		for _, n := range numbers {
			add(n, deny)
		}
	}

	// Those decided by argument come first: the kernel remembers which numbers
	// are always allowed and does not run the filter for them at all.
	if !p.NewProcesses {
		// Shared anonymous memory does not count towards RLIMIT_DATA.
		add(unix.SYS_MMAP, argLow(3),
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.MAP_ANONYMOUS | unix.MAP_TYPE},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.MAP_ANONYMOUS | unix.MAP_SHARED, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.MAP_ANONYMOUS | unix.MAP_SHARED_VALIDATE, SkipTrue: 1},
			allow, deny)
		for _, n := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO} {
			add(n, onlyArg(0, pid)...)
		}
		add(unix.SYS_CLONE, argLow(0),
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaceFlags, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
			allow, deny)
		// The execution of the plugin itself is by descriptor.
		add(unix.SYS_EXECVEAT, argLow(4),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AT_EMPTY_PATH, SkipTrue: 3},
			argLow(0),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(p.ExeFD), SkipTrue: 1},
			allow, deny)
		refuse(deniedAlone)
	} else {
		add(unix.SYS_CLONE, argLow(0),
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: namespaceFlags, SkipTrue: 1},
			allow, deny)
	}
	add(unix.SYS_CLONE3, absent)
	// Another process's limits; 0 is the caller.
	add(unix.SYS_PRLIMIT64, argLow(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: pid, SkipTrue: 1},
		deny, allow)
	// The plugin must not outlive the host.
	add(unix.SYS_PRCTL, argLow(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PR_SET_PDEATHSIG, SkipTrue: 1},
		allow, deny)
	// Typing into somebody's terminal.
	add(unix.SYS_IOCTL, argLow(1),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		allow, deny)

	add(unix.SYS_SOCKET, socketRule(p)...)
	add(unix.SYS_SOCKETPAIR, streamsOnly()...)
	if !p.Network {
		add(unix.SYS_SENDTO, argLow(4), // an address
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 3},
			argHigh(4),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
			allow, deny)
		if denySendmsg(p) {
			add(unix.SYS_SENDMSG, deny)
		} else {
			add(unix.SYS_SENDMSG, argLow(2), // connects and sends at once
				bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.MSG_FASTOPEN, SkipTrue: 1},
				allow, deny)
		}
		add(unix.SYS_SENDMMSG, deny)
		if !p.LocalConnect {
			add(unix.SYS_CONNECT, deny)
		}
	}
	if len(p.WritePaths) == 0 {
		refuse(deniedReadOnly)
		refuse(archDeniedReadOnly)
	}
	if !p.NewProcesses {
		refuse(archDeniedAlone)
	}
	refuse(denied)
	refuse(archDenied)
	return assemble(rules)
}

// denySendmsg says whether sendmsg is denied: a filter cannot see the address in
// it, and through a passed UDP listener it would reach the host's network. Go's gRPC
// does without the call; other runtimes write to every socket with it.
func denySendmsg(p *Plan) bool {
	return !p.Network && p.UDPListener && !p.BaseRead
}

// onlyArg allows a call whose argument i is want, and denies it otherwise.
func onlyArg(i int, want uint32) []bpf.Instruction {
	return []bpf.Instruction{
		argLow(i),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: want, SkipTrue: 1},
		deny, allow,
	}
}

// socketRule allows local stream sockets, and with a network those of the
// internet and of routing queries (which resolvers use).
func socketRule(p *Plan) []bpf.Instruction {
	local := streamsOnly()
	if !p.Network {
		return local
	}
	return append([]bpf.Instruction{
		argLow(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
		allow,
	}, local...)
}

// streamsOnly allows stream and sequenced-packet sockets of the local family.
// A local datagram socket could send to /dev/log and the like without connecting.
func streamsOnly() []bpf.Instruction {
	const typeMask = 0xf // SOCK_TYPE_MASK; the other bits are SOCK_NONBLOCK and SOCK_CLOEXEC
	return []bpf.Instruction{
		argLow(0),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_UNIX, SkipTrue: 4},
		argLow(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: typeMask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_SEQPACKET, SkipTrue: 1},
		deny, allow,
	}
}

// assemble puts the rules into one program, first match first.
func assemble(rules []rule) []bpf.Instruction {
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		kill, // system calls of another architecture have other numbers
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
	}
	prog = append(prog, archPrologue...)
	for _, r := range rules {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.number, SkipFalse: uint8(len(r.body))})
		prog = append(prog, r.body...)
	}
	return append(prog, allow)
}

// installFilter puts prog in force for this thread. It needs no_new_privs.
func installFilter(prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return rawErr(unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog))))
}
