package suite

import (
	"fmt"
	"reflect"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// ParserConfig says how to check a parser.
type ParserConfig struct {
	Host HostConfig
	// Lines are records that it parses. Without any, only what holds for every
	// record is checked.
	Lines []string
}

// parserSuite is what the checks of a parser share.
type parserSuite struct {
	target Target
	ParserConfig
}

// Parser returns the checks of a parser: every record gives exactly one event, in
// order, whatever the record is; what it can parse is not marked unparsed; the same
// batch gives the same events; a redelivery gives only what was not answered.
func Parser(target Target, c ParserConfig) []Check {
	s := &parserSuite{target, c}
	return append([]Check{
		{
			Name: "parser.lines", Title: "parses its lines",
			Wanted: "each of the sample lines gives one parsed event, with the time that it bears",
			Mend:   "see which line it refuses, and why; the reason is the event's",
			run:    s.parsesLines,
		},
		{
			Name: "parser.hostile", Title: "survives hostile records",
			Wanted: "one event for each record, in order, whatever its bytes; a record that cannot be parsed is an unparsed event with a reason, at most 4 KiB of its bytes, and harms no other",
			Mend:   "answer what you cannot parse with flag 2 (unparsed), raw and reason, and go on; strings must be UTF-8",
			run:    applied(s.survives),
		},
		{
			Name: "parser.order", Title: "answers every batch in order and stays responsive",
			Wanted: "50 batches of 200 records are answered, acknowledged and durable in order, while Health answers within 1 s",
			Mend:   "answer Health on another thread than the one that parses; acknowledge after the answer was sent",
			run:    applied(s.keepsOrder),
		},
		{
			Name: "parser.redelivery", Title: "gives the same for a redelivery after its death",
			Wanted: "a batch that comes again gives the same events, without those before skip_before",
			Mend:   "make events of the record alone, not of the clock or a counter, and skip records below skip_before",
			run:    applied(s.redelivers),
		},
		{
			Name: "parser.drain", Title: "drains",
			Wanted: "Drain returns when everything received is durable, and the link then ends without an error",
			Mend:   "acknowledge as durable what was answered, then return from Drain; end the stream when the host half-closes it",
			run: applied(func(tb TB) {
				h, l, stream := s.begin(tb)
				var last uint64
				for i := range uint64(3) {
					last = l.Send(Lines(stream, 1+i, s.line()))
				}
				drains(h, l, last)
			}),
		},
	}, Faults(target, "parser", c.Host)...)
}

// line is a record that it parses, or may.
func (s *parserSuite) line() string {
	if len(s.Lines) == 0 {
		return "2025-11-01T12:00:00Z INFO web1: all is well"
	}
	return s.Lines[0]
}

func (s *parserSuite) begin(tb TB) (*Host, *Link, *event.Stream) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("parser")
	return h, h.Link("parser", nil), testStream("lines", h.Format)
}

// holds checks what holds for the events of any batch.
func (s *parserSuite) holds(tb TB, first uint64, lines int, events []*event.LogEvent) {
	tb.Helper()
	if len(events) != lines {
		tb.Fatalf("%d records gave %d events", lines, len(events))
	}
	for i, e := range events {
		if e.Sequence != first+uint64(i) {
			tb.Errorf("event %d has sequence %d, want that of its record, %d", i, e.Sequence, first+uint64(i))
		}
		unparsed := e.Flags&event.FlagUnparsed != 0
		switch {
		case unparsed && e.Reason == "":
			tb.Errorf("event %d is unparsed and has no reason", i)
		case !unparsed && e.Reason != "":
			tb.Errorf("event %d has the reason %q and is not flagged unparsed", i, e.Reason)
		}
		if e.Time.IsZero() || e.ObservedTime.IsZero() {
			tb.Errorf("event %d has time %v and observed_time %v, want both set", i, e.Time, e.ObservedTime)
		}
		if len(e.Raw) > 4<<10 {
			tb.Errorf("event %d carries %d raw bytes, at most 4096 are wanted", i, len(e.Raw))
		}
	}
}

func (s *parserSuite) parsesLines(tb TB) string {
	tb.Helper()
	if len(s.Lines) == 0 {
		return "no sample lines were given"
	}
	_, l, stream := s.begin(tb)
	events := l.Events(l.Send(Lines(stream, 1, s.Lines...)))
	s.holds(tb, 1, len(s.Lines), events)
	for i, e := range events {
		if e.Flags&event.FlagUnparsed != 0 {
			tb.Errorf("line %d is unparsed, %s: %.200q", i, e.Reason, s.Lines[i])
		}
	}
	return ""
}

func (s *parserSuite) survives(tb TB) {
	tb.Helper()
	h, l, stream := s.begin(tb)
	first := uint64(1)
	for _, lines := range chunks(hostileLines(), 7) {
		lines = append(lines, s.line())
		events := l.Events(l.Send(Lines(stream, first, lines...)))
		s.holds(tb, first, len(lines), events)
		if e := events[len(events)-1]; len(s.Lines) > 0 && e.Flags&event.FlagUnparsed != 0 {
			tb.Errorf("an innocent line behind hostile ones is unparsed: %s", e.Reason)
		}
		first += uint64(len(lines))
	}
	h.Health()
}

func (s *parserSuite) keepsOrder(tb TB) {
	tb.Helper()
	const size = 200
	h, l, stream := s.begin(tb)
	lines := make([]string, size)
	for i := range lines {
		lines[i] = s.line()
		if len(s.Lines) > 0 {
			lines[i] = s.Lines[i%len(s.Lines)]
		}
	}
	h.healthWhile(func() {
		var numbers []uint64
		for i := range uint64(50) {
			numbers = append(numbers, l.Send(Lines(stream, 1+size*i, lines...)))
		}
		for i, n := range numbers {
			s.holds(tb, uint64(1+size*i), size, l.Events(n))
		}
	})
}

func (s *parserSuite) redelivers(tb TB) {
	tb.Helper()
	const first = 10
	observed := time.Now()
	var want []*event.LogEvent
	lines := append(hostileLines(), s.Lines...)
	for _, skip := range []uint64{0, first + uint64(len(lines))/2, first + uint64(len(lines))} {
		h, l, stream := s.begin(tb)
		b := Lines(stream, first, lines...)
		b.SkipBefore, b.Observed = skip, observed
		got := l.Events(l.Send(b))
		h.Kill()
		if skip == 0 {
			want = got
			s.holds(tb, first, len(lines), got)
			continue
		}
		rest := want[skip-first:] // of the same base, so the events are equal
		if len(got) != len(rest) {
			tb.Fatalf("with skip_before %d, %d records from sequence %d gave %d events, want %d", skip, len(lines), first, len(got), len(rest))
		}
		for i := range rest {
			if !reflect.DeepEqual(rest[i], got[i]) {
				tb.Errorf("the event of record %d is another when it comes again: %s", rest[i].Sequence, firstDifference(rest[i], got[i]))
			}
		}
	}
}

// firstDifference names the first field in which two values of the same struct
// differ.
func firstDifference(was, is any) string {
	a, b := reflect.Indirect(reflect.ValueOf(was)), reflect.Indirect(reflect.ValueOf(is))
	for i := range a.NumField() {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%s was %.100v and is %.100v", a.Type().Field(i).Name, x, y)
		}
	}
	return "in nothing that can be named"
}
