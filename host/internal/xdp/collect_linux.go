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

// refresh has the filter tables built anew soon: for what is gone, or has come and
// is not in all of them.
func (f *Filter) refresh() {
	f.stale = true
	f.nudge()
}

// grown says that entries have come; lists is held.
func (f *Filter) grown() {
	t := &f.memory.filters
	if t.hosts4.crowded(f.sizes[tableHosts4]) || t.hosts6.crowded(f.sizes[tableHosts6]+f.sizes[tableSubnets6]) {
		f.refresh()
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
		err := f.collectExpired()
		f.leave()
		if err != nil {
			return err
		}
		rest = max(shortest, 20*time.Since(start))
	}
}

// collectExpired removes the entries and the rules that have expired.
func (f *Filter) collectExpired() error {
	f.lists.Lock()
	defer f.lists.Unlock()
	if err := f.forgetRules(); err != nil {
		return fmt.Errorf("remove expired rules: %w", err)
	}
	if err := f.collect(live(now())); err != nil {
		return fmt.Errorf("remove expired entries: %w", err)
	}
	return nil
}

// live keeps what has not expired at a time.
func live(clock uint64) func(*bpf.XDPEntry) bool {
	return func(e *bpf.XDPEntry) bool { return e.Expires == 0 || e.Expires > clock }
}

// collect removes the entries that keep refuses and builds the filter tables
// anew; lists is held.
func (f *Filter) collect(keep func(*bpf.XDPEntry) bool) error {
	fresh := f.memory.filters.blank()
	var (
		expiry uint64
		sizes  [tableCount]int
	)
	err := f.each(func(prefix netip.Prefix, e *bpf.XDPEntry) bool {
		if !keep(e) {
			return false
		}
		fresh.mark(prefix)
		fresh.enter(prefix, e)
		sizes[tableOf(prefix)]++
		if e.Expires != 0 && (expiry == 0 || e.Expires < expiry) {
			expiry = e.Expires
		}
		return true
	})
	if err != nil {
		return err
	}
	resized := f.memory.filters.store(fresh)
	f.storeFlags()
	// Words that a packet may be reading by the mask before are cleared next time.
	f.sizes, f.expiry, f.stale = sizes, expiry, resized
	f.expects(f.ruleExpiry())
	return nil
}
