//go:build !linux

package target

import "time"

// started needs Linux.
func started(uint64) (time.Time, bool) { return time.Time{}, false }
