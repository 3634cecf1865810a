package respond

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/breaker"
	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/respond/rail"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// running makes a world in a synctest bubble, whose clock is the bubble's, and
// runs it until the test ends.
func running(t *testing.T, mode config.Mode) (w *world, stop func()) {
	t.Helper()
	start := time.Now()
	w = &world{t: t, dir: t.TempDir(), clock: newHand()}
	w.config = Config{Policy: policy(mode), Finder: system(), Clock: expiry.Clock{
		Wall: time.Now, Boot: func() time.Duration { return time.Hour + time.Since(start) }, BootID: "bubble",
	}}
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.r.Run(ctx) }()
	return w, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.stop()
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := running(t, config.Enforce)
		defer stop()
		f := newFilter("eth0")
		if err := w.r.Attach(f); err != nil {
			t.Fatal(err)
		}
		w.decide(block(w.raise(bruteForce("a1", "203.0.113.9")), "203.0.113.9", "ttl_seconds", "90"))
		time.Sleep(90*time.Second - time.Millisecond)
		synctest.Wait()
		if !f.drops("203.0.113.9") {
			t.Error("it is not blocked just before its end")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		got := w.journal.last()
		if f.drops("203.0.113.9") || got.Outcome != pb.Outcome_OUTCOME_EXPIRED || got.Id != "intent-of-a1" || got.AlertId != "a1" || got.Target != "203.0.113.9" {
			t.Errorf("dropped %v, last action %v; want the intent expired", f.drops("203.0.113.9"), got)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := running(t, config.Simulate)
		defer stop()
		fates := func(from, to int) string {
			count := make(map[string]int)
			for i := from; i < to; i++ {
				a := w.raise(bruteForce(fmt.Sprint("a", i), fmt.Sprintf("203.0.113.%d", i)))
				got := w.decide(block(a, a.Entities[0].Value))
				count[strings.ToLower(strings.TrimPrefix(got.Outcome.String(), "OUTCOME_"))+" "+detailCode(got)]++
			}
			return fmt.Sprint(count)
		}
		said := func() (out []string) {
			for _, a := range w.journal.all() {
				if a.Action == "breaker" {
					out = append(out, a.Enforcer+" "+a.Outcome.String())
				}
			}
			return out
		}
		if got, want := fates(0, 35), "map[refused breaker_open:5 simulated :30]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if diff := cmp.Diff([]string{"host OUTCOME_APPLIED"}, said()); diff != "" {
			t.Errorf("it opens once (-want +got):\n%s", diff)
		}
		if warnings := strings.Join(w.r.Warnings(), " "); !strings.Contains(warnings, "breaker is open") {
			t.Errorf("got warnings %q", warnings)
		}
		if _, err := w.r.Blocks().Add(t.Context(), order("203.0.113.200/32", 0)); err != nil {
			t.Errorf("an operator is stopped by the breaker: %v", err)
		}
		time.Sleep(breaker.Pause - time.Second)
		if got, want := fates(40, 41), "map[refused breaker_open:1]"; got != want {
			t.Errorf("just before it closes: got %s, want %s", got, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"host OUTCOME_APPLIED", "host OUTCOME_RELEASED"}, said()); diff != "" {
			t.Errorf("it closes by itself (-want +got):\n%s", diff)
		}
		if got, want := fates(50, 80), "map[simulated :30]"; got != want {
			t.Errorf("after it closed: got %s, want %s", got, want)
		}
		time.Sleep(time.Minute)
		if got, want := fates(80, 110), "map[simulated :30]"; got != want {
			t.Errorf("a minute later: got %s, want %s", got, want)
		}
	})
}

