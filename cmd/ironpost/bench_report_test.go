//go:build bench

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// benchFigure is one measured value.
type benchFigure struct {
	Case   string  `json:"case"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
}

// benchReport collects figures.
type benchReport struct {
	name    string
	figures []benchFigure
}

func (r *benchReport) add(c, metric string, value float64, unit string) {
	r.figures = append(r.figures, benchFigure{c, metric, value, unit})
}

// target adds a benchFigure that a target exists for, and fails the benchmark when it
// is missed.
func (r *benchReport) target(t *testing.T, c, metric string, value float64, unit string, met bool, want string) {
	t.Helper()
	r.add(c, metric, value, unit)
	if !met {
		t.Errorf("%s, %s: got %.4g %s, want %s", c, metric, value, unit, want)
	}
}

// write prints the table and leaves it in build/bench/NAME.json.
func (r *benchReport) write(t *testing.T) {
	t.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\n", r.name)
	for _, f := range r.figures {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Case, f.Metric, strconv.FormatFloat(f.Value, 'f', benchDigits(f.Value), 64), f.Unit)
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	text, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(hosttest.Root(), "build", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.name+".json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// benchDigits is how many decimals of a value say something.
func benchDigits(v float64) int {
	switch {
	case v >= 100 || v <= -100:
		return 0
	case v >= 10:
		return 1
	case v >= 1:
		return 2
	}
	return 4
}

// benchMedian returns the middle of the values, which it sorts.
func benchMedian(values []float64) float64 { return benchQuantile(values, 0.5) }

// benchQuantile returns the value below which the share q lies; it sorts.
func benchQuantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(int(float64(len(values))*q), len(values)-1)]
}

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
