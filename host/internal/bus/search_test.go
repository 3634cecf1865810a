package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// records returns a frame of n numbered records, the first of which has the
// sequence first. The names of log events stand among them.
func records(t *testing.T, kind pb.Kind, first uint64, n int) *pb.Frame {
	t.Helper()
	b := &pb.Batch{}
	for i := range n {
		switch kind {
		case pb.Kind_KIND_RAW:
			b.Raw = append(b.Raw, fmt.Appendf(nil, "%d", first+uint64(i)))
		case pb.Kind_KIND_LOG:
			b.Names = append(b.Names, fmt.Sprintf("host%d", i))
			b.Logs = append(b.Logs, &pb.LogEvent{Offset: uint32(i), Message: fmt.Sprint(first + uint64(i)), HostRef: uint32(i + 1)})
		default:
			b.Packets = append(b.Packets, &pb.PacketEvent{Offset: uint32(i), Interface: fmt.Sprint(first + uint64(i))})
		}
	}
	payload, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return pb.NewFrame(pb.Header{Stream: 1, FirstSequence: first, Kind: kind, Count: uint32(n), Origin: []byte("\x0a\x01s"), Truncated: []uint32{uint32(n - 1)}}, &payload, nil)
}

// had returns the sequences of the records of a frame, by their place and by
// what they hold, which has to be the same.
func had(t *testing.T, f *pb.Frame) []uint64 {
	t.Helper()
	b, err := f.Batch()
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	add := func(sequence uint64, text string) {
		if text != fmt.Sprint(sequence) {
			t.Errorf("record %d holds %q", sequence, text)
		}
		if sequence >= f.SkipBefore {
			out = append(out, sequence)
		}
	}
	for i, line := range b.Raw {
		add(f.FirstSequence+uint64(i), string(line))
	}
	for _, l := range b.Logs {
		add(f.FirstSequence+uint64(l.Offset), l.Message)
		if l.Host == "" {
			t.Errorf("record %s lost its host", l.Message)
		}
	}
	for _, p := range b.Packets {
		add(f.FirstSequence+uint64(p.Offset), p.Interface)
	}
	return out
}

// consumer plays processes that are served from a queue.
type consumer struct {
	t       *testing.T
	q       *Queue
	dies    func(sequence uint64, alone bool) bool
	lazy    int // frames that are handled before they are called durable
	got     []uint64
	poison  []uint64
	deaths  int
	kept    []Position
	entries int // that poison records came with
}

// live serves one process until it dies, false, or has nothing to do, true.
func (c *consumer) live() bool {
	c.q.Start()
	defer c.q.Rewind()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	var handled []uint64
	var number uint64
	waiting := 0
	save := func() {
		if err := c.q.Durable(number, func(p []Position) { c.kept = append(c.kept, p...) }); err != nil {
			c.t.Fatal(err)
		}
		c.got, handled, waiting = append(c.got, handled...), nil, 0
	}
	for {
		idle, stop := ctx, context.CancelFunc(func() {})
		if waiting > 0 {
			idle, stop = context.WithTimeout(ctx, time.Millisecond)
		}
		f, err := c.q.Next(idle)
		stop()
		switch {
		case errors.Is(err, ErrPoison):
			c.quarantine()
			continue
		case err != nil && waiting > 0:
			save()
			continue
		case err != nil:
			return true
		case f.Number <= number:
			c.t.Fatalf("batch %d follows %d", f.Number, number)
		}
		number = f.Number
		sequences := had(c.t, f)
		for _, s := range sequences {
			if c.dies(s, len(sequences) == 1 && waiting == 0) {
				f.Free()
				c.deaths++
				return false
			}
			handled = append(handled, s)
		}
		if c.q.config.Answered {
			if next := f.FirstSequence + uint64(f.Count); next > max(f.SkipBefore, f.FirstSequence) {
				if _, err := c.q.Answers(number, next); err != nil {
					c.t.Fatal(err)
				}
				c.got, handled = append(c.got, handled...), nil
			}
		}
		f.Free()
		if err := c.q.Accepted(number); err != nil {
			c.t.Fatal(err)
		}
		if waiting++; waiting >= c.lazy {
			save()
		}
	}
}

