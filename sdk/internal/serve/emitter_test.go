package serve

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// emit runs Emit in a bubble with a source, after the host has sent positions.
func emit(t *testing.T, control *pb.LinkControl, source func(ctx context.Context, e *Emitter) error, test func(t *testing.T, h host, d *Drainer, done chan error)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipe(ctx)
		d := NewDrainer()
		done := make(chan error, 1)
		go func() {
			err := Emit(p, "source-test", p.pool, d, source)
			cancel()
			done <- err
		}()
		h := host{t, p}
		control.Ready = true
		h.send(pb.Header{Control: control})
		test(t, h, d, done)
		cancel()
		synctest.Wait()
	})
}

func (h host) accept(number uint64) { h.send(pb.Header{Ack: &pb.Ack{Accepted: number}}) }

func mustOpen(t *testing.T, e *Emitter, name string) *OutStream {
	t.Helper()
	s, err := e.Open(StreamConfig{Name: name, Format: "f", Provenance: event.ProvenanceHost})
	if err != nil {
		t.Errorf("Open: %v", err)
		panic(err)
	}
	return s
}

func TestFlushRule(t *testing.T) {
	record := strings.Repeat("r", 100)
	tests := []struct {
		name   string
		source func(ctx context.Context, s *OutStream) error
		want   []string // "records at ms since the start"
	}{
		{"the first record leaves at once", func(ctx context.Context, s *OutStream) error {
			return s.Emit(ctx, []byte(record), nil)
		}, []string{"1 at 0s"}},
		{"records that follow wait until 2 ms after the last flush", func(ctx context.Context, s *OutStream) error {
			for range 10 {
				if err := s.Emit(ctx, []byte(record), nil); err != nil {
					return err
				}
				<-time.After(100 * time.Microsecond)
			}
			return nil
		}, []string{"1 at 0s", "9 at 2ms"}},
		{"after 2 ms of quiet a record leaves at once again", func(ctx context.Context, s *OutStream) error {
			for range 3 {
				if err := s.Emit(ctx, []byte(record), nil); err != nil {
					return err
				}
				<-time.After(5 * time.Millisecond)
			}
			return nil
		}, []string{"1 at 0s", "1 at 5ms", "1 at 10ms"}},
		{"1024 records are full", func(ctx context.Context, s *OutStream) error {
			for range 1 + 1024 + 1 {
				if err := s.Emit(ctx, []byte("r"), nil); err != nil {
					return err
				}
			}
			return nil
		}, []string{"1 at 0s", "1024 at 0s", "1 at 2ms"}},
		{"128 KiB are full", func(ctx context.Context, s *OutStream) error {
			for range 1 + 3 {
				if err := s.Emit(ctx, make([]byte, 50<<10), nil); err != nil {
					return err
				}
			}
			return nil
		}, []string{"1 at 0s", "2 at 0s", "1 at 2ms"}},
		{"Flush does not wait", func(ctx context.Context, s *OutStream) error {
			for range 3 {
				if err := s.Emit(ctx, []byte(record), nil); err != nil {
					return err
				}
			}
			return s.Flush(ctx)
		}, []string{"1 at 0s", "2 at 0s"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := func(ctx context.Context, e *Emitter) error {
				if err := test.source(ctx, mustOpen(t, e, "s")); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				return nil
			}
			emit(t, &pb.LinkControl{Credits: 8}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
				start := time.Now()
				var got []string
				for time.Since(start) < 50*time.Millisecond {
					synctest.Wait()
					for _, f := range h.all() {
						got = append(got, fmt.Sprintf("%d at %v", f.Count, time.Since(start)))
					}
					<-time.After(100 * time.Microsecond)
				}
				if d := cmp.Diff(test.want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		})
	}
}

func TestCreditsHoldEmitBack(t *testing.T) {
	var emitted atomic.Int64
	source := func(ctx context.Context, e *Emitter) error {
		s := mustOpen(t, e, "s")
		for {
			if err := s.Emit(ctx, make([]byte, 60<<10), fmt.Append(nil, emitted.Load()+1)); err != nil {
				return err
			}
			emitted.Add(1)
		}
	}
	emit(t, &pb.LinkControl{Credits: 2}, source, func(t *testing.T, h host, d *Drainer, done chan error) {
		<-time.After(time.Minute)
		if n := len(h.all()); n != 2 {
			t.Fatalf("%d batches with 2 credits", n)
		}
		before := emitted.Load()
		<-time.After(time.Minute)
		if now := emitted.Load(); now != before {
			t.Errorf("a source went on without credit: %d records, then %d", before, now)
		}
		h.accept(1)
		<-time.After(time.Minute)
		if got := len(h.all()); got != 1 {
			t.Errorf("one credit back: %d batches, want 1", got)
		}
		// Drain reaches a source that waits for credit. What it holds leaves
		// when the host takes it, and Drain returns after that.
		drained := make(chan error, 1)
		go func() { drained <- d.Drain(t.Context()) }()
		synctest.Wait()
		before = emitted.Load()
		h.accept(2)
		h.accept(3)
		synctest.Wait()
		rest := h.all()
		for i := range rest {
			h.accept(uint64(4 + i))
		}
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		if emitted.Load() != before {
			t.Errorf("the source went on after the drain began")
		}
		close(h.p.in)
		if err := <-done; err != nil {
			t.Errorf("Emit: %v", err)
		}
	})
}

// TestNothingEmittedIsLostOrRepeated: whatever Emit took comes in order, with
// consecutive sequences; what it refused does not come.
func TestNothingEmittedIsLostOrRepeated(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var took []string
		source := func(ctx context.Context, e *Emitter) error {
			s := mustOpen(t, e, "s")
			r := rand.New(rand.NewPCG(seed, 1))
			for i := 0; ; i++ {
				line := fmt.Sprintf("%06d%s", i, strings.Repeat("x", r.IntN(100)))
				if r.IntN(50) == 0 {
					line += strings.Repeat("y", 40000)
				}
				sub, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
				err := s.Emit(sub, []byte(line), []byte(line[:6]))
				cancel()
				if err == nil {
					took = append(took, line)
				} else if ctx.Err() != nil {
					return nil
				}
				if r.IntN(30) == 0 {
					<-time.After(time.Duration(r.IntN(4000)) * time.Microsecond)
				}
			}
		}
		emit(t, &pb.LinkControl{Credits: uint32(1 + r.IntN(3))}, source, func(t *testing.T, h host, d *Drainer, _ chan error) {
			var got []string
			next, number := uint64(1), uint64(0)
			take := func() {
				for _, f := range h.all() {
					if number++; f.Number != number || f.FirstSequence != next {
						t.Fatalf("batch %d from sequence %d, want %d and %d", f.Number, f.FirstSequence, number, next)
					}
					got = append(got, lines(f)...)
					next += uint64(f.Count)
					if last := got[len(got)-1][:6]; string(f.Checkpoint) != last {
						t.Fatalf("checkpoint %s with a batch that ends at %s", f.Checkpoint, last)
					}
					h.accept(number)
				}
			}
			for range 20 {
				<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond)
				take()
			}
			drained := make(chan error, 1)
			go func() { drained <- d.Drain(t.Context()) }()
			for {
				<-time.After(100 * time.Microsecond)
				take()
				select {
				case err := <-drained:
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(took, got) {
						t.Fatalf("seed %d: %d taken, %d sent, and they differ", seed, len(took), len(got))
					}
					return
				default:
				}
			}
		})
	}
}

