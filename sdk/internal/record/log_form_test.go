package record

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// written encodes events as one batch and reads it back twice: by the direct
// decoder and by standard protobuf, both of which must find want.
func written(t *testing.T, encoder *LogEncoder, observed time.Time, text []byte, events, want []*event.LogEvent) {
	t.Helper()
	encoder.Begin(observed)
	var payload []byte
	wantPB := &pb.Batch{Kind: pb.Kind_KIND_LOG, ObservedTime: pbTime(observed), Count: uint32(len(want))}
	for i, e := range events {
		payload = encoder.Append(payload, e, 0, text)
		m := pbLog(want[i], 0)
		if m.ObservedTime == 0 {
			m.ObservedTime = pbTime(observed)
		}
		wantPB.Logs = append(wantPB.Logs, m)
	}
	got := decodeBatch(t, payload, 0, time.Time{}, new(Names))
	if d := cmp.Diff(want, got, compareEvents); d != "" {
		t.Fatalf("direct (-want +got):\n%s", d)
	}
	f := pb.NewFrame(pb.Header{Kind: pb.Kind_KIND_LOG, Count: wantPB.Count, ObservedTime: observed.UnixNano()}, &payload, nil)
	gotPB, err := f.Batch()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantPB, gotPB, protocmp.Transform()); d != "" {
		t.Fatalf("protobuf (-want +got):\n%s", d)
	}
}

// TestHeadBounds gives every member of the head the values about the end of its
// place, alone and all at once.
func TestHeadBounds(t *testing.T) {
	observed := time.Unix(1_700_000_000, 0)
	set := []func(e *event.LogEvent, add int){
		func(e *event.LogEvent, add int) { e.Sequence = uint64(offsetEnd + add) },
		func(e *event.LogEvent, add int) { e.Severity = event.Severity(severityEnd + add) },
		func(e *event.LogEvent, add int) { e.Flags = event.Flags(flagsEnd + add) },
		func(e *event.LogEvent, add int) { e.PID = uint32(pidEnd + add) },
		func(e *event.LogEvent, add int) { e.Message = strings.Repeat("m", messageEnd+add) },
	}
	var events []*event.LogEvent
	for add := -1; add <= 1; add++ {
		all := &event.LogEvent{Host: "h", Fields: []event.Field{{Key: "k", Value: "v"}}}
		for _, f := range set {
			one := &event.LogEvent{Message: "m", Process: "p"}
			f(one, add)
			f(all, add)
			events = append(events, one)
		}
		events = append(events, all)
	}
	last := &event.LogEvent{
		Sequence: math.MaxUint32, Severity: math.MaxUint8, Flags: math.MaxUint32, PID: math.MaxUint32, Message: strings.Repeat("m", event.MaxRecord),
	}
	events = append(events, last, &event.LogEvent{})
	written(t, new(LogEncoder), observed, nil, events, events)
}

// TestValuesOfEveryLength: fields whose values lie inside the record, up to its
// very end, or elsewhere, with names of one and of two bytes.
func TestValuesOfEveryLength(t *testing.T) {
	line := []byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 8))
	var e event.LogEvent
	for n := range shortValue + 10 {
		e.Fields = append(e.Fields,
			event.Field{Key: fmt.Sprintf("begin-%d", n), Value: alias(line[:n])},
			event.Field{Key: fmt.Sprintf("end-%d", n), Value: alias(line[len(line)-n:])},
			event.Field{Key: fmt.Sprintf("own-%d", n), Value: strings.Repeat("o", n)},
			event.Field{Key: fmt.Sprintf("utf8-%d", n), Value: strings.Repeat("o", n) + "é"},
			event.Field{Key: strings.Repeat("long", 70), Value: alias(line[:n])},
		)
	}
	e.Message = alias(line)
	events := []*event.LogEvent{&e, &e}
	written(t, new(LogEncoder), time.Unix(1, 0), line, events, events)
	// Bytes that are no UTF-8 become the replacement character wherever they are.
	var bad, good event.LogEvent
	for n := range shortValue + 10 {
		filler := strings.Repeat("f", n)
		bad.Fields = append(bad.Fields, event.Field{Key: "k", Value: filler + "\xff"}, event.Field{Key: "k", Value: "\xff" + filler})
		good.Fields = append(good.Fields, event.Field{Key: "k", Value: filler + "�"}, event.Field{Key: "k", Value: "�" + filler})
	}
	written(t, new(LogEncoder), time.Unix(1, 0), line, []*event.LogEvent{&bad}, []*event.LogEvent{&good})
}

// TestNamesThatLookAlike: the same ends and the same length, and texts that a
// parser writes over one another in memory of its own.
func TestNamesThatLookAlike(t *testing.T) {
	var texts []string
	for _, middle := range []string{"", "a", "b", "ab", "ba", "aaaa", "aaab", "aaaaaaaaa", "aaaabaaaa"} {
		texts = append(texts, middle, "x"+middle, "12345678"+middle+"12345678")
	}
	scratch := make([]byte, 64)
	var encoder LogEncoder
	for range 3 {
		encoder.Begin(time.Time{})
		var payload []byte
		var want []*event.LogEvent
		for _, text := range slices.Concat(texts, texts) {
			own := alias(scratch[:copy(scratch, text)])
			payload = encoder.Append(payload, &event.LogEvent{Host: own, Fields: []event.Field{{Key: own, Value: own}}}, 0, nil)
			want = append(want, &event.LogEvent{Host: text, Fields: []event.Field{{Key: text, Value: text}}})
		}
		if d := cmp.Diff(want, decodeBatch(t, payload, 0, time.Time{}, new(Names)), compareEvents); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	}
}

