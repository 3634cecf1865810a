package sdk_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

var lineStream = &event.Stream{ID: event.StreamID("t", "lines"), Name: "lines", Plugin: "t", Provenance: event.ProvenanceHost}

// coded is an error with a code.
type coded string

func (c coded) Error() string { return "no" }
func (c coded) Code() string  { return string(c) }

var observed = time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)

// parser does what its line says.
func parser() sdk.Plugin {
	return sdk.Plugin{Name: "parser-test", Summary: "s", Parser: sdk.ParseFunc("test", func(raw event.RawLog, out *event.LogEvent) error {
		verb, arg, _ := strings.Cut(string(raw.Line), " ")
		switch verb {
		case "panic":
			panic(arg)
		case "index":
			_ = raw.Line[len(raw.Line)]
		case "fail":
			return errors.New(arg)
		case "code":
			return fmt.Errorf("wrapped: %w", coded(arg))
		case "bad-code":
			return coded("\xff" + strings.Repeat("c", 1000))
		case "big":
			out.Message = strings.Repeat("m", 200<<10)
		case "fields":
			for i := range 5000 {
				out.Fields = append(out.Fields, event.Field{Key: fmt.Sprint(i)})
			}
		case "parts":
			out.Message = strings.Repeat("p", 150<<10)
		case "ahead":
			d, err := time.ParseDuration(arg)
			if err != nil {
				return err
			}
			out.Time = raw.ObservedTime.Add(d)
			out.Message = "m"
		default:
			out.Message = string(raw.Line)
			out.Set("stream", raw.Stream.Name)
		}
		return nil
	})}
}

func TestParserReasons(t *testing.T) {
	h := sdktest.Start(t, sdktest.Value(parser), sdktest.HostConfig{})
	l := h.Link("parser", nil)
	long := strings.Repeat("x", event.MaxRecord+1)
	tests := []struct{ line, reason string }{
		{"fine", ""},
		{"", "empty"},
		{" ", ""},
		{"a\x00b", "nul_byte"},
		{"\xff", "invalid_utf8"},
		{"\xff\x00", "nul_byte"},
		{long, "too_long"},
		{long[:event.MaxRecord], ""},
		{"panic now", "parser_panic"},
		{"index", "parser_panic"},
		{"fail why", "parse_error"},
		{"code bad_pri", "bad_pri"},
		{"bad-code", "\uFFFD" + strings.Repeat("c", 61)},
		{"big", "event_too_large"},
		{"fields", "event_too_large"},
		{"last", ""},
	}
	var lines []string
	for _, test := range tests {
		lines = append(lines, test.line)
	}
	events := l.Events(l.Send(sdktest.Lines(lineStream, 5, lines...)))
	if len(events) != len(tests) {
		t.Fatalf("%d events for %d records", len(events), len(tests))
	}
	for i, test := range tests {
		e := events[i]
		if e.Reason != test.reason || (e.Flags&event.FlagUnparsed != 0) != (test.reason != "") || e.Sequence != uint64(5+i) {
			t.Errorf("%.20q: reason %q, flags %b, sequence %d; want reason %q", test.line, e.Reason, e.Flags, e.Sequence, test.reason)
		}
		if test.reason != "" {
			if want := test.line[:min(len(test.line), 4096)]; string(e.Raw) != want {
				t.Errorf("%.20q: %d raw bytes are kept, want the first %d", test.line, len(e.Raw), len(want))
			}
			if e.Message != "" || len(e.Fields) != 0 {
				t.Errorf("%.20q: an unparsed event holds what the parser left behind: %.50q, %d fields", test.line, e.Message, len(e.Fields))
			}
		}
		if (e.Flags&event.FlagTruncated != 0) != (test.reason == "too_long") {
			t.Errorf("%.20q: flags %b", test.line, e.Flags)
		}
	}
}

