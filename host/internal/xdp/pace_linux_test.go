//go:build amd64 || arm64

package xdp

import (
	"slices"
	"testing"
)

// TestPace: w ends an interval that is read, - one that is not, and . is a tick
// within one.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		name  string
		ticks []uint64 // packets of each
		want  string
	}{
		{"nothing", []uint64{0, 0, 0, 0, 0, 0}, ".-.-.-"},
		{"a packet, and one interval more", []uint64{0, 1, 0, 0, 0, 0}, ".w.w.-"},
		{"in the first half of an interval", []uint64{1, 0, 0, 0, 0, 0}, ".w.w.-"},
		{"steady", []uint64{100, 100, 100, 100, 100, 100}, ".w.w.w"},
		{"a flood sets in", []uint64{0, 0, 5000, 5000, 5000, 5000, 5000, 5000, 5000, 5000}, ".-wwwwww.w"},
		{"and ends", []uint64{5000, 0, 0, 0, 0, 0, 0, 0}, "ww--.-.-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p pace
			var total uint64
			var got []byte
			for _, n := range test.ticks {
				total += n
				switch whole, due := p.tick(total); {
				case due:
					got = append(got, 'w')
				case whole:
					got = append(got, '-')
				default:
					got = append(got, '.')
				}
			}
			if string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	// Under a flood that lasts, intervals are whole again.
	var p pace
	var ends []bool
	for i := range uint64(40) {
		whole, _ := p.tick((i + 1) * 10_000)
		ends = append(ends, whole)
	}
	if got := ends[30:]; !slices.Equal(got, []bool{false, true, false, true, false, true, false, true, false, true}) {
		t.Errorf("got ends %v after three seconds, want every second", got)
	}
}
