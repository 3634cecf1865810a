package pipeline

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestHoldEndsSendingUntilTheNextProcess(t *testing.T) {
	var m Member
	ctx, cancel := context.WithCancel(t.Context())
	first, stop := m.sending.begin(ctx)
	defer stop()
	if first.Err() != nil {
		t.Error("sending is held at the start")
	}
	m.Hold()
	if first.Err() == nil || ctx.Err() != nil {
		t.Error("Hold does not end the sending alone")
	}
	if late, stop := m.sending.begin(ctx); late.Err() == nil {
		t.Error("a link that begins after Hold sends")
	} else {
		stop()
	}
	m.sending.reset()
	next, stop := m.sending.begin(ctx)
	defer stop()
	if next.Err() != nil {
		t.Error("the next process is not sent anything")
	}
	cancel()
	if next.Err() == nil {
		t.Error("sending outlives its context")
	}
}

// TestSettleWaitsForWhatWasSent: a plugin may say that it is drained while a batch
// is still on its way to it, or its acknowledgement on the way back.
func TestSettleWaitsForWhatWasSent(t *testing.T) {
	for name, end := range map[string]func(k *peer, number uint64){
		"durable":          func(k *peer, number uint64) { k.done("sink", number) },
		"the link is gone": func(k *peer, _ uint64) { k.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), nil)
			m := w.add(sink(pb.Kind_KIND_LOG))
			s, k := start(t, w.add(source())), start(t, m)
			if err := m.Settle(t.Context()); err != nil {
				t.Errorf("nothing was sent: %v", err)
			}
			s.emit(1, []string{"x"}, nil)
			number := k.next("sink").Number
			m.Hold()
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if err := m.Settle(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("a batch is in flight: %v", err)
			}
			settled := make(chan error, 1)
			go func() { settled <- m.Settle(t.Context()) }()
			end(k, number)
			if err := <-settled; err != nil {
				t.Error(err)
			}
		})
	}
}