// TestParserPanicsCostTheirRecords: any record of a batch may cause a panic, the
// first, the last, or all of them.
func TestParserPanicsCostTheirRecords(t *testing.T) {
	l := sdktest.Start(t, sdktest.Value(parser), sdktest.HostConfig{}).Link("parser", nil)
	for _, batch := range [][]string{
		{"panic"}, {"panic", "fine"}, {"fine", "index"}, {"panic", "index", "panic"}, {"fine", "panic", "fail x", "index", "fine"},
	} {
		b := sdktest.Lines(lineStream, 7, batch...)
		events := l.Events(l.Send(b))
		if len(events) != len(batch) {
			t.Fatalf("%q: %d events for %d records", batch, len(events), len(batch))
		}
		want := map[string]string{"panic": "parser_panic", "index": "parser_panic", "fail x": "parse_error"}
		for i, line := range batch {
			if e := events[i]; e.Reason != want[line] || e.Sequence != uint64(7+i) {
				t.Errorf("%q: record %d has reason %q and sequence %d, want %q and %d", batch, i, e.Reason, e.Sequence, want[line], 7+i)
			}
		}
		// What was answered before is neither parsed nor answered again.
		b.SkipBefore = 8
		if got := len(l.Events(l.Send(b))); got != len(batch)-1 {
			t.Errorf("%q: %d events after the first, want %d", batch, got, len(batch)-1)
		}
	}
}

func TestParserTimes(t *testing.T) {
	tests := []struct {
		line  string
		live  bool
		want  time.Time
		flags event.Flags
	}{
		{"none", true, observed, event.FlagTimeInferred},
		{"ahead 5s", true, observed.Add(5 * time.Second), 0},
		{"ahead 5001ms", true, observed, event.FlagTimeClamped},
		{"ahead -1000h", true, observed.Add(-1000 * time.Hour), 0},
		{"ahead 5001ms", false, observed.Add(5001 * time.Millisecond), 0},
		{"ahead 2000000h", true, observed, event.FlagTimeClamped},
		{"ahead -2400000h", true, observed.Add(-2400000 * time.Hour), 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s live %v", test.line, test.live), func(t *testing.T) {
			l := sdktest.Start(t, sdktest.Value(parser), sdktest.HostConfig{Live: test.live}).Link("parser", nil)
			b := sdktest.Lines(lineStream, 1, test.line)
			b.Observed = observed
			e := l.Events(l.Send(b))[0]
			if !e.Time.Equal(test.want) || e.Flags != test.flags || !e.ObservedTime.Equal(observed) {
				t.Errorf("got %v, flags %b, observed %v; want %v, %b, %v", e.Time, e.Flags, e.ObservedTime, test.want, test.flags, observed)
			}
		})
	}
}

// TestParserAnswersInParts: 50 events of 150 KiB do not fit one batch.
func TestParserAnswersInParts(t *testing.T) {
	l := sdktest.Start(t, sdktest.Value(parser), sdktest.HostConfig{}).Link("parser", nil)
	lines := slices.Repeat([]string{"parts"}, 50)
	for _, skip := range []uint64{0, 120, 149, 150} {
		b := sdktest.Lines(lineStream, 100, lines...)
		b.SkipBefore = skip
		events := l.Events(l.Send(b))
		var got, want []uint64
		for s := max(skip, 100); s < 150; s++ {
			want = append(want, s)
		}
		for _, e := range events {
			got = append(got, e.Sequence)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("skipping before %d (-want +got):\n%s", skip, d)
		}
	}
}

// TestBatchHoldsToItsCount: what a batch holds beyond its count has no sequence of
// its own, so nobody sees it.
func TestBatchHoldsToItsCount(t *testing.T) {
	a, b := &event.LogEvent{Sequence: 1, Message: "a"}, &event.LogEvent{Sequence: 2, Message: "b"}
	for count, want := range map[int]string{0: "", 1: "a", 2: "ab", 3: "ab"} {
		batch := sdk.LogBatch(lineStream, a, b)
		batch.Count = count
		got := ""
		for e := range batch.Logs() {
			got += e.Message
		}
		if got != want {
			t.Errorf("a batch of two that counts %d: got %q, want %q", count, got, want)
		}
	}
}
