package engine

import (
	"fmt"
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
)

// other is a failed login in another stream, an hour ahead, from an address of
// its own.
func other(seq uint64) *event.LogEvent {
	e := failed(seq, 3600+float64(seq), fmt.Sprintf("2001:db8::%x", seq))
	e.Stream = &event.Stream{ID: 2, Name: "other", Provenance: event.ProvenanceHost}
	return e
}

// TestStreamBehindTheOthers: a stream that begins when another is long past its
// times has its windows all the same.
func TestStreamBehindTheOthers(t *testing.T) {
	e := New(Compile(bruteForce(t, 5, 60)), Options{})
	for i := range uint64(2*sweepEvery + 10) {
		feed(e, other(i+1))
	}
	for i := range 5 {
		got := feed(e, failed(uint64(i+1), float64(i), "192.0.2.1"))
		if want := i / 4; len(got) != want {
			t.Errorf("got %d alerts after %d failures, want %d", len(got), i+1, want)
		}
	}
}

// TestRestoredStreamIsWaitedFor: after a death a stream has its windows, though
// another speaks first and long.
func TestRestoredStreamIsWaitedFor(t *testing.T) {
	set := Compile(bruteForce(t, 5, 60))
	store := map[string][]byte{}
	e := New(set, Options{})
	for i := range 4 {
		feed(e, failed(uint64(i+1), float64(i), "192.0.2.1"))
	}
	saveTo(e, store)
	e = New(set, Options{})
	restoreFrom(t, e, store)
	for i := range uint64(2*sweepEvery + 10) {
		feed(e, other(i+1))
	}
	if got := feed(e, failed(5, 4, "192.0.2.1")); len(got) != 1 {
		t.Errorf("got %d alerts at the fifth failure, want 1", len(got))
	}
}
