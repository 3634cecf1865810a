package sdk

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// sharing is a plugin whose calls a host answers with answer.
func sharing(tb testing.TB, answer func(*pb.SharedRequest) *pb.HostReply) Shared {
	tb.Helper()
	var env Env
	base := pb.NewPluginClient(connect(tb, Plugin{Setup: func(_ context.Context, e Env) error { env = e; return nil }}))
	if _, err := base.Configure(tb.Context(), &pb.ConfigureRequest{}); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := base.HostServices(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := stream.Recv()
			if err != nil {
				return
			}
			r := answer(c.GetShared())
			r.Id = c.Id
			if stream.Send(r) != nil {
				return
			}
		}
	}()
	tb.Cleanup(func() { cancel(); <-done })
	return env.Shared
}

func TestShared(t *testing.T) {
	var asked []*pb.SharedOperation
	s := sharing(t, func(req *pb.SharedRequest) *pb.HostReply {
		r := new(pb.HostReply)
		for _, op := range req.Operations {
			asked = append(asked, op)
			r.Shared = append(r.Shared, &pb.SharedResult{Count: uint64(len(asked)), Done: len(asked)%2 == 0, Local: true, Limited: len(asked) == 2})
		}
		if string(req.Operations[0].Key) == "refused" {
			return &pb.HostReply{Error: "not granted"}
		}
		return r
	})
	alert := &event.AlertEvent{ID: "a", RuleID: "r", Detector: "a lie", Provenance: event.ProvenanceContainer}
	ops := make([]SharedOperation, MaxSharedOperations+1)
	for i := range ops {
		ops[i] = SharedOperation{Key: "k", Span: time.Minute, Window: &WindowAdd{
			Time: time.Unix(9, 7), ID: []byte("x"), Threshold: 5, Alert: alert, Limit: &AlertLimit{Key: "l", Span: time.Hour, Count: 3},
		}}
	}
	results, err := s.Apply(t.Context(), ops...)
	if err != nil {
		t.Fatal(err)
	}
	if last := results[MaxSharedOperations]; len(results) != len(ops) || last != (SharedResult{Count: uint64(len(ops)), Local: true}) {
		t.Errorf("got %d results, the last %+v", len(results), last)
	}
	if want := (SharedResult{Count: 2, Done: true, Local: true, Limited: true}); results[1] != want {
		t.Errorf("got %+v, want %+v", results[1], want)
	}
	var a pb.AlertEvent
	w := asked[0].GetWindow()
	if err := proto.Unmarshal(w.GetAlert(), &a); err != nil {
		t.Fatal(err)
	}
	if w.Time != 9e9+7 || w.Threshold != 5 || asked[0].Span != uint64(time.Minute) {
		t.Errorf("asked for %v", asked[0])
	}
	if l := w.GetLimit(); string(l.GetKey()) != "l" || l.GetSpan() != uint64(time.Hour) || l.GetCount() != 3 {
		t.Errorf("limited by %v", l)
	}
	if a.Id != "a" || a.Detector != "test-plugin" || a.Provenance != pb.Provenance_PROVENANCE_CONTAINER || a.ObservedTime == 0 || a.Count != 1 {
		t.Errorf("pledged %v", &a)
	}
	if alert.Detector != "a lie" {
		t.Error("the caller's alert was changed")
	}
	if _, err := s.Apply(t.Context(), SharedOperation{Key: "refused", Span: time.Minute, Counter: &CounterAdd{}}); err == nil {
		t.Error("a refused call went well")
	}
	n := len(asked)
	for _, l := range []AlertLimit{{Span: time.Hour, Count: 1}, {Key: "l", Count: 1}, {Key: "l", Span: time.Hour}, {Key: strings.Repeat("l", MaxSharedKey+1), Span: time.Hour, Count: 1}} {
		op := ops[0]
		w := *op.Window
		w.Limit, op.Window = &l, &w
		if _, err := s.Apply(t.Context(), op); err == nil || len(asked) != n {
			t.Errorf("limit %+v was taken", l)
		}
	}
	if _, err := s.Apply(t.Context(), SharedOperation{Key: "k", Span: time.Minute}); err == nil || len(asked) != n {
		t.Errorf("an operation that is none: %v, asked %d times", err, len(asked)-n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, SharedOperation{Key: "k", Span: time.Minute, Counter: &CounterAdd{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// BenchmarkShared is a round trip from a detector to the host and back, with the events of a
// batch, through the SDK and gRPC.
func BenchmarkShared(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			results := make([]*pb.SharedResult, n)
			for i := range results {
				results[i] = &pb.SharedResult{Count: 1}
			}
			s := sharing(b, func(*pb.SharedRequest) *pb.HostReply { return &pb.HostReply{Shared: results} })
			ops := make([]SharedOperation, n)
			for i := range ops {
				ops[i] = SharedOperation{Key: "rule 192.0.2.1", Span: time.Minute, Window: &WindowAdd{
					Time: time.Now(), ID: []byte("0123456789abcdef"), Threshold: 5, Alert: &event.AlertEvent{ID: "a", RuleID: "r", Title: "Failed logins"},
				}}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply(b.Context(), ops...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
