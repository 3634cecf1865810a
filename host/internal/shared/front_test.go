package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// hit is the event of a window of five within a minute, at this moment.
func hit(id string) *pb.SharedOperation {
	return add("attacker", id, time.Duration(time.Now().UnixNano()), minute, 5)
}

// wants holds the alerts of all hosts against ids of the events that raised them.
func wants(t *testing.T, hosts []*testHost, ids ...string) {
	t.Helper()
	got := []string{}
	for _, h := range hosts {
		got = append(got, h.box.list()...)
	}
	want := []string{}
	for _, id := range ids {
		want = append(want, "alert of "+id)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

// fleet starts hosts on one engine.
func fleet(t *testing.T, n int) []*testHost {
	t.Helper()
	engine := NewLocal(Limits{})
	hosts := make([]*testHost, n)
	for i := range hosts {
		hosts[i] = host(t, engine)
		hosts[i].Use("state", hosts[i].wire)
	}
	synctest.Wait()
	return hosts
}

func TestHostsCountTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 3)
		if s := h[0].Status(); !s.Reachable || s.Engine != "state" {
			t.Fatalf("got %+v, want an engine that is reachable", s)
		}
		var got []string
		for i := range 6 {
			got = append(got, show(h[i%3].ask(hit(fmt.Sprint(i)))))
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "4", "5!", "1"}, got); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		wants(t, h, "4")
		if got := show(h[1].ask(hit("4"))); got != "5!" {
			t.Errorf("what completed the window came again: got %s, want 5!", got)
		}
		wants(t, h, "4")
	})
}

// One host is cut off while the attacker tries all of them.
func TestCutOffAndHealed(t *testing.T) {
	for _, f := range []fault{cut, silent, unheard, lateArrival} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := fleet(t, 3)
				h[2].wire.set(f)
				began := time.Now()
				for i := range 6 {
					r := h[i%3].ask(hit(fmt.Sprint(i)))
					if want := i%3 == 2; r[0].Local != want {
						t.Errorf("event %d: local is %v, want %v", i, r[0].Local, want)
					}
				}
				// One call waited for the engine, the next did not.
				if took := time.Since(began); took > DefaultTimeout {
					t.Errorf("six calls took %v, want one timeout", took)
				}
				if f == cut || f == silent {
					wants(t, h)
				} else {
					wants(t, h, "4") // the engine has one event of the third host's
				}
				time.Sleep(30 * time.Second)
				h[2].wire.set(none)
				time.Sleep(2 * lastBackoff)
				if f == cut || f == silent {
					wants(t, h, "2")
				} else {
					wants(t, h, "4")
				}
				if s := h[2].Status(); !s.Reachable || s.Waiting != 0 || s.Counts.Dropped+s.Counts.Expired > 0 {
					t.Errorf("after it healed: %+v", s)
				}
				if got := show(h[2].ask(hit("later"))); got != "2" {
					t.Errorf("got %s, want 2: one of six is left", got)
				}
			})
		})
	}
}

// The engine completed a window, and who asked did not hear of it.
func TestDoneThatNobodyHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		for i := range 4 {
			h[0].ask(hit(fmt.Sprint(i)))
		}
		h[1].wire.set(unheard)
		if got := show(h[1].ask(hit("last"))); got != "1~" {
			t.Errorf("got %s, want 1~: it is the only one that this host knows", got)
		}
		wants(t, h)
		h[1].wire.set(none)
		time.Sleep(lastBackoff)
		wants(t, h, "last")
	})
}

