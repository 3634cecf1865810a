package shim

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = unix.AUDIT_ARCH_AARCH64

// arm64 has one calling convention and none of the older calls.
var (
	archPrologue       []bpf.Instruction
	archDenied         []uint32
	archDeniedAlone    []uint32
	archDeniedReadOnly []uint32
)