func TestConfirm(t *testing.T) {
	for _, confirmed := range []bool{false, true} {
		t.Run(fmt.Sprint(confirmed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, stop := running(t, config.Simulate)
				defer stop()
				f := newFilter("eth0")
				if err := w.r.Attach(f); err != nil {
					t.Fatal(err)
				}
				got, err := w.r.SetMode(t.Context(), "enforce", 10*time.Minute)
				if err != nil || got.Mode != "enforce" || got.Previous != "simulate" || !got.Reverts.AsTime().Equal(time.Now().Add(10*time.Minute)) || f.simulates() {
					t.Fatalf("got %v %v, filter simulates %v", got, err, f.simulates())
				}
				time.Sleep(5 * time.Minute)
				want := config.Simulate
				if confirmed {
					want = config.Enforce
					if got, err := w.r.ConfirmMode(t.Context()); err != nil || got.Reverts != nil {
						t.Fatalf("got %v %v, want it confirmed", got, err)
					}
				}
				time.Sleep(5*time.Minute - time.Millisecond)
				synctest.Wait()
				if w.r.Mode() != config.Enforce || f.simulates() {
					t.Errorf("got %s before the time is over, want enforce", w.r.Mode())
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if w.r.Mode() != want || f.simulates() != (want == config.Simulate) {
					t.Errorf("got %s, filter simulates %v; want %s", w.r.Mode(), f.simulates(), want)
				}
				if said := w.journal.last(); strings.Contains(said.Reason, "fell back") == confirmed {
					t.Errorf("got %v", said)
				}
				if _, err := w.r.ConfirmMode(t.Context()); err == nil {
					t.Error("nothing waits, and it is confirmed")
				}
			})
		})
	}
}

// TestMend: a filter that cannot follow is loaded anew.
func TestMend(t *testing.T) {
	for _, call := range []string{"allow", "replace", "put", "simulate", "remove"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, stop := running(t, config.Enforce)
				defer stop()
				w.add("203.0.113.9/32", time.Hour)
				f := newFilter("eth0")
				if err := w.r.Attach(f); err != nil {
					t.Fatal(err)
				}
				fail := func(err error) {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.fail[call] = err
				}
				fail(fmt.Errorf("broken"))
				w.add("203.0.113.10/32", time.Hour)
				if _, err := w.r.Blocks().Remove(t.Context(), netip.MustParsePrefix("203.0.113.9/32")); err != nil {
					t.Fatal(err)
				}
				if _, err := w.r.Allows().Add(t.Context(), order("203.0.113.11/32", 0)); err != nil {
					t.Fatal(err)
				}
				_, _ = w.r.SetMode(t.Context(), "simulate", 0)
				w.add("203.0.113.12/32", time.Hour)
				time.Sleep(2 * mendInterval)
				synctest.Wait()
				// The others are not called again once the filter was loaded anew.
				if warnings := strings.Join(w.r.Warnings(), " "); (call == "allow" || call == "simulate") != strings.Contains(warnings, "eth0") {
					t.Errorf("got warnings %q while %s is broken", warnings, call)
				}
				fail(nil)
				time.Sleep(2 * mendInterval)
				synctest.Wait()
				f.mu.Lock()
				blocked, allowed, simulate := len(f.entries), len(f.allow), f.simulate
				f.mu.Unlock()
				if blocked != 2 || allowed != len(w.r.passed) || !simulate || len(w.r.Warnings()) != 0 {
					t.Errorf("got %d blocks, %d allowed, simulates %v, warnings %q; want 2, %d, true, none", blocked, allowed, simulate, w.r.Warnings(), len(w.r.passed))
				}
			})
		})
	}
}

// TestNoAllowListNoDrop: a filter that could not load its allow list must not
// drop, whatever the mode becomes.
func TestNoAllowListNoDrop(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.add("203.0.113.9/32", 0)
	f := newFilter("eth0")
	f.fail["allow"] = fmt.Errorf("broken")
	if err := w.r.Attach(f); err == nil || !f.simulates() {
		t.Fatalf("got %v, simulates %v; want an error and no drop", err, f.simulates())
	}
	for _, mode := range []string{"simulate", "enforce"} {
		_, _ = w.r.SetMode(t.Context(), mode, 0)
		if !f.simulates() {
			t.Errorf("it drops in %s without its allow list", mode)
		}
	}
	w.clock.pass(mendInterval)
	f.fail["allow"] = nil
	w.r.step()
	if !f.drops("203.0.113.9") {
		t.Error("it does not drop after it was mended")
	}
}

