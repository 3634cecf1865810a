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
		if got := s.Status(); got.State != Backoff || got.LastError != errBroken.Error() {
			t.Errorf("after the first start: %+v", got)
		}
		<-time.After(time.Hour) // of the bubble
		synctest.Wait()
		if got := s.Status(); got.State != Failed || got.Restarts != maxBarren-1 || starts.Load() != maxBarren {
			t.Errorf("after an hour: %+v and %d starts, want it failed after %d", got, starts.Load(), maxBarren)
		}
		if up.Load() {
			t.Error("the flow still waits for it")
		}
		s.Reload()
		synctest.Wait()
		if !up.Load() || s.Status().State != Backoff || starts.Load() != maxBarren+1 {
			t.Errorf("after Reload: up %v, %v, %d starts", up.Load(), s.Status().State, starts.Load())
		}
		s.Stop()
		s.Stop()
		if got := s.Status().State; got != Stopped {
			t.Errorf("after Stop: %v", got)
		}
	})
}

func TestReloadEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, starts, _ := broken(func(context.Context) {})
		s := New(spec)
		go s.Run(t.Context())
		synctest.Wait()
		s.Reload()
		synctest.Wait() // no time passes
		if got := starts.Load(); got != 2 {
			t.Errorf("%d starts, want the second at once", got)
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
	type life struct {
		worked bool
		lived  time.Duration
	}
	for _, c := range []struct {
		name   string
		lives  []life
		want   []time.Duration
		barren int
	}{
		{"works long each time", []life{{true, time.Hour}, {true, time.Hour}, {true, longLife}}, []time.Duration{0, 0, 0}, 0},
		{"gets nothing done", []life{{false, 0}, {false, 0}, {false, time.Hour}}, []time.Duration{100 * ms, 200 * ms, 400 * ms}, 3},
		{"dies at each batch", []life{{true, ms}, {true, ms}, {true, ms}, {true, ms}}, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms}, 0},
		{"a long life ends the series", []life{{true, ms}, {true, ms}, {true, time.Hour}, {true, ms}}, []time.Duration{0, 100 * ms, 0, 0}, 0},
		{"work ends the barren lives", []life{{false, 0}, {false, 0}, {true, ms}, {false, 0}}, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms}, 1},
		{"then one fails", []life{{true, time.Hour}, {false, 0}}, []time.Duration{0, 100 * ms}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s series
			var got []time.Duration
			for _, l := range c.lives {
				got = append(got, s.next(l.worked, l.lived))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			if s.barren != c.barren {
				t.Errorf("%d barren lives, want %d", s.barren, c.barren)
			}
		})
	}
	s := series{}
	for range 100 {
		if p := s.next(true, 0); p > workedPause {
			t.Fatalf("a pause of %v", p)
		}
	}
}
