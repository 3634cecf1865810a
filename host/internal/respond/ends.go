package respond

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/expiry"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// thin takes the networks that pick returns, of those of a list, out of every list;
// r.listing is held. An error leaves the lists that come after in the order of names
// as they were.
func (r *Responder) thin(pick func(nets) nets) error {
	r.mu.Lock()
	lists := maps.Clone(r.lists)
	r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		old := lists[name]
		gone := pick(old.nets)
		if gone.len() == 0 {
			continue
		}
		next := r.tidy(&blockList{name: name, origins: old.origins, nets: old.nets.without(gone).clip()})
		if err := r.change(old, next); err != nil {
			return fmt.Errorf("take %d networks off the list %s: %w", gone.len(), name, err)
		}
	}
	return nil
}

// releaseListed takes what a rule now allows whole off the lists.
func (r *Responder) releaseListed() error {
	r.mu.Lock()
	never, idle := r.never, len(r.lists) == 0
	r.mu.Unlock()
	if idle {
		return nil
	}
	var allowed []netip.Prefix
	for p, b := range never {
		if b.rail == RailAllow || b.rail == RailProxy {
			allowed = append(allowed, p)
		}
	}
	r.listing.Lock()
	defer r.listing.Unlock()
	return r.thin(func(s nets) nets {
		doomed := make(map[int]bool)
		for _, rule := range allowed {
			for i, to := s.inside(rule); i < to; i++ {
				if p, _ := s.at(i); p.Bits() >= rule.Bits() {
					doomed[i] = true
				}
			}
		}
		if len(doomed) == 0 {
			return nets{}
		}
		return s.keep(func(i int, origin uint32) (uint32, bool) { return origin, doomed[i] })
	})
}

// expireLists ends what is over and returns how long until something else is.
func (r *Responder) expireLists() time.Duration {
	r.mu.Lock()
	wait, over := r.listsLeft()
	r.mu.Unlock()
	if len(over) == 0 {
		return wait
	}
	if !r.listing.TryLock() {
		return wait // a change of the lists is under way, and nudges Run when it is done
	}
	defer r.listing.Unlock()
	for _, l := range over {
		r.mu.Lock()
		current := r.lists[l.name] == l
		r.mu.Unlock()
		if !current {
			continue
		}
		next := r.tidy(&blockList{name: l.name, origins: l.origins, nets: l.nets})
		if err := r.change(l, next); err != nil {
			// Filters know when it ends, but for a wall clock that jumped ahead.
			r.log.Error("a list that is over cannot be removed from the state database, trying again", "list", l.name, "error", err)
			_ = r.settleAll(l.nets.all(), false) // it does not err
			wait = min(wait, mendInterval)
			continue
		}
		r.mu.Lock()
		n := l.nets.len() - next.nets.len()
		r.tellList(l, pb.Outcome_OUTCOME_EXPIRED, n, fmt.Sprintf("The time of %d networks of the list %s is over.", n, l.name))
		r.mu.Unlock()
	}
	return wait
}

// listsLeft returns how long until an import is over, and the lists with one that
// is; r.mu is held.
func (r *Responder) listsLeft() (wait time.Duration, over []*blockList) {
	wait = expiry.Forever
	for _, name := range slices.Sorted(maps.Keys(r.lists)) {
		l, ended := r.lists[name], false
		for _, e := range l.origins {
			if left := r.clock.Remaining(e.Stamp); left > 0 {
				wait = min(wait, left)
			} else {
				ended = true
			}
		}
		if ended {
			over = append(over, l)
		}
	}
	return wait, over
}