func TestTryEmitDropsAndCounts(t *testing.T) {
	var took, refused int
	source := func(ctx context.Context, e *Emitter) error {
		s := mustOpen(t, e, "udp")
		for range 5000 {
			switch err := s.TryEmit([]byte("datagram")); {
			case err == nil:
				took++
			case errors.Is(err, ErrNoRoom):
				refused++
			default:
				t.Error(err)
			}
		}
		<-ctx.Done()
		return nil
	}
	emit(t, &pb.LinkControl{Credits: 1}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		start := time.Now()
		synctest.Wait()
		if time.Since(start) != 0 {
			t.Error("TryEmit waited")
		}
		if took != 1+1024 || refused != 5000-took {
			t.Errorf("took %d, refused %d; want one batch sent and one full", took, refused)
		}
		h.accept(1)
		<-time.After(2 * countsInterval)
		sent, dropped := uint32(0), uint64(0)
		for _, f := range h.all() {
			sent += f.Count
			for _, c := range f.Control.GetCounts() {
				if c.Name != "host_behind" {
					t.Errorf("dropped for %q", c.Name)
				}
				dropped += c.Value
			}
		}
		if int(sent) != took || int(dropped) != refused {
			t.Errorf("sent %d and reported %d drops; want %d and %d", sent, dropped, took, refused)
		}
	})
}