// A host that is cut off has enough of its own: its alert is not raised again.
func TestCompletedAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		// before are its own events before it was cut off, during those after, and others
		// those of another host meanwhile.
		before, during, others int
		fault                  fault
		// after is what the other host's next event counts, once all is healed.
		after  string
		alerts []string
	}{
		{"nothing was known", 0, 5, 0, cut, "1", []string{"d4"}},
		{"the engine knew three", 3, 2, 0, cut, "1", []string{"d1"}},
		{"the engine heard the last", 3, 2, 0, unheard, "1", []string{"d1"}},
		{"another host has two", 0, 5, 2, cut, "3", []string{"d4"}},
		{"the engine knew two, another host has two", 2, 3, 2, cut, "3", []string{"d2"}},
		{"one is left over", 0, 6, 3, cut, "5!", []string{"o-next", "d4"}},
		// Each had enough, and neither may wait for the other: two alerts.
		{"both completed", 3, 2, 2, cut, "1", []string{"o1", "d1"}},
		{"both completed apart", 0, 5, 5, cut, "1", []string{"o4", "d4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := fleet(t, 2)
				for i := range c.before {
					h[1].ask(hit(fmt.Sprint("b", i)))
				}
				h[1].wire.set(c.fault)
				for i := range c.others {
					h[0].ask(hit(fmt.Sprint("o", i)))
				}
				for i := range c.during {
					h[1].ask(hit(fmt.Sprint("d", i)))
				}
				h[1].wire.set(none)
				time.Sleep(2 * lastBackoff)
				if got := show(h[0].ask(hit("o-next"))); got != c.after {
					t.Errorf("the other host's next event: got %s, want %s", got, c.after)
				}
				wants(t, h, c.alerts...)
				// What comes again after all counts nowhere.
				for i := range c.during - 1 {
					if i < 5-c.before-1 {
						if got := show(h[1].ask(hit(fmt.Sprint("d", i)))); got != "0" {
							t.Errorf("event d%d came again: got %s, want 0", i, got)
						}
					}
				}
				wants(t, h, c.alerts...)
			})
		})
	}
}

// Two hosts see neither the engine nor each other.
func TestTwoCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 3)
		h[0].wire.set(cut)
		h[1].wire.set(silent)
		for i := range 2 {
			h[0].ask(hit(fmt.Sprint("x", i)))
			h[1].ask(hit(fmt.Sprint("y", i)))
		}
		h[2].ask(hit("z"))
		wants(t, h)
		h[0].wire.set(none)
		time.Sleep(2 * lastBackoff)
		wants(t, h)
		h[1].wire.set(none)
		time.Sleep(2 * lastBackoff)
		wants(t, h, "y1")
	})
}

// The attacker waits out the span while a host is away: nothing is made up.
func TestCutOffForLongerThanTheSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		h[1].wire.set(cut)
		h[1].ask(hit("a"), hit("b"))
		time.Sleep(5 * minute)
		h[0].ask(hit("c"), hit("d"))
		h[1].ask(hit("e"))
		h[1].wire.set(none)
		time.Sleep(2 * lastBackoff)
		wants(t, h)
		if got := show(h[0].ask(hit("f"))); got != "4" {
			t.Errorf("got %s, want 4: c, d, e, f", got)
		}
		h[1].wire.set(cut)
		h[1].ask(hit("g"))
		time.Sleep(15 * minute) // nobody remembers a window for that long
		h[1].wire.set(none)
		time.Sleep(2 * lastBackoff)
		if s := h[1].Status(); s.Counts.Expired != 1 || s.Waiting != 0 {
			t.Errorf("got %+v, want one difference out of date", s)
		}
		wants(t, h)
	})
}

// A host that knows of its own events what the engine says does not complete windows
// with what another host's alert had counted.
func TestOthersCompletedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		h[0].ask(hit("a"), hit("b"), hit("c"))
		h[1].ask(hit("d"), hit("e")) // completes
		wants(t, h, "e")
		if got := show(h[0].ask(hit("f"))); got != "1" {
			t.Errorf("got %s, want 1", got)
		}
		h[0].wire.set(cut)
		if got := show(h[0].ask(hit("g"), hit("h"), hit("i"))); got != "2~ 3~ 4~" {
			t.Errorf("got %s, want 2~ 3~ 4~: a, b and c were counted", got)
		}
		wants(t, h, "e")
	})
}

