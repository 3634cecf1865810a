package benchtest

import (
	"testing"
)

func TestQuantiles(t *testing.T) {
	for _, test := range []struct {
		name                 string
		values               []float64
		median, p90, midMean float64
	}{
		{"one", []float64{7}, 7, 7, 7},
		{"two", []float64{2, 1}, 2, 2, 1.5},
		{"an outlier at each end", []float64{1, 900, 5, 6, 5, 6, 5, 0}, 5, 900, 5.25},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Median(test.values); got != test.median {
				t.Errorf("median: got %v, want %v", got, test.median)
			}
			if got := Quantile(test.values, 0.9); got != test.p90 {
				t.Errorf("p90: got %v, want %v", got, test.p90)
			}
			if got := MidMean(test.values); got != test.midMean {
				t.Errorf("mean of the middle: got %v, want %v", got, test.midMean)
			}
		})
	}
}

func TestDigits(t *testing.T) {
	for value, want := range map[float64]int{0.1234: 4, 1.234: 2, 12.34: 1, 123.4: 0, -123.4: 0} {
		if got := digits(value); got != want {
			t.Errorf("%v: got %d decimals, want %d", value, got, want)
		}
	}
}
