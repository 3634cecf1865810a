package benchtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// Figure is one measured value.
type Figure struct {
	Case   string  `json:"case"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
}

// Report collects figures, in the order in which they are shown.
type Report struct {
	// Name is that of the file, without .json.
	Name string
	// Wide prints a line for each case and a column for each metric.
	Wide    bool
	Figures []Figure
}

// Add adds a figure.
func (r *Report) Add(c, metric string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{c, metric, value, unit})
}

// Target adds a figure that a target exists for, and fails the benchmark, naming
// what was wanted, when it is missed.
func (r *Report) Target(t testing.TB, c, metric string, value float64, unit string, met bool, want string) {
	t.Helper()
	r.Add(c, metric, value, unit)
	if !met {
		t.Errorf("%s, %s: got %.4g %s, want %s", c, metric, value, unit, want)
	}
}

// Write prints the table and leaves it in build/bench of the repository that the
// benchmark runs in.
func (r *Report) Write(t testing.TB) {
	t.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\n", r.Name)
	if r.Wide {
		r.wide(w)
	} else {
		for _, f := range r.Figures {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Case, f.Metric, f.text(), f.Unit)
		}
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	text, err := json.MarshalIndent(r.Figures, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	root, err := repository()
	if err != nil {
		t.Fatalf("find the repository: %v", err)
	}
	dir := filepath.Join(root, "build", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name+".json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f Figure) text() string { return strconv.FormatFloat(f.Value, 'f', digits(f.Value), 64) }

// wide prints a line for each case.
func (r *Report) wide(w io.Writer) {
	var cases, metrics []string
	byCase := make(map[string]map[string]Figure)
	for _, f := range r.Figures {
		if byCase[f.Case] == nil {
			cases, byCase[f.Case] = append(cases, f.Case), make(map[string]Figure)
		}
		byCase[f.Case][f.Metric] = f
		if name := f.Metric + " (" + f.Unit + ")"; !slices.Contains(metrics, name) {
			metrics = append(metrics, name)
		}
	}
	fmt.Fprintf(w, "\t%s\n", strings.Join(metrics, "\t"))
	for _, c := range cases {
		cells := make([]string, len(metrics))
		for _, f := range byCase[c] {
			cells[slices.Index(metrics, f.Metric+" ("+f.Unit+")")] = f.text()
		}
		fmt.Fprintf(w, "%s\t%s\n", c, strings.Join(cells, "\t"))
	}
}

// repository is the next folder upwards that holds a go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}

// digits is how many decimals of a value say something.
func digits(v float64) int {
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

// Median returns the middle of the values, which it sorts.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the value below which the share q lies; it sorts the values, of
// which there must be one at least.
func Quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(int(float64(len(values))*q), len(values)-1)]
}

// MidMean returns the mean of the middle half of the values, which it sorts: like
// the median it ignores what disturbed some of them, and unlike it is finer than
// the step in which they are counted.
func MidMean(values []float64) float64 {
	slices.Sort(values)
	cut := len(values) / 4
	middle := values[cut : len(values)-cut]
	var sum float64
	for _, v := range middle {
		sum += v
	}
	return sum / float64(len(middle))
}
