package suite

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"sync"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Applier carries out operations: a state plugin, or the host's own engine.
type Applier interface {
	Apply(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error)
}

// Counting returns the checks of what an engine counts: windows, counters and claims. open
// returns the engine; it is called once in each check, and the keys of a check are its own.
func Counting(open func(tb TB) Applier) []Check {
	check := func(name, title, wanted, mend string, run func(*counting)) Check {
		return Check{Name: "state." + name, Title: title, Wanted: wanted, Mend: mend, run: applied(func(tb TB) {
			tb.Helper()
			run(&counting{TB: tb, engine: open(tb), key: rand.Text() + "\x00{}\xff", begin: time.Now().Truncate(time.Second)})
		})}
	}
	const times = "compare event times, not clocks; a span is open at its older end: (t - span, t]"
	return []Check{
		check("window", "completes a window once",
			"the event that makes the threshold is Done, the window is empty again, and a threshold of 1 is Done each time", times, (*counting).completes),
		check("window-span", "counts within one span",
			"events a span apart, to the microsecond, do not count together", times, (*counting).spans),
		check("window-order", "takes events out of order",
			"any span counts that holds the new event, also one that ends later; an event more than 5 s behind the span of the newest counts alone", times, (*counting).orders),
		check("window-again", "counts an event once",
			"an event that comes again changes nothing, before and after its window was complete; the one that completed it is Done again",
			"remember the ids of a window that was complete for twice the span, at least 10 minutes", (*counting).again),
		check("window-distinct", "counts different values",
			"a value counts once, at the newest of its times; its events count no more after the window was complete",
			"replace the time of a value that is known, and remember what was counted", (*counting).distinct),
		check("window-counted", "leaves out what was counted elsewhere",
			"an event marked as counted leaves the window and never counts again, in whatever order it comes",
			"remember its id as of a window that was complete", (*counting).counted),
		check("window-quiet", "holds back what follows too soon",
			"what completes a window less than the quiet time after, or before, the event that was Done last empties it and is not Done",
			"remember the event time of the last completion that was Done, by the window's key", (*counting).quiet),
		check("window-race", "completes each window once for many",
			"of 400 events from 8 sides at a threshold of 5, exactly 80 are Done, each for one event", "make an addition atomic", (*counting).races),
		check("counter", "counts up to a limit",
			"amounts add up within a span, Done while the count is not above the limit; the next span begins at 0",
			"begin spans at multiples of their length since 1970", (*counting).counts),
		check("claim", "gives a claim to the first",
			"the first owner is Done and stays so until the span is over; then the next one gets it", "set the owner only where there is none, with an expiry", (*counting).claims),
		check("order", "keeps operations in order and keys apart",
			"the results of 256 operations are those of their order; keys are any bytes, and a window, a counter and a claim under one key are not one thing",
			"take the whole key for a key", (*counting).keeps),
	}
}

// counting is one check of an engine.
type counting struct {
	TB
	engine Applier
	key    string
	begin  time.Time
}

// apply carries out operations.
func (c *counting) apply(ops ...*pb.SharedOperation) []*pb.SharedResult {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	r, err := c.engine.Apply(ctx, &pb.SharedRequest{Operations: ops})
	if err != nil {
		c.Fatalf("apply %d operations: %v", len(ops), err)
	}
	if len(r.GetResults()) != len(ops) {
		c.Fatalf("got %d results, want %d", len(r.GetResults()), len(ops))
	}
	return r.Results
}

// operation is one on a key of the check.
func (c *counting) operation(key string, span time.Duration) *pb.SharedOperation {
	return &pb.SharedOperation{Key: []byte("sdktest\x00" + c.key + key), Span: uint64(span)} //nolint:gosec // positive
}

// added is what to add to a window.
type added struct {
	id, value string
	at        time.Duration // since the beginning
	threshold uint32
	counted   bool
	quiet     time.Duration
}

func (c *counting) window(key string, span time.Duration, e added) *pb.SharedOperation {
	op := c.operation(key, span)
	w := &pb.WindowAdd{Time: uint64(c.begin.Add(e.at).UnixNano()), Id: []byte(e.id), Threshold: e.threshold, Counted: e.counted, Quiet: uint64(e.quiet)} //nolint:gosec // after 1970
	if e.value != "" {
		w.Value = []byte(e.value)
	}
	op.Operation = &pb.SharedOperation_Window{Window: w}
	return op
}

// add adds an event and holds the result to what is wanted; a count below 0 is not looked at.
func (c *counting) add(key string, span time.Duration, e added, count int, done bool) {
	c.Helper()
	r := c.apply(c.window(key, span, e))[0]
	if r.Done != done || count >= 0 && r.Count != uint64(count) {
		c.Errorf("window %s, event %s %s at %v, threshold %d: got count %d, done %t, want %d, %t", key, e.id, e.value, e.at, e.threshold, r.Count, r.Done, count, done)
	}
}

