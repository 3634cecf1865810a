package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestAnAnsweredQueueWantsAnswersFirst(t *testing.T) {
	q := NewQueue(QueueConfig{Name: "q", MaxBytes: 1 << 20, MaxFrames: 10, Credits: 10, Answered: true})
	push(t, q, 1, 1, 2, nil)
	push(t, q, 1, 3, 2, nil)
	sendable(q)
	if err := q.Durable(1, ignore); !errors.Is(err, ErrProtocol) {
		t.Errorf("durable without an answer: %v", err)
	}
	if _, err := q.Answers(1, 2); err != nil {
		t.Fatal(err)
	}
	if from, ok := q.Unanswered(1); !ok || from != 2 {
		t.Errorf("unanswered from %d, %v; want 2", from, ok)
	}
	if err := q.Durable(1, ignore); !errors.Is(err, ErrProtocol) {
		t.Errorf("durable with half an answer: %v", err)
	}
	if _, err := q.Answers(1, 3); err != nil {
		t.Fatal(err)
	}
	if err := q.Durable(2, ignore); !errors.Is(err, ErrProtocol) {
		t.Errorf("durable beyond the answers: %v", err)
	}
	if err := q.Durable(1, ignore); err != nil {
		t.Errorf("durable with its answer: %v", err)
	}
	if _, ok := q.Unanswered(3); ok {
		t.Error("a batch that was not sent is in flight")
	}
}

func TestRetireLeavesTheBacklogToEvict(t *testing.T) {
	q := newQueue(1)
	push(t, q, 1, 1, 2, nil)
	q.Retire()
	f, next := batch(1, 3, 1)
	if err := q.Push(t.Context(), f, next, nil, true); !errors.Is(err, ErrClosed) {
		t.Errorf("Push: %v, want it closed", err)
	}
	held := 0
	q.Evict(func(f *pb.Frame, _, _ uint64, _ *Entry) { held += int(f.Count); f.Free() })
	if held != 2 {
		t.Errorf("%d records evicted, want 2", held)
	}
	q.Close()
}

func TestPublishAfterTheEndReachesNobody(t *testing.T) {
	var topic Topic
	q := newQueue(1)
	topic.Subscribe(q, func() bool { return true }, func(uint64) {})
	topic.Subscribe(q, func() bool { return true }, func(uint64) {}) // changes nothing
	f, next := batch(1, 1, 1)
	if err := topic.Publish(t.Context(), f, next, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, next = batch(1, 2, 1)
	if err := topic.Publish(ctx, f, next, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if frames, _ := q.Depth(); frames != 1 {
		t.Errorf("%d frames held, want 1", frames)
	}
	q.Close()
}

func TestSourcesStayBounded(t *testing.T) {
	s := NewSources(func(Checkpoint) {})
	open := s.Add(1, "open", 1, 2, []byte{1})
	for i := range uint64(1000) { // empty batches behind one that is owed
		s.Add(1, "open", 2+i, 2, []byte{byte(i)}).Release()
	}
	if n := len(s.streams[1].entries); n > 2 {
		t.Errorf("%d entries held, want the open one and one behind it", n)
	}
	for i := range uint64(3 * maxStreams) {
		s.Add(2+i, fmt.Sprint(i), 2000+i, 2, nil).Release()
	}
	if n := len(s.streams); n > maxStreams {
		t.Errorf("%d streams held, want at most %d", n, maxStreams)
	}
	if _, _, ok := s.Resume(1); !ok {
		t.Error("the stream that owes something is forgotten")
	}
	if d := s.Durable(1 << 20); d != 0 {
		t.Errorf("durable up to %d, want nothing", d)
	}
	var last Checkpoint
	s.advance = func(c Checkpoint) { last = c }
	open.Release()
	if want := byte(999 % 256); len(last.Checkpoint) != 1 || last.Checkpoint[0] != want {
		t.Errorf("the checkpoint is %v, want that of the last empty batch, %d", last.Checkpoint, want)
	}
}

func TestOwedIsWhatWasSentAndIsNotDurable(t *testing.T) {
	q := NewQueue(QueueConfig{MaxBytes: 1 << 20, MaxFrames: 8, Credits: 2})
	defer q.Close()
	payload := []byte{0x82, 0x01, 0}
	f := pb.NewFrame(pb.Header{Stream: 1, FirstSequence: 1, Kind: pb.Kind_KIND_RAW, Count: 1}, &payload, nil)
	if err := q.Push(t.Context(), f, 2, nil, true); err != nil {
		t.Fatal(err)
	}
	if q.Owed() {
		t.Error("a frame that was not sent is owed")
	}
	sent, err := q.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent.Free()
	if !q.Owed() {
		t.Error("a frame that was sent is not owed")
	}
	if err := q.Durable(1, func([]Position) {}); err != nil {
		t.Fatal(err)
	}
	if q.Owed() {
		t.Error("a durable frame is owed")
	}
}
