package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var topic Topic
		small := func() *Queue { return NewQueue(QueueConfig{Name: "q", MaxBytes: 100, MaxFrames: 1, Credits: 1}) }
		patient, hasty := small(), small()
		wait := true
		var lost, never uint64
		topic.Subscribe(patient, func() bool { return wait }, func(n uint64) { never += n })
		topic.Subscribe(hasty, func() bool { return false }, func(n uint64) { lost += n })
		publish := func(ctx context.Context, first uint64) error {
			f, next := batch(1, first, 3)
			return topic.Publish(ctx, f, next, nil)
		}
		if err := publish(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		// Both are full. The patient one holds the producer up.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := publish(ctx, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		done := make(chan error)
		go func() { done <- publish(t.Context(), 4) }()
		synctest.Wait()
		sendable(patient)
		if err := patient.Durable(1, ignore); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if lost != 3 || never != 0 {
			t.Errorf("lost %d and %d records, want 3 and 0", lost, never)
		}
		// A change of mind frees the producer.
		go func() { done <- publish(t.Context(), 7) }()
		synctest.Wait()
		wait = false
		patient.Nudge()
		if err := <-done; err != nil || never != 3 {
			t.Errorf("got %v, lost %d; want nil, 3", err, never)
		}
		// A queue that is closed, or has left, is passed over.
		patient.Close()
		topic.Unsubscribe(hasty)
		if err := publish(t.Context(), 10); err != nil || lost != 6 {
			t.Errorf("got %v, lost %d; want nil, 6", err, lost)
		}
		hasty.Close()
	})
}

func TestTap(t *testing.T) {
	var topic Topic
	tap, remove := topic.Tap()
	for i := range uint64(tapFrames + 5) {
		f, next := batch(1, 1+2*i, 2)
		if err := topic.Publish(t.Context(), f, next, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := tap.Dropped(); got != 10 {
		t.Errorf("Dropped() = %d, want 10", got)
	}
	f := <-tap.Frames()
	if f.FirstSequence != 1 || f.Size() != 20 {
		t.Errorf("got sequence %d, %d bytes", f.FirstSequence, f.Size())
	}
	f.Free()
	remove()
	remove()
	if len(tap.Frames()) != 0 {
		t.Error("frames are left after the removal")
	}
	g, next := batch(1, 999, 1)
	if err := topic.Publish(t.Context(), g, next, nil); err != nil || len(tap.Frames()) != 0 {
		t.Errorf("after the removal: %v, %d frames", err, len(tap.Frames()))
	}
}

// TestTapFreesAll: whatever is offered while a tap ends is freed.
func TestTapFreesAll(t *testing.T) {
	pool := new(countingPool)
	topic := new(Topic)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				records := pool.Get(2048)
				if err := topic.Publish(context.Background(), pb.NewFrame(pb.Header{Kind: pb.Kind_KIND_LOG, Count: 1}, records, pool), 2, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20_000 {
		_, remove := topic.Tap()
		remove()
	}
	close(stop)
	running.Wait()
	if n := pool.out.Load(); n != 0 {
		t.Errorf("%d frames were never freed", n)
	}
}

// countingPool counts the buffers that are out.
type countingPool struct{ out atomic.Int64 }

func (p *countingPool) Get(n int) *[]byte {
	p.out.Add(1)
	b := make([]byte, n)
	return &b
}

func (p *countingPool) Put(*[]byte) { p.out.Add(-1) }
