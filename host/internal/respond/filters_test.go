package respond

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

// slow is a filter that takes long to refuse a list.
type slow struct {
	*filter
	clock *hand
	loads int
}

func (s *slow) Replace([]xdp.Entry) error {
	s.clock.pass(2 * time.Second)
	s.loads++
	return errors.New("no memory")
}

// TestMendingTakesLittleTime: a filter that keeps failing, and takes long to, is
// loaded a twentieth of the time at most, and changes that fail too put that off
// no further.
func TestMendingTakesLittleTime(t *testing.T) {
	w := newWorld(t, config.Enforce)
	f := &slow{filter: newFilter("eth0"), clock: w.clock}
	f.fail["put"] = errors.New("no memory")
	if w.r.Attach(f) == nil {
		t.Fatal("got no error")
	}
	p := netip.MustParsePrefix("203.0.113.9/32")
	if _, err := w.r.Blocks().Add(t.Context(), control.Entry{Prefix: p, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		w.clock.pass(time.Second)
		w.r.step()
		w.r.mu.Lock()
		w.r.put(p)
		w.r.mu.Unlock()
	}
	if f.loads < 5 || f.loads > 8 {
		t.Errorf("got %d loads of 2 s in 200 s and their own time, want 6 or so", f.loads)
	}
}
