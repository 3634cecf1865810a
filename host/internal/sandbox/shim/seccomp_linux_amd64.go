package shim

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = unix.AUDIT_ARCH_X86_64

// archPrologue refuses the x32 calling convention, whose numbers carry this bit.
var archPrologue = []bpf.Instruction{
	bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x40000000, SkipTrue: 1},
	deny,
}

// The older calls that amd64 has besides those of every architecture.
var (
	archDenied = []uint32{
		unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_CREATE_MODULE, unix.SYS_GET_KERNEL_SYMS,
		unix.SYS_QUERY_MODULE, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL, unix.SYS_CHOWN, unix.SYS_LCHOWN,
	}
	archDeniedAlone    = []uint32{unix.SYS_FORK, unix.SYS_VFORK}
	archDeniedReadOnly = []uint32{unix.SYS_CHMOD, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT}
)
