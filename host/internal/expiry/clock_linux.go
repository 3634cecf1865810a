package expiry

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock returns the clock of this machine.
func SystemClock() (Clock, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Clock{}, fmt.Errorf("read the boot id: %w", err)
	}
	return Clock{Wall: time.Now, Boot: sinceBoot, BootID: strings.TrimSpace(string(id))}, nil
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	// It cannot err: the clock exists since Linux 2.6.39 and the pointer is valid.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
