package record

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// decodeBatch reads a payload as a detector does.
func decodeBatch(t *testing.T, payload []byte, base uint64, observed time.Time, names *Names) []*event.LogEvent {
	t.Helper()
	var out []*event.LogEvent
	names.Reset()
	err := pb.NamedRecords(pb.Kind_KIND_LOG, payload, names.Add, func(body []byte) bool {
		e := &event.LogEvent{ObservedTime: observed}
		if err := names.DecodeLog(body, base, e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLogEncoder writes batches, one after another, and reads each twice: by
// standard protobuf and by the direct decoder.
func TestLogEncoder(t *testing.T) {
	observed := time.Unix(1_700_000_000, 5).UTC()
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3 // nothing here is shared, for the race detector to see
	}
	for seed := range seeds {
		g := generator{rand.New(rand.NewPCG(seed, 7))}
		var encoder LogEncoder
		var names Names
		base := pick[uint64](g, 0, 1, 1<<40)
		for range 4 {
			encoder.Begin(observed)
			var payload []byte
			var want []*event.LogEvent
			wantPB := &pb.Batch{Kind: pb.Kind_KIND_LOG, ObservedTime: uint64(observed.UnixNano()), FirstSequence: base}
			for range 1 + g.IntN(20) {
				e := g.log(base)
				if g.IntN(2) == 0 || e.ObservedTime.IsZero() {
					e.ObservedTime = observed
				}
				payload = encoder.Append(payload, e.Clone(), base, nil)
				want = append(want, e)
				wantPB.Logs = append(wantPB.Logs, pbLog(e, base))
			}
			wantPB.Count = uint32(len(want))
			if d := cmp.Diff(want, decodeBatch(t, payload, base, observed, &names), compareEvents); d != "" {
				t.Fatalf("seed %d, direct (-want +got):\n%s", seed, d)
			}
			f := pb.NewFrame(pb.Header{
				Kind: pb.Kind_KIND_LOG, Count: wantPB.Count, FirstSequence: base, ObservedTime: observed.UnixNano(),
			}, &payload, nil)
			got, err := f.Batch()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(wantPB, got, protocmp.Transform()); d != "" {
				t.Fatalf("seed %d, protobuf (-want +got):\n%s", seed, d)
			}
		}
	}
}

func TestLogEncoderReplacesInvalidUTF8(t *testing.T) {
	const bad, good = "a\xff\xfeb\xc3", "a�b�"
	line := []byte("host1 sshd: all of it is ASCII")
	e := &event.LogEvent{
		Host: bad, Process: bad, Message: bad, Reason: bad,
		Fields: []event.Field{{Key: bad, Value: bad}, {Key: "inside", Value: alias(line[6:10])}, {Key: "end", Value: alias(line[len(line):])}},
	}
	var encoder LogEncoder
	encoder.Begin(time.Time{})
	payload := encoder.Append(nil, e, 0, line)
	want := []*event.LogEvent{{
		Host: good, Process: good, Message: good, Reason: good,
		Fields: []event.Field{{Key: good, Value: good}, {Key: "inside", Value: "sshd"}, {Key: "end"}},
	}}
	if d := cmp.Diff(want, decodeBatch(t, payload, 0, time.Time{}, new(Names)), compareEvents); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLogEncoderBounds gives more names than a batch may have, and longer ones.
func TestLogEncoderBounds(t *testing.T) {
	var encoder LogEncoder
	var names Names
	for round := range 3 {
		encoder.Begin(time.Time{})
		var payload []byte
		var want []*event.LogEvent
		for i := range pb.MaxNames/4 + 100 {
			e := &event.LogEvent{Host: strings.Repeat("h", pb.MaxNameBytes+1)}
			for j := range 5 {
				e.Fields = append(e.Fields, event.Field{Key: fmt.Sprintf("key-%d-%d", i, (round+1)*j), Value: "v"})
			}
			payload = encoder.Append(payload, e.Clone(), 0, nil)
			want = append(want, e)
		}
		count := 0
		if err := pb.NamedRecords(pb.Kind_KIND_LOG, payload, func(text []byte) {
			if count++; len(text) > pb.MaxNameBytes {
				t.Errorf("a name of %d bytes", len(text))
			}
		}, func([]byte) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if count > pb.MaxNames {
			t.Errorf("round %d: %d names, at most %d are allowed", round, count, pb.MaxNames)
		}
		same := func(a, b *event.LogEvent) bool { return a.Host == b.Host && slices.Equal(a.Fields, b.Fields) }
		if !slices.EqualFunc(want, decodeBatch(t, payload, 0, time.Time{}, &names), same) {
			t.Fatalf("round %d: the events differ", round)
		}
	}
}

func TestLogEncoderCut(t *testing.T) {
	var encoder LogEncoder
	encoder.Begin(time.Time{})
	first := &event.LogEvent{Host: "one", Message: "m"}
	payload := encoder.Append(nil, first, 0, nil)
	start := len(payload)
	payload = encoder.Append(payload, &event.LogEvent{Host: "two", Process: "p", Message: strings.Repeat("x", 20_000)}, 0, nil)
	payload = encoder.Cut(payload, start)
	second := &event.LogEvent{Host: "two", Process: "one", Message: "short"}
	payload = encoder.Append(payload, second, 0, nil)
	if d := cmp.Diff([]*event.LogEvent{first, second}, decodeBatch(t, payload, 0, time.Time{}, new(Names)), compareEvents); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNameThatIsNotThereIsMalformed(t *testing.T) {
	var names Names
	names.Reset()
	names.Add([]byte("one"))
	for _, body := range [][]byte{
		{14<<3 | wireVarint, 2}, {15<<3 | wireVarint, 0xff, 0xff, 0xff, 0xff, 0x0f}, {10<<3 | wireBytes, 2, 3<<3 | wireVarint, 2},
	} {
		if err := names.DecodeLog(body, 0, new(event.LogEvent)); err == nil {
			t.Errorf("% x: no error", body)
		}
	}
	// A reference of 0 says nothing, as every 0 of protobuf.
	e := new(event.LogEvent)
	body := []byte{14<<3 | wireVarint, 1, 14<<3 | wireVarint, 0, 10<<3 | wireBytes, 5, 2<<3 | wireBytes, 1, 'v', 3<<3 | wireVarint, 0}
	if err := names.DecodeLog(body, 0, e); err != nil || e.Host != "one" || e.Fields[0] != (event.Field{Value: "v"}) {
		t.Errorf("got %+v, %v", e, err)
	}
}