// The engine forgets everything, or what it was told last.
func TestEngineLosesItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		h[0].ask(hit("a"), hit("b"))
		h[1].ask(hit("c"), hit("d"))
		empty := NewLocal(Limits{})
		for i := range h {
			h[i].wire.set(cut)
			h[i].ask(counter("c", minute, 1, 1)) // it is noticed
			h[i].wire.mu.Lock()
			h[i].wire.engine = empty
			h[i].wire.mu.Unlock()
			h[i].wire.set(none)
		}
		time.Sleep(lastBackoff)
		if got := show(h[0].ask(hit("e"))); got != "5!" {
			t.Errorf("got %s, want 5!", got)
		}
		time.Sleep(2 * minute)
		h[0].ask(hit("f"), hit("g"))
		h[1].ask(hit("h"), hit("i"))
		time.Sleep(10 * time.Second) // longer than what is told again without being asked
		empty = NewLocal(Limits{})
		for i := range h {
			h[i].wire.mu.Lock()
			h[i].wire.engine = empty
			h[i].wire.mu.Unlock()
			h[i].Lost()
		}
		synctest.Wait()
		if got := show(h[1].ask(hit("j"))); got != "5!" {
			t.Errorf("got %s, want 5!", got)
		}
		wants(t, h, "e", "j")
	})
}

// An engine that is slow costs one timeout, then none until it is tried again.
func TestSlowEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 1)[0]
		h.ask(hit("first"))
		h.wire.set(silent)
		calls := h.wire.asked()
		began := time.Now()
		waited := time.Duration(0)
		for i := range 1000 {
			before := time.Now()
			if r := h.ask(counter("c", minute, 1, 1<<20), hit(fmt.Sprint(i))); !r[1].Local {
				t.Fatalf("call %d was not decided here", i)
			}
			waited += time.Since(before)
			time.Sleep(10 * time.Millisecond)
		}
		if waited > DefaultTimeout {
			t.Errorf("%v of waiting within %v, want one timeout", waited, time.Since(began))
		}
		// 250 ms, 500 ms, 1 s and 2 s apart, each with a second's patience.
		if n := h.wire.asked() - calls; n < 4 || n > 8 {
			t.Errorf("the engine was tried %d times within %v", n, time.Since(began))
		}
		if s := h.Status(); s.Counts.Unsure != 1 || s.Reachable || s.Err == nil {
			t.Errorf("got %+v, want one counter of which nothing is sure", s)
		}
	})
}

// Counters and claims are brought together as long as they matter.
func TestCountersAndClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		h[0].wire.set(cut)
		h[0].ask(hit("to be cut off"))
		if got := show(h[0].ask(counter("c", minute, 2, 5), claim("o", "x", 30*time.Second))); got != "2!~ 1!~" {
			t.Errorf("got %s, want 2!~ 1!~", got)
		}
		h[0].ask(counter("short", time.Second, 1, 1), claim("brief", "x", time.Second))
		time.Sleep(10 * time.Second)
		h[0].wire.set(none)
		time.Sleep(lastBackoff)
		if got := show(h[1].ask(counter("c", minute, 1, 5), claim("o", "y", 30*time.Second), claim("brief", "y", time.Second))); got != "3! 0 1!" {
			t.Errorf("got %s, want 3! 0 1!", got)
		}
		time.Sleep(18*time.Second + 100*time.Millisecond) // half a minute since x took it
		if got := show(h[1].ask(claim("o", "y", 30*time.Second))); got != "1!" {
			t.Errorf("got %s, want 1!: the merge made the claim no longer", got)
		}
		h[0].wire.set(cut)
		if got := show(h[0].ask(counter("c", minute, 1, 5))); got != "3!~" {
			t.Errorf("got %s, want 3!~: this host heard of 2", got)
		}
		if s := h[0].Status(); s.Counts.Expired != 2 {
			t.Errorf("got %d out of date, want 2", s.Counts.Expired)
		}
	})
}

