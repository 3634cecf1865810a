package engine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/internal/redistest"
	"github.com/ironpost/ironpost/sdk"
)

func TestMain(m *testing.M) {
	Mute()
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// counters are what an engine counted.
type counters struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (c *counters) add(name string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]uint64)
	}
	c.n[name] += n
}

func (c *counters) get(name string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

// connect returns an engine on a server.
func connect(t testing.TB, s *redistest.Server, c Config) *Engine {
	t.Helper()
	if c.Address == "" {
		c.Network, c.Address = "tcp", s.Address
	}
	e := New(c)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// bounded is a context for one call.
func bounded(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func window(key string, i, threshold int) sdk.SharedOperation {
	at := time.Unix(1_800_000_000, 0).Add(time.Duration(i) * time.Millisecond)
	return sdk.SharedOperation{Key: key, Span: time.Minute, Window: &sdk.WindowAdd{Time: at, ID: []byte(fmt.Sprintf("event-%010d", i)), Threshold: threshold}}
}

// apply carries out operations that have to succeed.
func apply(t testing.TB, e *Engine, ops ...sdk.SharedOperation) []sdk.SharedResult {
	t.Helper()
	out, err := e.Apply(bounded(t, patience), ops)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decision(id string, left time.Duration) sdk.Decision {
	return sdk.Decision{ID: id, Kind: sdk.DecisionBlock, Prefix: "192.0.2.1/32", Host: "a", Source: "operator", Reason: "test", Created: time.Unix(1_800_000_000, 0), Remaining: left}
}

func share(t testing.TB, e *Engine, made []sdk.Decision, gone ...string) []string {
	t.Helper()
	back, err := e.Share(bounded(t, patience), made, gone)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// listener follows an engine.
type listener struct {
	mu          sync.Mutex
	known       map[string]time.Duration
	generations []string // of the notices with Current
	ended       chan error
	stop        func()
}

func listen(t testing.TB, e *Engine) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{known: map[string]time.Duration{}, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.ended <- e.Follow(ctx, func(n sdk.DecisionNotice) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, d := range n.Decisions {
				l.known[d.ID] = d.Remaining
			}
			for _, id := range n.Removed {
				delete(l.known, id)
			}
			if n.Current {
				l.generations = append(l.generations, n.Generation)
			}
			return nil
		})
	}()
	l.stop = func() { cancel(); <-done }
	t.Cleanup(l.stop)
	return l
}

// wait waits until ok, which is called with the lock held.
func (l *listener) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	wait(t, what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return ok()
	})
}

func (l *listener) knows(t testing.TB, id string) {
	t.Helper()
	l.wait(t, "decision "+id, func() bool { return l.known[id] > 0 })
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("%s: not so within %v", what, patience)
		}
	}
}