func (c *consumer) quarantine() {
	done, err := c.q.Poison(func(f *pb.Frame, next uint64, e *Entry) error {
		sequences := had(c.t, f)
		if len(sequences) != 1 || next != sequences[0]+1 {
			c.t.Errorf("poison is %v, and ends before %d", sequences, next)
		}
		c.poison = append(c.poison, sequences...)
		if e != nil {
			c.entries++
		}
		return nil
	}, func(p []Position) { c.kept = append(c.kept, p...) })
	if err != nil || !done {
		c.t.Fatalf("Poison: %v, %v", done, err)
	}
}

// run lives until nothing is left, as a supervisor would.
func (c *consumer) run() {
	c.t.Helper()
	for !c.live() {
		c.q.Suspect()
		if c.deaths > 3000 {
			c.t.Fatal("it dies for ever")
		}
	}
	if c.q.Searching() {
		c.t.Error("it searches although nothing is left")
	}
	if frames, size := c.q.Depth(); frames != 0 || size != 0 {
		c.t.Errorf("%d frames, %d bytes are left", frames, size)
	}
}

// fill pushes frames of the given sizes, with entries, and returns how many
// records they hold, and how far the source got.
func fill(t *testing.T, q *Queue, kind pb.Kind, sizes []int) (n int, reached *uint64) {
	t.Helper()
	reached = new(uint64)
	sources := NewSources(func(c Checkpoint) { *reached = c.Next })
	for i, size := range sizes {
		f := records(t, kind, uint64(1+n), size)
		n += size
		e := sources.Add(1, "s", uint64(i+1), uint64(1+n), []byte{1})
		if err := q.Push(t.Context(), f, uint64(1+n), e, false); err != nil {
			t.Fatal(err)
		}
		e.Release()
	}
	return n, reached
}

// check compares what was delivered with what had to be.
func (c *consumer) check(n int, poison []uint64, reached uint64) {
	c.t.Helper()
	var want []uint64
	for s := uint64(1); s <= uint64(n); s++ {
		if !slices.Contains(poison, s) {
			want = append(want, s)
		}
	}
	if diff := cmp.Diff(want, c.got); diff != "" {
		c.t.Errorf("delivered and kept, in order (-want +got):\n%s", diff)
	}
	if !slices.Equal(c.poison, poison) {
		c.t.Errorf("poison: got %v, want %v", c.poison, poison)
	}
	if reached != uint64(n+1) {
		c.t.Errorf("the source got to %d, want %d", reached, n+1)
	}
	if at := c.q.Position(1); at != uint64(n+1) {
		c.t.Errorf("the position is %d, want %d", at, n+1)
	}
	if len(c.kept) == 0 || c.kept[len(c.kept)-1].Next != uint64(n+1) {
		c.t.Errorf("kept are the positions %v, want %d at last", c.kept, n+1)
	}
	if c.entries != len(c.poison) {
		c.t.Errorf("%d of %d poison records came with their entry", c.entries, len(c.poison))
	}
}

func searchQueue(kind pb.Kind) *Queue {
	return NewQueue(QueueConfig{Name: "q", MaxBytes: 1 << 20, MaxFrames: 1000, Credits: 4, Answered: kind == pb.Kind_KIND_RAW})
}

// TestEveryChoiceOfPoisonIsFound tries every set of poison among eight records
// in frames of several sizes.
func TestEveryChoiceOfPoisonIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []pb.Kind{pb.Kind_KIND_RAW, pb.Kind_KIND_LOG, pb.Kind_KIND_PACKET} {
			for _, sizes := range [][]int{{8}, {3, 1, 4}, {1, 1, 1, 1, 1, 1, 1, 1}} {
				for _, lazy := range []int{1, 3} {
					for set := range 1 << 8 {
						var poison []uint64
						for i := range 8 {
							if set>>i&1 != 0 {
								poison = append(poison, uint64(i+1))
							}
						}
						c := &consumer{t: t, q: searchQueue(kind), lazy: lazy, dies: func(s uint64, _ bool) bool { return slices.Contains(poison, s) }}
						c.q.done = 1 // it has worked before
						n, reached := fill(t, c.q, kind, sizes)
						c.run()
						c.check(n, poison, *reached)
						if t.Failed() {
							t.Fatalf("kind %v, sizes %v, lazy %d, poison %v", kind, sizes, lazy, poison)
						}
					}
				}
			}
		}
	})
}