// TestDecodeLogForgets decodes into an event that holds everything.
func TestDecodeLogForgets(t *testing.T) {
	var encoder LogEncoder
	encoder.Begin(time.Time{})
	for name, body := range map[string][]byte{
		"nothing": {}, "usual": encoder.Append(nil, &event.LogEvent{}, 0, nil)[recordHead:], "general": AppendLog(nil, &event.LogEvent{PID: 1}, 0)[4:],
	} {
		g := generator{rand.New(rand.NewPCG(1, 1))}
		var names Names
		names.Reset()
		e := g.log(0)
		e.Raw, e.Reason, e.Fields = []byte("raw"), "reason", []event.Field{{Key: "k", Value: "v"}}
		e.ObservedTime = time.Unix(3, 0)
		if err := names.DecodeLog(body, 9, e); err != nil {
			t.Fatal(err)
		}
		want := &event.LogEvent{Sequence: 9, ObservedTime: time.Unix(3, 0)}
		if name == "general" {
			want.PID = 1
		}
		if d := cmp.Diff(want, e, compareEvents); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// FuzzDecodeNamedLog: the way for the usual form and the general one read the
// same in any bytes, and refuse the same.
func FuzzDecodeNamedLog(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(5, 1))}
	for range 12 {
		var encoder LogEncoder
		encoder.Begin(time.Unix(1, 0))
		e := g.log(0)
		first := encoder.Append(nil, e, 0, nil)
		if record := encoder.Append(nil, e, 0, nil); len(record) < 2048 && len(first) > len(record) {
			f.Add(record[recordHead:])
		}
	}
	var names Names
	names.Reset()
	for i := range 200 {
		names.Add(fmt.Appendf(nil, "name-%d", i))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		body = slices.Clip(body)
		var got event.LogEvent
		gotErr := names.DecodeLog(body, 7, &got)
		want := event.LogEvent{Sequence: 7}
		wantErr := names.decodeRest(body, 7, &want)
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("error %v, in the general way %v", gotErr, wantErr)
		}
		if wantErr != nil {
			return
		}
		same := slices.Equal(got.Fields, want.Fields) && bytes.Equal(got.Raw, want.Raw)
		got.Fields, got.Raw = want.Fields, want.Raw
		if !same || !reflect.DeepEqual(want, got) {
			t.Fatalf("got %+v\nin the general way %+v", got, want)
		}
	})
}

// FuzzLogEncoder makes an event of the bytes and spans of them, and has standard
// protobuf read it.
func FuzzLogEncoder(f *testing.F) {
	f.Add([]byte("Jan  2 15:04:05 host sshd[7]: Failed password for root from 192.0.2.1"), []byte{30, 15, 46, 4, 56, 9}, uint64(3), true)
	f.Add([]byte("\xff\x00é"), []byte{0, 1, 1, 1, 2, 9}, uint64(math.MaxUint64), false)
	f.Fuzz(func(t *testing.T, line, spans []byte, number uint64, inside bool) {
		text := line
		if !isASCII(line) {
			text = nil // the contract of Append
		}
		cut := func() string {
			if len(spans) < 2 {
				return ""
			}
			from := min(int(spans[0]), len(line))
			to := min(from+int(spans[1]), len(line))
			spans = spans[2:]
			if inside {
				return alias(line[from:to])
			}
			return string(line[from:to])
		}
		e := &event.LogEvent{
			Sequence: number & math.MaxUint32, Time: time.Unix(0, int64(number)), Severity: event.Severity(number >> 8), Flags: event.Flags(number >> 16),
			PID: uint32(number >> 24), Host: cut(), Process: cut(), Message: cut(), Reason: cut(),
		}
		for len(spans) >= 4 {
			e.Fields = append(e.Fields, event.Field{Key: cut(), Value: cut()})
		}
		var encoder LogEncoder
		var payload []byte
		encoder.Begin(time.Unix(5, 0))
		want := &pb.Batch{Kind: pb.Kind_KIND_LOG, Count: 2, ObservedTime: 5e9}
		for range 2 {
			payload = encoder.Append(payload, e, 0, text)
			m := pbLog(e, 0)
			m.ObservedTime = 5e9
			m.Host, m.Process, m.Message, m.Reason = Valid(m.Host), Valid(m.Process), Valid(m.Message), Valid(m.Reason)
			m.Time = uint64(Nanos(e.Time))
			for _, f := range m.Fields {
				f.Key, f.Value = Valid(f.Key), Valid(f.Value)
			}
			want.Logs = append(want.Logs, m)
		}
		got := &pb.Batch{Kind: pb.Kind_KIND_LOG, ObservedTime: 5e9, Payload: payload}
		if err := got.Unpack(); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(want, got) {
			t.Fatalf("(-want +got):\n%s", cmp.Diff(want, got, protocmp.Transform()))
		}
	})
}

func isASCII(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}
