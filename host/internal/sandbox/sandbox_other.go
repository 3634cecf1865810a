//go:build !linux || (!amd64 && !arm64)

package sandbox

import (
	"context"
	"syscall"
)

// Launcher starts plugins; on this system it cannot.
type Launcher struct {
	// Cgroups is not looked at.
	Cgroups *Cgroups
}

// Cgroups bounds plugins by control groups; on this system it cannot.
type Cgroups struct{}

// OpenCgroups returns nil.
func OpenCgroups(string) *Cgroups { return nil }

// NewLauncher returns a launcher whose Start returns [ErrUnsupported].
func NewLauncher() *Launcher { return &Launcher{} }

// Start returns [ErrUnsupported].
func (*Launcher) Start(context.Context, Spec) (*Process, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Launcher) Close() error { return nil }

// Process is a running plugin; on this system there is none.
type Process struct{}

// Pid returns 0.
func (*Process) Pid() int { return 0 }

// Report returns nothing.
func (*Process) Report() Report { return Report{} }

// Done returns nil.
func (*Process) Done() <-chan struct{} { return nil }

// Reach returns path.
func (*Process) Reach(path string) string { return path }

// Wait returns [ErrUnsupported].
func (*Process) Wait(context.Context) (ExitState, error) { return ExitState{}, ErrUnsupported }

// Signal returns [ErrUnsupported].
func (*Process) Signal(syscall.Signal) error { return ErrUnsupported }

// Kill returns [ErrUnsupported].
func (*Process) Kill() error { return ErrUnsupported }

// Usage returns [ErrUnsupported].
func (*Process) Usage() (Usage, error) { return Usage{}, ErrUnsupported }

// KillOrphans returns [ErrUnsupported].
func KillOrphans(string) (int, error) { return 0, ErrUnsupported }