// TestPoisonAmongManyIsFoundSoon bounds what a search costs.
func TestPoisonAmongManyIsFoundSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, poison := range []uint64{1, 1000, 1001, 2777, 4999, 5000} {
			c := &consumer{t: t, q: searchQueue(pb.Kind_KIND_LOG), lazy: 3, dies: func(s uint64, _ bool) bool { return s == poison }}
			n, reached := fill(t, c.q, pb.Kind_KIND_LOG, []int{1000, 1000, 1000, 1000, 1000})
			c.run()
			c.check(n, []uint64{poison}, *reached)
			if c.deaths > 28 { // two at first, two for each of twelve halvings, two alone
				t.Errorf("record %d was found after %d deaths", poison, c.deaths)
			}
		}
	})
}

// TestKillsQuarantineNobody kills processes at random, but never twice with the
// same record alone in flight: only poison is quarantined.
func TestKillsQuarantineNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 1))
			kind := []pb.Kind{pb.Kind_KIND_RAW, pb.Kind_KIND_LOG}[seed%2]
			var sizes []int
			for range 1 + random.IntN(8) {
				sizes = append(sizes, 1+random.IntN(9))
			}
			var poison []uint64
			total := 0
			for _, s := range sizes {
				total += s
			}
			for s := range total {
				if random.IntN(20) == 0 {
					poison = append(poison, uint64(s+1))
				}
			}
			killed := map[uint64]bool{}
			kills := 0
			c := &consumer{t: t, q: searchQueue(kind), lazy: 1 + random.IntN(3), dies: func(s uint64, alone bool) bool {
				if slices.Contains(poison, s) {
					return true
				}
				if random.IntN(8) > 0 || alone && killed[s] {
					return false
				}
				killed[s] = killed[s] || alone
				kills++
				return true
			}}
			c.q.done = 1 // it has worked before
			n, reached := fill(t, c.q, kind, sizes)
			c.run()
			c.check(n, poison, *reached)
			if t.Failed() {
				t.Fatalf("seed %d: sizes %v, poison %v, %d kills", seed, sizes, poison, kills)
			}
		}
	})
}

// TestASingleDeathChangesNothing has everything sent again as it was.
func TestASingleDeathChangesNothing(t *testing.T) {
	q := newQueue(10)
	for i := range uint64(3) {
		push(t, q, 1, 1+10*i, 10, nil)
	}
	first := sendable(q)
	q.Rewind()
	q.Suspect()
	want(t, "after one death", sendable(q), first...)
	if q.Searching() {
		t.Error("it searches")
	}
	if err := q.Durable(3, ignore); err != nil {
		t.Fatal(err)
	}
	push(t, q, 1, 31, 10, nil)
	sendable(q)
	q.Rewind()
	q.Suspect()
	if q.Searching() {
		t.Error("it searches after the second death, and what it had before had passed")
	}
}

// TestAConsumerThatIsBrokenQuarantinesLittle dies of every record.
func TestAConsumerThatIsBrokenQuarantinesLittle(t *testing.T) {
	for _, test := range []struct {
		name   string
		passes uint64 // records before it breaks
		want   int
	}{
		{"from the start", 0, maxUnproven},
		{"later", 1, maxPoisonInRow},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &consumer{t: t, q: searchQueue(pb.Kind_KIND_LOG), lazy: 1, dies: func(s uint64, _ bool) bool { return s > test.passes }}
				fill(t, c.q, pb.Kind_KIND_LOG, []int{1, 100})
				for range 200 {
					c.live()
					c.q.Suspect()
				}
				if len(c.poison) != test.want {
					t.Errorf("%d records are poison, want no more than %d", len(c.poison), test.want)
				}
				before := c.q.Steps()
				c.live()
				c.q.Suspect()
				if c.q.Steps() != before {
					t.Error("it still counts as getting on")
				}
			})
		})
	}
}