const minute = time.Minute

func (c *counting) completes() {
	for round := range 3 {
		for i := 1; i <= 3; i++ {
			at := time.Duration(3*round+i) * time.Second
			c.add("w", minute, added{id: fmt.Sprint(round, i), at: at, threshold: 3}, i, i == 3)
		}
	}
	for i := range 3 {
		c.add("one", minute, added{id: fmt.Sprint(i), at: time.Duration(i) * time.Second, threshold: 1}, 1, true)
	}
	const most = 1024
	ops := make([]*pb.SharedOperation, 0, 256)
	var done []int
	for i := range most {
		ops = append(ops, c.window("most", minute, added{id: fmt.Sprint(i), at: time.Duration(i) * time.Millisecond, threshold: most}))
		if len(ops) == cap(ops) {
			for k, r := range c.apply(ops...) {
				if r.Done {
					done = append(done, i+1-len(ops)+k)
				}
			}
			ops = ops[:0]
		}
	}
	if len(done) != 1 || done[0] != most-1 {
		c.Errorf("threshold %d: events %v of 0 to %d are Done, want the last alone", most, done, most-1)
	}
}

func (c *counting) spans() {
	const step = time.Microsecond
	c.add("apart", minute, added{id: "a", threshold: 2}, 1, false)
	c.add("apart", minute, added{id: "b", at: minute, threshold: 2}, 1, false)
	c.add("apart", minute, added{id: "c", at: 2*minute - step, threshold: 2}, 2, true)
	c.add("short", time.Millisecond, added{id: "a", threshold: 2}, 1, false)
	c.add("short", time.Millisecond, added{id: "b", at: time.Millisecond, threshold: 2}, 1, false)
	c.add("short", time.Millisecond, added{id: "c", at: 2*time.Millisecond - step, threshold: 2}, 2, true)
	for i := range 20 { // never more than two in a span
		c.add("steady", 2*time.Second, added{id: fmt.Sprint(i), at: time.Duration(i) * time.Second, threshold: 3}, min(i+1, 2), false)
	}
	c.add("same", minute, added{id: "a", threshold: 3}, 1, false)
	c.add("same", minute, added{id: "b", threshold: 3}, 2, false)
	c.add("same", minute, added{id: "c", threshold: 3}, 3, true)
}

func (c *counting) orders() {
	const span = 10 * time.Second
	c.add("later", span, added{id: "a", at: 20 * time.Second, threshold: 3}, 1, false)
	c.add("later", span, added{id: "b", at: 12 * time.Second, threshold: 3}, 2, false)
	c.add("later", span, added{id: "c", at: 11 * time.Second, threshold: 3}, 3, true)
	// 5 and 15 are a span apart: 10 lies with either, not with both.
	c.add("between", span, added{id: "a", at: 15 * time.Second, threshold: 3}, 1, false)
	c.add("between", span, added{id: "b", at: 5 * time.Second, threshold: 3}, 1, false)
	c.add("between", span, added{id: "c", at: 10 * time.Second, threshold: 3}, 2, false)
	c.add("between", span, added{id: "d", at: 14 * time.Second, threshold: 3}, 3, true)
	// All of it goes, also what lies outside the span that was full.
	c.add("empty", span, added{id: "a", at: 2 * time.Second, threshold: 2}, 1, false)
	c.add("empty", span, added{id: "b", at: 14 * time.Second, threshold: 2}, 1, false)
	c.add("empty", span, added{id: "c", at: 15 * time.Second, threshold: 2}, 2, true)
	c.add("empty", span, added{id: "d", at: 3 * time.Second, threshold: 2}, 1, false)
	c.add("late", span, added{id: "a", at: minute, threshold: 2}, 1, false)
	c.add("late", span, added{id: "b", at: minute - span - 6*time.Second, threshold: 2}, 1, false)
	c.add("late", span, added{id: "c", at: minute - span - 5500*time.Millisecond, threshold: 2}, 1, false)
	c.add("late", span, added{id: "d", at: minute - span - 4*time.Second, threshold: 2}, 1, false)
	c.add("late", span, added{id: "e", at: minute - span - 3*time.Second, threshold: 2}, 2, true)
}

