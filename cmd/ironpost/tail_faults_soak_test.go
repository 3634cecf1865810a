//go:build soak

package main

import (
	"testing"
	"time"
)

// TestTailFaultsOfAMillion is TestTailFaults with a million lines:
//
//	make soak RUN=TailFaults
func TestTailFaultsOfAMillion(t *testing.T) {
	needRoot(t)
	runTailFaults(t, tailFaults{lines: 1_000_000, rotations: 20, pace: 200 * time.Millisecond, kills: time.Second, most: 15 * time.Minute})
}
