//go:build amd64 || arm64

package xdp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/bpf"
)

// expects notes that an entry may expire at a time; lists is held.
func (f *Filter) expects(expires uint64) {
	if expires != 0 && (f.expiry == 0 || expires < f.expiry) {
		f.expiry = expires
		f.nudge()
	}
}

func (f *Filter) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// collectLoop removes expired entries until ctx is done or the filter closed.
// It looks no sooner than one does expire, and spends at most a twentieth of its
// time on it.
func (f *Filter) collectLoop(ctx context.Context) error {
	const shortest = time.Second
	rest := shortest
	for {
		f.lists.Lock()
		expiry, stale := f.expiry, f.stale
		f.lists.Unlock()
		wait := time.Duration(-1)
		switch clock := now(); {
		case stale, expiry != 0 && expiry <= clock:
			wait = rest
		case expiry != 0:
			wait = max(rest, time.Duration(expiry-clock))
		}
		var due <-chan time.Time
		if wait >= 0 {
			// A timer that nobody waits for any more is garbage, and no leak.
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.done:
			return nil
		case <-f.wake:
			continue
		case <-due:
		}
		start := time.Now()
		if err := f.enter(); err != nil {
			return nil
		}
		f.lists.Lock()
		clock := now()
		err := f.collect(func(e *bpf.XDPEntry) bool { return e.Expires == 0 || e.Expires > clock })
		f.lists.Unlock()
		f.leave()
		if err != nil {
			return fmt.Errorf("remove expired entries: %w", err)
		}
		rest = max(shortest, 20*time.Since(start))
	}
}

// collect removes the entries that keep refuses and builds the filter tables
// anew; lists is held.
func (f *Filter) collect(keep func(*bpf.XDPEntry) bool) error {
	fresh := f.memory.filters.blank()
	var expiry uint64
	err := f.each(func(prefix netip.Prefix, e *bpf.XDPEntry) bool {
		if !keep(e) {
			return false
		}
		fresh.mark(prefix)
		if e.Expires != 0 && (expiry == 0 || e.Expires < expiry) {
			expiry = e.Expires
		}
		return true
	})
	if err != nil {
		return err
	}
	f.memory.filters.store(fresh)
	f.storeFlags()
	f.expiry, f.stale = expiry, false
	return nil
}