// TestNeverLonger: no sequence of clock jumps, restarts, crashes and boots keeps
// a block in force for longer than its time.
func TestNeverLonger(t *testing.T) {
	seeds := uint64(16)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t, config.Enforce)
			f := newFilter("eth0")
			attach := func() {
				if err := w.r.Attach(f); err != nil {
					t.Fatal(err)
				}
			}
			attach()
			boots := 0
			reboot := func() {
				boots++
				w.clock.id, w.clock.boot = fmt.Sprint("boot-", boots+1), time.Duration(rng.Int64N(int64(time.Minute)))
			}
			ttl := time.Duration(1+rng.IntN(7200)) * time.Second
			w.add("203.0.113.9/32", ttl)
			var inForce time.Duration // real time
			for inForce <= ttl {
				switch rng.IntN(8) {
				case 0: // the clock jumps, as far as it likes
					w.clock.wall = w.clock.wall.Add(time.Duration(rng.Int64N(int64(96*time.Hour))) - 48*time.Hour)
				case 1: // the host dies and comes back
					w.restart()
					attach()
				case 2: // the machine boots anew, without a warning, in another year perhaps
					w.stop()
					reboot()
					w.clock.wall = w.clock.wall.Add(time.Duration(rng.Int64N(int64(8000*time.Hour))) - 6000*time.Hour)
					w.start()
					attach()
				case 3: // it stops in good order, and boots
					w.r.mu.Lock()
					err := w.r.notes.Note(true)
					w.r.mu.Unlock()
					if err != nil {
						t.Fatal(err)
					}
					w.stop()
					reboot()
					w.start()
					attach()
				}
				d := time.Duration(rng.Int64N(int64(20 * time.Minute)))
				for ; d > 0 && inForce <= ttl; d -= 10 * time.Second { // Run wakes in time
					wait := min(w.r.step(), 10*time.Second)
					if !f.drops("203.0.113.9") {
						break
					}
					w.clock.pass(wait)
					inForce += wait
				}
				w.r.step()
				if !f.drops("203.0.113.9") {
					break
				}
			}
			if inForce > ttl {
				t.Errorf("in force for %v after %d boots, its time is %v", inForce, boots, ttl)
			}
		})
	}
}

// TestRestartKeepsTime: without jumps, a restart and a boot neither lengthen nor
// end a block.
func TestRestartKeepsTime(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.add("203.0.113.9/32", time.Hour)
	w.clock.pass(10 * time.Minute)
	w.r.step()
	w.restart()
	if got := w.blocks()[0]; !strings.Contains(got, "; 50m0s;") {
		t.Errorf("after a restart: got %s, want 50 minutes", got)
	}
	w.clock.wall = w.clock.wall.Add(5 * time.Minute) // the machine is off
	w.clock.id, w.clock.boot = "boot-2", time.Minute
	w.restart()
	if got := w.blocks()[0]; !strings.Contains(got, "; 45m0s;") {
		t.Errorf("after a boot: got %s, want 45 minutes", got)
	}
	w.clock.wall = w.clock.wall.Add(-1000 * time.Hour)
	w.clock.pass(time.Minute)
	if got := w.blocks()[0]; !strings.Contains(got, "; 44m0s;") {
		t.Errorf("after the clock went back: got %s, want 44 minutes", got)
	}
	w.clock.wall = w.clock.wall.Add(2000 * time.Hour)
	w.r.step()
	if got := w.blocks(); len(got) != 0 {
		t.Errorf("after the clock went ahead: got %s, want none", got)
	}
}

