package respond

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

// Filter is the packet filter of one interface: an xdp.Filter.
type Filter interface {
	Interface() string
	Put(xdp.Entry) error
	// Unblock returns xdp.ErrNotFound when there is no such entry.
	Unblock(netip.Prefix) error
	Replace([]xdp.Entry) error
	Entries() ([]xdp.Entry, error)
	ReplaceAllow([]netip.Prefix) error
	SetSimulate(bool) error
}

// attached is a Filter and how it fares.
type attached struct {
	Filter
	// failed is why it does not follow the lists or the mode; nil when it does.
	failed error
	since  time.Duration
}

// mendInterval is how often a filter that failed is loaded anew.
const mendInterval = 5 * time.Second

// Attach gives a filter the allow list, then every block, and only then lets it
// drop, if the mode is enforce. The filter must simulate until then. One that
// cannot take all this keeps its place and is tried again while Run runs; the
// error says why. A filter of the same interface is replaced.
func (r *Responder) Attach(f Filter) error {
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &attached{Filter: f}
	r.filters[f.Interface()] = a
	r.nudge()
	r.fill(a)
	return a.failed
}

// Detach forgets the filter of an interface; closing it is the caller's.
func (r *Responder) Detach(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.filters, name)
}

// fill loads everything into a filter; r.mu is held.
func (r *Responder) fill(a *attached) {
	a.since, a.failed = r.clock.Boot(), nil
	// A filter without its allow list must drop nothing.
	if err := a.ReplaceAllow(r.passed); err != nil {
		a.failed = errors.Join(fmt.Errorf("load the allow list: %w", err), a.SetSimulate(true))
		return
	}
	entries := make([]xdp.Entry, 0, len(r.blocks))
	for _, p := range sortedPrefixes(r.blocks) {
		if left := r.clock.remaining(r.blocks[p].Stamp); left > 0 {
			entries = append(entries, kernelEntry(p, left))
		}
	}
	blocksErr := a.Replace(entries)
	if blocksErr != nil {
		blocksErr = fmt.Errorf("load the block list: %w", blocksErr)
	}
	// What is on the list is right, so it may drop also when something is missing.
	a.failed = errors.Join(blocksErr, a.SetSimulate(r.mode.Mode != config.Enforce))
}

func kernelEntry(p netip.Prefix, left time.Duration) xdp.Entry {
	if left == forever {
		left = 0
	}
	return xdp.Entry{Prefix: p, TTL: left}
}

// each applies a change to every filter and returns the errors by interface.
// One that fails is loaded anew later; r.mu is held.
func (r *Responder) each(change func(Filter) error) map[string]error {
	failed := make(map[string]error)
	for name, a := range r.filters {
		if err := change(a.Filter); err != nil {
			failed[name] = err
			a.failed, a.since = err, r.clock.Boot()
			r.log.Error("the packet filter does not follow", "interface", name, "error", err)
			r.nudge()
		}
	}
	return failed
}

// put stores a block in every filter; r.mu is held.
func (r *Responder) put(p netip.Prefix, e *entry) map[string]error {
	left := r.clock.remaining(e.Stamp)
	return r.each(func(f Filter) error { return f.Put(kernelEntry(p, max(left, 1))) })
}

// drop removes a block from every filter; r.mu is held.
func (r *Responder) drop(p netip.Prefix) {
	r.each(func(f Filter) error {
		if err := f.Unblock(p); !errors.Is(err, xdp.ErrNotFound) {
			return err
		}
		return nil
	})
}

// mend loads filters that failed anew and returns when to try again; r.mu is
// held.
func (r *Responder) mend() time.Duration {
	wait := forever
	for name, a := range r.filters {
		if a.failed == nil {
			continue
		}
		due := a.since + mendInterval - r.clock.Boot()
		if due <= 0 {
			if r.fill(a); a.failed == nil {
				r.log.Info("the packet filter follows again", "interface", name)
				continue
			}
			r.log.Error("the packet filter does not follow", "interface", name, "error", a.failed)
			due = mendInterval
		}
		wait = min(wait, due)
	}
	return wait
}

// interfaces returns the names of the filters, sorted; r.mu is held.
func (r *Responder) interfaces() []string { return slices.Sorted(maps.Keys(r.filters)) }

// hits returns how many packets each block decided, over all filters; r.mu is
// held. A filter that cannot say counts nothing.
func (r *Responder) hits() map[netip.Prefix]uint64 {
	out := make(map[netip.Prefix]uint64)
	for name, a := range r.filters {
		entries, err := a.Entries()
		if err != nil {
			r.log.Error("cannot read the hits of blocks", "interface", name, "error", err)
		}
		for _, e := range entries {
			out[e.Prefix] += e.Hits
		}
	}
	return out
}
