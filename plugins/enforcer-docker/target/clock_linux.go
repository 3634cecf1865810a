package target

import (
	"time"

	"golang.org/x/sys/unix"
)

// started says when a process was started, from ticks of 10 ms since boot; false
// when the clock cannot be read.
func started(ticks uint64) (time.Time, bool) {
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil || ticks > 1<<40 {
		return time.Time{}, false
	}
	const tick = 10 * time.Millisecond
	return time.Now().Add(time.Duration(ticks)*tick - time.Duration(since.Nano())), true
}
