package bus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/ironpost/ironpost/host/internal/bus"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestAheadHoldsBack: a producer waits while a working consumer has four times
// its credits before it, and goes on when one frame is sent or the consumer is
// gone.
func TestAheadHoldsBack(t *testing.T) {
	for _, tc := range []struct {
		name string
		free func(q *bus.Queue, working *atomic.Bool) error
	}{
		{"sent", func(q *bus.Queue, _ *atomic.Bool) error {
			f, err := q.Next(context.Background())
			if err == nil {
				f.Free()
				err = q.Accepted(1)
			}
			return err
		}},
		{"gone", func(q *bus.Queue, working *atomic.Bool) error {
			working.Store(false)
			q.Rewind()
			return nil
		}},
		{"closed", func(q *bus.Queue, _ *atomic.Bool) error {
			q.Close()
			return nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := bus.NewQueue(bus.QueueConfig{Name: "c", MaxBytes: 1 << 20, MaxFrames: 100, Credits: 2})
				defer q.Close()
				var working atomic.Bool
				working.Store(true)
				n := 0
				for ; n <= 2; n++ {
					if err := q.Ahead(t.Context(), working.Load); err != nil {
						t.Fatal(err)
					}
					f := pb.NewFrame(pb.Header{Stream: 1, FirstSequence: uint64(n) + 1, Count: 1}, &[]byte{1}, nil)
					if err := q.Push(t.Context(), f, uint64(n)+2, nil, false); err != nil {
						t.Fatal(err)
					}
				}
				done := make(chan error, 1)
				go func() { done <- q.Ahead(t.Context(), working.Load) }()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("%d frames wait for 2 credits, and the producer goes on: %v", n, err)
				default:
				}
				if err := tc.free(q, &working); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
