package respond

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

// stride is how many networks of a list filters are told about while the lock is
// held: what else waits for it waits for some ten milliseconds. Less is slower: a
// filter shares one call among the processors.
const stride = 1 << 15

// settle makes the filters follow the lists about some networks; r.mu is held.
// With strict set it returns the error of the first filter that worked and does
// not follow, and leaves it to the caller to settle anew; else such a filter is
// loaded anew later.
func (r *Responder) settle(networks []netip.Prefix, strict bool) error {
	if len(r.filters) == 0 {
		return nil
	}
	b := r.book()
	var fresh, known []xdp.Entry
	var gone []netip.Prefix
	for _, p := range networks {
		switch found := b.rule(p); {
		case found.entry == nil:
			gone = append(gone, p)
		case found.fresh:
			fresh = append(fresh, kernelEntry(p, found))
		default:
			known = append(known, kernelEntry(p, found))
		}
	}
	change := func(f Filter) error {
		var errs [3]error
		if len(fresh) > 0 {
			errs[0] = f.PutNew(fresh)
		}
		if len(known) > 0 {
			errs[1] = f.PutMany(known)
		}
		if len(gone) > 0 {
			errs[2] = f.RemoveMany(gone)
		}
		return errors.Join(errs[:]...)
	}
	if !strict {
		r.each(change)
		return nil
	}
	for name, a := range r.filters {
		if a.failed != nil {
			continue // it is loaded anew, with everything
		}
		err := change(a.Filter)
		switch {
		case errors.Is(err, xdp.ErrFull):
			return fmt.Errorf("%w: the packet filter on %s has no room for them: raise [ebpf] max_entries, and start the host again (%w)", control.ErrConflict, name, err)
		case err != nil:
			return fmt.Errorf("load the packet filter on %s: %w", name, err)
		}
	}
	return nil
}

// settleAll is settle for any number of networks, a stride at a time; r.mu is
// not held.
func (r *Responder) settleAll(networks iter.Seq[netip.Prefix], strict bool) error {
	chunk := make([]netip.Prefix, 0, stride)
	flush := func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		err := r.settle(chunk, strict)
		chunk = chunk[:0]
		return err
	}
	for p := range networks {
		if chunk = append(chunk, p); len(chunk) == stride {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// all returns the networks of a set.
func (s nets) all() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for i := range s.len() {
			if p, _ := s.at(i); !yield(p) {
				return
			}
		}
	}
}
