package sdktest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk/event"
)

// ParserConfig says how to check a parser.
type ParserConfig struct {
	Host HostConfig
	// Lines are records that it parses. At least one.
	Lines []string
}

// TestParser checks a parser: every record gives exactly one event, in order,
// whatever the record is; what it can parse is not marked unparsed; the same
// batch gives the same events; a redelivery gives only what was not answered.
func TestParser(t *testing.T, target Target, c ParserConfig) {
	t.Helper()
	if len(c.Lines) == 0 {
		t.Fatal("ParserConfig.Lines is empty: name records that the parser parses")
	}
	begin := func(t *testing.T) (*Host, *Link, *event.Stream) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "parser")
		return h, h.Link("parser", nil), testStream("lines", h.Format)
	}
	// check compares what holds for the events of any batch.
	check := func(t *testing.T, first uint64, lines int, events []*event.LogEvent) {
		t.Helper()
		if len(events) != lines {
			t.Fatalf("%d records gave %d events", lines, len(events))
		}
		for i, e := range events {
			if e.Sequence != first+uint64(i) {
				t.Errorf("event %d has sequence %d, want that of its record, %d", i, e.Sequence, first+uint64(i))
			}
			unparsed := e.Flags&event.FlagUnparsed != 0
			if unparsed != (e.Reason != "") || e.Time.IsZero() || e.ObservedTime.IsZero() || len(e.Raw) > 4<<10 {
				t.Errorf("event %d: flags %b, reason %q, time %v, observed %v, %d raw bytes", i, e.Flags, e.Reason, e.Time, e.ObservedTime, len(e.Raw))
			}
		}
	}
	t.Run("describes itself", func(t *testing.T) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "parser")
		if h.Format == "" {
			t.Error("the parser names no format")
		}
	})
	t.Run("parses its lines", func(t *testing.T) {
		_, l, s := begin(t)
		events := l.Events(l.Send(Lines(s, 1, c.Lines...)))
		check(t, 1, len(c.Lines), events)
		for i, e := range events {
			if e.Flags&event.FlagUnparsed != 0 {
				t.Errorf("line %d is unparsed, %s: %.200q", i, e.Reason, c.Lines[i])
			}
		}
	})
	t.Run("survives hostile records", func(t *testing.T) {
		h, l, s := begin(t)
		first := uint64(1)
		for _, lines := range chunks(hostileLines(), 7) {
			lines = append(lines, c.Lines[0])
			events := l.Events(l.Send(Lines(s, first, lines...)))
			check(t, first, len(lines), events)
			if e := events[len(events)-1]; e.Flags&event.FlagUnparsed != 0 {
				t.Errorf("an innocent line behind hostile ones is unparsed: %s", e.Reason)
			}
			first += uint64(len(lines))
		}
		h.Health()
	})
	t.Run("answers every batch in order and stays responsive", func(t *testing.T) {
		h, l, s := begin(t)
		h.healthWhile(func() {
			var numbers []uint64
			for i := range uint64(50) {
				var lines []string
				for j := range 200 {
					lines = append(lines, c.Lines[j%len(c.Lines)])
				}
				numbers = append(numbers, l.Send(Lines(s, 1+200*i, lines...)))
			}
			for i, n := range numbers {
				check(t, uint64(1+200*i), 200, l.Events(n))
			}
		})
	})
	t.Run("a redelivery is the same", func(t *testing.T) {
		observed := time.Now()
		var want []*event.LogEvent
		lines := append(hostileLines(), c.Lines...)
		for _, skip := range []uint64{0, 10 + uint64(len(lines))/2, 10 + uint64(len(lines))} {
			t.Run(fmt.Sprintf("skipping %d", max(skip, 10)-10), func(t *testing.T) {
				_, l, s := begin(t)
				b := Lines(s, 10, lines...)
				b.SkipBefore, b.Observed = skip, observed
				got := l.Events(l.Send(b))
				if skip == 0 {
					want = got
					return
				}
				// got counts from the same sequence, so the events are equal.
				if d := cmp.Diff(want[skip-10:], got, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("(-first +again):\n%.3000s", d)
				}
			})
		}
	})
	t.Run("drains", func(t *testing.T) {
		h, l, s := begin(t)
		var last uint64
		for i := range uint64(3) {
			last = l.Send(Lines(s, 1+i, c.Lines[0]))
		}
		drains(t, h, l, last)
	})
}
