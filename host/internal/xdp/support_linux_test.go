//go:build amd64 || arm64

package xdp

import (
	"errors"
	"slices"
	"testing"
)

// TestSupports asks the drivers of a veth pair, which has native XDP, and of lo,
// which has not.
func TestSupports(t *testing.T) {
	s := newStage(t)
	var got []Support
	var unsupported error // a test ends on its own goroutine alone
	s.in(func() (err error) {
		got, err = Supports()
		if errors.Is(err, ErrUnsupported) {
			unsupported, err = err, nil
		}
		return err
	})
	if unsupported != nil {
		t.Skip(unsupported)
	}
	for i := range got {
		got[i].Index = 0
	}
	want := []Support{{Interface: "lo", Up: true, Loopback: true}, {Interface: s.Victim.Interface, Up: true, Native: true}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestKernelFloor(t *testing.T) {
	for release, want := range map[string]bool{
		"5.14.0-1": false, "5.15.0": true, "5.15": true, "6.1.0-18-amd64": true, "10.0": true, "4.19": false, "x": false, "": false, "6": false,
	} {
		if got := atLeastFloor(release); got != want {
			t.Errorf("%q: got %v, want %v", release, got, want)
		}
	}
}
