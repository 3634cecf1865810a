package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// batch makes a frame of count records from sequence first, and returns the
// sequence behind them. Like those of the journal they can come again after a
// restart of the host.
func batch(stream, first uint64, count int) (*pb.Frame, uint64) {
	payload := make([]byte, 10*count)
	return pb.NewFrame(pb.Header{Stream: stream, FirstSequence: first, Kind: pb.Kind_KIND_ALERT, Count: uint32(count)}, &payload, nil), first + uint64(count)
}

func newQueue(credits int) *Queue {
	return NewQueue(QueueConfig{Name: "q", MaxBytes: 1 << 20, MaxFrames: 1000, Credits: credits})
}

func push(t *testing.T, q *Queue, stream, first uint64, count int, e *Entry) {
	t.Helper()
	f, next := batch(stream, first, count)
	if err := q.Push(t.Context(), f, next, e, false); err != nil {
		t.Fatalf("Push: %v", err)
	}
}

// sendable takes everything that Next gives without waiting.
func sendable(q *Queue) []string {
	var out []string
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		f, err := q.Next(ctx)
		if err != nil {
			return out
		}
		out = append(out, fmt.Sprintf("%d: %x/%d skip %d", f.Number, f.Stream, f.FirstSequence, f.SkipBefore))
		f.Free()
	}
}

func ignore([]Position) {}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestQueueOrderNumbersAndCredits(t *testing.T) {
	q := newQueue(2)
	for i := range uint64(5) {
		push(t, q, 1, 1+10*i, 10, nil)
	}
	want(t, "with two credits", sendable(q), "1: 1/1 skip 0", "2: 1/11 skip 0")
	if got := q.InFlight(); got != 2 {
		t.Errorf("InFlight() = %d, want 2", got)
	}
	if err := q.Accepted(1); err != nil {
		t.Fatal(err)
	}
	want(t, "one credit back", sendable(q), "3: 1/21 skip 0")
	if err := q.Accepted(1); err != nil {
		t.Errorf("said again: %v", err)
	}
	want(t, "said again", sendable(q))
	if err := q.Durable(3, ignore); err != nil {
		t.Fatal(err)
	}
	want(t, "durable gives credit too", sendable(q), "4: 1/31 skip 0", "5: 1/41 skip 0")
	if frames, bytes := q.Depth(); frames != 2 || bytes != 200 {
		t.Errorf("Depth() = %d frames, %d bytes; want 2, 200", frames, bytes)
	}
	if q.Done() != 3 || q.Position(1) != 31 {
		t.Errorf("Done() = %d, Position = %d; want 3, 31", q.Done(), q.Position(1))
	}
}

func TestQueueRewind(t *testing.T) {
	q := newQueue(10)
	for i := range uint64(4) {
		push(t, q, 1, 1+10*i, 10, nil)
	}
	first := sendable(q)
	if err := errors.Join(q.Accepted(3), q.Durable(2, ignore)); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Answers(3, 25); err != nil {
		t.Fatal(err)
	}
	q.Rewind()
	want(t, "after a rewind", sendable(q), "3: 1/21 skip 25", first[3])
	q.Rewind()
	q.Rewind()
	want(t, "and again", sendable(q), "3: 1/21 skip 25", first[3])
}

