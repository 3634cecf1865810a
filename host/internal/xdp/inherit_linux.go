//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/ironpost/ironpost/bpf"
)

// inherit goes on with maps that an earlier process used, whose settings were
// before. Whether it simulates is this process's to say, and holds at once.
func (f *Filter) inherit(before bpf.XDPSettings) error {
	f.lists.Lock()
	defer f.lists.Unlock()
	has := func(s bpf.XDPSetting) bool { return bpf.XDPSetting(before.Flags)&s != 0 }
	f.allow4, f.allow6 = has(bpf.XDPSettingSETTING_ALLOW4), has(bpf.XDPSettingSETTING_ALLOW6)
	t := &f.memory.filters
	t.any = kinds{
		hosts4: has(bpf.XDPSettingSETTING_HOSTS4), nets4: has(bpf.XDPSettingSETTING_NETS4),
		hosts6: has(bpf.XDPSettingSETTING_HOSTS6), subnets6: has(bpf.XDPSettingSETTING_SUBNETS6),
		nets6: has(bpf.XDPSettingSETTING_NETS6), wide6: has(bpf.XDPSettingSETTING_WIDE6),
	}
	t.hosts4.mask, t.hosts6.mask = before.Hosts4Mask, before.Hosts6Mask
	f.storeFlags()
	// What was counted while nobody looked is in the totals. As one summary it
	// would say that all of it came within one interval.
	atomic.StoreUint32(&f.memory.settings[0].Epoch, max(before.Epoch, 1)+1)

	// A generation that no entry has, also when a Replace was cut off: the next
	// Replace counts up to it.
	var used [256]bool
	clock := now()
	if err := f.collect(func(e *bpf.XDPEntry) bool {
		used[e.Generation] = true
		return e.Expires == 0 || e.Expires > clock
	}); err != nil {
		return fmt.Errorf("take the lists over: %w", err)
	}
	for used[uint8(f.generation+1)] && f.generation < 255 {
		f.generation++
	}
	return nil
}

// copyLists copies the live entries of pinned lists and the live rules, with their
// expiries and counts, into the filter's own. What cannot be copied is an error that holds up
// nothing else.
func (f *Filter) copyLists(from *pinSet) error {
	f.lists.Lock()
	defer f.lists.Unlock()
	clock := now()
	w := f.writer()
	block := func(p netip.Prefix, e bpf.XDPEntry) error {
		if e.Expires != 0 && e.Expires <= clock {
			return nil
		}
		e.Generation = f.generation
		f.note(p, e.Expires)
		return w.block(p, e)
	}
	err := errors.Join(
		copyList(from, bpf.XDPMapAllow4, prefix4, w.allow),
		copyList(from, bpf.XDPMapAllow6, prefix6, w.allow),
		copyList(from, bpf.XDPMapHosts4, func(k [4]byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4(k), 32)
		}, block),
		copyList(from, bpf.XDPMapNets4, prefix4, block),
		copyList(from, bpf.XDPMapHosts6, func(k [16]byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom16(k), 128)
		}, block),
		copyList(from, bpf.XDPMapSubnets6, prefix64, block),
		copyList(from, bpf.XDPMapNets6, prefix6, block),
		w.flush(),
		f.copyRules(from, clock),
	)
	f.refresh()
	f.storeFlags()
	return err
}

// copyList hands every entry of a pinned list to put.
func copyList[K any](from *pinSet, name string, prefix func(K) netip.Prefix, put func(netip.Prefix, bpf.XDPEntry) error) error {
	return eachPinned(from, name, "entry", func(k K, e bpf.XDPEntry) error { return put(prefix(k), e) })
}