// What was decided and noted is there after a restart, also when the host dies.
func TestRestartWhileCutOff(t *testing.T) {
	dir := t.TempDir()
	engine := NewLocal(Limits{})
	at := time.Duration(time.Now().UnixNano())
	for life := range 5 {
		h, end := live(t, dir, engine)
		f, w, b := h.Front, h.wire, h.box
		apply := func(want string, ops ...*pb.SharedOperation) {
			t.Helper()
			if got := show(h.ask(ops...)); got != want {
				t.Errorf("life %d: got %s, want %s", life, got, want)
			}
		}
		op := func(key, id string) *pb.SharedOperation { return add(key, id, at, minute, 5) }
		switch life {
		case 0:
			apply("1~ 2~", op("few", "a"), op("few", "b"))
			apply("1~ 2~ 3~ 4~ 5!~", op("many", "a"), op("many", "b"), op("many", "c"), op("many", "d"), op("many", "e"))
		case 1:
			apply("2~ 5!~ 0~ 1~", op("few", "a"), op("many", "e"), op("many", "a"), op("many", "f"))
		case 2: // the engine has two others
			if _, err := engine.ApplyShared(t.Context(), keyed(op("few", "x"), op("few", "y"), op("many", "x"), op("many", "y"), op("many", "z"))); err != nil {
				t.Fatal(err)
			}
			apply("3~", op("few", "c"))
		case 3:
			w.set(none)
			f.merge(t.Context())
			if diff := cmp.Diff([]string{"alert of c"}, b.list()); diff != "" {
				t.Errorf("life %d: alerts (-want +got):\n%s", life, diff)
			}
			if s := f.Status(); !s.Reachable || s.Waiting != 0 {
				t.Errorf("life %d: %+v", life, s)
			}
		case 4:
			if s := f.Status(); s.Waiting != 0 || s.Usage.Keys != 2 {
				t.Errorf("life %d: %+v, want nothing to wait", life, s)
			}
			w.set(none)
			f.merge(t.Context())
			apply("5! 0", op("few", "c"), op("few", "a"))
			apply("5!", op("many", "g"))
		}
		end()
	}
}

// live starts a Front with what is kept in a folder, whose engine cannot be reached, and
// returns how it dies. Nothing runs beside it.
func live(t *testing.T, dir string, engine Engine) (h *testHost, end func()) {
	t.Helper()
	store, err := state.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	h = &testHost{t: t, wire: &wire{engine: engine, fault: cut}, box: new(box)}
	h.Front = New(Config{Raise: h.box.raise, Expected: func() bool { return true }})
	if err := h.Keep(store); err != nil {
		t.Fatal(err)
	}
	h.Use("state", h.wire)
	return h, func() {
		t.Helper()
		if err := store.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Hosts are quiet together, and one that is cut off knows when the last alert was.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		quiet := func(id string) *pb.SharedOperation {
			op := add("k", id, time.Duration(time.Now().UnixNano()), minute, 2)
			op.GetWindow().Quiet = uint64(5 * minute)
			return op
		}
		got := show(h[0].ask(quiet("a"))) + " " + show(h[1].ask(quiet("b"))) + " " + show(h[0].ask(quiet("c"))) + " " + show(h[1].ask(quiet("d"), quiet("d")))
		if want := "1 2! 1 2 0"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		h[1].wire.set(cut)
		if got := show(h[1].ask(quiet("e"), quiet("f"), quiet("g"))); got != "1~ 2~ 1~" {
			t.Errorf("cut off: got %s, want 1~ 2~ 1~", got)
		}
		h[1].wire.set(none)
		time.Sleep(2 * lastBackoff)
		if got := show(h[0].ask(quiet("h"))); got != "2" {
			t.Errorf("got %s, want 2: g and h, so soon after b", got)
		}
		time.Sleep(6 * minute)
		if got := show(h[0].ask(quiet("i"), quiet("j"))); got != "1 2!" {
			t.Errorf("got %s, want 1 2!", got)
		}
		wants(t, h, "j", "b")
	})
}

