package network

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// Saved state has one entry a group, under the prefix of its table and its key,
// and one an interface.
const (
	prefixSource      = "s/"
	prefixDestination = "d/"
	prefixLogin       = "p/"
	prefixListener    = "l/"
	prefixBaseline    = "b/"
	stateVersion      = 2
	// maxLone bounds how many sources with one probe each a Save writes: there
	// are that many only in a flood from forged addresses.
	maxLone = 128
	// maxSweep bounds how many groups a Save forgets because they are over.
	maxSweep = 256
)

// Restore takes up saved entries. One that cannot be read is left out and
// counted; it costs a group its windows and nothing else.
func (d *Detector) Restore(entries iter.Seq2[string, []byte]) error {
	type entry struct {
		last  int64
		name  string
		value []byte
	}
	var all []entry
	for name, value := range entries {
		all = append(all, entry{lastOf(value), name, bytes.Clone(value)})
	}
	// Groups make room in the order in which they were seen.
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.last, b.last), strings.Compare(a.name, b.name))
	})
	for _, e := range all {
		prefix, name := e.name[:min(2, len(e.name))], e.name[min(2, len(e.name)):]
		var err error
		switch prefix {
		case prefixSource:
			err = restore(d, &d.sources, name, e.value, netip.ParseAddr)
		case prefixDestination:
			err = restore(d, &d.destinations, name, e.value, netip.ParseAddrPort)
		case prefixLogin:
			err = restore(d, &d.logins, name, e.value, netip.ParseAddrPort)
		case prefixListener:
			if err = restore(d, &d.listeners, name, e.value, netip.ParseAddrPort); err == nil {
				d.recall(name)
			}
		case prefixBaseline:
			err = d.restoreBaseline(name, e.value)
		default:
			err = errCorrupt
		}
		if err != nil {
			d.stats.corrupt.Add(1)
			d.deletes = append(d.deletes, e.name)
		}
	}
	return nil
}

func restore[K key](d *Detector, t *table[K], name string, value []byte, parse func(string) (K, error)) error {
	k, err := parse(name)
	if err != nil {
		return fmt.Errorf("read group %q: %w", name, err)
	}
	read := group[K]{key: k}
	if err := read.decode(value); err != nil {
		return err
	}
	if old := t.get(k); old != nil {
		t.remove(old)
	}
	g := add(d, t, k)
	g.last, g.scan, g.sweep, g.floods, g.slow, g.visits = read.last, read.scan, read.sweep, read.floods, read.slow, read.visits
	g.aim, g.crossed, g.greeting, g.known, g.quiets = read.aim, read.crossed, read.greeting, read.known, read.quiets
	g.saved, g.seen = true, true
	d.newest = max(d.newest, g.last)
	return nil
}

// recall takes up the port of a listener that was restored.
func (d *Detector) recall(name string) {
	if k, err := netip.ParseAddrPort(name); err == nil {
		if g := d.listeners.get(k); g != nil && g.known {
			d.learn(g)
		}
	}
}

// Save reports the groups that changed, and the ones that are gone.
func (d *Detector) Save(changes *sdk.Changes) {
	window := max(d.cfg.SlowScanWindow, d.cfg.SweepWindow, d.cfg.LoginWindow, d.cfg.SlowFloodWindow)
	tidy(d, &d.sources, window)
	tidy(d, &d.destinations, window)
	tidy(d, &d.logins, window)
	tidy(d, &d.listeners, listenerMemory)
	d.tidyListeners()
	for len(d.deletes) > 0 {
		last := len(d.deletes) - 1
		if !changes.Delete(d.deletes[last]) {
			return
		}
		d.deletes = d.deletes[:last]
	}
	d.deletes = nil
	if d.saveBaselines(changes) && save(d, &d.sources, changes) && save(d, &d.destinations, changes) && save(d, &d.logins, changes) {
		save(d, &d.listeners, changes)
	}
}

// tidy forgets the groups whose windows and silence are over.
func tidy[K key](d *Detector, t *table[K], window time.Duration) {
	for _, l := range []*list[K]{&t.probation, &t.protected} {
		for range maxSweep {
			g := l.oldest()
			if g == nil || g.last > d.newest-int64(window) || g.quietUntil() > d.newest {
				break
			}
			t.remove(g)
			d.drop(g.saved, func() string { return t.name(g) })
		}
	}
}

// tidyListeners forgets the ports that were probed and did not answer.
func (d *Detector) tidyListeners() {
	g := d.listeners.probation.oldest()
	for n := 0; g != nil && n < maxSweep; n++ {
		next := g.prev
		if !g.known && g.last < d.newest-int64(greetingTime) {
			d.listeners.remove(g)
			d.drop(g.saved, func() string { return d.listeners.name(g) })
		}
		g = next
	}
}

// drop arranges for a saved group to be deleted.
func (d *Detector) drop(saved bool, name func() string) {
	if saved {
		d.deletes = append(d.deletes, name())
	}
}

// save reports the dirty groups of a table, and whether there was room.
func save[K key](d *Detector, t *table[K], changes *sdk.Changes) bool {
	var buf []byte
	lone := 0
	for i, g := range t.dirty {
		if g.gone {
			continue
		}
		if !g.saved && g.lone() {
			if lone++; lone > maxLone {
				d.stats.unsaved.Add(1)
				g.dirty = false
				continue
			}
		}
		buf = g.encode(buf[:0])
		if !changes.Put(t.name(g), buf) {
			t.dirty = append(t.dirty[:0], t.dirty[i:]...)
			return false
		}
		g.saved, g.dirty = true, false
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	if cap(t.dirty) > 1024 {
		t.dirty = nil
	}
	return true
}

// lone reports whether so little is known of the group that it may be one of a
// flood of forged addresses, or one of the ports of a scan.
func (g *group[K]) lone() bool {
	if g.known || len(g.quiets) > 0 || len(g.scan.ports) > 1 || len(g.sweep.contacts) > 1 || len(g.slow) > 0 || len(g.visits) > 0 {
		return false
	}
	for _, f := range g.floods {
		if len(f) > 0 {
			return false
		}
	}
	return true
}
