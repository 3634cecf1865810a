package host

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// yield puts this process, and with it the plugins that it will start, under
// SCHED_BATCH (sched(7)): a process that wakes up does not interrupt the one that
// runs. What the machine is there for goes first, and the processes of the
// pipeline, which wake each other for every batch, work through a batch before
// the next begins: under SCHED_OTHER a third of their time goes into switching.
// The share of the processor stays the same, and so does the niceness. An
// operator's own policy is left alone.
func yield() error {
	// A thread that begins meanwhile has the policy of the one that began it: the
	// second pass finds those of the first.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("set the scheduling policy: %w", err)
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			attr, err := unix.SchedGetAttr(tid, 0)
			if err != nil || attr.Policy != unix.SCHED_NORMAL {
				continue // it ended, or it is right
			}
			attr.Policy = unix.SCHED_BATCH
			if err := unix.SchedSetAttr(tid, attr, 0); err != nil && err != unix.ESRCH {
				return fmt.Errorf("set the scheduling policy: %w", err)
			}
		}
	}
	return nil
}
