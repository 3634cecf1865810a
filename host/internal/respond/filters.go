package respond

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/xdp"
)

// Filter is the packet filter of one interface: an xdp.Filter.
type Filter interface {
	Interface() string
	Put(xdp.Entry) error
	// PutMany stores all the entries or none; PutNew does with those that there are
	// not yet.
	PutMany([]xdp.Entry) error
	PutNew([]xdp.Entry) error
	// RemoveMany removes those of the prefixes that it has.
	RemoveMany([]netip.Prefix) error
	Replace([]xdp.Entry) error
	// Hits returns how many packets each entry decided, 0 where there is none.
	Hits([]netip.Prefix) ([]uint64, error)
	ReplaceAllow([]netip.Prefix) error
	// SetRules makes them all the rules; Rules returns them with their counts.
	SetRules([]xdp.Rule) error
	Rules() ([]xdp.Rule, error)
	SetSimulate(bool) error
}

// attached is a Filter and how it fares.
type attached struct {
	Filter
	// failed is why it does not follow the lists or the mode; nil when it does.
	failed error
	since  time.Duration
	// rest is how long after since it is loaded anew, at least mendInterval.
	rest time.Duration
}

// mendInterval is how often a filter that failed is loaded anew. Where a list is
// large, loading takes one part of mendShare of the time at most: alerts wait while
// it goes on.
const (
	mendInterval = 5 * time.Second
	mendShare    = 20
)

// Attach gives a filter the allow list, then every block and every rule, and only
// then lets it drop, if the mode is enforce. The filter must simulate until then.
// One that cannot take all this keeps its place and is tried again while Run runs;
// the error says why. A filter of the same interface is replaced.
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

// manyEntries is from how many entries on memory is given back at once.
const manyEntries = 100_000

// fill loads everything into a filter; r.mu is held.
func (r *Responder) fill(a *attached) {
	a.since, a.failed = r.clock.Boot(), nil
	// A filter without its allow list must drop nothing.
	if err := a.ReplaceAllow(r.passed); err != nil {
		a.failed = errors.Join(fmt.Errorf("load the allow list: %w", err), a.SetSimulate(true))
		return
	}
	book := r.book()
	entries := make([]xdp.Entry, 0, book.size())
	walk := book.walk(netip.Prefix{})
	for p, ok := walk.next(); ok; p, ok = walk.next() {
		if by := book.rule(p); by.entry != nil {
			entries = append(entries, kernelEntry(p, by))
		}
	}
	blocksErr := a.Replace(entries)
	if len(entries) >= manyEntries {
		// What was needed for them is many times what is kept, and would stay with
		// an idle process for long. They are not used below.
		debug.FreeOSMemory()
	}
	if blocksErr != nil {
		blocksErr = fmt.Errorf("load the block list: %w", blocksErr)
	}
	rulesErr := a.SetRules(r.kernelRules())
	if rulesErr != nil {
		rulesErr = fmt.Errorf("load the rules: %w", rulesErr)
	}
	// What is on the list is right, so it may drop also when something is missing.
	a.failed = errors.Join(blocksErr, rulesErr, a.SetSimulate(r.mode.Mode != config.Enforce))
}

// kernelEntry is what a filter is told about a network.
func kernelEntry(p netip.Prefix, by ruling) xdp.Entry {
	if by.left == expiry.Forever {
		by.left = 0
	}
	e := xdp.Entry{Prefix: p, TTL: by.left}
	by.entry.onto(&e)
	return e
}

// each applies a change to every filter and returns the errors by interface.
// One that fails is loaded anew later; r.mu is held.
func (r *Responder) each(change func(Filter) error) map[string]error {
	failed := make(map[string]error)
	for name, a := range r.filters {
		if err := change(a.Filter); err != nil {
			failed[name] = err
			if a.failed == nil { // more that fails does not put off its loading
				a.since = r.clock.Boot()
			}
			a.failed = err
			r.log.Error("the packet filter does not follow", "interface", name, "error", err)
			r.nudge()
		}
	}
	return failed
}

// put makes every filter follow the lists about one network, and returns what
// went wrong by interface; r.mu is held.
func (r *Responder) put(p netip.Prefix) map[string]error {
	book := r.book()
	by := book.rule(p)
	return r.each(func(f Filter) error {
		if by.entry == nil {
			return f.RemoveMany([]netip.Prefix{p})
		}
		return f.Put(kernelEntry(p, by))
	})
}

// mend loads filters that failed anew and returns when to try again; r.mu is
// held.
func (r *Responder) mend() time.Duration {
	wait := expiry.Forever
	for name, a := range r.filters {
		if a.failed == nil {
			continue
		}
		due := a.since + max(a.rest, mendInterval) - r.clock.Boot()
		if due <= 0 {
			if r.fill(a); a.failed == nil {
				r.log.Info("the packet filter follows again", "interface", name)
				a.rest = 0
				continue
			}
			r.log.Error("the packet filter does not follow", "interface", name, "error", a.failed)
			a.rest = max(mendInterval, mendShare*(r.clock.Boot()-a.since))
			due = a.rest
		}
		wait = min(wait, due)
	}
	return wait
}

// interfaces returns the names of the filters, sorted; r.mu is held.
func (r *Responder) interfaces() []string { return slices.Sorted(maps.Keys(r.filters)) }

// hitsOf returns how many packets each of some blocks decided, over all filters;
// r.mu is held. A filter that cannot say counts nothing.
func (r *Responder) hitsOf(networks []netip.Prefix) []uint64 {
	out := make([]uint64, len(networks))
	for name, a := range r.filters {
		hits, err := a.Hits(networks)
		if err != nil {
			r.log.Error("cannot read the hits of blocks", "interface", name, "error", err)
			continue
		}
		for i, n := range hits {
			out[i] += n
		}
	}
	return out
}