// limited is the one event of a window of its own, whose alert is one of at most two an hour.
func limited(id string) *pb.SharedOperation {
	op := add("window of "+id, id, time.Duration(time.Now().UnixNano()), minute, 1)
	op.GetWindow().Limit = &pb.AlertLimit{Key: []byte("rule"), Span: uint64(time.Hour), Count: 2}
	return op
}

// A limit holds for the alerts of all hosts together.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)))
		h := fleet(t, 2)
		if got := show(h[0].ask(limited("a"))) + " " + show(h[1].ask(limited("b"), limited("c"))); got != "1! 1! 1!-" {
			t.Errorf("got %s, want the third held back", got)
		}
		// What comes again is decided as before, and counts no more.
		if got := show(h[0].ask(limited("a"))) + " " + show(h[1].ask(limited("c"), limited("b"))); got != "1! 1!- 1!" {
			t.Errorf("come again: got %s, want what it was", got)
		}
		if got := show(h[0].ask(counter("rule", time.Hour, 0, 9))); got != "3!" {
			t.Errorf("the counter stands at %s, want 3", got)
		}
		if s := h[1].Status(); s.Counts.Limited != 1 || s.Counts.Alerts != 2 {
			t.Errorf("%d held back and %d raised, want 1 and 2 (b came again)", s.Counts.Limited, s.Counts.Alerts)
		}
		time.Sleep(time.Hour)
		if got := show(h[0].ask(limited("d"))); got != "1!" {
			t.Errorf("an hour later: got %s, want it raised", got)
		}
		wants(t, h, "a", "d", "b")
		without := limited("e")
		without.GetWindow().Alert = nil
		if got := show(h[0].ask(without)); got != "1!" {
			t.Errorf("a limit of nothing: got %s, want 1!, by the engine, which does not hear of it", got)
		}
	})
}

// A host that is cut off holds back by what it knows; what it raised counts afterwards, and
// what the merge completes is held back by what all know.
func TestLimitWhileCutOff(t *testing.T) {
	for _, f := range []fault{cut, silent, unheard, lateArrival} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)))
				h := fleet(t, 2)
				pair := func(id string) *pb.SharedOperation {
					op := limited(id)
					op.Key, op.GetWindow().Threshold = []byte("pair"), 2
					return op
				}
				h[0].ask(pair("p"))
				h[1].wire.set(f)
				got := show(h[1].ask(pair("q"))) + " " + show(h[1].ask(limited("a"), limited("b"), limited("c")))
				if want := "1~ 1!~ 1!~ 1!~-"; got != want {
					t.Errorf("cut off: got %s, want %s", got, want)
				}
				h[1].wire.set(none)
				time.Sleep(2 * lastBackoff)
				wants(t, h, "a", "b") // p and q are complete, and one too many
				if got := show(h[1].ask(pair("q"))); got != "2!-" {
					t.Errorf("got %s, want what the merge held back to stay so", got)
				}
				if got := show(h[0].ask(counter("rule", time.Hour, 0, 9))); got != "4" && got != "4!" {
					t.Errorf("the counter stands at %s, want 4: three alone, one in the merge", got)
				}
				if s := h[1].Status(); s.Counts.Limited != 2 || !s.Reachable {
					t.Errorf("got %+v, want 2 held back", s)
				}
			})
		})
	}
}