func TestModes(t *testing.T) {
	type act struct {
		set     string
		confirm time.Duration
		restart bool
		file    config.Mode // restart with this mode in the file
		reload  config.Mode
		flag    config.Mode // restart with this mode on the command line
		want    config.Mode
	}
	for _, tt := range []struct {
		name string
		acts []act
	}{
		{"the file's", []act{{restart: true, want: config.Simulate}}},
		{"set, and kept", []act{{set: "enforce", want: config.Enforce}, {restart: true, want: config.Enforce}}},
		{"the file says something else since", []act{{set: "enforce", want: config.Enforce}, {file: config.Detect, want: config.Detect}}},
		{"reloaded", []act{{set: "enforce", want: config.Enforce}, {reload: config.Simulate, want: config.Enforce}, {reload: config.Detect, want: config.Detect}}},
		{"a restart within the window", []act{{set: "enforce", confirm: time.Hour, want: config.Enforce}, {restart: true, want: config.Simulate}, {restart: true, want: config.Simulate}}},
		{"two changes, neither confirmed", []act{{set: "detect", confirm: time.Hour, want: config.Detect}, {set: "enforce", confirm: time.Hour, want: config.Enforce}, {restart: true, want: config.Simulate}}},
		{"back before it is confirmed", []act{{set: "enforce", confirm: time.Hour, want: config.Enforce}, {set: "simulate", want: config.Simulate}, {restart: true, want: config.Simulate}}},
		{"final after all", []act{{set: "enforce", confirm: time.Hour, want: config.Enforce}, {set: "enforce", want: config.Enforce}, {restart: true, want: config.Enforce}}},
		{"the command line's, for one life", []act{{flag: config.Enforce, want: config.Enforce}, {restart: true, want: config.Simulate}}},
		{"set over the command line's", []act{{flag: config.Enforce, want: config.Enforce}, {set: "detect", want: config.Detect}, {restart: true, want: config.Detect}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, config.Simulate)
			for i, a := range tt.acts {
				w.config.Override = a.flag
				switch {
				case a.set != "":
					if _, err := w.r.SetMode(t.Context(), a.set, a.confirm); err != nil {
						t.Fatal(err)
					}
				case a.reload != "":
					p := w.config.Policy
					p.Mode = a.reload
					if err := w.r.Reconfigure(p); err != nil {
						t.Fatal(err)
					}
				case a.file != "":
					w.config.Policy.Mode = a.file
					w.restart()
				default:
					w.restart()
				}
				f := newFilter("eth0")
				if err := w.r.Attach(f); err != nil {
					t.Fatal(err)
				}
				if got := w.r.Mode(); got != a.want || f.simulates() != (a.want != config.Enforce) {
					t.Fatalf("act %d: got %s, filter simulates %v; want %s", i, got, f.simulates(), a.want)
				}
			}
		})
	}
	w := newWorld(t, config.Simulate)
	if _, err := w.r.SetMode(t.Context(), "panic", 0); err == nil {
		t.Error("got no error for a mode that there is not")
	}
}

// TestAttachOrder: allow list, block list, and only then it may drop.
func TestAttachOrder(t *testing.T) {
	w := newWorld(t, config.Enforce)
	w.add("203.0.113.9/32", 0)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"allow", "replace", "rules", "simulate"}, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	w.r.Detach("eth0")
	w.add("203.0.113.10/32", 0)
	if len(f.entries) != 1 {
		t.Error("a filter that is detached is still told")
	}
}

// TestNewRails: an address that becomes a gateway passes at once when the system
// is looked at.
func TestNewRails(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := newFilter("eth0")
	if err := w.r.Attach(f); err != nil {
		t.Fatal(err)
	}
	w.add("203.0.113.9/32", 0)
	w.r.finder = moved{netip.MustParsePrefix("203.0.113.9/32")}
	w.clock.pass(railAge)
	w.r.look()
	if f.drops("203.0.113.9") {
		t.Error("the new gateway is dropped")
	}
	if got := w.blocks()[0]; !strings.Contains(got, "none: 203.0.113.9: it is never blocked") {
		t.Errorf("got %q, want that it has no effect", got)
	}
}

// moved is a system whose only gateway is this one.
type moved struct{ gateway netip.Prefix }

func (m moved) Find() ([]rail.Rail, error) {
	return []rail.Rail{{Name: rail.Gateway, Prefix: m.gateway, Source: "test"}}, nil
}