func (c *counting) again() {
	three := []added{{id: "a", threshold: 3}, {id: "b", at: time.Second, threshold: 3}, {id: "c", at: 2 * time.Second, threshold: 3}}
	for i, e := range three {
		c.add("w", minute, e, i+1, i == 2)
		if i < 2 {
			c.add("w", minute, e, i+1, false)
		}
	}
	for range 2 {
		for i, e := range three {
			c.add("w", minute, e, -1, i == 2)
		}
	}
	// Nothing of that is in the window.
	c.add("w", minute, added{id: "d", at: 3 * time.Second, threshold: 3}, 1, false)
	c.add("w", minute, added{id: "e", at: 4 * time.Second, threshold: 3}, 2, false)
	c.add("w", minute, three[2], -1, true)
	c.add("w", minute, added{id: "f", at: 5 * time.Second, threshold: 3}, 3, true)
	c.add("w", minute, three[2], -1, true)
	// The same id in another window is another event.
	c.add("other", minute, three[0], 1, false)
}

func (c *counting) distinct() {
	events := []added{
		{id: "1", value: "a", threshold: 3},
		{id: "2", value: "a", at: time.Second, threshold: 3},
		{id: "3", value: "b", at: 2 * time.Second, threshold: 3},
		{id: "4", value: "b", at: time.Second, threshold: 3},
		{id: "5", value: "c", at: 3 * time.Second, threshold: 3},
	}
	for i, count := range []int{1, 1, 2, 2, 3} {
		c.add("v", minute, events[i], count, i == 4)
		if i < 4 {
			c.add("v", minute, events[i], count, false)
		}
	}
	for i, e := range events {
		c.add("v", minute, e, -1, i == 4)
	}
	c.add("v", minute, added{id: "6", value: "a", at: 4 * time.Second, threshold: 3}, 1, false)
	c.add("v", minute, added{id: "7", value: "d", at: 5 * time.Second, threshold: 3}, 2, false)
	c.add("v", minute, added{id: "8", value: "c", at: 6 * time.Second, threshold: 3}, 3, true)
	// At the newest of its times: a is not where b is any more.
	const span = 10 * time.Second
	c.add("newest", span, added{id: "1", value: "a", threshold: 2}, 1, false)
	c.add("newest", span, added{id: "2", value: "a", at: 14 * time.Second, threshold: 2}, 1, false)
	c.add("newest", span, added{id: "3", value: "b", at: 3 * time.Second, threshold: 2}, 1, false)
	c.add("newest", span, added{id: "4", value: "c", at: 5 * time.Second, threshold: 2}, 2, true)
}

func (c *counting) counted() {
	for _, value := range []string{"", "v"} {
		e := func(id string, at int, counted bool) added {
			a := added{id: id, at: time.Duration(at) * time.Second, threshold: 3, counted: counted}
			if value != "" {
				a.value = value + id
			}
			return a
		}
		key := "w" + value
		c.add(key, minute, e("a", 0, false), 1, false)
		c.add(key, minute, e("b", 1, false), 2, false)
		c.add(key, minute, e("a", 0, true), 0, false) // one that is there
		c.add(key, minute, e("c", 2, true), 0, false) // one that is not
		c.add(key, minute, e("c", 2, false), -1, false)
		c.add(key, minute, e("a", 0, false), -1, false)
		c.add(key, minute, e("d", 3, false), 2, false)
		c.add(key, minute, e("e", 4, false), 3, true)
		c.add(key, minute, e("e", 4, true), 0, false)
	}
}

func (c *counting) quiet() {
	const span, quiet = 10 * time.Second, time.Minute
	for _, e := range []struct {
		id    string
		at    int // s
		count int
		done  bool
	}{
		{"a", 100, 1, false},
		{"b", 101, 2, true},
		{"c", 110, 1, false}, // it counts as ever
		{"d", 111, 2, false}, // and empties the window, unheard
		{"e", 112, 1, false},
		{"f", 160, 1, false},
		{"g", 161, 2, true},  // a minute after b
		{"b", 101, -1, true}, // told again
		{"d", 111, -1, false},
		{"h", 220, 1, false},
		{"i", 220, 2, false}, // 59 s after g
		{"j", 221, 1, false},
		{"k", 222, 2, true},
	} {
		c.add("w", span, added{id: e.id, at: time.Duration(e.at) * time.Second, threshold: 2, quiet: quiet}, e.count, e.done)
	}
	c.add("loud", span, added{id: "a", threshold: 1, quiet: quiet}, 1, true)
	c.add("loud", span, added{id: "b", at: time.Second, threshold: 1, quiet: 0}, 1, true)
}