func TestQueueRefusesWhatBreaksTheProtocol(t *testing.T) {
	setup := func(t *testing.T) *Queue {
		q := newQueue(2)
		for i := range uint64(4) {
			push(t, q, 1, 11+10*i, 10, nil)
		}
		sendable(q) // 1 and 2 are in flight
		return q
	}
	answers := func(number, covered uint64) func(*Queue) error {
		return func(q *Queue) error { _, err := q.Answers(number, covered); return err }
	}
	accepted := func(n uint64) func(*Queue) error { return func(q *Queue) error { return q.Accepted(n) } }
	durable := func(n uint64) func(*Queue) error { return func(q *Queue) error { return q.Durable(n, ignore) } }
	after := func(steps ...func(*Queue) error) func(*Queue) error {
		return func(q *Queue) error {
			for _, s := range steps[:len(steps)-1] {
				if err := s(q); err != nil {
					return fmt.Errorf("a step that must work: %w", err)
				}
			}
			return steps[len(steps)-1](q)
		}
	}
	tests := []struct {
		name string
		do   func(*Queue) error
		want error
	}{
		{"accepts what was sent", accepted(2), nil},
		{"accepts what waits", accepted(3), ErrProtocol},
		{"accepts what does not exist", accepted(5), ErrProtocol},
		{"accepts half of all numbers", accepted(1 << 63), ErrProtocol},
		{"accepts the last number", accepted(math.MaxUint64), ErrProtocol},
		{"durable before accepted", durable(2), nil},
		{"durable what waits", durable(3), ErrProtocol},
		{"durable the last number", durable(math.MaxUint64), ErrProtocol},
		{"durable 1<<63+1", durable(1<<63 + 1), ErrProtocol},
		{"durable nothing", durable(0), nil},
		{"durable said again", after(durable(2), durable(2)), nil},
		{"durable said again, smaller", after(durable(2), durable(1)), nil},
		{"answers what is in flight", answers(1, 0), nil},
		{"answers zero", answers(0, 0), ErrProtocol},
		{"answers what waits", answers(3, 0), ErrProtocol},
		{"answers the last number", answers(math.MaxUint64, 0), ErrProtocol},
		{"answers what is durable", after(durable(1), answers(1, 0)), ErrProtocol},
		{"covers all", answers(1, 21), nil},
		{"covers too much", answers(1, 22), ErrProtocol},
		{"covers nothing", answers(1, 11), ErrProtocol},
		{"covers less than nothing", answers(1, 1), ErrProtocol},
		{"covers in parts", after(answers(1, 15), answers(1, 21)), nil},
		{"covers the same twice", after(answers(1, 15), answers(1, 15)), ErrProtocol},
		{"covers backwards", after(answers(1, 15), answers(1, 14)), ErrProtocol},
		{"accepts after a rewind what was not sent again", after(func(q *Queue) error { q.Rewind(); return nil }, accepted(1)), ErrProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.do(setup(t)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestQueueDurableSaidAgainWhenEmpty(t *testing.T) {
	q := newQueue(4)
	push(t, q, 1, 1, 10, nil)
	sendable(q)
	for range 2 {
		if err := q.Durable(1, ignore); err != nil {
			t.Errorf("Durable(1): %v", err)
		}
	}
	if err := q.Durable(2, ignore); !errors.Is(err, ErrProtocol) {
		t.Errorf("Durable(2) of an empty queue: %v, want ErrProtocol", err)
	}
}

func TestQueueSkipsWhatAnEarlierLifeHad(t *testing.T) {
	q := NewQueue(QueueConfig{Name: "q", MaxBytes: 1 << 20, MaxFrames: 100, Credits: 10, Positions: map[uint64]uint64{1: 25}})
	counted := 0
	sources := NewSources(func(Checkpoint) { counted++ })
	for i := range uint64(4) {
		e := sources.Add(1, "s", i+1, 11+10*i, nil)
		push(t, q, 1, 1+10*i, 10, e)
		e.Release()
	}
	push(t, q, 2, 1, 10, nil)
	want(t, "resumed in the middle of a batch", sendable(q), "1: 1/21 skip 25", "2: 1/31 skip 0", "3: 2/1 skip 0")
	if counted != 2 {
		t.Errorf("%d batches are done that the consumer had whole, want 2", counted)
	}
}

func TestQueueKeepsBeforeItReleases(t *testing.T) {
	var order []string
	sources := NewSources(func(c Checkpoint) { order = append(order, fmt.Sprintf("advance %s to %d", c.Stream, c.Next)) })
	q := newQueue(10)
	for i := range uint64(3) {
		e := sources.Add(1, "s", i+1, 11+10*i, []byte{byte(i)})
		push(t, q, 1, 1+10*i, 10, e)
		e.Release()
	}
	sendable(q)
	if err := q.Durable(2, func(p []Position) { order = append(order, fmt.Sprintf("keep %v", p)) }); err != nil {
		t.Fatal(err)
	}
	want(t, "the order", order, "keep [{1 21}]", "advance s to 11", "advance s to 21")
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueConfig{Name: "q", MaxBytes: 250, MaxFrames: 3, Credits: 10})
		f, next := batch(1, 1, 1000)
		if err := q.Push(t.Context(), f, next, nil, false); err != nil {
			t.Errorf("a frame that is larger than the queue, alone: %v", err)
		}
		f, next = batch(1, 1001, 10)
		if err := q.Push(t.Context(), f, next, nil, false); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want ErrFull", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("patience"))
		defer cancel()
		f, next = batch(1, 1001, 10)
		if err := q.Push(ctx, f, next, nil, true); err == nil || err.Error() != "patience" {
			t.Errorf("got %v, want the cause of the context", err)
		}
		done := make(chan error)
		go func() {
			f, next := batch(1, 1001, 10)
			done <- q.Push(t.Context(), f, next, nil, true)
		}()
		synctest.Wait()
		sendable(q)
		if err := q.Durable(1, ignore); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("a push that waited: %v", err)
		}
		for i := range 2 { // 3 frames at most, 250 bytes at most
			f, next := batch(1, uint64(2000+10*i), 5)
			if err := q.Push(t.Context(), f, next, nil, false); err != nil {
				t.Errorf("frame %d: %v", i+2, err)
			}
		}
		f, next = batch(1, 3000, 1)
		if err := q.Push(t.Context(), f, next, nil, false); !errors.Is(err, ErrFull) {
			t.Errorf("a fourth frame: %v, want ErrFull", err)
		}
	})
}

func TestQueueCloseWakesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(QueueConfig{Name: "q", MaxBytes: 10, MaxFrames: 1, Credits: 1})
		released := 0
		sources := NewSources(func(Checkpoint) { released++ })
		e := sources.Add(1, "s", 1, 2, nil)
		push(t, q, 1, 1, 1, e)
		e.Release()
		sendable(q)
		errs := make(chan error, 4)
		go func() { _, err := q.Next(t.Context()); errs <- err }()
		go func() {
			f, next := batch(1, 2, 1)
			errs <- q.Push(t.Context(), f, next, nil, true)
		}()
		go func() { errs <- q.Idle(t.Context()) }()
		go func() { errs <- q.Room(t.Context(), 1) }()
		synctest.Wait()
		q.Close()
		q.Close()
		closed := 0
		for range 4 {
			switch err := <-errs; {
			case errors.Is(err, ErrClosed):
				closed++
			case err != nil:
				t.Error(err)
			}
		}
		if closed != 2 || released != 1 {
			t.Errorf("%d calls saw ErrClosed and %d entries were released; want 2 and 1", closed, released)
		}
		f, next := batch(1, 2, 1)
		if err := q.Push(t.Context(), f, next, nil, true); !errors.Is(err, ErrClosed) {
			t.Errorf("Push after Close: %v", err)
		}
	})
}

func TestQueueEvict(t *testing.T) {
	q := newQueue(10)
	released := 0
	sources := NewSources(func(Checkpoint) { released++ })
	for i := range uint64(3) {
		e := sources.Add(1, "s", i+1, 11+10*i, nil)
		push(t, q, 1, 1+10*i, 10, e)
		e.Release()
	}
	sendable(q)
	if _, err := q.Answers(1, 5); err != nil {
		t.Fatal(err)
	}
	var got []string
	q.Evict(func(f *pb.Frame, next, skip uint64, e *Entry) {
		got = append(got, fmt.Sprintf("%d to %d skip %d", f.FirstSequence, next, skip))
		f.Free()
		e.Release()
	})
	want(t, "evicted", got, "1 to 11 skip 5", "11 to 21 skip 0", "21 to 31 skip 0")
	if released != 3 {
		t.Errorf("%d advances, want 3", released)
	}
	push(t, q, 1, 31, 10, nil)
	want(t, "afterwards", sendable(q), "4: 1/31 skip 0")
	if err := q.Durable(3, ignore); err != nil {
		t.Errorf("an old number after Evict: %v", err)
	}
}

// TestNextSurvivesAnEarlyDurable: a plugin may call a frame durable as soon as
// its number is out, before the sender has written it.
func TestNextSurvivesAnEarlyDurable(t *testing.T) {
	q := newQueue(4)
	push(t, q, 1, 1, 10, nil)
	f, err := q.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Durable(f.Number, ignore); err != nil {
		t.Fatal(err)
	}
	if f.Size() != 100 {
		t.Errorf("the frame in hand has %d bytes, want 100", f.Size())
	}
	f.Free()
}

