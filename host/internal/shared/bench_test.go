package shared

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// BenchmarkApply is a call of a detector with the events of a batch, without an engine and
// with one that answers at once, kept on disk as a host keeps it.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		for _, engine := range []bool{false, true} {
			name := fmt.Sprintf("alone/%d", n)
			if engine {
				name = fmt.Sprintf("together/%d", n)
			}
			b.Run(name, func(b *testing.B) {
				store, err := state.Open(b.TempDir(), 1<<30)
				if err != nil {
					b.Fatal(err)
				}
				f := New(Config{})
				if err := f.Keep(store); err != nil {
					b.Fatal(err)
				}
				if engine {
					f.Use("state", NewLocal(Limits{}))
					f.merge(b.Context())
				}
				alert, err := proto.Marshal(&pb.AlertEvent{Id: "alert", Title: "Failed logins", Description: string(make([]byte, 1024))})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				var committing sync.WaitGroup
				committing.Go(func() { store.Run(ctx, 100*time.Millisecond, func(err error) { b.Error(err) }) })
				at := 0
				b.ReportAllocs()
				for b.Loop() {
					req := &pb.SharedRequest{Operations: make([]*pb.SharedOperation, n)}
					for i := range req.Operations {
						at++
						op := &pb.WindowAdd{Time: uint64(at) * uint64(time.Millisecond), Id: []byte(number(at)), Threshold: 5, Alert: alert}
						req.Operations[i] = &pb.SharedOperation{
							Key: []byte(fmt.Sprint("rule ", at%1000)), Span: uint64(minute), Operation: &pb.SharedOperation_Window{Window: op},
						}
					}
					if _, err := f.Apply(b.Context(), "rules", req); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(at), "ns/event")
				cancel()
				committing.Wait()
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