// What was held back stays so after a restart, and what was pledged keeps its limit.
func TestLimitAfterARestart(t *testing.T) {
	dir, engine := t.TempDir(), NewLocal(Limits{})
	at := time.Duration(time.Now().UnixNano())
	op := func(key, id string, threshold int) *pb.SharedOperation {
		op := add(key, id, at, minute, threshold)
		// No span of seven days ends while this runs, but once in seven days.
		op.GetWindow().Limit = &pb.AlertLimit{Key: []byte("rule"), Span: maxSpan, Count: 1}
		return op
	}
	for life := range 2 {
		h, end := live(t, dir, engine)
		apply := func(want string, ops ...*pb.SharedOperation) {
			t.Helper()
			if got := show(h.ask(ops...)); got != want {
				t.Errorf("life %d: got %s, want %s", life, got, want)
			}
		}
		alerts := []string{}
		if life == 0 {
			apply("1!~ 1!~- 1~", op("a", "a", 1), op("b", "b", 1), op("pair", "p", 2))
			alerts = append(alerts, "alert of a")
		} else {
			if _, err := engine.ApplyShared(t.Context(), keyed(op("pair", "q", 2))); err != nil {
				t.Fatal(err)
			}
			h.wire.set(none)
			h.merge(t.Context())
			apply("1!- 2!-", op("b", "b", 1), op("pair", "p", 2))
		}
		if diff := cmp.Diff(alerts, h.box.list()); diff != "" {
			t.Errorf("life %d: alerts (-want +got):\n%s", life, diff)
		}
		end()
	}
}

// An alert that cannot be kept is pledged on, and raised once it can be.
func TestAlertThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 2)
		full := errors.New("the disk is full")
		h[0].box.fail(full)
		for i := range 4 {
			h[0].ask(hit(fmt.Sprint(i)))
		}
		request := &pb.SharedRequest{Operations: []*pb.SharedOperation{hit("last")}}
		if _, err := h[0].Apply(t.Context(), "rules", request); !errors.Is(err, full) {
			t.Fatalf("got %v, want %v", err, full)
		}
		h[0].box.fail(nil)
		h[0].ask(request.Operations...) // it comes again
		wants(t, h, "last")

		h[0].wire.set(cut)
		h[0].ask(hit("m0"), hit("m1"))
		h[1].ask(hit("n0"), hit("n1"), hit("n2"))
		h[0].box.fail(full)
		h[0].wire.set(none)
		time.Sleep(10 * time.Second)
		wants(t, h, "last")
		if s := h[0].Status(); s.Waiting == 0 {
			t.Errorf("an alert that could not be kept was forgotten")
		}
		h[0].box.fail(nil)
		time.Sleep(2 * lastBackoff)
		wants(t, h, "last", "m1")
	})
}

// What an engine does not take costs nothing else.
func TestEngineRefusesAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 1)[0]
		h.wire.engine = refusing{NewLocal(Limits{})}
		h.wire.set(cut)
		for i := range 4 {
			h.ask(hit(fmt.Sprint(i)), add("bad", fmt.Sprint(i), 0, minute, 5))
		}
		h.wire.set(none)
		time.Sleep(lastBackoff)
		s := h.Status()
		if s.Counts.Merged != 4 || s.Counts.Unmergeable != 4 || s.Waiting != 0 || !s.Reachable {
			t.Errorf("got %+v, want four merged and four left out", s)
		}
		if got := show(h.ask(hit("4"))); got != "5!" {
			t.Errorf("got %s, want 5!", got)
		}
		if got := show(h.ask(add("bad", "4", 0, minute, 5))); got != "5!~" {
			t.Errorf("got %s, want 5!~: this host decides what the engine refuses", got)
		}
	})
}

// refusing is an engine that does not take some keys.
type refusing struct{ *Local }

func (r refusing) ApplyShared(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	for _, op := range req.Operations {
		if strings.Contains(string(op.Key), "bad") {
			return nil, errors.New("WRONGTYPE")
		}
	}
	return r.Local.ApplyShared(ctx, req)
}