func TestSourcesAdvanceInOrder(t *testing.T) {
	var got []string
	s := NewSources(func(c Checkpoint) { got = append(got, fmt.Sprintf("%s %d %s", c.Stream, c.Next, c.Checkpoint)) })
	a1 := s.Add(1, "a", 1, 10, []byte("a1"))
	b1 := s.Add(2, "b", 2, 10, []byte("b1"))
	a2 := s.Add(1, "a", 3, 20, nil)
	a3 := s.Add(1, "a", 4, 30, []byte("a3"))
	if d := s.Durable(4); d != 0 {
		t.Errorf("Durable = %d with nothing done", d)
	}
	a3.Release()
	a2.Release()
	want(t, "the first is not done", got)
	b1.Release()
	if d := s.Durable(4); d != 0 {
		t.Errorf("Durable = %d while batch 1 is open", d)
	}
	a1.retain() // a frame was made from it
	a1.Release()
	want(t, "b is on its own", got, "b 10 b1")
	a1.release()
	want(t, "all at once", got, "b 10 b1", "a 30 a3")
	if d := s.Durable(4); d != 4 {
		t.Errorf("Durable = %d, want 4", d)
	}
	got = nil
	a4 := s.Add(1, "a", 5, 40, nil)
	a4.Release()
	want(t, "a batch without a checkpoint keeps the last", got, "a 40 a3")
	next, cp, ok := s.Resume(1)
	if next != 40 || string(cp) != "a3" || !ok {
		t.Errorf("Resume = %d %s %v", next, cp, ok)
	}
	if _, _, ok := s.Resume(9); ok {
		t.Error("Resume of an unknown stream: ok")
	}
	if n := len(s.Resumes()); n != 2 {
		t.Errorf("Resumes: %d streams, want 2", n)
	}
}

