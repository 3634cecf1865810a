//go:build bench

package main_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchTicks is the unit of processor time in /proc/PID/stat; Linux shows 100 a
// second to every program.
const benchTicks = 100

// benchProcessTime is the processor time of a process so far, from
// /proc/PID/stat.
func benchProcessTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var sum int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / benchTicks
}

// benchStatus is what the benchmarks read of the status.
type benchStatus struct {
	Received uint64 `json:"received"`
	Parsed   uint64 `json:"parsed"`
	Unparsed uint64 `json:"unparsed"`
	Alerts   uint64 `json:"alerts"`
	Dropped  []struct {
		Stage, Reason string
		Count         uint64
	} `json:"dropped"`
	HeapObjects  uint64 `json:"heap_objects_allocated"`
	CoverageGaps []any  `json:"coverage_gaps"`
}

// clean fails when anything was lost.
func (s *benchStatus) clean(t *testing.T) {
	t.Helper()
	if s.Unparsed != 0 || len(s.Dropped) != 0 || len(s.CoverageGaps) != 0 {
		t.Errorf("got %d unparsed, dropped %v, gaps %v; want none", s.Unparsed, s.Dropped, s.CoverageGaps)
	}
}
