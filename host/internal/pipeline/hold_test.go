package pipeline

import (
	"context"
	"testing"
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