// TestTryEmitDoesNotDropWhileATimerWaits: a partial batch that waits for credit
// has room.
func TestTryEmitDoesNotDropWhileATimerWaits(t *testing.T) {
	var s *OutStream
	source := func(ctx context.Context, e *Emitter) error {
		s = mustOpen(t, e, "udp")
		<-ctx.Done()
		return nil
	}
	emit(t, &pb.LinkControl{Credits: 1}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		synctest.Wait()
		for i := range 200 {
			if err := s.TryEmit([]byte("x")); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			<-time.After(time.Millisecond)
		}
		h.accept(1)
		synctest.Wait()
		total := uint32(0)
		for _, f := range h.all() {
			total += f.Count
		}
		if total != 200 {
			t.Errorf("%d records after the credit came back, want 200", total)
		}
	})
}

// TestEmitCanBeCancelledWhileATimerWaits: the timer's flush waits for credit and
// must not keep Emit from hearing its context.
func TestEmitCanBeCancelledWhileATimerWaits(t *testing.T) {
	var s *OutStream
	source := func(ctx context.Context, e *Emitter) error {
		s = mustOpen(t, e, "f")
		<-ctx.Done()
		return nil
	}
	emit(t, &pb.LinkControl{Credits: 1}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		synctest.Wait()
		for range 2 {
			if err := s.Emit(t.Context(), make([]byte, 60<<10), nil); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second) // the timer has fired and waits
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		var err error
		for err == nil {
			err = s.Emit(ctx, make([]byte, 60<<10), nil)
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want the deadline after 1s", err, time.Since(start))
		}
	})
}

