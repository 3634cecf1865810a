package supervise

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/host/internal/link"
)

var errBroken = errors.New("it does not start")

// broken is a plugin that never starts; begin is called with each attempt.
func broken(begin func(ctx context.Context)) (spec Spec, starts *atomic.Int32, up *atomic.Bool) {
	starts, up = new(atomic.Int32), new(atomic.Bool)
	up.Store(true)
	return Spec{
		Name: "broken", Logger: hclog.NewNullLogger(), DrainTimeout: time.Second,
		Start: func(ctx context.Context) (*link.Conn, error) {
			starts.Add(1)
			begin(ctx)
			return nil, errBroken
		},
		Work: func() uint64 { return 0 }, SetUp: up.Store,
	}, starts, up
}

func TestPausesGrowAndTheCircuitOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, starts, up := broken(func(context.Context) {})
		s := New(spec)
		go s.Run(t.Context())
		synctest.Wait()
		if got := s.Status(); got.State != Backoff || got.LastError != errBroken.Error() || starts.Load() != 2 {
			t.Errorf("at first: %+v, and %d starts; want a pause after the second", got, starts.Load())
		}
		<-time.After(time.Hour) // of the bubble
		synctest.Wait()
		if got := s.Status(); got.State != Failed || got.Restarts != maxBarren-1 || starts.Load() != maxBarren {
			t.Errorf("after an hour: %+v and %d starts, want it failed after %d", got, starts.Load(), maxBarren)
		}
		if up.Load() {
			t.Error("the flow still waits for it")
		}
		if err := s.Reload(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("Reload: got %v, want why it does not start", err)
		}
		synctest.Wait()
		if !up.Load() || s.Status().State != Backoff || starts.Load() != maxBarren+2 {
			t.Errorf("after Reload: up %v, %v, %d starts", up.Load(), s.Status().State, starts.Load())
		}
		s.Stop()
		s.Stop()
		if got := s.Status().State; got != Stopped {
			t.Errorf("after Stop: %v", got)
		}
		if err := s.Reload(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("Reload after Stop: %v", err)
		}
	})
}

func TestReloadEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, starts, _ := broken(func(context.Context) {})
		s := New(spec)
		go s.Run(t.Context())
		synctest.Wait()
		before := time.Now()
		if err := s.Reload(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("Reload: got %v, want why it does not start", err)
		}
		if got := starts.Load(); got != 3 || time.Since(before) != 0 {
			t.Errorf("%d starts after %v, want the third at once", got, time.Since(before))
		}
		s.Stop()
	})
}

func TestStopDoesNotWaitForAStart(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *Supervisor, cancel func())
	}{
		{"Stop", func(s *Supervisor, _ func()) { s.Stop() }},
		{"the context", func(s *Supervisor, cancel func()) { cancel(); s.Stop() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spec, starts, _ := broken(func(ctx context.Context) {
					select {
					case <-ctx.Done():
					case <-time.After(time.Minute):
					}
				})
				s := New(spec)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.Run(ctx)
				synctest.Wait()
				began := time.Now()
				c.end(s, cancel)
				if d := time.Since(began); d != 0 || starts.Load() != 1 {
					t.Errorf("Stop took %v with %d starts, want 0 with 1", d, starts.Load())
				}
			})
		})
	}
}

func TestSeries(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name   string
		worked []bool
		want   []time.Duration
		barren int
	}{
		{"works each time", []bool{true, true, true}, []time.Duration{0, 0, 0}, 0},
		{"gets nothing done", []bool{false, false, false, false, false}, []time.Duration{0, 200 * ms, 1000 * ms, 5000 * ms, 25000 * ms}, 5},
		{"work ends the barren lives", []bool{false, false, true, false}, []time.Duration{0, 200 * ms, 0, 0}, 1},
		{"then one fails", []bool{true, false}, []time.Duration{0, 0}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s series
			var got []time.Duration
			now := time.Unix(1e9, 0)
			for _, worked := range c.worked {
				now = now.Add(time.Second)
				got = append(got, s.next(worked, now))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			if s.barren != c.barren {
				t.Errorf("%d barren lives, want %d", s.barren, c.barren)
			}
		})
	}
}

// TestAPluginThatGetsALittleDoneEachTime is started at once while that is rare,
// and never as fast as the machine can.
func TestAPluginThatGetsALittleDoneEachTime(t *testing.T) {
	var s series
	now := time.Unix(1e9, 0)
	for range 100 { // killed every 200 ms, for 20 s
		now = now.Add(200 * time.Millisecond)
		if p := s.next(true, now); p != 0 {
			t.Fatalf("a pause of %v", p)
		}
	}
	began, lives := now, 0
	for now.Sub(began) < 10*time.Second { // dies within a millisecond
		now = now.Add(time.Millisecond + s.next(true, now))
		lives++
	}
	if lives > 10*10+burst+1 {
		t.Errorf("%d lives in 10 s, want about 10 a second", lives)
	}
}

// TestTheCircuitOutlivesTheHost begins where an earlier host came to.
func TestTheCircuitOutlivesTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, starts, _ := broken(func(context.Context) {})
		var kept []Past
		spec.Keep = func(p Past) { kept = append(kept, p) }
		spec.Past = Past{Barren: maxBarren - 1, LastError: "before"}
		s := New(spec)
		go s.Run(t.Context())
		synctest.Wait()
		if got := s.Status(); got.State != Failed || starts.Load() != 1 {
			t.Errorf("got %+v after %d starts, want it failed after 1", got, starts.Load())
		}
		s.Stop()
		if diff := cmp.Diff([]Past{{Barren: maxBarren, LastError: errBroken.Error()}}, kept); diff != "" {
			t.Fatalf("what is kept (-want +got):\n%s", diff)
		}
		spec.Past = kept[0]
		s = New(spec)
		go s.Run(t.Context())
		synctest.Wait()
		if got := s.Status(); got.State != Failed || got.LastError != errBroken.Error() || starts.Load() != 1 {
			t.Errorf("in the next host: got %+v after %d starts, want it failed without another", got, starts.Load())
		}
		if err := s.Reload(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("Reload: got %v, want why it does not start", err)
		}
		s.Stop()
	})
}
