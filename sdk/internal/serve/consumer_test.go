package serve

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// recorder is a Handler that notes what happens.
type recorder struct {
	restored [][]string
	handled  []uint64
	handle   func(ctx context.Context, f *pb.Frame, a *Answer) error
	save     func() ([]*pb.StateEntry, bool, error)
	saves    int
}

func (r *recorder) Restore(entries []*pb.StateEntry) error {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	r.restored = append(r.restored, keys)
	return nil
}

func (r *recorder) Handle(ctx context.Context, f *pb.Frame, a *Answer) error {
	r.handled = append(r.handled, f.Number)
	if r.handle != nil {
		return r.handle(ctx, f, a)
	}
	return nil
}

func (r *recorder) Save(context.Context) ([]*pb.StateEntry, bool, error) {
	r.saves++
	if r.save != nil {
		return r.save()
	}
	return nil, false, nil
}

// consume runs Consume in a bubble.
func consume(t *testing.T, r *recorder, test func(t *testing.T, h host, d *Drainer, done chan error)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipe(ctx)
		d := NewDrainer()
		done := make(chan error, 1)
		go func() {
			err := Consume(p, r, d)
			cancel() // as gRPC does when the handler returns
			done <- err
		}()
		test(t, host{t, p}, d, done)
		cancel()
		synctest.Wait()
	})
}

func TestConsumeAcknowledges(t *testing.T) {
	r := &recorder{}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		h.send(pb.Header{Control: &pb.LinkControl{Ready: true}})
		for n := range uint64(3) {
			h.send(pb.Header{Number: n + 1}, "a")
			synctest.Wait()
		}
		if d := cmp.Diff([]string{"accepted 1 durable 1 changes 0", "accepted 2 durable 2 changes 0", "accepted 3 durable 3 changes 0"}, acks(h.all())); d != "" {
			t.Errorf("one at a time (-want +got):\n%s", d)
		}
		close(h.p.in)
		if err := <-done; err != nil {
			t.Errorf("after the host's end: %v", err)
		}
	})
}

func TestConsumeSavesWhenBusy(t *testing.T) {
	r := &recorder{handle: func(context.Context, *pb.Frame, *Answer) error {
		<-time.After(20 * time.Millisecond)
		return nil
	}}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		for n := range uint64(12) {
			h.send(pb.Header{Number: n + 1}, "a")
		}
		close(h.p.in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		durable := 0
		for _, f := range h.all() {
			if f.Ack.Accepted != last+1 && f.Ack.Accepted != last {
				t.Errorf("credit %d follows %d", f.Ack.Accepted, last)
			}
			if last = f.Ack.Accepted; f.Ack.Durable > 0 {
				durable++
			}
		}
		if last != 12 || durable != 3 {
			t.Errorf("12 batches in 240 ms: credit up to %d, durable %d times; want 12 and 3", last, durable)
		}
	})
}

// TestConsumeSavesAgainAfterARest: a save that takes time is made for a record that
// comes to an idle link, but takes at most a fifth of the time; one that took
// unusually long counts like the one before it.
func TestConsumeSavesAgainAfterARest(t *testing.T) {
	const ms = time.Millisecond
	costs := []time.Duration{2 * ms, 2 * ms, 2 * ms, 90 * ms, 2 * ms}
	var began time.Time
	var saved []time.Duration
	r := &recorder{}
	r.save = func() ([]*pb.StateEntry, bool, error) {
		saved = append(saved, time.Since(began))
		<-time.After(costs[r.saves-1])
		return nil, false, nil
	}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		began = time.Now()
		number := uint64(0)
		send := func(at time.Duration) {
			<-time.After(at - time.Since(began))
			number++
			h.send(pb.Header{Number: number}, "a")
			synctest.Wait()
		}
		send(0)
		send(1000 * ms) // long after
		send(1003 * ms) // 1 ms after that save
		send(1004 * ms)
		send(2000 * ms) // a stall until 2090 ms
		send(2091 * ms)
		<-time.After(time.Second)
		if d := cmp.Diff([]time.Duration{0, 1000 * ms, 1010 * ms, 2000 * ms, 2098 * ms}, saved); d != "" {
			t.Errorf("saves began (-want +got):\n%s", d)
		}
		close(h.p.in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestConsumeSavesAtTheEnd: changes that are not due yet are saved when the host
// has nothing more to send.
func TestConsumeSavesAtTheEnd(t *testing.T) {
	r := &recorder{save: func() ([]*pb.StateEntry, bool, error) { return []*pb.StateEntry{{Key: "k"}}, false, nil }}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		h.send(pb.Header{Number: 1}, "a")
		synctest.Wait()
		h.send(pb.Header{Number: 2}, "a")
		synctest.Wait()
		close(h.p.in)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got := acks(h.all())
		if len(got) == 0 || got[len(got)-1] != "accepted 2 durable 2 changes 1" {
			t.Errorf("got %v, want the last batch durable", got)
		}
	})
}

