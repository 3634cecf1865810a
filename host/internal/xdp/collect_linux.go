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

// Tables that are to be built anew are, once nothing has asked for it for settled,
// and at the latest after overdue: to read a long list that is still being stored
// would hold up who stores it.
const (
	settled = time.Second
	overdue = 15 * time.Second
)

// refresh has the filter tables built anew soon: for what is gone, or has come and
// is not in all of them; lists is held.
func (f *Filter) refresh() {
	f.staleAt = time.Now()
	if f.staleSince.IsZero() {
		f.staleSince = f.staleAt
		f.nudge()
	}
}

// refreshAt returns when the tables are to be built anew, zero when they are not;
// lists is held.
func (f *Filter) refreshAt() time.Time {
	if f.staleSince.IsZero() {
		return time.Time{}
	}
	at, latest := f.staleAt.Add(settled), f.staleSince.Add(overdue)
	if at.After(latest) {
		return latest
	}
	return at
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
		wait := f.collectIn()
		if wait >= 0 {
			wait = max(wait, rest)
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
		if f.collectIn() > 0 {
			continue // put off meanwhile
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

// collectIn returns in how long there is something to collect or to build anew, 0 for
// now and less for never.
func (f *Filter) collectIn() time.Duration {
	f.lists.Lock()
	defer f.lists.Unlock()
	wait := time.Duration(-1)
	if f.expiry != 0 {
		wait = time.Duration(max(int64(f.expiry)-int64(now()), 0))
	}
	if at := f.refreshAt(); !at.IsZero() {
		if until := max(time.Until(at), 0); wait < 0 || until < wait {
			wait = until
		}
	}
	return wait
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
	f.sizes, f.expiry, f.staleSince = sizes, expiry, time.Time{}
	if resized {
		f.refresh()
	}
	f.expects(f.ruleExpiry())
	return nil
}
