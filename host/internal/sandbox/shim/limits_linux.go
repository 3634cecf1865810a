//go:build amd64 || arm64

package shim

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// firstVictim has the kernel end the plugin before the host and others when
// the machine's memory runs out (proc_pid_oom_score_adj(5)).
func (s *shim) firstVictim() error {
	const adjust = "500"
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(adjust), 0); err != nil {
		s.report.Miss(MemoryVictim, err.Error())
		return nil
	}
	s.report.Apply(MemoryVictim)
	return nil
}

// limits sets resource limits. A limit never rises above what the host has.
func (s *shim) limits() error {
	const addressSpaceSlack = 2 << 30 // what a Go runtime reserves (measured: 1.2 to 1.7 GiB) and more
	set := func(resource int, value uint64) error {
		var old unix.Rlimit
		if err := unix.Prlimit(0, resource, nil, &old); err != nil {
			return err
		}
		value = min(value, old.Max)
		return unix.Prlimit(0, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
	}
	type limit struct {
		resource int
		value    uint64
	}
	limits := []limit{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_RTPRIO, 0},
		{unix.RLIMIT_NOFILE, s.MaxFiles},
	}
	if s.MaxFileSize != 0 {
		limits = append(limits, limit{unix.RLIMIT_FSIZE, s.MaxFileSize})
	}
	if s.MaxMemory != 0 {
		limits = append(limits, limit{unix.RLIMIT_DATA, s.MaxMemory}, limit{unix.RLIMIT_AS, s.MaxMemory + addressSpaceSlack})
	}
	ownUser := s.UID != 0 && unix.Getuid() == int(s.UID)
	if ownUser {
		limits = append(limits, limit{unix.RLIMIT_NPROC, s.MaxProcs})
	}
	for _, l := range limits {
		if err := set(l.resource, l.value); err != nil {
			return &Step{fmt.Sprintf("set resource limit %d", l.resource), err}
		}
	}
	s.report.Apply(FileLimit)
	if len(s.WritePaths) > 0 {
		s.report.Miss(DiskSpace, "the kernel bounds no directory; put what the plugin writes on a file system of its own")
	}
	switch {
	case s.MaxMemory == 0:
		s.report.Miss(MemoryLimit, "none was set")
	case s.NewProcesses && !s.InControlGroup:
		s.report.Miss(MemoryLimit, "each process of the plugin is bounded, and their sum is not without a control group")
	default:
		s.report.Apply(MemoryLimit)
	}
	if ownUser {
		s.report.Apply(ProcessLimit)
	} else {
		s.report.Miss(ProcessLimit, "the kernel counts processes per user, and the plugin shares the host's")
	}
	return nil
}