func (c *counting) races() {
	const sides, each, threshold = 8, 50, 5
	var mu sync.Mutex
	done := 0
	var wg sync.WaitGroup
	for side := range sides {
		wg.Go(func() {
			for i := range each {
				op := c.window("race", minute, added{id: fmt.Sprint(side, "-", i), at: time.Duration(i) * time.Millisecond, threshold: threshold})
				r, err := c.engine.Apply(c.Context(), &pb.SharedRequest{Operations: []*pb.SharedOperation{op}})
				if err != nil {
					c.Errorf("apply: %v", err)
					return
				}
				if r.Results[0].Done {
					mu.Lock()
					done++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if want := sides * each / threshold; done != want {
		c.Errorf("%d events of %d are Done, want %d", done, sides*each, want)
	}
}

func (c *counting) counter(key string, span time.Duration, amount uint32, limit uint64) *pb.SharedOperation {
	op := c.operation(key, span)
	op.Operation = &pb.SharedOperation_Counter{Counter: &pb.CounterAdd{Amount: amount, Limit: limit}}
	return op
}

func (c *counting) counts() {
	const week = 7 * 24 * time.Hour
	for _, step := range []struct {
		amount uint32
		limit  uint64
		count  uint64
		done   bool
	}{
		{1, 3, 1, true},
		{2, 3, 3, true},
		{0, 3, 3, true},
		{1, 3, 4, false},
		{0, 3, 4, false},
		{1, 10, 5, true},
		{math.MaxUint32, math.MaxUint64, math.MaxUint32 + 5, true},
		{0, 0, math.MaxUint32 + 5, false},
	} {
		r := c.apply(c.counter("n", week, step.amount, step.limit))[0]
		if r.Count != step.count || r.Done != step.done {
			c.Errorf("add %d, limit %d: got %d, done %t, want %d, %t", step.amount, step.limit, r.Count, r.Done, step.count, step.done)
		}
	}
	const span = 50 * time.Millisecond
	c.apply(c.counter("roll", span, 1000, 1))
	c.wait("the next span begins at 0", func() bool {
		r := c.apply(c.counter("roll", span, 1, 1))[0]
		return r.Count == 1 && r.Done
	})
}

func (c *counting) claim(key string, span time.Duration, owner string) bool {
	c.Helper()
	op := c.operation(key, span)
	op.Operation = &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: []byte(owner)}}
	return c.apply(op)[0].Done
}

func (c *counting) claims() {
	for _, step := range []struct {
		owner string
		done  bool
	}{{"first", true}, {"second", false}, {"first", true}, {"second", false}} {
		if got := c.claim("c", minute, step.owner); got != step.done {
			c.Errorf("claim by %s: got done %t, want %t", step.owner, got, step.done)
		}
	}
	c.claim("short", 50*time.Millisecond, "first")
	c.wait("a claim ends", func() bool { return c.claim("short", minute, "second") })
	if c.claim("short", minute, "first") {
		c.Errorf("a claim that ended is its owner's still")
	}
	var mu sync.Mutex
	var won []string
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			owner := fmt.Sprint(i)
			op := c.operation("race", minute)
			op.Operation = &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: []byte(owner)}}
			r, err := c.engine.Apply(c.Context(), &pb.SharedRequest{Operations: []*pb.SharedOperation{op}})
			if err != nil {
				c.Errorf("apply: %v", err)
				return
			}
			if r.Results[0].Done {
				mu.Lock()
				won = append(won, owner)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		c.Errorf("%v of 8 have the same claim, want one", won)
	}
}

func (c *counting) keeps() {
	ops := make([]*pb.SharedOperation, 256)
	for i := range ops {
		ops[i] = c.window("w", minute, added{id: fmt.Sprint(i), at: time.Duration(i) * time.Millisecond, threshold: 10})
	}
	for i, r := range c.apply(ops...) {
		if want := uint64(i%10 + 1); r.Count != want || r.Done != (want == 10) {
			c.Errorf("operation %d: got count %d, done %t, want %d, %t", i, r.Count, r.Done, want, want == 10)
		}
	}
	one := []*pb.SharedOperation{
		c.window("one", minute, added{id: "a", threshold: 5}), c.counter("one", minute*60*24*7, 7, 9), c.operation("one", minute),
		c.window("one", minute, added{id: "b", threshold: 5}), c.counter("one", minute*60*24*7, 1, 9), c.operation("one", minute),
	}
	one[2].Operation = &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: []byte("a")}}
	one[5].Operation = &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: []byte("b")}}
	var got []string
	for _, r := range c.apply(one...) {
		got = append(got, fmt.Sprint(r.Done))
	}
	if want := "[false true true false true false]"; fmt.Sprint(got) != want {
		c.Errorf("a window, a counter and a claim under one key: got done %v, want %s", got, want)
	}
	for i, suffix := range []string{"", "\x00", " ", "{x}", "}{", "\xff\xfe", "\r\n", "*"} {
		c.add("key"+suffix, minute, added{id: "a", threshold: 2}, 1, false)
		c.add("key"+suffix, minute, added{id: fmt.Sprint("b", i), threshold: 2}, 2, true)
	}
}

// wait waits until ok.
func (c *counting) wait(what string, ok func() bool) {
	c.Helper()
	until := time.NewTimer(patience)
	defer until.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-until.C:
			c.Fatalf("%s: not so within %v", what, patience)
		}
	}
}
