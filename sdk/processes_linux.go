package sdk

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is how long the machine has been up, times of sleep included; false when
// the clock cannot be read.
func sinceBoot() (time.Duration, bool) {
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil {
		return 0, false
	}
	return time.Duration(since.Nano()), true
}
