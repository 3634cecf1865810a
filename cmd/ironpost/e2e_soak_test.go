//go:build soak

package main

import (
	"testing"
	"time"
)

// TestNothingIsLostOfAMillion is TestNothingIsLost with half a million lines in
// each of the two files:
//
//	go test -tags soak -run OfAMillion -timeout 30m ./cmd/ironpost
func TestNothingIsLostOfAMillion(t *testing.T) {
	needRoot(t)
	endure(t, endurance{lines: 500_000, rotations: 12, kills: 10, hostKills: 1, pace: 100 * time.Millisecond, most: 10 * time.Minute})
}