// One plugin's differences push out none of another's.
func TestDifferencesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fleet(t, 1)[0]
		h.wire.set(cut)
		if _, err := h.Apply(t.Context(), "quiet", &pb.SharedRequest{Operations: []*pb.SharedOperation{hit("a")}}); err != nil {
			t.Fatal(err)
		}
		const more = 1000
		for i := range (maxDifferences + more) / 100 {
			ops := make([]*pb.SharedOperation, 100)
			for j := range ops {
				ops[j] = add(number(i), number(j), time.Duration(j), minute, 1000)
			}
			h.ask(ops...)
		}
		s := h.Status()
		if s.Waiting > maxDifferences+1 || s.Counts.Dropped < more-100 || s.Counts.Dropped > more {
			t.Errorf("got %d waiting, %d dropped", s.Waiting, s.Counts.Dropped)
		}
		if n := h.backlogs["quiet"].count; n != 1 {
			t.Errorf("the other plugin has %d, want its one", n)
		}
		h.wire.set(none)
		time.Sleep(lastBackoff)
		if s := h.Status(); s.Waiting != 0 || s.Counts.Merged != maxDifferences+1 {
			t.Errorf("got %d waiting, %d merged, want all of %d", s.Waiting, s.Counts.Merged, maxDifferences+1)
		}
	})
}

// Without an engine nothing is noted; one that is expected is waited for.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(box)
		f := New(Config{Raise: b.raise})
		for i := range 5 {
			r, err := f.Apply(t.Context(), "rules", &pb.SharedRequest{Operations: []*pb.SharedOperation{hit(fmt.Sprint(i))}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Results[0].Local {
				t.Errorf("event %d is said to be brought together later", i)
			}
		}
		if s := f.Status(); s.Waiting != 0 || s.Counts.Alone != 5 || s.Counts.Alerts != 1 {
			t.Errorf("got %+v", s)
		}
		if diff := cmp.Diff([]string{"alert of 4"}, b.list()); diff != "" {
			t.Errorf("alerts (-want +got):\n%s", diff)
		}
		h := host(t, NewLocal(Limits{}))
		if r := h.ask(hit("a")); !r[0].Local {
			t.Errorf("an engine that is not up yet is not waited for")
		}
		h.Use("b", h.wire)
		synctest.Wait()
		other := &wire{engine: h.wire.engine}
		h.Use("a", other)
		h.Drop("b", other) // not the one that it is
		synctest.Wait()
		if s := h.Status(); s.Engine != "a" || s.Counts.Merged == 0 {
			t.Errorf("got %+v, want the first by name", s)
		}
		h.Drop("a", other)
		synctest.Wait()
		if s := h.Status(); s.Engine != "b" || !s.Reachable {
			t.Errorf("got %+v, want the other", s)
		}
	})
}

// The alert is checked before it is raised.
func TestPledgedAlerts(t *testing.T) {
	f := New(Config{Raise: func(_ context.Context, plugin string, a *pb.AlertEvent) error {
		if plugin != "rules" || a.Provenance == pb.Provenance_PROVENANCE_UNSPECIFIED {
			t.Errorf("plugin %q raises %v", plugin, a)
		}
		return nil
	}})
	noID, err := proto.Marshal(&pb.AlertEvent{Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	vague, err := proto.Marshal(&pb.AlertEvent{Id: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		alert []byte
		want  error
	}{{[]byte("\xff"), errAlert}, {noID, errAlert}, {vague, nil}, {nil, nil}} {
		op := add("k", fmt.Sprint(i), 0, minute, 1)
		op.GetWindow().Alert = c.alert
		if _, err := f.Apply(t.Context(), "rules", &pb.SharedRequest{Operations: []*pb.SharedOperation{op}}); !errors.Is(err, c.want) {
			t.Errorf("alert %q: got %v, want %v", c.alert, err, c.want)
		}
	}
}
