package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// What is kept of an event and cited is the event, and shares nothing with it but its
// stream.
func TestCitedEventsAreWhole(t *testing.T) {
	ev := &event.LogEvent{
		Stream: &event.Stream{ID: 7, Name: "s"}, Sequence: 9, Time: time.Unix(1, 2).UTC(), ObservedTime: time.Unix(3, 4).UTC(),
		Severity: event.SeverityHigh, Flags: event.FlagTimeInferred, Host: "h", Process: "p", PID: 5, Message: "m", Reason: "r", Raw: []byte("raw"),
		Fields: []event.Field{{Key: "a", Value: "b"}, {Key: "a", Value: ""}, {Key: strings.Repeat("k", 300), Value: strings.Repeat("v", 3000)}},
	}
	want := ev.Clone()
	e := New(Compile(nil), Options{})
	var entries []entry
	for range 3 {
		e.now = occurrence{log: ev, stream: &stream{}}
		entries = append(entries, e.entry(1), e.passing())
	}
	ev.Raw[0], ev.Fields[0].Value = 'X', "changed"
	e.cite(nil, entries)
	if len(e.cited) != len(entries) {
		t.Fatalf("got %d events, want %d", len(e.cited), len(entries))
	}
	for i := range e.cited {
		got := e.cited[i].event
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event %d: -want +got\n%s", i, diff)
		}
		if got.Stream != ev.Stream {
			t.Errorf("event %d: another stream", i)
		}
	}
}
