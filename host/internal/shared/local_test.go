package shared

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

const (
	second = time.Second
	minute = time.Minute
)

// keyed has the operations ask an engine.
func keyed(ops ...*pb.SharedOperation) *pb.SharedRequest {
	for _, op := range ops {
		op.Key = append([]byte("rules\x00"), op.Key...)
		if w := op.GetWindow(); w != nil {
			w.Alert, w.Limit = nil, nil
		}
	}
	return &pb.SharedRequest{Operations: ops}
}

func TestLocal(t *testing.T) {
	w := func(id string, at time.Duration) *pb.SharedOperation { return add("k", id, at, minute, 3) }
	v := func(id, value string, at time.Duration) *pb.SharedOperation {
		return distinct("k", id, value, at, minute, 3)
	}
	q := func(id string, at time.Duration) *pb.SharedOperation { // quiet for ten seconds after each
		op := add("k", id, at, minute, 2)
		op.GetWindow().Quiet = uint64(10 * second)
		return op
	}
	is := func(op *pb.SharedOperation) *pb.SharedOperation {
		op.GetWindow().Counted = true
		return op
	}
	for _, c := range []struct {
		name string
		ops  []*pb.SharedOperation
		want string
	}{
		{"three within a minute", []*pb.SharedOperation{w("a", 0), w("b", 30*second), w("c", 59*second)}, "1 2 3!"},
		{"the oldest is a minute old", []*pb.SharedOperation{w("a", 0), w("b", 30*second), w("c", minute)}, "1 2 2"},
		{"one nanosecond less", []*pb.SharedOperation{w("a", 0), w("b", 30*second), w("c", minute-1)}, "1 2 3!"},
		{"the window is empty afterwards", []*pb.SharedOperation{w("a", 0), w("b", 1), w("c", 2), w("d", 3), w("e", 4), w("f", 5)}, "1 2 3! 1 2 3!"},
		{"an event counts once", []*pb.SharedOperation{w("a", 0), w("a", 0), w("b", 1), w("a", 0), w("b", 1)}, "1 1 2 2 2"},
		{"what completed it says so again", []*pb.SharedOperation{w("a", 0), w("b", 1), w("c", 2), w("c", 2), w("a", 0), w("b", 1), w("d", 3)}, "1 2 3! 3! 0 0 1"},
		{"out of order", []*pb.SharedOperation{w("c", 50*second), w("a", 0), w("b", 20*second)}, "1 2 3!"},
		{"complete for a later end", []*pb.SharedOperation{w("b", 50*second), w("c", 70*second), w("a", 20*second)}, "1 2 3!"},
		{"not in one span", []*pb.SharedOperation{w("b", 50*second), w("c", 81*second), w("a", 20*second)}, "1 2 2"},
		{"five seconds late", []*pb.SharedOperation{w("c", 65*second-1), w("a", 0), w("b", 1*second)}, "1 1 2"},
		{"more than that", []*pb.SharedOperation{w("c", 65*second), w("a", 0), w("b", 0)}, "1 1 1"},
		{"a threshold of one", []*pb.SharedOperation{add("k", "a", 0, minute, 1), add("k", "a", 0, minute, 1), add("k", "b", 0, minute, 1)}, "1! 1! 1!"},
		{"values", []*pb.SharedOperation{v("a", "x", 0), v("b", "x", 1), v("c", "y", 2), v("d", "x", 3), v("e", "z", 4), v("f", "z", 5)}, "1 1 2 2 3! 1"},
		{"a value counts at its newest", []*pb.SharedOperation{v("a", "x", 0), v("b", "y", 30*second), v("c", "x", 50*second), v("d", "z", 80*second)}, "1 2 2 3!"},
		{"an older time of a value", []*pb.SharedOperation{v("a", "x", 50*second), v("b", "x", 0), v("c", "y", 80*second), v("d", "z", 100*second)}, "1 1 2 3!"},
		{"values that come again", []*pb.SharedOperation{v("a", "x", 0), v("b", "x", 1), v("c", "y", 2), v("d", "z", 3), v("a", "x", 0), v("b", "x", 1), v("c", "y", 2), v("d", "z", 3)}, "1 1 2 3! 0 0 0 3!"},
		{"counted elsewhere", []*pb.SharedOperation{w("a", 0), w("b", 1), is(w("a", 0)), is(w("x", 0)), w("a", 0), w("x", 0), w("c", 2), w("d", 3)}, "1 2 0 0 0 0 2 3!"},
		{"counted, and it completed a window here", []*pb.SharedOperation{w("a", 0), w("b", 1), w("c", 2), is(w("c", 2)), w("c", 2)}, "1 2 3! 0 3!"},
		{"quiet after an alert", []*pb.SharedOperation{q("a", 0), q("b", 1), q("c", 9*second), q("d", 9*second), q("d", 9*second), q("c", 0), q("e", 10*second), q("f", 10*second+1), q("b", 1)}, "1 2! 1 2 0 0 1 2! 2!"},
		{"quiet before one that came first", []*pb.SharedOperation{q("a", 20*second), q("b", 20*second), q("c", 11*second), q("d", 11*second), q("e", 5*second), q("f", 9*second)}, "1 2! 1 2 1 2!"},
		{"keys are apart", []*pb.SharedOperation{w("a", 0), add("l", "a", 0, minute, 3), claim("k", "x", minute), counter("k", minute, 1, 5)}, "1 1 1! 1!"},
		{"a counter", []*pb.SharedOperation{counter("c", minute, 2, 3), counter("c", minute, 1, 3), counter("c", minute, 1, 3)}, "2! 3! 4"},
		{"a counter that is full", []*pb.SharedOperation{counter("c", minute, 1<<32-1, 1<<32-1), counter("c", minute, 1, 1<<64-1)}, "4294967295! 4294967296!"},
		{"a claim", []*pb.SharedOperation{claim("c", "x", minute), claim("c", "y", minute), claim("c", "x", minute)}, "1! 0 1!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewLocal(Limits{}).ApplyShared(t.Context(), keyed(c.ops...))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(r.Results); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLocalForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLocal(Limits{})
		ask := func(want string, ops ...*pb.SharedOperation) {
			t.Helper()
			r, err := l.ApplyShared(t.Context(), keyed(ops...))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(r.Results); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		// The clock of synctest begins at midnight, so at the beginning of a minute.
		ask("1! 1! 2!", counter("c", minute, 1, 9), claim("o", "x", minute), counter("c", minute, 1, 9))
		ask("1 2 3!", add("w", "a", 0, minute, 3), add("w", "b", 0, minute, 3), add("w", "c", 0, minute, 3))
		time.Sleep(minute - 1)
		ask("3! 0", counter("c", minute, 1, 9), claim("o", "y", minute))
		time.Sleep(time.Nanosecond)
		ask("1! 1!", counter("c", minute, 1, 9), claim("o", "y", minute))
		time.Sleep(8 * minute)
		ask("0 3!", add("w", "a", 0, minute, 3), add("w", "c", 0, minute, 3))
		time.Sleep(11 * minute)
		ask("1", add("other", "a", 0, minute, 3))
		if u := l.Usage(); u.Keys != 1 || u.Evicted != 0 {
			t.Errorf("after everything was out of date: %d keys, %d evicted, want 1 and 0", u.Keys, u.Evicted)
		}
		ask("1", add("w", "a", 0, minute, 3))
	})
}

func TestLocalBounds(t *testing.T) {
	l := NewLocal(Limits{Keys: 100, Bytes: 1 << 20})
	ask := func(plugin string, op *pb.SharedOperation) *pb.SharedResult {
		t.Helper()
		op.Key = append([]byte(plugin+"\x00"), op.Key...)
		op.GetWindow().Alert = nil
		r, err := l.ApplyShared(t.Context(), &pb.SharedRequest{Operations: []*pb.SharedOperation{op}})
		if err != nil {
			t.Fatal(err)
		}
		return r.Results[0]
	}
	ask("quiet", add("k", "a", 0, minute, 2))
	ask("greedy", add("first", "a", 0, minute, 2))
	for i := range 1000 {
		ask("greedy", add(fmt.Sprint("k", i), "a", 0, minute, 2))
		ask("greedy", add("used", fmt.Sprint("a", i%2), 0, minute, 3))
	}
	if u := l.Usage(); u.Keys != 101 || u.Evicted != 902 {
		t.Errorf("got %d keys, %d evicted, want 101 and 902", u.Keys, u.Evicted)
	}
	for i := range 200 { // bytes before keys
		for j := range 40 {
			ask("greedy", distinct(fmt.Sprint("fat", i), fmt.Sprintf("%d-%028d", i, j), strings.Repeat("x", 60)+fmt.Sprint(j), time.Duration(j), minute, 1000))
		}
	}
	if u := l.Usage(); u.Bytes > 2<<20 || u.Bytes < 1<<19 {
		t.Errorf("got %d bytes, want about a MiB", u.Bytes)
	}
	for i := range 3 * maxMembers {
		ask("greedy", distinct("one", number(i), number(i), time.Duration(i), 24*time.Hour, 1024))
		ask("greedy", distinct("two", number(i), "x", time.Duration(i), 24*time.Hour, 1024))
	}
	s := l.shares["greedy"]
	for key, e := range s.entries {
		if len(e.members) > maxMembers || len(e.past) > maxPast || len(e.fates) != len(e.past) {
			t.Errorf("key %q has %d members, %d past, %d fates", key, len(e.members), len(e.past), len(e.fates))
		}
	}
	if r := ask("quiet", add("k", "b", 0, minute, 2)); !r.Done {
		t.Errorf("got %v for a plugin that had its own share, want its window complete", r)
	}
	sum := 0
	for _, e := range s.entries {
		sum += e.bytes()
	}
	if sum != s.bytes {
		t.Errorf("counted %d bytes, there are %d", s.bytes, sum)
	}
}

// loud has a window be quiet for too long.
func loud(op *pb.SharedOperation) *pb.SharedOperation {
	op.GetWindow().Quiet = maxSpan + 1
	return op
}

// bounded is the one event of a window whose alert has such a limit.
func bounded(key string, span uint64, count uint64) *pb.SharedOperation {
	op := add("k", "a", 0, minute, 1)
	op.GetWindow().Limit = &pb.AlertLimit{Key: []byte(key), Span: span, Count: count}
	return op
}

func TestLocalRefuses(t *testing.T) {
	bad := map[string]*pb.SharedOperation{
		"no key":         add("", "a", 0, minute, 3),
		"a long key":     add(strings.Repeat("k", maxFullKey+1), "a", 0, minute, 3),
		"no span":        add("k", "a", 0, 0, 3),
		"a long span":    add("k", "a", 0, 8*24*time.Hour, 3),
		"no id":          add("k", "", 0, minute, 3),
		"a long id":      add("k", strings.Repeat("i", 33), 0, minute, 3),
		"a long value":   distinct("k", "a", strings.Repeat("v", 65), 0, minute, 3),
		"no threshold":   add("k", "a", 0, minute, 0),
		"a large one":    add("k", "a", 0, minute, 1025),
		"a long quiet":   loud(add("k", "a", 0, minute, 3)),
		"no limit's key": bounded("", uint64(minute), 1),
		"a long one":     bounded(strings.Repeat("k", maxKey+1), uint64(minute), 1),
		"a limit of 0":   bounded("k", uint64(minute), 0),
		"its span":       bounded("k", maxSpan+1, 1),
		"no owner":       claim("k", "", minute),
		"nothing":        {Key: []byte("k"), Span: uint64(minute)},
		"an empty one":   {Key: []byte("k"), Span: uint64(minute), Operation: &pb.SharedOperation_Counter{}},
		"another":        {Key: []byte("k"), Span: uint64(minute), Operation: &pb.SharedOperation_Window{}},
		"and a third":    {Key: []byte("k"), Span: uint64(minute), Operation: &pb.SharedOperation_Claim{}},
		"a span too big": {Key: []byte("k"), Span: 1 << 63, Operation: &pb.SharedOperation_Counter{Counter: &pb.CounterAdd{}}},
	}
	for name, op := range bad {
		t.Run(name, func(t *testing.T) {
			if r, err := NewLocal(Limits{}).ApplyShared(t.Context(), &pb.SharedRequest{Operations: []*pb.SharedOperation{op}}); err == nil {
				t.Errorf("got %v, want an error", r)
			}
			if r, err := New(Config{}).Apply(t.Context(), "rules", &pb.SharedRequest{Operations: []*pb.SharedOperation{op}}); err == nil {
				t.Errorf("got %v from the front, want an error", r)
			}
		})
	}
	many := &pb.SharedRequest{}
	for range maxOperations + 1 {
		many.Operations = append(many.Operations, counter("k", minute, 1, 1))
	}
	if _, err := NewLocal(Limits{}).ApplyShared(t.Context(), many); err == nil {
		t.Errorf("%d operations were taken", len(many.Operations))
	}
}

// FuzzWindow holds most against a count of each window by itself, and the encoding
// against itself.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 100, 50, 2, 2})
	f.Fuzz(func(t *testing.T, times []byte) {
		e := &entry{key: "wk", window: window{span: 20}}
		for i, at := range times {
			at, fresh := e.window.add(member{id: fmt.Sprint(i), time: int64(at)}, 0)
			if !fresh {
				t.Fatalf("event %d is not new", i)
			}
			want := 0
			for _, end := range e.members {
				within, mine := 0, false
				for j, m := range e.members {
					if m.time > end.time-e.span && m.time <= end.time {
						within++
						mine = mine || j == at
					}
				}
				if mine {
					want = max(want, within)
				}
			}
			if got := e.most(at, false); at >= 0 && got != want {
				t.Fatalf("most of event %d among %v: got %d, want %d", i, e.members, got, want)
			}
			if i%7 == 6 {
				e.complete(fmt.Sprint(i), completed, false, int64(i))
				e.speaks(int64(i), 3)
			}
		}
		back, err := decode(e.key, e.encode(nil))
		if err != nil {
			t.Fatal(err)
		}
		back.order = e.order
		if diff := cmp.Diff(e, back, cmp.AllowUnexported(entry{}, window{}, member{}, past{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("what was kept differs (-had +got):\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	e := &entry{key: "wk", window: window{span: 20}}
	e.window.add(member{id: "a", time: 1}, 0)
	e.window.add(member{id: "b", time: 2}, 0)
	f.Add(e.encode(nil))
	e.complete("b", completed, false, 1)
	f.Add(e.encode(nil))
	f.Fuzz(func(t *testing.T, value []byte) {
		if e, err := decode("wk", value); err == nil && (e.span <= 0 || len(e.fates) != len(e.past)) {
			t.Errorf("took %v", e)
		}
		if _, err := decodeDifference("p", 1, value); err == nil && len(value) < 10 {
			t.Errorf("took a difference of %d bytes", len(value))
		}
	})
}
