//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/bpf"
)

// PutMany stores entries as Put does each, a million in less than a second. Of
// entries with equal prefixes the last counts. All are checked before the first is
// stored, and so is the room: an error that wraps ErrInvalid, ErrFull or ErrClosed
// changes nothing. After any other, which only the kernel's lack of memory gives,
// some may be stored.
func (f *Filter) PutMany(entries []Entry) error {
	if err := f.putMany(entries, f.store); err != nil {
		return fmt.Errorf("block %d prefixes: %w", len(entries), err)
	}
	return nil
}

// PutNew is PutMany for prefixes that the block list does not hold: it saves the
// look for their counts, which takes longer than storing them. The counts of one
// that it holds all the same start anew.
func (f *Filter) PutNew(entries []Entry) error {
	err := f.putMany(entries, func(checked []Entry) error { return f.write(checked, nil) })
	if err != nil {
		return fmt.Errorf("block %d prefixes: %w", len(entries), err)
	}
	return nil
}

// putMany checks entries, and the room, and stores them with put.
func (f *Filter) putMany(entries []Entry, put func(checked []Entry) error) error {
	checked, err := checkEntries(entries)
	if err != nil {
		return err
	}
	if err := f.enter(); err != nil {
		return err
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	if err := f.makeRoom(checked); err != nil {
		return err
	}
	return put(checked)
}

// Replace makes entries the whole block list. An entry that is in the old and
// in the new list is in force throughout, and keeps its counts. An error that wraps
// ErrInvalid changes nothing; after any other the old list is in force with a part
// of the new one. Of entries with equal prefixes the last counts.
func (f *Filter) Replace(entries []Entry) error {
	if err := f.replace(entries); err != nil {
		return fmt.Errorf("replace the block list: %w", err)
	}
	return nil
}

func (f *Filter) replace(entries []Entry) error {
	checked, err := checkEntries(entries)
	if err != nil {
		return err
	}
	if err := f.enter(); err != nil {
		return err
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	f.generation++
	if err := f.store(checked); err != nil {
		return err
	}
	keep := f.generation
	return f.collect(func(e *bpf.XDPEntry) bool { return e.Generation == keep })
}

func checkEntries(entries []Entry) ([]Entry, error) {
	checked := make([]Entry, len(entries))
	for i := range entries {
		var err error
		if checked[i], err = entries[i].check(); err != nil {
			return nil, err
		}
	}
	return checked, nil
}

// The kernel takes most of the time of a large list, to find its places in memory:
// several writers share it, each with its part of the prefixes, so that of equal
// ones the last stays the last.
const (
	maxWriters       = 4
	entriesPerWriter = 1 << 13
)

// store writes checked entries, which keep the counts of those that they replace;
// lists is held.
func (f *Filter) store(entries []Entry) error {
	old, known, err := f.oldCounts(entries)
	if err != nil {
		return err
	}
	err = f.write(entries, old)
	for table, n := range known {
		f.sizes[table] -= n
	}
	return err
}

// write writes checked entries in batches, with the counts in old; lists is held.
func (f *Filter) write(entries []Entry, old map[netip.Prefix]kept) error {
	clock := now()
	for i := range entries {
		f.note(entries[i].Prefix, expiryOf(entries[i].TTL, clock))
		f.memory.filters.forget(entries[i].Prefix)
	}
	var group errgroup.Group
	writers := uint64(max(1, min(maxWriters, runtime.GOMAXPROCS(0), len(entries)/entriesPerWriter)))
	for part := range writers {
		group.Go(func() error {
			w := f.writer()
			for i := range entries {
				e := &entries[i]
				if writers > 1 && spread(e.Prefix)%writers != part {
					continue
				}
				value := f.value(*e, clock)
				if o, ok := old[e.Prefix]; ok {
					value.Hits, value.Passes, value.WouldDrops = o.hits, o.passes, o.wouldDrops
				}
				if err := w.block(e.Prefix, value); err != nil {
					return errors.Join(err, w.flush())
				}
			}
			return w.flush()
		})
	}
	err := group.Wait()
	switch {
	case err != nil || len(entries) > fewEntries:
		f.refresh()
	default:
		for i := range entries {
			value := f.value(entries[i], clock)
			f.memory.filters.forget(entries[i].Prefix)
			f.memory.filters.enter(entries[i].Prefix, &value)
		}
		f.grown()
	}
	f.storeFlags()
	return err
}

// spread returns a number that is the same for equal prefixes.
func spread(p netip.Prefix) uint64 {
	a := p.Addr().As16()
	return mix(binary.NativeEndian.Uint64(a[:8])^binary.NativeEndian.Uint64(a[8:]), uint64(p.Bits()))
}

// kept is what an entry keeps when it is stored again.
type kept struct{ hits, passes, wouldDrops uint64 }

// It is cheaper to ask for each entry than to read the lists of fewEntries, and of
// fewer than one in readsAsOne of what they hold.
const (
	fewEntries = 4096
	readsAsOne = 4
)

// few tells whether n entries are asked for one by one.
func (f *Filter) few(n int) bool {
	all := 0
	for _, size := range f.sizes {
		all += size
	}
	return n < max(fewEntries, all/readsAsOne)
}

// oldCounts returns the counts of those entries that are there and have some, and
// maybe of others; and how many of each table are there, or fewer.
func (f *Filter) oldCounts(entries []Entry) (old map[netip.Prefix]kept, known [tableCount]int, err error) {
	if f.sizes == [tableCount]int{} {
		return nil, known, nil
	}
	old = make(map[netip.Prefix]kept)
	if !f.few(len(entries)) {
		return old, known, f.each(func(p netip.Prefix, e *bpf.XDPEntry) bool {
			if e.Hits > 0 {
				old[p] = kept{e.Hits, e.Passes, e.WouldDrops}
			}
			return true
		})
	}
	var (
		found sync.Mutex
		group errgroup.Group
	)
	readers := max(1, min(maxWriters, runtime.GOMAXPROCS(0), len(entries)/entriesPerWriter))
	for part := range slices.Chunk(entries, max(1, (len(entries)+readers-1)/readers)) {
		group.Go(func() error {
			var there [tableCount]int
			for i := range part {
				m, key := f.blockTable(part[i].Prefix)
				value := bpf.XDPEntry{PrefixLen: uint8(part[i].Prefix.Bits())}
				if !keepCounts(m, key, &value) {
					continue
				}
				there[tableOf(part[i].Prefix)]++
				if value.Hits > 0 {
					found.Lock()
					old[part[i].Prefix] = kept{value.Hits, value.Passes, value.WouldDrops}
					found.Unlock()
				}
			}
			found.Lock()
			defer found.Unlock()
			for table, n := range there {
				known[table] += n
			}
			return nil
		})
	}
	err = group.Wait()
	return old, known, err
}

// makeRoom tells whether checked entries find room, of which it makes some where
// that is in doubt: it removes what has expired. lists is held.
func (f *Filter) makeRoom(entries []Entry) error {
	var more [tableCount]int
	for i := range entries {
		more[tableOf(entries[i].Prefix)]++
	}
	if f.fits(more) {
		return nil
	}
	// Some may be there already, or be twice among them. A list that is stored again
	// a part at a time must not be read as a whole for each part.
	if f.few(len(entries)) {
		fresh, err := f.fresh(entries)
		if err != nil {
			return err
		}
		if f.fits(fresh) {
			return nil
		}
	}
	if err := f.collect(live(now())); err != nil {
		return err
	}
	if f.fits(more) {
		return nil
	}
	fresh, err := f.fresh(entries)
	if err != nil {
		return err
	}
	if !f.fits(fresh) {
		return ErrFull
	}
	return nil
}

// fresh counts the prefixes that the list does not hold.
func (f *Filter) fresh(entries []Entry) (more [tableCount]int, err error) {
	absent := make(map[netip.Prefix]struct{}, len(entries))
	for i := range entries {
		absent[entries[i].Prefix] = struct{}{}
	}
	if f.few(len(entries)) {
		for p := range absent {
			m, key := f.blockTable(p)
			if keepCounts(m, key, &bpf.XDPEntry{PrefixLen: uint8(p.Bits())}) {
				delete(absent, p)
			}
		}
	} else {
		err = f.each(func(p netip.Prefix, _ *bpf.XDPEntry) bool {
			delete(absent, p)
			return true
		})
	}
	for p := range absent {
		more[tableOf(p)]++
	}
	return more, err
}

// fits tells whether each table has room for so many more entries.
func (f *Filter) fits(more [tableCount]int) bool {
	for table, m := range f.blockTables() {
		if more[table] > 0 && f.sizes[table]+more[table] > int(m.MaxEntries()) {
			return false
		}
	}
	return true
}

// blockTables returns the maps by the numbers of their tables.
func (f *Filter) blockTables() [tableCount]*ebpf.Map {
	return [tableCount]*ebpf.Map{
		tableHosts4: f.maps.Hosts4, tableNets4: f.maps.Nets4,
		tableHosts6: f.maps.Hosts6, tableSubnets6: f.maps.Subnets6, tableNets6: f.maps.Nets6,
	}
}
