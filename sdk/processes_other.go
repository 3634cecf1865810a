//go:build !linux

package sdk

import "time"

// sinceBoot needs Linux.
func sinceBoot() (time.Duration, bool) { return 0, false }
