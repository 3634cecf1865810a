//go:build !unix

package host

import "syscall"

// There is nothing to stop a process with; no plugin starts here either.
const (
	stopSignal     = syscall.Signal(0)
	continueSignal = syscall.Signal(0)
)