func TestConsumeRestoresOnce(t *testing.T) {
	r := &recorder{}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		entry := func(k string) []*pb.StateEntry { return []*pb.StateEntry{{Key: k}} }
		h.send(pb.Header{Control: &pb.LinkControl{State: entry("a")}})
		h.send(pb.Header{Control: &pb.LinkControl{State: entry("b")}})
		synctest.Wait()
		if len(r.restored) != 0 {
			t.Errorf("restored %v before all parts had come", r.restored)
		}
		h.send(pb.Header{Control: &pb.LinkControl{State: entry("c"), Ready: true}})
		h.send(pb.Header{Number: 1}, "x")
		close(h.p.in)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([][]string{{"a", "b", "c"}}, r.restored); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestConsumeMoreIsNotDurable(t *testing.T) {
	left := 3
	r := &recorder{save: func() ([]*pb.StateEntry, bool, error) {
		left--
		return []*pb.StateEntry{{Key: "k"}}, left > 0, nil
	}}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		h.send(pb.Header{Number: 1}, "a")
		synctest.Wait()
		want := []string{"accepted 1 durable 0 changes 1", "accepted 1 durable 0 changes 1", "accepted 1 durable 1 changes 1"}
		if d := cmp.Diff(want, acks(h.all())); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestConsumeMoreWithoutChangesEnds(t *testing.T) {
	r := &recorder{save: func() ([]*pb.StateEntry, bool, error) { return nil, true, nil }}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, done chan error) {
		h.send(pb.Header{Number: 1}, "a")
		if err := <-done; err == nil {
			t.Error("a Save that gives nothing and has more: got no error")
		}
	})
}

// TestConsumeHandlerErrorEndsAtOnce: the host is silent and keeps the stream
// open; the link must end all the same.
func TestConsumeHandlerErrorEndsAtOnce(t *testing.T) {
	for name, r := range map[string]*recorder{
		"handle": {handle: func(context.Context, *pb.Frame, *Answer) error { return errTest }},
		"save":   {save: func() ([]*pb.StateEntry, bool, error) { return nil, false, errTest }},
	} {
		t.Run(name, func(t *testing.T) {
			consume(t, r, func(t *testing.T, h host, d *Drainer, done chan error) {
				for n := range uint64(5) {
					h.send(pb.Header{Number: n + 1}, "a")
				}
				if err := <-done; !errors.Is(err, errTest) {
					t.Errorf("got %v, want the handler's error", err)
				}
				for _, a := range h.all() {
					if a.Ack.GetDurable() > 0 {
						t.Errorf("declared %d durable after an error", a.Ack.Durable)
					}
				}
				if err := d.Drain(t.Context()); err != nil {
					t.Errorf("Drain of a link that has ended: %v", err)
				}
			})
		})
	}
}

func TestConsumeDrainWaitsForWhatWasReceived(t *testing.T) {
	r := &recorder{handle: func(context.Context, *pb.Frame, *Answer) error {
		<-time.After(time.Second)
		return nil
	}}
	consume(t, r, func(t *testing.T, h host, d *Drainer, _ chan error) {
		h.send(pb.Header{Number: 1}, "a")
		h.send(pb.Header{Number: 2}, "a")
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := d.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a drain of 1 ms: %v, want deadline exceeded", err)
		}
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := acks(h.all())
		if len(got) == 0 || got[len(got)-1] != "accepted 2 durable 2 changes 0" {
			t.Errorf("after the drain: %v", got)
		}
	})
}

func TestAnswerNamesItsBatch(t *testing.T) {
	r := &recorder{handle: func(_ context.Context, f *pb.Frame, a *Answer) error {
		return a.Send(frame(pb.Header{}, "answer"))
	}}
	consume(t, r, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		h.send(pb.Header{Number: 9}, "a")
		synctest.Wait()
		if f := h.next(); f == nil || f.Answers != 9 || lines(f)[0] != "answer" {
			t.Errorf("got %+v, want an answer to batch 9", f)
		}
	})
}
