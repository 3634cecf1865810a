//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf"
)

// Block stores a prefix to be dropped for ttl (zero is for ever) in the name of
// a rule of the caller's. It replaces an entry of the same prefix. The block
// holds for every packet from its return on, unless an allowed prefix contains
// the source. It returns errors that wrap ErrInvalid, ErrFull or ErrClosed.
func (f *Filter) Block(prefix netip.Prefix, ttl time.Duration, rule uint32) error {
	return f.Put(Entry{Prefix: prefix, TTL: ttl, Rule: rule})
}

// Put stores any entry, as Block does.
func (f *Filter) Put(e Entry) error {
	e, err := e.check()
	if err != nil {
		return fmt.Errorf("block: %w", err)
	}
	if err := f.enter(); err != nil {
		return fmt.Errorf("block %v: %w", e.Prefix, err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()

	m, key := f.blockTable(e.Prefix)
	value := f.value(e, now())
	known := keepCounts(m, key, &value)
	f.memory.filters.forget(e.Prefix)
	if err := m.Put(key, &value); err != nil {
		return fmt.Errorf("block %v: %w", e.Prefix, listError(err))
	}
	if !known {
		f.sizes[tableOf(e.Prefix)]++
	}
	f.memory.filters.mark(e.Prefix)
	f.memory.filters.enter(e.Prefix, &value)
	f.grown()
	f.storeFlags()
	f.expects(value.Expires)
	return nil
}

// Unblock removes the entry of exactly this prefix. It returns ErrNotFound when
// there is none.
func (f *Filter) Unblock(prefix netip.Prefix) error {
	prefix, err := canonical(prefix)
	if err != nil {
		return fmt.Errorf("unblock: %w", err)
	}
	if err := f.enter(); err != nil {
		return fmt.Errorf("unblock %v: %w", prefix, err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	m, key := f.blockTable(prefix)
	f.memory.filters.forget(prefix)
	if err := m.Delete(key); err != nil {
		return fmt.Errorf("unblock %v: %w", prefix, listError(err))
	}
	f.sizes[tableOf(prefix)]--
	f.refresh()
	return nil
}

// Entries returns the live entries of the block list, in no order.
func (f *Filter) Entries() ([]Entry, error) {
	if err := f.enter(); err != nil {
		return nil, fmt.Errorf("read the block list: %w", err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	var entries []Entry
	clock := now()
	err := f.each(func(prefix netip.Prefix, e *bpf.XDPEntry) bool {
		if e.Expires != 0 && e.Expires <= clock {
			return true
		}
		entry := Entry{
			Prefix: prefix, Action: Action(e.Action), Limit: e.Rate, Burst: e.Burst, Rule: e.Rule,
			Hits: e.Hits, Drops: dropped(e.Hits, e.Passes, e.WouldDrops), WouldDrops: e.WouldDrops,
			DryRun: e.Flags&uint8(bpf.XDPEntryFlagENTRY_DRY_RUN) != 0,
		}
		if e.Expires != 0 {
			entry.TTL = time.Duration(e.Expires - clock)
		}
		entries = append(entries, entry)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read the block list: %w", err)
	}
	return entries, nil
}

// SetAllow adds a prefix to the allow list, which wins over every block. Adding
// one twice is no error.
func (f *Filter) SetAllow(prefix netip.Prefix) error {
	return f.changeAllow("allow", prefix, func(m *ebpf.Map, key any, value *bpf.XDPEntry) error {
		return m.Put(key, value)
	})
}

// RemoveAllow removes exactly this prefix from the allow list. It returns
// ErrNotFound when the list does not hold it.
func (f *Filter) RemoveAllow(prefix netip.Prefix) error {
	return f.changeAllow("remove allow", prefix, func(m *ebpf.Map, key any, _ *bpf.XDPEntry) error {
		return m.Delete(key)
	})
}

func (f *Filter) changeAllow(verb string, prefix netip.Prefix, change func(*ebpf.Map, any, *bpf.XDPEntry) error) error {
	prefix, err := canonical(prefix)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := f.enter(); err != nil {
		return fmt.Errorf("%s %v: %w", verb, prefix, err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	m, key := f.allowTable(prefix)
	f.allow4 = f.allow4 || prefix.Addr().Is4()
	f.allow6 = f.allow6 || prefix.Addr().Is6()
	f.storeFlags()
	if err := change(m, key, &bpf.XDPEntry{PrefixLen: uint8(prefix.Bits())}); err != nil {
		return fmt.Errorf("%s %v: %w", verb, prefix, listError(err))
	}
	return nil
}

// ReplaceAllow makes prefixes the whole allow list. A prefix that is in the old
// and in the new list is in force throughout.
func (f *Filter) ReplaceAllow(prefixes []netip.Prefix) error {
	want := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		p, err := canonical(p)
		if err != nil {
			return fmt.Errorf("replace the allow list: %w", err)
		}
		want[p] = true
	}
	for p := range want {
		if err := f.SetAllow(p); err != nil {
			return fmt.Errorf("replace the allow list: %w", err)
		}
	}
	have, err := f.Allowed()
	if err != nil {
		return fmt.Errorf("replace the allow list: %w", err)
	}
	for _, p := range have {
		if want[p] {
			continue
		}
		if err := f.RemoveAllow(p); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("replace the allow list: %w", err)
		}
	}
	return nil
}

// Allowed returns the allow list, in no order.
func (f *Filter) Allowed() ([]netip.Prefix, error) {
	if err := f.enter(); err != nil {
		return nil, fmt.Errorf("read the allow list: %w", err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	var prefixes []netip.Prefix
	err := errors.Join(
		eachOf(f.maps.Allow4, func(k bpf.XDPLpm4, _ *bpf.XDPEntry) bool {
			prefixes = append(prefixes, prefix4(k))
			return true
		}),
		eachOf(f.maps.Allow6, func(k bpf.XDPLpm6, _ *bpf.XDPEntry) bool {
			prefixes = append(prefixes, prefix6(k))
			return true
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("read the allow list: %w", err)
	}
	return prefixes, nil
}

// value makes the kernel's form of a checked entry that is stored at a time; lists
// is held.
func (f *Filter) value(e Entry, clock uint64) bpf.XDPEntry {
	value := bpf.XDPEntry{
		Expires: expiryOf(e.TTL, clock), Rate: e.Limit, Burst: e.Burst, Rule: e.Rule, Action: uint8(e.Action),
		PrefixLen: uint8(e.Prefix.Bits()), Generation: f.generation,
	}
	if e.DryRun {
		value.Flags |= uint8(bpf.XDPEntryFlagENTRY_DRY_RUN)
	}
	return value
}

// expiryOf returns when what is stored at a time expires, 0 for never.
func expiryOf(ttl time.Duration, clock uint64) uint64 {
	if ttl <= 0 {
		return 0
	}
	return clock + uint64(ttl)
}

// keepCounts gives a new entry the counts of the one that it replaces, and tells
// whether there is one.
func keepCounts(m *ebpf.Map, key any, e *bpf.XDPEntry) bool {
	var old bpf.XDPEntry
	// A trie gives the entry of a wider prefix as well.
	if m.Lookup(key, &old) != nil || old.PrefixLen != e.PrefixLen {
		return false
	}
	e.Hits, e.Passes, e.WouldDrops = old.Hits, old.Passes, old.WouldDrops
	return true
}