// TestAConsumerThatDiesAnywayQuarantinesNothing dies a moment after it came up,
// whether or not it was sent something.
func TestAConsumerThatDiesAnywayQuarantinesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := searchQueue(pb.Kind_KIND_LOG)
		fill(t, q, pb.Kind_KIND_LOG, []int{4})
		for range 50 {
			q.Start()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			for {
				f, err := q.Next(ctx)
				if errors.Is(err, ErrPoison) {
					t.Fatal("a record is called poison")
				}
				if err != nil {
					break
				}
				f.Free()
			}
			cancel()
			q.Rewind()
			q.Suspect()
		}
		q.Close()
	})
}

// TestMalformedRecordsStayTogether sends what cannot be told apart as one.
func TestMalformedRecordsStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := searchQueue(pb.Kind_KIND_LOG)
		payload := []byte("no records at all")
		f := pb.NewFrame(pb.Header{Stream: 1, FirstSequence: 1, Kind: pb.Kind_KIND_LOG, Count: 9}, &payload, nil)
		if err := q.Push(t.Context(), f, 10, nil, false); err != nil {
			t.Fatal(err)
		}
		found := 0
		for range 20 {
			q.Start()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			f, err := q.Next(ctx)
			if errors.Is(err, ErrPoison) {
				if _, err := q.Poison(func(f *pb.Frame, _ uint64, _ *Entry) error { found += int(f.Count); return nil }, ignore); err != nil {
					t.Fatal(err)
				}
			} else if err == nil {
				f.Free()
			}
			cancel()
			q.Rewind()
			q.Suspect()
		}
		if found != 9 {
			t.Errorf("%d records are taken out, want all 9 once", found)
		}
	})
}

// TestPoisonThatCannotBeKeptStays tries again.
func TestPoisonThatCannotBeKeptStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := searchQueue(pb.Kind_KIND_LOG)
		fill(t, q, pb.Kind_KIND_LOG, []int{1})
		for range 3 {
			q.Start()
			if _, err := q.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			q.Rewind()
			q.Suspect()
		}
		q.Start()
		full := errors.New("the disk is full")
		for range 2 {
			if _, err := q.Next(t.Context()); !errors.Is(err, ErrPoison) {
				t.Fatalf("got %v, want ErrPoison", err)
			}
			if _, err := q.Poison(func(*pb.Frame, uint64, *Entry) error { return full }, ignore); !errors.Is(err, full) {
				t.Errorf("got %v, want %v", err, full)
			}
		}
		q.Close()
	})
}

// TestRecordsComeAgainWhateverThePositionsAre replays what passed long ago.
func TestRecordsComeAgainWhateverThePositionsAre(t *testing.T) {
	q := NewQueue(QueueConfig{Name: "q", MaxBytes: 1 << 20, MaxFrames: 100, Credits: 10, Positions: map[uint64]uint64{1: 25}})
	passed := 0
	e := Again(func() { passed++ })
	push(t, q, 1, 1, 10, e)
	e.Release()
	want(t, "replayed", sendable(q), "1: 1/1 skip 0")
	if err := q.Durable(1, func(p []Position) {
		if len(p) != 0 {
			t.Errorf("positions %v are reached", p)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if passed != 1 {
		t.Errorf("passed was called %d times, want once", passed)
	}
}

// TestForgivenessGivesARecordAnotherChance mends the consumer just before the
// record would be called poison.
func TestForgivenessGivesARecordAnotherChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := searchQueue(pb.Kind_KIND_LOG)
		fill(t, q, pb.Kind_KIND_LOG, []int{1})
		for range 3 {
			q.Start()
			if _, err := q.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			q.Rewind()
			q.Suspect()
		}
		q.Forgive()
		q.Start()
		if f, err := q.Next(t.Context()); err != nil || f.Count != 1 {
			t.Errorf("got %v, want the record", err)
		}
		q.Close()
	})
}
