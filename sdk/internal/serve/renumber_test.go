package serve

import (
	"context"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// TestRenumber emits two records, and one behind a gap: it gets a number that was
// never used, and those before it keep theirs.
func TestRenumber(t *testing.T) {
	source := func(ctx context.Context, e *Emitter) error {
		s := mustOpen(t, e, "s")
		for _, step := range []func() error{
			func() error { return s.Emit(ctx, []byte("a"), []byte("1")) },
			func() error { return s.Emit(ctx, []byte("b"), []byte("2")) },
			func() error { return s.Renumber(ctx) },
			func() error { return s.Emit(ctx, []byte("c"), []byte("3")) },
			func() error { return s.Renumber(ctx) },
			func() error { return s.Emit(ctx, []byte("d"), []byte("4")) },
		} {
			if err := step(); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	emit(t, &pb.LinkControl{Credits: 8}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		now := uint64(time.Now().UnixMicro())
		<-time.After(time.Second)
		var last uint64
		numbers := map[string]uint64{}
		for _, f := range h.all() {
			if f.FirstSequence <= last {
				t.Errorf("a batch begins at %d, behind %d", f.FirstSequence, last)
			}
			for i, l := range lines(f) {
				last = f.FirstSequence + uint64(i)
				numbers[l] = last
			}
		}
		if numbers["a"] != 1 || numbers["b"] != 2 || numbers["c"] < now || numbers["d"] <= numbers["c"] {
			t.Errorf("got %v, want 1, 2, and two that begin at the clock (%d)", numbers, now)
		}
	})
}