func TestLongLinesAreCutAndMarked(t *testing.T) {
	long := strings.Repeat("l", event.MaxRecord+1)
	source := func(ctx context.Context, e *Emitter) error {
		s := mustOpen(t, e, "s")
		for _, l := range []string{"first", "a", long, long[:event.MaxRecord], "b", strings.Repeat("z", 10<<20), ""} {
			if err := s.Emit(ctx, []byte(l), nil); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	emit(t, &pb.LinkControl{Credits: 8}, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		<-time.After(time.Second)
		var got []string
		for _, f := range h.all() {
			cut := make(map[uint32]bool)
			for _, i := range f.Truncated {
				cut[i] = true
			}
			for i, l := range lines(f) {
				got = append(got, fmt.Sprintf("%.1s%d %v", l, len(l), cut[uint32(i)]))
			}
		}
		want := []string{"f5 false", "a1 false", "l65536 true", "l65536 false", "b1 false", "z65536 true", "0 false"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestResumeAndDurable(t *testing.T) {
	var first, again *OutStream
	step := make(chan struct{})
	source := func(ctx context.Context, e *Emitter) error {
		if d := cmp.Diff([]string{"known"}, e.Positions()); d != "" {
			t.Errorf("Positions (-want +got):\n%s", d)
		}
		first = mustOpen(t, e, "known")
		if _, err := e.Open(StreamConfig{Name: "known"}); err == nil {
			t.Error("opened a second time: got no error")
		}
		if got := string(first.Resume()); got != "cp7" {
			t.Errorf("Resume() = %q, want cp7", got)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		// Closed without a record: nothing is forgotten.
		first = mustOpen(t, e, "known")
		if got := string(first.Resume()); got != "cp7" {
			t.Errorf("Resume() after Close = %q, want cp7", got)
		}
		if err := first.Emit(ctx, []byte("r"), []byte("cp8")); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
		if err := first.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if err := first.Emit(ctx, []byte("r"), nil); !errors.Is(err, ErrStreamClosed) {
			t.Errorf("Emit after Close: %v", err)
		}
		if err := first.TryEmit([]byte("r")); !errors.Is(err, ErrStreamClosed) {
			t.Errorf("TryEmit after Close: %v", err)
		}
		again = mustOpen(t, e, "known")
		if got := string(again.Resume()); got != "cp8" {
			t.Errorf("Resume() = %q, want cp8", got)
		}
		close(step)
		<-ctx.Done()
		return nil
	}
	control := &pb.LinkControl{Credits: 4, Positions: []*pb.Position{{Stream: "known", NextSequence: 7, Checkpoint: []byte("cp7")}}}
	emit(t, control, source, func(t *testing.T, h host, _ *Drainer, _ chan error) {
		<-step
		f := h.next()
		if f == nil || f.FirstSequence != 7 || string(f.Checkpoint) != "cp8" || f.Stream != event.StreamID("source-test", "known") {
			t.Fatalf("got %+v", f)
		}
		h.accept(1)
		synctest.Wait()
		if got := string(again.Durable()); got != "cp7" {
			t.Errorf("Durable() before the host says so = %q, want cp7", got)
		}
		h.send(pb.Header{Ack: &pb.Ack{Durable: 1}})
		synctest.Wait()
		if got := string(again.Durable()); got != "cp8" {
			t.Errorf("Durable() = %q, want cp8, also for a stream that was opened again", got)
		}
	})
}

func TestEmitEnds(t *testing.T) {
	forever := func(ctx context.Context, e *Emitter) error {
		s := mustOpen(t, e, "s")
		for {
			if err := s.Emit(ctx, []byte("x"), nil); err != nil {
				return err
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	tests := []struct {
		name   string
		source func(ctx context.Context, e *Emitter) error
		host   func(h host)
		want   func(error) bool
	}{
		{"when the source fails", func(context.Context, *Emitter) error { return errTest }, func(host) {}, func(err error) bool { return errors.Is(err, errTest) }},
		{"when the source is done", func(context.Context, *Emitter) error { return nil }, func(host) {}, func(err error) bool { return err == nil }},
		{"when the host closes the stream", forever, func(h host) { close(h.p.in) }, func(err error) bool { return err == nil }},
		{"when the host accepts what was not sent", forever, func(h host) { h.accept(1000) }, func(err error) bool { return err != nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emit(t, &pb.LinkControl{Credits: 1}, test.source, func(t *testing.T, h host, d *Drainer, done chan error) {
				synctest.Wait()
				test.host(h)
				if err := <-done; !test.want(err) {
					t.Errorf("got %v", err)
				}
				if err := d.Drain(t.Context()); err != nil {
					t.Errorf("Drain of a link that has ended: %v", err)
				}
			})
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	source := func(ctx context.Context, e *Emitter) error {
		for _, name := range []string{"", strings.Repeat("n", 1025)} {
			if _, err := e.Open(StreamConfig{Name: name}); err == nil {
				t.Errorf("a name of %d bytes: got no error", len(name))
			}
		}
		s, err := e.Open(StreamConfig{Name: "bad\xff", Format: "\xff", Peer: "\xff", TimeZone: "\xff"})
		if err != nil {
			t.Errorf("a name that is no UTF-8: %v", err)
			return nil
		}
		if want := event.StreamID("source-test", "bad\uFFFD"); s.id != want {
			t.Errorf("stream %x is not the id of the name that travels, %x", s.id, want)
		}
		if err := s.Emit(ctx, nil, make([]byte, pb.MaxCheckpointBytes+1)); err == nil {
			t.Error("a checkpoint that is too long: got no error")
		}
		return nil
	}
	emit(t, &pb.LinkControl{}, source, func(t *testing.T, _ host, _ *Drainer, done chan error) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
