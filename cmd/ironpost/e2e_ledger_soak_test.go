//go:build soak

package main

import (
	"testing"
	"time"
)

// TestLedgerOfAMillion is TestLedger with half a million lines in each of the two
// files:
//
//	go test -tags soak -run OfAMillion -timeout 30m ./cmd/ironpost
func TestLedgerOfAMillion(t *testing.T) {
	needRoot(t)
	runLedger(t, ledger{lines: 500_000, pace: 300 * time.Millisecond, most: 15 * time.Minute})
}