// TestQueueModel runs a queue against a consumer that dies at random, with the
// host restarted in between, and checks that nothing is lost, that order is
// kept, and that what was durable does not come again.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		durable := map[uint64]uint64{} // by stream: next sequence, what the store has
		checkpoints := map[uint64]uint64{1: 1, 2: 1, 3: 1}
		produced := map[uint64]uint64{1: 1, 2: 1, 3: 1}
		var q *Queue
		var sources *Sources
		numbers := uint64(0)
		boot := func() {
			positions := map[uint64]uint64{}
			maps.Copy(positions, durable)
			q = NewQueue(QueueConfig{Name: "q", MaxBytes: 2000, MaxFrames: 10, Credits: 1 + r.IntN(4), Positions: positions})
			sources = NewSources(func(c Checkpoint) {
				stream := uint64(c.Stream[0] - '0')
				if c.Next < checkpoints[stream] || c.Next > durable[stream] {
					t.Fatalf("seed %d: the checkpoint of stream %d goes from %d to %d, durable is %d", seed, stream, checkpoints[stream], c.Next, durable[stream])
				}
				checkpoints[stream] = c.Next
			})
			numbers = 0
			maps.Copy(produced, checkpoints) // sources resume
		}
		boot()
		seen := map[uint64]uint64{}      // by stream: next sequence that the consumer has, in memory
		var flight []*pb.Frame           // sent, not durable
		lastFrame := map[uint64]string{} // by number: identity, since the boot
		restart := func() {
			for _, f := range flight {
				f.Free()
			}
			flight = nil
			clear(seen)
			maps.Copy(seen, durable)
		}
		for range 400 {
			switch r.IntN(12) {
			case 0, 1, 2, 3: // produce
				s := uint64(1 + r.IntN(3))
				n := 1 + r.IntN(20)
				f, next := batch(s, produced[s], n)
				numbers++
				e := sources.Add(s, fmt.Sprint(s), numbers, next, []byte("c"))
				err := q.Push(t.Context(), f, next, e, false)
				if errors.Is(err, ErrFull) {
					// The source would wait; here it makes the batch again later.
					// The entry stays open, so nothing advances past it.
					boot()
					restart()
					clear(lastFrame)
					continue
				}
				produced[s] = next
				e.Release()
			case 4, 5, 6, 7: // consume
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				f, err := q.Next(ctx)
				if err != nil {
					continue
				}
				id := fmt.Sprintf("%d/%d+%d", f.Stream, f.FirstSequence, f.Count)
				if old := lastFrame[f.Number]; old != "" && old != id {
					t.Fatalf("seed %d: number %d was %s and is %s", seed, f.Number, old, id)
				}
				lastFrame[f.Number] = id
				from := max(f.FirstSequence, f.SkipBefore)
				have := max(seen[f.Stream], 1)
				if from > have {
					t.Fatalf("seed %d: stream %d goes on at %d, the consumer has everything before %d", seed, f.Stream, from, have)
				}
				if next := f.FirstSequence + uint64(f.Count); next > have {
					seen[f.Stream] = next
				}
				if f.FirstSequence+uint64(f.Count) <= durable[f.Stream] {
					t.Fatalf("seed %d: %s comes again, and is durable", seed, id)
				}
				flight = append(flight, f)
			case 8, 9: // accepted
				if len(flight) > 0 {
					if err := q.Accepted(flight[r.IntN(len(flight))].Number); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
			case 10: // durable
				if len(flight) == 0 {
					continue
				}
				n := 1 + r.IntN(len(flight))
				err := q.Durable(flight[n-1].Number, func(p []Position) {
					for _, x := range p {
						if x.Next < durable[x.Stream] {
							t.Fatalf("seed %d: position goes back", seed)
						}
						durable[x.Stream] = x.Next
					}
				})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				for _, f := range flight[:n] {
					f.Free()
				}
				flight = flight[n:]
			case 11:
				if r.IntN(8) == 0 { // the host dies
					boot()
					clear(lastFrame)
				} else { // the plugin dies
					q.Rewind()
				}
				restart()
			}
		}
		// Let it finish.
		q.Rewind()
		restart()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for {
			f, err := q.Next(ctx)
			if err != nil {
				break
			}
			n := f.Number
			f.Free()
			if err := q.Durable(n, func(p []Position) {
				for _, x := range p {
					durable[x.Stream] = x.Next
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		for s, next := range produced {
			if next > 1 && (durable[s] != next || checkpoints[s] != next) {
				t.Fatalf("seed %d: stream %d was produced up to %d, durable %d, checkpoint %d", seed, s, next, durable[s], checkpoints[s])
			}
		}
		if frames, bytes := q.Depth(); frames != 0 || bytes != 0 {
			t.Fatalf("seed %d: %d frames, %d bytes are left", seed, frames, bytes)
		}
	}
}

// TestQueueConcurrently is for the race detector: producers, a sender and a
// receiver at once, and a plugin that dies.
func TestQueueConcurrently(t *testing.T) {
	q := NewQueue(QueueConfig{Name: "q", MaxBytes: 5000, MaxFrames: 50, Credits: 4})
	const perStream, streams = 300, 4
	var advanced sync.Map
	sources := NewSources(func(c Checkpoint) { advanced.Store(c.Stream, c.Next) })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for s := range uint64(streams) {
		wg.Go(func() {
			for i := range uint64(perStream) {
				f, next := batch(s, 1+i, 1)
				e := sources.Add(s, fmt.Sprint(s), i+1, next, nil)
				if err := q.Push(ctx, f, next, e, true); err != nil {
					t.Error(err)
				}
				e.Release()
			}
		})
	}
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		got := map[uint64]uint64{}
		for n := 0; n < perStream*streams; n++ {
			f, err := q.Next(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if f.FirstSequence != got[f.Stream]+1 {
				t.Errorf("stream %d: %d follows %d", f.Stream, f.FirstSequence, got[f.Stream])
			}
			number := f.Number
			if number%97 == 0 { // dies with it in hand: it comes again
				f.Free()
				q.Rewind()
				n--
				if f, err = q.Next(ctx); err != nil || f.Number != number {
					t.Errorf("after a rewind: %v, %v", f, err)
					return
				}
				n++
			}
			got[f.Stream] = f.FirstSequence
			f.Free()
			if err := q.Durable(number, ignore); err != nil {
				t.Error(err)
			}
		}
	}()
	wg.Wait()
	<-consumed
	if err := q.Idle(ctx); err != nil {
		t.Error(err)
	}
	for s := range streams {
		if v, _ := advanced.Load(fmt.Sprint(s)); v != uint64(perStream+1) {
			t.Errorf("stream %d advanced to %v, want %d", s, v, perStream+1)
		}
	}
}
